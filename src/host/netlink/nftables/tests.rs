//! Rules as iptables makes them, and what the bindings do not know. The rest is seen with a real kernel.

use crate::host::netlink::answers::attribute;

use super::*;

fn rule_of(expressions: &[Vec<u8>], userdata: &[u8]) -> Rule {
    let attributes = [
        attribute(1, b"filter\0"),
        attribute(2, b"cali-INPUT\0"),
        attribute(3, &9u64.to_be_bytes()),
        attribute(4, &expressions.concat()),
        attribute(7, userdata),
    ]
    .concat();
    let mut header = Nfgenmsg::new();
    header.nfgen_family = 2;
    rule(&header, RuleAttrs::new(&attributes))
}

fn expression_of(name: &[u8], data: &[u8]) -> Vec<u8> {
    attribute(1, &[attribute(1, name), attribute(2, data)].concat())
}

#[test]
fn the_comment_of_a_rule_is_found_where_nft_keeps_it_and_where_iptables_does() {
    assert_eq!(rule_of(&[], b"\x01\x01x\x00\x08cali:ab\0").comment.as_deref(), Some("cali:ab"));
    let mut info = b"cali:xyz".to_vec();
    info.resize(256, 0);
    let data = [attribute(1, b"comment\0"), attribute(2, &[0; 4]), attribute(3, &info)].concat();
    let rule = rule_of(&[expression_of(b"match\0", &data)], &[]);
    assert_eq!(rule.comment.as_deref(), Some("cali:xyz"));
    assert_eq!(
        rule.expressions,
        [serde_json::json!({
            "expression": "match", "match": "comment", "revision": 0,
            "info": "0x63616c693a78797a", "info_bytes": 256,
        })]
    );
}

#[test]
fn the_attributes_of_an_unknown_expression_stand_by_number() {
    let rule = rule_of(&[expression_of(b"brandnew\0", &attribute(3, &[0xab, 1]))], &[]);
    assert_eq!(
        rule.expressions,
        [serde_json::json!({"expression": "brandnew", "attributes": {"3": "0xab01"}})]
    );
}

#[test]
fn user_data_that_lies_about_its_length_has_no_comment() {
    assert_eq!(userdata(&[0, 200, b'x'], 0), None);
    assert_eq!(userdata(&[5, 0, 5, 0, 0], 0), None);
    assert_eq!(userdata(&[0], 0), None);
}

#[test]
fn a_flag_without_a_name_stands_by_its_bit() {
    assert_eq!(flag_names(0b1001, &TABLE_FLAGS), serde_json::json!(["dormant", "bit 3"]));
}
