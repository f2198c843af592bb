//! Names of nodes, pods and interfaces: learned, met in fields, and kept.

use super::*;

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
