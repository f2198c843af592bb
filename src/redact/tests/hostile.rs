//! Texts made to hurt: whatever the chunks, the result is the same, and work and memory stay in bounds.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::scan::{OVERLAP, PIECE};
use super::super::*;
use super::in_chunks;

fn redactor() -> Redactor {
    let mut secrets = Secrets::new();
    secrets.learn_value(b"hunter2hunter2");
    Redactor::new(&secrets)
}

/// Pieces of texts in which every state begins, goes on and ends.
const PIECES: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\0",
    "\r\n",
    " ",
    "\"",
    "'",
    "\\",
    ",",
    "}",
    "{",
    "token: ",
    "token:",
    "\"password\": \"",
    "password: |",
    "psk=",
    "abc",
    "value: ",
    "name: DB_TOKEN",
    "--token",
    "- --token",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END RSA PRIVATE KEY-----",
    "MIIEpAIBAAKCAQEA7bqABCDEF0123456789abcdefgh",
    "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlF",
    "https://u:p@h",
    "Authorization: Bearer a1b2c3d4",
    "hunter2hunter2",
    "hunter2",
    "password \"x\";",
    "eyJhbGciOiJS.eyJzdWIiOiJ4.c2ln",
    "x: y",
];

proptest! {
    #[test]
    fn chunks_do_not_matter(
        parts in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        sizes in prop::collection::vec(1_usize..60, 1..20),
    ) {
        let text = parts.concat().into_bytes();
        let redactor = redactor();
        let whole = redactor.redact(text.clone()).0;
        let mut stream = redactor.stream();
        let (mut at, mut redacted) = (0, Vec::new());
        for size in sizes.iter().cycle() {
            if at == text.len() {
                break;
            }
            let end = text.len().min(at + size);
            redacted.extend(stream.push(text[at..end].to_vec()));
            at = end;
        }
        redacted.extend(stream.finish().0);
        prop_assert_eq!(String::from_utf8_lossy(&redacted), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn what_was_redacted_holds_nothing_more_to_cut(
        parts in prop::collection::vec(prop::sample::select(PIECES), 0..40),
    ) {
        let redactor = redactor();
        // Where words run into each other, a marker parts them, and what follows it is a word then.
        let once = redactor.redact(parts.join("\n").into_bytes()).0;
        let twice = redactor.redact(once.clone()).0;
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
    }

    #[test]
    fn any_bytes_pass_without_panic(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let redactor = redactor();
        prop_assert_eq!(in_chunks(&redactor, &text, 7), redactor.redact(text).0);
    }

    #[test]
    fn learning_from_any_bytes_does_not_panic(parts in prop::collection::vec(prop::sample::select(PIECES), 0..40), noise in any::<Vec<u8>>()) {
        let mut secrets = Secrets::new();
        let text = [parts.concat().as_bytes(), &noise].concat();
        secrets.learn(&text);
        secrets.learn_credential_file(&text);
        let _ = Redactor::new(&secrets);
    }
}

#[test]
fn a_secret_across_the_seams_of_a_very_long_line_is_found() {
    let secrets = [
        "{\"token\":\"c4nary-0123456789\"}",
        "https://u:c4nary-0123456789@h",
        " --password c4nary-0123456789 ",
        "hunter2hunter2",
        "-----BEGIN RSA PRIVATE KEY-----\\nc4nary-0123456789\\n-----END RSA PRIVATE KEY-----",
    ];
    let redactor = redactor();
    for secret in secrets {
        for (seam, step) in [(PIECE, 4), (PIECE + OVERLAP, 23)] {
            for before in (1..secret.len() + 4).step_by(step) {
                let mut text = b"x, ".repeat(seam / 3 + 1);
                text.truncate(seam - before);
                text.extend_from_slice(secret.as_bytes());
                text.extend_from_slice(&b" y,".repeat(OVERLAP));
                let (redacted, _) = redactor.redact(text.clone());
                let redacted = String::from_utf8(redacted).unwrap();
                assert!(
                    !redacted.contains("c4nary-") && !redacted.contains("hunter2"),
                    "{secret} {seam} {before}"
                );
                assert!(redacted.len() > text.len() - 200, "only the secret is cut");
            }
        }
    }
}

#[test]
fn a_line_of_many_megabytes_gives_the_same_in_any_chunks() {
    let line =
        "{\"n\":\"value\",\"token\":\"c4nary\",\"u\":\"https://u:c4nary@h\"},".repeat(30_000);
    let redactor = redactor();
    let whole = redactor.redact(line.clone().into_bytes()).0;
    assert!(!String::from_utf8_lossy(&whole).contains("c4nary"));
    for size in [7777, 1 << 20] {
        assert!(in_chunks(&redactor, line.as_bytes(), size) == whole, "{size}");
    }
}

#[test]
fn a_value_longer_than_any_piece_is_cut_to_its_end() {
    let text = format!("{{\"token\":\"{}\",\"after\":\"kept\"}}\n", "c4nary ".repeat(200_000));
    let (redacted, counts) = redactor().redact(text.into_bytes());
    assert_eq!(
        String::from_utf8(redacted).unwrap(),
        "{\"token\":\"[redacted:named-value]\",\"after\":\"kept\"}\n"
    );
    assert_eq!(counts["named-value"], 1);
}

/// Pushes `text` over and over: little is kept back, and the time is nothing like what it would be if the work
/// grew with the square of the line's length (hours).
fn assert_flat(text: &str, times: usize) {
    let begun = Instant::now();
    let mut stream = redactor().stream();
    for _ in 0..times {
        let out = stream.push(text.as_bytes().to_vec());
        assert!(out.len() <= 4 * (text.len() + PIECE + OVERLAP));
        assert!(stream.held.len() <= PIECE + OVERLAP);
    }
    let _ = stream.finish();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?} for {}", begun.elapsed(), &text[..40]);
}

#[test]
fn hostile_texts_stay_linear_and_flat() {
    for (text, times) in [
        ("-----BEGIN RSA PRIVATE KEY-----\n", 3),
        ("-----BEGIN RSA PRIVATE KEY-----", 1),
        ("\"-----BEGIN RSA PRIVATE KEY-----", 1),
        ("password: |\n  still going\n  and going\n", 2),
        ("  indented\n", 2),
        ("token: \"never closed ", 1),
        ("token: a ", 1),
        ("{token: a, ", 1),
        ("\\\\\\\\\\\\\\\\", 1),
        ("\"\"\"\"''''", 1),
        ("token='<", 1),
        ("https://u:", 1),
        ("eyJhbGciOiJS.eyJ", 1),
        ("Authorization: Digest ", 1),
        ("LS0tLS1CRUdJTi", 1),
        ("hunter2hunter", 1),
        ("                                ", 1),
        ("--token ", 1),
        ("neighbor ", 1),
        ("token\0", 1),
    ] {
        let text = text.repeat((PIECE + 2 * OVERLAP) / text.len());
        assert_flat(&text, times);
    }
    let blanks = " ".repeat(1 << 19);
    assert_flat(&format!("{blanks}{}", "token: a ".repeat((1 << 19) / 9)), 2);
    assert_flat(&format!("{}{blanks}\n", "token: a ".repeat((1 << 19) / 9)), 2);
}
