//! Addresses in all their spellings, and what only looks like one.

use super::*;

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
