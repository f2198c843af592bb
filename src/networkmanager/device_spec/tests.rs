use super::*;
use crate::networkmanager::device::Device;

fn texts(value: &str) -> Vec<String> {
    let specs = split(value.as_bytes());
    specs.iter().map(|spec| String::from_utf8_lossy(spec).into_owned()).collect()
}

fn matched(value: &str) -> Match {
    matches(&split(value.as_bytes()), &Device::of_kind("cali1", "veth"))
}

#[test]
fn a_list_is_split_at_commas_and_semicolons() {
    assert_eq!(texts(" a ; b,,c ;"), ["a", "b", "c"]);
    assert_eq!(texts("a\\,b;\\sc;x\\y;d\\"), ["a,b", " c", "x\\y", "d"]);
}

#[test]
fn a_blank_inside_a_spec_costs_it_its_last_character() {
    assert_eq!(texts("interface-name: cali*"), ["interface-name: cali"]);
}

#[test]
fn specs_match_as_network_manager_has_them() {
    for (value, expected) in [
        ("interface-name:cali*", Match::Yes(Some(0))),
        ("Interface-Name:=cali1", Match::Yes(Some(0))),
        ("interface-name:=cali*", Match::No),
        ("interface-name:~cali?", Match::Yes(Some(0))),
        ("cali*", Match::No),
        ("cali1", Match::Yes(Some(0))),
        ("eth0;*", Match::Yes(Some(1))),
        ("type:ethernet", Match::Yes(Some(0))),
        ("type:veth", Match::No),
        ("driver:veth", Match::Yes(Some(0))),
        ("driver:ve/1.?", Match::Yes(Some(0))),
        ("driver:veth/2", Match::No),
        ("mac:ee:ee:ee:ee:ee:ee", Match::No),
        ("*;except:interface-name:cali*", Match::Except(1)),
        ("except:interface-name:eth*", Match::Yes(None)),
        ("except:cali1", Match::Yes(None)),
        ("", Match::No),
    ] {
        assert_eq!(matched(value), expected, "{value}");
    }
}

#[test]
fn what_is_not_known_counts_only_where_it_decides() {
    let device = Device { name: "eth0".to_owned(), ..Device::default() };
    let matched = |value: &str| matches(&split(value.as_bytes()), &device);
    assert_eq!(matched("driver:x"), Match::Unknown(0));
    assert_eq!(matched("driver:x;eth0"), Match::Yes(Some(1)));
    assert_eq!(matched("except:driver:x"), Match::Unknown(0));
    assert_eq!(matched("cali1x;except:driver:x"), Match::No);
    assert_eq!(matched("eth0;except:driver:x"), Match::Unknown(1));
}

proptest::proptest! {
    #[test]
    fn a_list_that_is_joined_and_split_is_the_same(specs in proptest::collection::vec("[a-z\\\\;,]{1,8}", 0..5)) {
        let joined = join(specs.iter().map(String::as_bytes));
        let again: Vec<String> =
            split(&joined).into_iter().map(|spec| String::from_utf8(spec).unwrap()).collect();
        proptest::prop_assert_eq!(again, specs);
    }

    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>) {
        let _ = matches(&split(&bytes), &Device::of_kind("cali1", "veth"));
    }
}
