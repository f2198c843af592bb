//! Members of types that not every kernel has, and messages that break off.

use crate::host::netlink::answers::attribute;

use super::*;

fn ipv4(kind: u16, address: [u8; 4]) -> Vec<u8> {
    attribute(kind, &attribute(1, &address))
}

fn shown(kind: &str, parts: &[Vec<u8>]) -> String {
    member("set", kind, &parts.concat()).member
}

#[test]
fn the_parts_of_a_member_stand_in_the_order_of_its_type() {
    let net = ipv4(IP, [10, 0, 0, 0]);
    let other = ipv4(IP2, [192, 168, 0, 0]);
    let port = attribute(PORT, &80u16.to_be_bytes());
    let tcp = attribute(PROTO, &[6]);
    assert_eq!(
        shown(
            "hash:net,port,net",
            &[
                other.clone(),
                attribute(CIDR2, &[16]),
                net.clone(),
                attribute(CIDR, &[8]),
                port.clone(),
                tcp.clone(),
            ],
        ),
        "10.0.0.0/8,tcp:80,192.168.0.0/16"
    );
    assert_eq!(
        shown("hash:ip,port", &[net.clone(), port, attribute(PORT_TO, &82u16.to_be_bytes()), tcp]),
        "10.0.0.0,tcp:80-82"
    );
    let interface = attribute(IFACE, b"eth0\0");
    assert_eq!(
        shown(
            "hash:net,iface",
            &[
                net.clone(),
                attribute(CIDR, &[24]),
                attribute(CADT_FLAGS, &2u32.to_be_bytes()),
                interface
            ],
        ),
        "10.0.0.0/24,physdev:eth0"
    );
    assert_eq!(
        shown("hash:ip,mark", &[net.clone(), attribute(MARK, &0x63u32.to_be_bytes())]),
        "10.0.0.0,0x00000063"
    );
    assert_eq!(
        shown("bitmap:ip,mac", &[net, attribute(ETHER, &[2, 0, 0, 0, 0, 0xab])]),
        "10.0.0.0,02:00:00:00:00:AB"
    );
    assert_eq!(shown("hash:mac", &[attribute(ETHER, &[2, 0, 0, 0, 0, 1])]), "02:00:00:00:00:01");
}

#[test]
fn the_port_of_icmp_is_its_type_and_code() {
    let parts = [
        ipv4(IP, [10, 0, 0, 1]),
        attribute(PORT, &0x0800u16.to_be_bytes()),
        attribute(PROTO, &[1]),
    ];
    assert_eq!(shown("hash:ip,port", &parts), "10.0.0.1,icmp:8/0");
}

#[test]
fn a_member_of_an_unknown_type_is_not_made_up() {
    assert_eq!(shown("", &[ipv4(IP, [10, 0, 0, 1])]), "");
    assert_eq!(shown("hash:ip", &[attribute(IP, &[1, 2])]), "");
}

#[test]
fn a_member_that_is_an_exception_says_so() {
    let parts = [
        ipv4(IP, [10, 0, 0, 0]),
        attribute(CIDR, &[24]),
        attribute(CADT_FLAGS, &4u32.to_be_bytes()),
        attribute(TIMEOUT, &300u32.to_be_bytes()),
    ];
    let concat = parts.concat();
    let member = member("set", "hash:net", &concat);
    assert!(member.nomatch);
    assert_eq!((member.member.as_str(), member.timeout_seconds), ("10.0.0.0/24", Some(300)));
}
