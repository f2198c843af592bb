use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.learn_node("node-1.corp.example.com");
    names.learn_node("Gandalf");
    names.learn_pod_folder("shop_web-7d4b9c6f5-x2x7p_0a1b2c3d-0000-4000-8000-0123456789ab");
    names.learn_pod_folder("kube-system_calico-node-x7k2p_0a1b2c3d-0000-4000-8000-0123456789ac");
    names.learn_pod_folder("kube-system_etcd-node-1_5f6e7d8c9b0a");
    names
}

fn obfuscator(key: u8) -> Obfuscator {
    Obfuscator::new(Key::new(&[key; 32]), &names())
}

fn text(text: &str) -> String {
    obfuscator(1).text(text)
}

fn table(path: &str, text: &str) -> String {
    let mut stream = obfuscator(1).stream(path);
    let mut out = stream.push(text.as_bytes().to_vec());
    out.extend(stream.finish().0);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_ipv4_address_has_one_pseudonym_in_all_its_spellings() {
    let plain = text("10.0.0.2");
    assert_ne!(plain, "10.0.0.2");
    assert!(plain.starts_with("10."), "{plain}");
    let with = |mark: &str| plain.replace('.', mark);
    let octets: std::net::Ipv4Addr = plain.parse().unwrap();
    let [a, b, c, d] = octets.octets();
    let hex = format!("{d:02X}{c:02X}{b:02X}{a:02X}");
    for (spelled, expected) in [
        ("10.0.0.2/32", format!("{plain}/32")),
        ("10.0.0.2/24", format!("{plain}/24")),
        ("10.0.0.2:179", format!("{plain}:179")),
        ("[::ffff:10.0.0.2]:179", format!("[::ffff:{plain}]:179")),
        ("::ffff:a00:2", format!("::ffff:{plain}")),
        ("::FFFF:10.0.0.2", format!("::FFFF:{plain}")),
        ("64:ff9b::10.0.0.2", format!("64:ff9b::{plain}")),
        ("2.0.0.10.in-addr.arpa", format!("{d}.{c}.{b}.{a}.in-addr.arpa")),
        ("Mesh_10_0_0_2", format!("Mesh_{}", with("_"))),
        ("Node_10_0_0_2_port_1790:", format!("Node_{}_port_1790:", with("_"))),
        ("Local_Workload_10_0_0_2", format!("Local_Workload_{}", with("_"))),
        ("ip-10-0-0-2.ec2.internal", format!("ip-{}.ec2.internal", with("-"))),
        ("ip--10--0--0--2-k8s-x", format!("ip--{}-k8s-x", with("--"))),
        ("10-0-0-2.shop.pod.cluster.local", text("10-0-0-2.shop.pod.cluster.local")),
        ("kube-proxy-10.0.0.2", format!("kube-proxy-{plain}")),
        (r"\n10.0.0.2\n10.0.0.2", format!(r"\n{plain}\n{plain}")),
        (r"\u003c10.0.0.2\u003e", format!(r"\u003c{plain}\u003e")),
        ("%2F10.0.0.2%3A", format!("%2F{plain}%3A")),
        ("\x1b[1;32m10.0.0.2\x1b[0m", format!("\x1b[1;32m{plain}\x1b[0m")),
        ("8080:10.0.0.2:80", format!("8080:{plain}:80")),
        ("(10.0.0.2)", format!("({plain})")),
        ("src=10.0.0.2,dst=10.0.0.2.", format!("src={plain},dst={plain}.")),
        ("10.0.0.2-10.0.0.2", format!("{plain}-{plain}")),
        ("10.0.0.2->10.0.0.2", format!("{plain}->{plain}")),
        ("https://u:p@10.0.0.2:2379/v3", format!("https://u:p@{plain}:2379/v3")),
        ("app.10.0.0.2.nip.io", format!("app.{plain}.nip.io")),
    ] {
        assert_eq!(text(spelled), expected, "{spelled}");
    }
    assert!(text("10-0-0-2.shop.pod").starts_with(&with("-")));
    assert_eq!(
        table("host/proc/net/tcp", "   0: 0200000A:00B3 00000000:0000 0A 00000000:00000000\n"),
        format!("   0: {hex}:00B3 00000000:0000 0A 00000000:00000000\n")
    );
    let mapped = "0000000000000000FFFF00000200000A";
    assert_eq!(
        table("host/proc/net/tcp6", &format!("   0: {mapped}:00B3 {mapped}:0001 0A 0:0\n")),
        format!("   0: {0}:00B3 {0}:0001 0A 0:0\n", mapped.replace("0200000A", &hex))
    );
    assert_eq!(
        table("host/proc/net/route", "eth0\t00000000\t0200000A\t0003\t0\t0\t0\t00000000\t0\n"),
        format!("eth0\t00000000\t{hex}\t0003\t0\t0\t0\t00000000\t0\n")
    );
    // Elsewhere a number is a number.
    assert_eq!(table("logs/x", "0: 0200000A:00B3\n"), "0: 0200000A:00B3\n");
}

#[test]
fn an_ipv6_address_has_one_pseudonym_in_all_its_spellings() {
    let plain = text("fd80:24e2:f998:72d7::2");
    assert!(plain.starts_with("fd") && plain != "fd80:24e2:f998:72d7::2", "{plain}");
    let address: std::net::Ipv6Addr = plain.parse().unwrap();
    let full = address.segments().map(|group| format!("{group:04x}")).join(":");
    let digits = format!("{:032x}", address.to_bits());
    let reversed: Vec<String> = digits.chars().rev().map(String::from).collect();
    for (spelled, expected) in [
        ("fd80:24e2:f998:72d7::2/128", format!("{plain}/128")),
        ("FD80:24E2:F998:72D7::2", plain.to_uppercase()),
        ("fd80:24e2:f998:72d7:0:0:0:2", plain.clone()),
        ("fd80:24e2:f998:72d7:0000:0000:0000:0002", full),
        ("[fd80:24e2:f998:72d7::2]:179", format!("[{plain}]:179")),
        ("peer fd80:24e2:f998:72d7::2: up", format!("peer {plain}: up")),
        ("Addr:fd80:24e2:f998:72d7::2,", format!("Addr:{plain},")),
        ("Node_fd80_24e2_f998_72d7__2", format!("Node_{}", plain.replace(':', "_"))),
        (
            "Mesh_fd80_24e2_f998_72d7__2_port_179",
            format!("Mesh_{}_port_179", plain.replace(':', "_")),
        ),
        (
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.d.2.7.8.9.9.f.2.e.4.2.0.8.d.f.ip6.arpa",
            format!("{}.ip6.arpa", reversed.join(".")),
        ),
    ] {
        assert_eq!(text(spelled), expected, "{spelled}");
    }
    let hex = "fd8024e2f99872d70000000000000002";
    assert_eq!(
        table("host/proc/net/if_inet6", &format!("{hex} 02 40 20 80     eth0\n")),
        format!("{digits} 02 40 20 80     eth0\n")
    );
    let zero = "0".repeat(32);
    let line = format!("{hex} 80 {zero} 00 {zero} 00000400 00000001 00000000 00000001     eth0\n");
    assert_eq!(table("host/proc/net/ipv6_route", &line), line.replace(hex, &digits));
}

#[test]
fn a_network_of_a_table_has_no_bits_beyond_its_mask_and_holds_its_hosts() {
    let route = |line: &str| {
        let out = table("host/proc/net/route", line);
        let fields: Vec<String> = out.split_whitespace().map(str::to_owned).collect();
        let number = |at: usize| u32::from_str_radix(&fields[at], 16).unwrap().swap_bytes();
        (number(1), number(2), number(7))
    };
    let (network, gateway, mask) =
        route("eth0\t0000410A\t0100410A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
    assert_eq!(mask, 0xffff_ff00);
    assert_eq!(gateway & mask, network);
    let cidr = format!("{}/24", std::net::Ipv4Addr::from_bits(network));
    assert_eq!(text("10.65.0.0/24"), cidr);
    assert_eq!(
        text("10.65.0.0/255.255.255.0"),
        format!("{}255.255.255.0", &cidr[..cidr.len() - 2])
    );
    assert_eq!(text("default via 0.0.0.0/0 ::/0"), "default via 0.0.0.0/0 ::/0");
}

#[test]
fn what_only_looks_like_an_address_stays() {
    for same in [
        "version 1.2.3.4",
        "Version: 1.2.3.4",
        "v1.2.3.4",
        r#""clientVersion":"1.2.3.4""#,
        "firmware-version: 14.32.10.4",
        r#"VERSION_ID="1.2.3.4""#,
        "ver=1.2.3.4",
        r#"{\"version\": \"1.2.3.4\"}"#,
        "BIRD v0.3.3+birdv1.6.8 ready.",
        "0.3.3+birdv1.6.8",
        "Linux version 5.15.0-91-generic",
        "6.1.0.21+deb12",
        "1.2.3.4~rc1",
        "libx.so.1.2.3.4",
        "1.3.6.1.4.1.2021.10",
        ".1.3.6.1",
        "v3.27.1.2.3",
        "1.2.3",
        "1.2.3.",
        "256.1.1.1",
        "01.2.3.4",
        "2024.01.02.03",
        "12:34:56",
        "12:34:56.789",
        "2024-01-02T12:34:56.789Z",
        "1:2:3:4",
        "01:02:03:04:05:06:07:08",
        "d41d8cd98f00b204e9800998ecf8427e",
        "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
        "0a1b2c3d-0000-4000-8000-0123456789ab",
        "cali:wUHhoiAYhphO9Mso",
        "--comment \"cali:6gwbT8clXdHdC1b1\"",
        "handle 4294967295",
        "cali-tw-x",
        "calico",
        "cali40masq-ipam-pools",
        "std::collections::HashMap",
        "add::bad",
        "tokio::net",
        "a::b",
        "::",
        "::1",
        "[::]:9099",
        "127.0.0.1:9099",
        "0.0.0.0/0",
        "::/0",
        "255.255.255.0",
        "169.254.1.1",
        "224.0.0.5",
        "ff02::1",
        "ee:ee:ee:ee:ee:ee",
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "33:33:00:00:00:01",
        "fe80::ecee:eeff:feee:eeee",
        "10.0.0.0/8",
        "192.168.0.0/16",
        "172.16.0.0/12",
        "fd00::/8",
        "fe80::/64",
        "fe80::/10",
        "felix/int_dataplane.go:1836:",
        "AS64512",
        "(64512,100)",
        "vxlan id 4096 dstport 4789 mtu 1450",
        "1-2-3-4",
        "foo-2024-01-02-03",
        "linux-5.15.0-91",
        "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "0x0a000002",
        "[redacted:known-value]",
    ] {
        assert_eq!(text(same), same);
    }
}

#[test]
fn a_name_is_replaced_wherever_it_is_a_word() {
    let node = text("node-1");
    assert!(node.starts_with("node-") && node.len() == 13, "{node}");
    let domain = text("corp.example.com");
    let pod = text("web-7d4b9c6f5-x2x7p");
    assert!(pod.starts_with("pod-") && pod.len() == 12, "{pod}");
    let namespace = text("shop");
    assert!(namespace.starts_with("ns-"), "{namespace}");
    for (spelled, expected) in [
        ("NODE-1", node.clone()),
        ("node-1.corp.example.com.", format!("{node}.{domain}.")),
        ("/calico/bgp/v1/host/node-1/ip_addr_v4", format!("/calico/bgp/v1/host/{node}/ip_addr_v4")),
        (
            "node--1-k8s-web--7d4b9c6f5--x2x7p-eth0",
            format!("{}-k8s-{}-eth0", node.replace('-', "--"), pod.replace('-', "--")),
        ),
        ("shop/web-7d4b9c6f5-x2x7p", format!("{namespace}/{pod}")),
        (
            "logs/pods/shop_web-7d4b9c6f5-x2x7p_0a1b2c3d/c/0.log",
            format!("logs/pods/{namespace}_{pod}_0a1b2c3d/c/0.log"),
        ),
        (r#"{"name":"gandalf"}"#, format!(r#"{{"name":"{}"}}"#, text("gandalf"))),
        (r"\tnode-1\n", format!(r"\t{node}\n")),
        ("node-10 mynode-1 node-1x", "node-10 mynode-1 node-1x".to_owned()),
        ("kube-system default localhost", "kube-system default localhost".to_owned()),
    ] {
        assert_eq!(text(spelled), expected, "{spelled}");
    }
    // Calico's own pods keep the beginning of their name; the longest name wins.
    assert!(text("calico-node-x7k2p").starts_with("calico-node-"));
    assert!(!text("calico-node-x7k2p").contains("x7k2p"));
    assert!(text("etcd-node-1").starts_with("pod-"));
}

#[test]
fn a_name_that_was_not_learnt_is_replaced_in_a_field_that_says_what_it_is() {
    let inside = |field: &str, name: &str| {
        let replaced = text(&format!("{field}{name}"));
        replaced.strip_prefix(field).unwrap_or_else(|| panic!("{replaced}")).to_owned()
    };
    let (node, pod) = (inside("host=", "moria-7"), inside("Pod=", "gold-9"));
    let namespace = inside("namespace=", "treasury");
    assert!(node.starts_with("node-") && pod.starts_with("pod-") && namespace.starts_with("ns-"));
    let (doubled_node, doubled_pod) = (node.replace('-', "--"), pod.replace('-', "--"));
    let whole = inside("node=", "moria-7.lan.example.org");
    let domain = whole.strip_prefix(&format!("{node}.")).unwrap();
    assert!(domain.starts_with("domain-"), "{domain}");
    for (spelled, expected) in [
        (
            "WorkloadEndpoint(node=moria-7, orchestrator=k8s, workload=treasury/gold-9, name=eth0)"
                .to_owned(),
            format!(
                "WorkloadEndpoint(node={node}, orchestrator=k8s, workload={namespace}/{pod}, name=eth0)"
            ),
        ),
        (
            "Pod=\"gold-9\" WorkloadEndpoint=\"moria--7-k8s-gold--9-eth0\"".to_owned(),
            format!("Pod=\"{pod}\" WorkloadEndpoint=\"{doubled_node}-k8s-{doubled_pod}-eth0\""),
        ),
        (
            r#"{"log":"{\"node\":\"moria-7\"}"} pod="treasury/gold-9""#.to_owned(),
            format!(r#"{{"log":"{{\"node\":\"{node}\"}}"}} pod="{namespace}/{pod}""#),
        ),
        (
            "/var/log/pods/treasury_gold-9_0a1b2c3d-0000-4000-8000-0123456789ab/c".to_owned(),
            format!("/var/log/pods/{namespace}_{pod}_0a1b2c3d-0000-4000-8000-0123456789ab/c"),
        ),
        // What is learnt keeps the pseudonym that it has elsewhere, also as a part; what every cluster has stays.
        ("host=gandalf".to_owned(), format!("host={}", text("gandalf"))),
        ("pod=kube-system/gold-9".to_owned(), format!("pod=kube-system/{pod}")),
        ("pod=shop/gold-9".to_owned(), format!("pod={}/{pod}", text("shop"))),
        (
            "host=moria-7.corp.example.com".to_owned(),
            format!("host={node}.{}", text("corp.example.com")),
        ),
        ("host=moria-7.lan.example.org".to_owned(), format!("host={node}.{domain}")),
        ("host=moria-7.ec2.internal:179".to_owned(), format!("host={node}.ec2.internal:179")),
        // An address in a name is that address.
        ("host=ip-10-0-0-2".to_owned(), format!("host={}", text("ip-10-0-0-2"))),
        ("node=\"10.0.0.2\"".to_owned(), format!("node=\"{}\"", text("10.0.0.2"))),
    ] {
        assert_eq!(text(&spelled), expected, "{spelled}");
    }
    // A longer name is another one, and elsewhere it is no name.
    let longer = inside("pod=", "shop-5");
    assert!(longer.starts_with("pod-") && !longer.contains("-5"), "{longer}");
    assert_eq!(text("moria-7 has gold-9"), "moria-7 has gold-9");
}

#[test]
fn words_of_formats_in_such_fields_stay() {
    for spelled in [
        "node=true pod=\"unknown\" namespace=default host=localhost node=none",
        "host=\"kubernetes.default.svc.cluster.local\"",
        "\"scope\":\"host\" \"type\":\"veth\" node=12 host=10s",
        "node=v1.30.2 pod=0a1b2c3d-1111-4000-8000-0123456789ab",
        "2026-11-23 02:33:26.123 [INFO][412] felix/int_dataplane.go 1: node:12:34",
    ] {
        assert_eq!(text(spelled), spelled);
    }
}

#[test]
fn what_was_met_in_a_field_is_in_the_map() {
    let obfuscator = obfuscator(1);
    let replaced = obfuscator.text("host=moria-7 pod=shop/gold-9 coredns-558bd4d5db-bcdfg");
    let names = obfuscator.map().names;
    for name in ["moria-7", "shop", "gold-9", "coredns-558bd4d5db-bcdfg"] {
        let (pseudonym, _) = names.iter().find(|(_, original)| *original == name).unwrap();
        assert!(replaced.contains(pseudonym.as_str()), "{name}: {replaced}");
    }
}

#[test]
fn a_name_that_a_format_needs_is_kept_and_said_to_be() {
    let mut names = Names::default();
    for name in ["bird", "node", "calico-node", "up", "master", "n1"] {
        names.learn_node(name);
    }
    // What holds an address, every cluster has, or is no name, is not even that.
    for name in ["ip-10-0-0-2", "10.0.0.5", "localhost", "", "a b", "-x", "42", "ip6-loopback"] {
        names.learn_node(name);
    }
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(
        names.kept().collect::<Vec<_>>(),
        ["bird", "calico-node", "master", "n1", "node", "up"]
    );
}

#[test]
fn names_are_learnt_from_the_files_that_hold_them() {
    let mut names = Names::default();
    names.learn_hosts(
        "127.0.0.1 localhost\n10.0.0.3 node-3.lan.example.org node-3 # a comment node-4\n",
    );
    names.learn_resolver("nameserver 10.0.0.1\nsearch svc.cluster.local lab.example.net\n");
    names.learn_bird_configuration(
        "# For peer /calico/bgp/v1/host/node-7/ip_addr_v4\n# /bgp/v1/global/peer_v4/10.0.0.4\n",
    );
    names.learn_container_link("db-0_store_calico-0123.log");
    let obfuscator = Obfuscator::new(Key::new(&[1; 32]), &names);
    for name in
        ["node-3", "node-7", "lan.example.org", "example.org", "lab.example.net", "db-0", "store"]
    {
        assert_ne!(obfuscator.text(name), name);
    }
    for name in ["node-4", "svc.cluster.local", "localhost"] {
        assert_eq!(obfuscator.text(name), name);
    }
}

#[test]
fn hardware_addresses_and_interfaces_have_pseudonyms_in_all_their_spellings() {
    let mac = text("52:54:00:12:34:56");
    assert_ne!(mac, "52:54:00:12:34:56");
    assert_eq!(text("52:54:00:AB:CD:EF"), text("52:54:00:ab:cd:ef").to_uppercase());
    assert_eq!(
        text("IN=cali0123456789a MAC=ee:ee:ee:ee:ee:ee:52:54:00:12:34:56:08:00 SRC=x")
            .split(' ')
            .nth(1),
        Some(format!("MAC=ee:ee:ee:ee:ee:ee:{mac}:08:00").as_str())
    );
    assert_eq!(text("client id 01:52:54:00:12:34:56"), format!("client id 01:{mac}"));
    let interface = text("cali0123456789a");
    assert!(
        interface.starts_with("cali") && interface.len() == 15 && interface != "cali0123456789a"
    );
    assert_eq!(text("cali-tw-cali0123456789a"), format!("cali-tw-{interface}"));
    assert_eq!(text("fe80::1%cali0123456789a").split('%').nth(1), Some(interface.as_str()));
    assert_eq!(text("0123456789a cali0123456789ab"), "0123456789a cali0123456789ab");
}

#[test]
fn the_same_key_gives_the_same_everywhere_and_another_another() {
    let sample = "node-1 10.0.0.2 fd00::2 52:54:00:12:34:56 cali0123456789a shop";
    assert_eq!(obfuscator(1).text(sample), obfuscator(1).text(sample));
    let other = obfuscator(2).text(sample);
    for (one, other) in text(sample).split(' ').zip(other.split(' ')) {
        assert_ne!(one, other);
    }
}

#[test]
fn the_map_undoes_what_was_replaced() {
    let obfuscator = obfuscator(1);
    let sample = "10.0.0.2 fd00::2 52:54:00:12:34:56 cali0123456789a node-1";
    let replaced = obfuscator.text(sample);
    let map = obfuscator.map();
    let back: Vec<&str> = replaced
        .split(' ')
        .zip([&map.ipv4, &map.ipv6, &map.macs, &map.interfaces, &map.names])
        .map(|(word, kind)| kind[word].as_str())
        .collect();
    assert_eq!(back.join(" "), sample);
    assert!(map.complete);
    assert_eq!(map.key_id, Key::new(&[1; 32]).id());
}

#[test]
fn places_that_were_replaced_are_counted() {
    let mut stream = obfuscator(1).stream("x");
    let _ = stream
        .push(b"10.0.0.2 127.0.0.1 node-1 52:54:00:12:34:56 cali0123456789a 1.2.3 ::1".to_vec());
    assert_eq!(stream.finish().1, 4);
}

/// Pieces of which hard texts are made.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "10.0.0.2",
            "fd00::2",
            "::ffff:10.0.0.2",
            "Mesh_10_0_0_2",
            "Node_fd00__2_port_179",
            "node-1",
            "node--1",
            "corp.example.com",
            "cali0123456789a",
            "52:54:00:12:34:56",
            "version",
            "12:34:56",
            "in-addr.arpa",
            "ip6.arpa",
            ":",
            "::",
            ".",
            "-",
            "_",
            "/24",
            "/",
            " ",
            "\n",
            "\\n",
            "%2F",
            "shop",
            "node=",
            "\"pod\": \"",
            "workload=",
            "WEPName:\"",
            "moria",
            "-k8s-",
            "/var/log/pods/",
            "calico-node-x7k2p",
            "calico-node-q8z7w",
            "x",
            "0",
            "\0",
            "\u{e9}",
        ])
        .prop_map(str::to_owned),
        "[0-9a-f:.]{1,12}",
        "[a-z0-9]{500,600}",
    ];
    prop::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunks_do_not_change_the_result(
        text in pieces(),
        sizes in prop::collection::vec(1..700_usize, 1..20),
        path in prop::sample::select(vec!["logs/x", "host/proc/net/tcp", "host/proc/net/route"]),
    ) {
        let obfuscator = obfuscator(1);
        let whole = {
            let mut stream = obfuscator.stream(path);
            let mut out = stream.push(text.clone().into_bytes());
            out.extend(stream.finish().0);
            out
        };
        let (mut stream, mut out, mut rest) = (obfuscator.stream(path), Vec::new(), text.as_bytes());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (head, tail) = rest.split_at(rest.len().min(*size));
            out.extend(stream.push(head.to_vec()));
            prop_assert!(stream.held.len() <= LONGEST_LINE + 700);
            rest = tail;
        }
        out.extend(stream.finish().0);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn an_address_is_the_same_wherever_it_is_cut(
        before in "[ :a.]{0,4}",
        address in prop::sample::select(vec!["::fdff:10.0.0.1", "::ffff:a53:2c02", "::2:3", "fd00::", "::"]),
        after in "[ :/a.]{0,4}",
    ) {
        // Long enough that the beginning leaves before the end comes.
        let text = format!("{before}{address}{after}{}", " ".repeat(AHEAD));
        let whole = self::text(&text);
        let mut stream = obfuscator(1).stream("");
        let mut out: Vec<u8> = text.bytes().flat_map(|byte| stream.push(vec![byte])).collect();
        out.extend(stream.finish().0);
        let out = String::from_utf8_lossy(&out).into_owned();
        prop_assert_eq!(out, whole);
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for path in ["x", "host/proc/net/tcp6", "host/proc/net/if_inet6", "host/proc/net/ipv6_route"] {
            let mut stream = obfuscator(1).stream(path);
            let _ = stream.push(bytes.clone());
            let _ = stream.finish();
        }
    }

    #[test]
    fn what_is_between_names_and_addresses_stays(word in "[g-zG-Z ,;=\"'<>]{0,300}") {
        prop_assume!(!word.to_lowercase().contains("shop"));
        prop_assert_eq!(text(&word), word);
    }
}

#[test]
fn hostile_texts_take_time_in_proportion_to_their_length() {
    let mut many = Names::default();
    (0..20_000)
        .for_each(|number| many.learn_node(&format!("web-{}-{number}", "x".repeat(number % 200))));
    let obfuscator = Obfuscator::new(Key::new(&[1; 32]), &many);
    for piece in [
        "1:", "1.", "1-", "a::", ":", "0", "web-", "Mesh_1_", "%1", "\\n1.", "1.1.1.1.", "f.",
        "ff:",
    ] {
        let text = piece.repeat((1 << 18) / piece.len());
        let begun = Instant::now();
        let mut stream = obfuscator.stream("x");
        for chunk in text.as_bytes().chunks(64 << 10) {
            let _ = stream.push(chunk.to_vec());
        }
        let _ = stream.finish();
        // Unoptimised; what is quadratic takes minutes.
        assert!(begun.elapsed() < Duration::from_secs(20), "{piece}: {:?}", begun.elapsed());
    }
}
