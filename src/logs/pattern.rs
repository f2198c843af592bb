//! What lines that say the same have in common.
//!
//! ```text
//! Failed to connect to typha endpoint 10.0.0.7:5473 error=dial tcp 10.0.0.7:5473: i/o timeout
//! Failed to connect to typha endpoint <address> error=dial tcp <address>: i/o timeout
//! ```
//!
//! Numbers, addresses, hashes and what Kubernetes puts behind the names of pods are replaced, and so is what may be a
//! secret: a summary is shown and passed on.

use std::net::IpAddr;

/// The most bytes of a line that are looked at.
const MAX_LINE: usize = 1024;

/// The most characters of a pattern or a sample.
const MAX_SHOWN: usize = 400;

/// What the lines like this one have in common.
#[must_use]
pub fn of(text: &str) -> String {
    rewrite(text, true)
}

/// The line itself, without what may be a secret in it.
#[must_use]
pub fn sample(text: &str) -> String {
    rewrite(text, false)
}

/// Where words end.
fn is_break(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '"' | '\''
                | '`'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '<'
                | '>'
                | ','
                | ';'
                | '='
                | '|'
        )
}

/// Words behind which a secret stands, in lower case.
const SECRETS: [&str; 6] = ["password", "passwd", "token", "secret", "authorization", "bearer"];

fn rewrite(text: &str, is_pattern: bool) -> String {
    let mut end = text.len().min(MAX_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (mut rest, mut written) = (&text[..end], String::new());
    let mut is_secret_next = false;
    let mut shown = 0;
    while !rest.is_empty() && shown < MAX_SHOWN {
        let length = rest.find(is_break).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let before = written.len();
        if !word.is_empty() {
            if is_secret_next && !is_secret(word) {
                written.push_str("<hidden>");
                is_secret_next = false;
            } else {
                is_secret_next = is_secret(word);
                replace(word, is_pattern, &mut written);
            }
        }
        if let Some(character) = after.chars().next() {
            // Whoever aligns columns says the same.
            let is_blank = character.is_whitespace();
            if !(is_blank && is_pattern && written.ends_with(' ')) {
                written.push(if is_blank { ' ' } else { character });
            }
            rest = &after[character.len_utf8()..];
        } else {
            rest = after;
        }
        shown += written[before..].chars().count();
    }
    if let Some((cut, _)) = written.char_indices().nth(MAX_SHOWN) {
        written.truncate(cut);
        written.push('…');
    }
    written.truncate(written.trim_end().len());
    written
}

/// Whether a secret may follow: the word, or what stands at its end (`https://host/?token`), names one.
fn is_secret(word: &str) -> bool {
    let word = word.trim_end_matches(':');
    let name = word.rsplit(['?', '&', '/', '.', '-', ':']).next().unwrap_or(word);
    name.len() <= 40 && {
        let name = name.to_ascii_lowercase();
        SECRETS.iter().any(|secret| name.ends_with(secret))
    }
}

/// Writes a word with what differs from line to line replaced.
fn replace(word: &str, is_pattern: bool, written: &mut String) {
    // A sentence's end is none of the word's.
    let core = word.trim_end_matches(['.', ':', '!', '?']);
    let tail = &word[core.len()..];
    if let Some((scheme, rest)) = core.split_once("://") {
        // Who calls there, and what they ask for, is nobody's business; paths differ.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = authority.rsplit('@').next().unwrap_or(authority);
        written.push_str(scheme);
        written.push_str("://");
        if authority.len() > host.len() {
            written.push_str("<hidden>@");
        }
        piece(host, is_pattern, written);
        let path = &rest[authority.len()..];
        let asked = path.find(['?', '#']).unwrap_or(path.len());
        for (index, part) in path[..asked].split('/').enumerate() {
            if index > 0 {
                written.push('/');
            }
            piece(part, is_pattern, written);
        }
        if asked < path.len() {
            written.push_str("?…");
        }
    } else {
        piece(core, is_pattern, written);
    }
    written.push_str(tail);
}

/// Words in which a digit is part of the name.
const NAMES: [&str; 12] =
    ["ipv4", "ipv6", "ip6", "ip4", "x509", "etcdv3", "etcd3", "v1", "v3", "bird6", "h2", "i/o"];

fn piece(word: &str, is_pattern: bool, written: &mut String) {
    if is_credential(word) {
        written.push_str("<hidden>");
        return;
    }
    let is_plain = !word.bytes().any(|byte| byte.is_ascii_digit())
        || NAMES.iter().any(|name| word.eq_ignore_ascii_case(name));
    // Hexadecimal digits of an address may all be letters, but not without a colon.
    if !is_pattern || is_plain && !word.contains(':') {
        written.push_str(word);
    } else if is_address(word) {
        written.push_str("<address>");
    } else if is_plain {
        written.push_str(word);
    } else if is_id(word) {
        written.push_str("<id>");
    } else if let Some((name, _)) = word.split_once("cali").filter(|(_, hash)| is_hash(hash)) {
        written.push_str(name);
        written.push_str("cali<id>");
    } else {
        named(word, written);
    }
}

/// An address, with a length or port, or that of a card.
fn is_address(word: &str) -> bool {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_card = word.len() == 17
        && word.split(':').count() == 6
        && word.split(':').all(|part| part.len() == 2 && is_hex(part));
    is_card
        || is_ip(word)
        || word.split_once('/').is_some_and(|(ip, length)| is_ip(ip) && is_number(length))
        || word.rsplit_once(':').is_some_and(|(ip, port)| is_ip(ip) && is_number(port))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The end of a pod's link: 11 digits of a SHA-1.
fn is_hash(text: &str) -> bool {
    text.len() == 11 && is_hex(text)
}

/// A hash, a UUID, or `0x...`.
fn is_id(word: &str) -> bool {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let length = digits.bytes().filter(|byte| *byte != b'-').count();
    let has_letter = digits.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_long = length >= 8 || (length > 0 && digits.len() < word.len());
    is_long
        && (has_letter || digits.len() < word.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A JSON web token, or what is as long and as wild as a key.
fn is_credential(word: &str) -> bool {
    let is_token = word.starts_with("eyJ") && word.len() > 20;
    let is_key = word.len() >= 40
        && !word.contains('.')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-'))
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().filter(|byte| *byte == b'/').count() < 3;
    is_token || is_key
}

/// A name or number: `coredns-7db6d8ff4d-x2x9k` is `coredns-<id>-<id>`, `1.5s` is `<n>s`.
fn named(word: &str, written: &mut String) {
    let mut is_behind_hash = false;
    for (index, part) in word.split('-').enumerate() {
        if index > 0 {
            written.push('-');
        }
        let is_suffix = part.len() == 5 && part.bytes().all(is_safe);
        let is_hashed = index > 0
            && (6..=12).contains(&part.len())
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().all(is_safe);
        if index > 0
            && (is_hashed
                || is_suffix && (is_behind_hash || part.bytes().any(|byte| byte.is_ascii_digit())))
        {
            written.push_str("<id>");
        } else {
            numbered(part, written);
        }
        is_behind_hash = is_hashed;
    }
}

/// What Kubernetes makes random names of (`apimachinery/pkg/util/rand`): neither vowels nor what looks like one.
fn is_safe(byte: u8) -> bool {
    matches!(byte, b'2' | b'4'..=b'9')
        || (byte.is_ascii_lowercase() && !matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
}

/// Numbers, with their point.
fn numbered(part: &str, written: &mut String) {
    let mut rest = part;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        written.push_str(&rest[..start]);
        written.push_str("<n>");
        let after = &rest[start..];
        let mut end =
            after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
        if let Some(fraction) = after[end..].strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            end += if digits > 0 { digits + 1 } else { 0 };
        }
        rest = &after[end..];
    }
    written.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_from_line_to_line_is_replaced() {
        for (line, pattern) in [
            (
                "Failed to connect to typha endpoint 10.0.0.7:5473 error=dial tcp 10.0.0.7:5473: i/o timeout",
                "Failed to connect to typha endpoint <address> error=dial tcp <address>: i/o timeout",
            ),
            (
                "Route 10.1.2.0/26 via fd00::1 dev eth0 mac ee:ee:ee:ee:ee:ee",
                "Route <address> via <address> dev eth<n> mac <address>",
            ),
            ("took 1.234567s, 12 of 345 (3%)", "took <n>s, <n> of <n> (<n>%)"),
            ("IPv4 and IPv6 over etcdv3: x509: bad", "IPv4 and IPv6 over etcdv3: x509: bad"),
            (
                "iface=\"cali0123456789a\" pod=default/coredns-7db6d8ff4d-x2x9k id=0xdeadbeef",
                "iface=\"cali<id>\" pod=default/coredns-<id>-<id> id=<id>",
            ),
            ("uid 01234567-89ab-cdef-0123-456789abcdef.", "uid <id>."),
            (
                "GET https://10.96.0.1:443/api/v1/nodes/node-12?limit=500: EOF",
                "GET https://<address>/api/v1/nodes/node-<n>?…=<n>: EOF",
            ),
            ("two   blanks", "two blanks"),
            ("no digits: nothing", "no digits: nothing"),
        ] {
            assert_eq!(of(line), pattern);
        }
    }

    #[test]
    fn what_may_be_a_secret_is_in_neither_pattern_nor_sample() {
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl";
        for line in [
            format!("using token {token}"),
            format!("Authorization: Bearer {token}"),
            "password=hunter2hunter2".to_owned(),
            "GET https://10.0.0.1/api/with/a/long/path?access_token=hunter2hunter2: EOF".to_owned(),
            "etcd password: \"hunter2hunter2\"".to_owned(),
            "dial https://user:hunter2hunter2@10.0.0.1/".to_owned(),
            "key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789hunter2hunter2".to_owned(),
        ] {
            for shown in [of(&line), sample(&line)] {
                assert!(!shown.contains("hunter2") && !shown.contains("eyJ"), "{shown}");
                assert!(shown.contains("<hidden>"), "{shown}");
            }
        }
    }

    #[test]
    fn a_sample_keeps_numbers_and_addresses() {
        assert_eq!(sample("10.0.0.7:5473 took 3s"), "10.0.0.7:5473 took 3s");
    }

    #[test]
    fn a_long_line_costs_no_more_than_a_short_one() {
        let line = "é1 ".repeat(1 << 20);
        assert!(of(&line).chars().count() <= MAX_SHOWN + 1);
        let word = "a1".repeat(1 << 20);
        assert!(of(&word).chars().count() <= MAX_SHOWN + 1);
        assert!(sample(&word).ends_with('…'));
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "(\\PC|[ =:/@.0-9a-f-]|://){0,300}") {
            let pattern = of(&line);
            assert!(pattern.chars().count() <= MAX_SHOWN + 1);
            let _ = sample(&line);
        }
    }
}
