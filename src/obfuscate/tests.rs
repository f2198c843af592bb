mod addresses;
mod names;
mod streams;

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
