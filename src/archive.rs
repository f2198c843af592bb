//! The tar.gz that a bundle is: written so that every prefix of it can be read, read so that a hostile one does
//! no harm.
//!
//! A bundle is a tar archive in gzip members put end to end, which `gzip -dc` and `tar xzf` read as one:
//!
//! ```text
//! small entry    [ header, data, padding ]
//! large entry    [ header ] [ 1 MiB of data ] [ 1 MiB of data ] ... [ the rest, padding ]
//! end            [ two blocks of zeros ]
//! ```
//!
//! Each bracket is one gzip member. So members can be compressed side by side, an entry's header can be written
//! when its size is known although its data were compressed before, and a file that was cut anywhere yields
//! every entry that was whole before the cut.

pub mod entry;
mod gzip;
mod header;
mod output;
pub mod reader;
#[cfg(test)]
mod tests;
mod write_error;
pub mod writer;

use sha2::{Digest, Sha256};

pub use output::Output;

/// The folder in an archive beneath which everything lies, with its slash.
pub const FOLDER: &str = "diagnostics/";

/// What `NAME_MAX` is on Linux: a longer component could not be unpacked.
const MAX_COMPONENT: usize = 255;

/// Well below `PATH_MAX`, so that an archive can be unpacked in a deep folder.
const MAX_PATH: usize = 3072;

/// The path, relative to [`FOLDER`], under which an archive keeps what is called `raw`: without `..`, without a
/// leading slash, and printable. A byte that is a control character, turns the direction of text or is not UTF-8
/// is written as `%0A`; a component or path that could not be unpacked is cut and ends in a hash of the whole.
///
/// A path that went through this once stays as it is, so a name from an archive can be looked up again.
#[must_use]
pub fn entry_path(raw: impl AsRef<[u8]>) -> String {
    let raw = raw.as_ref();
    let mut path = String::with_capacity(raw.len());
    for component in raw.split(|byte| *byte == b'/') {
        let component = match component {
            b"" | b"." => continue,
            b".." => "%2E%2E".to_owned(),
            other => shorten(escape(other)),
        };
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&component);
    }
    match path.len() {
        0 => "unnamed".to_owned(),
        1..=MAX_PATH => path,
        _ => format!("too-long/{}", digest(&path)),
    }
}

/// `raw` in characters that a terminal shows and does not obey; slashes stay.
#[must_use]
pub fn escape(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() || turns_text(char) {
                let mut utf8 = [0; 4];
                percent(&mut text, char.encode_utf8(&mut utf8).as_bytes());
            } else {
                text.push(char);
            }
        }
        percent(&mut text, chunk.invalid());
    }
    text
}

fn percent(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in bytes {
        text.push('%');
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Line separators and the marks with which a name can be shown as another (`gpj.exe`).
fn turns_text(char: char) -> bool {
    matches!(char, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn shorten(component: String) -> String {
    if component.len() <= MAX_COMPONENT {
        return component;
    }
    let hash = digest(&component);
    let mut end = MAX_COMPONENT - hash.len() - 1;
    while !component.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash}", &component[..end])
}

/// Enough of a hash to keep names apart.
fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))[..16].to_owned()
}

#[cfg(test)]
mod names {
    use super::{MAX_COMPONENT, entry_path};
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_path_stays_as_it_is() {
        for path in
            ["date", "bird/ipv4/show-status", "host/etc/cni/net.d/10-calico.conflist", "%2E", "ä~2"]
        {
            assert_eq!(entry_path(path), path);
        }
    }

    #[test]
    fn a_path_cannot_leave_its_folder() {
        assert_eq!(entry_path("../../etc/shadow"), "%2E%2E/%2E%2E/etc/shadow");
        assert_eq!(entry_path("/etc//passwd/."), "etc/passwd");
        assert_eq!(entry_path("a/../.."), "a/%2E%2E/%2E%2E");
        assert_eq!(entry_path(""), "unnamed");
        assert_eq!(entry_path("/./"), "unnamed");
    }

    #[test]
    fn bytes_that_a_terminal_obeys_are_escaped() {
        assert_eq!(entry_path("logs/a\nb\x1b[2J\0"), "logs/a%0Ab%1B[2J%00");
        assert_eq!(entry_path(b"logs/\xff\xfe.log"), "logs/%FF%FE.log");
        assert_eq!(entry_path("c1\u{9b}rtl\u{202e}gpj"), "c1%C2%9Brtl%E2%80%AEgpj");
    }

    #[test]
    fn a_name_too_long_to_unpack_is_cut_and_stays_distinct() {
        let one = entry_path(format!("logs/{}1", "ä".repeat(300)));
        let two = entry_path(format!("logs/{}2", "ä".repeat(300)));
        assert_ne!(one, two);
        assert!(one.split('/').all(|component| component.len() <= MAX_COMPONENT), "{one}");
        assert!(one.starts_with("logs/ää"));
        assert_eq!(entry_path("d/".repeat(5000)).split('/').next(), Some("too-long"));
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_stays_so(raw in prop::collection::vec(any::<u8>(), 0..600)) {
            let path = entry_path(&raw);
            prop_assert!(!path.is_empty() && path.len() <= 4096);
            prop_assert!(!path.chars().any(char::is_control));
            prop_assert!(path.split('/').all(|c| !c.is_empty() && c != "." && c != ".." && c.len() <= 255));
            prop_assert_eq!(entry_path(&path), path);
        }
    }
}
