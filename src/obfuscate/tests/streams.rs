//! What holds for any text however it is cut into chunks, and however hostile it is.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

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
