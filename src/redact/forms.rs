//! The forms in which one and the same secret may stand in a text.
//!
//! Samples for `p/w&1`: `702f772631`, `cC93JjE`, `p%2Fw%261`, `p\/w&1`, `p/w\u00261`.

use std::fmt::Write as _;

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::names;

/// The forms in which a value may be written: itself, base64, hexadecimal, escaped for URLs and JSON.
pub(super) fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex(value);
    let mut forms = vec![value.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for engine in [&STANDARD, &URL_SAFE] {
        forms.extend((0..3).map(|before| base64_interior(engine, value, before)));
    }
    // What the common libraries leave as it is, in a password, in a path, in a query.
    for kept in ["", "$&+=:@", "$&+,;=", "!*'()", "!*'();:@&=+$,/?"] {
        let escaped = percent_escaped(value, kept.as_bytes());
        forms.push(escaped.to_ascii_lowercase_escapes());
        forms.push(String::from_utf8_lossy(&escaped.0).replace("%20", "+").into_bytes());
        forms.push(escaped.0);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for style in [Json::Plain, Json::Html, Json::Slash, Json::Ascii] {
            let once = json_escaped(text, style);
            forms.push(json_escaped(&once, style).into_bytes());
            forms.push(once.into_bytes());
        }
    }
    // Broken over two lines, the longer half still stands in one of them.
    if value.len() >= 32 && names::classes(value) >= 3 {
        let (head, tail) = value.split_at(value.len() / 2);
        forms.push(head.to_vec());
        forms.push(tail.to_vec());
    }
    forms
}

fn hex(value: &[u8]) -> String {
    value.iter().fold(String::with_capacity(2 * value.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The characters of `value`'s base64 that are the same whatever stands around it, when `before` bytes more than
/// a multiple of three stand before it.
fn base64_interior(engine: &impl base64::Engine, value: &[u8], before: usize) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
    let encoded = engine.encode(&padded).into_bytes();
    let first = (before * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    encoded[first..last].to_vec()
}

/// A value with percent escapes in upper case.
struct PercentEscaped(Vec<u8>);

impl PercentEscaped {
    /// The same with the escapes in lower case.
    fn to_ascii_lowercase_escapes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'%' {
                let end = bytes.len().min(at + 3);
                bytes[at..end].make_ascii_lowercase();
                at = end;
            } else {
                at += 1;
            }
        }
        bytes
    }
}

fn percent_escaped(value: &[u8], kept: &[u8]) -> PercentEscaped {
    let mut escaped = Vec::with_capacity(value.len());
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.contains(&byte) {
            escaped.push(byte);
        } else {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    PercentEscaped(escaped)
}

/// What a text stands for in which percent escapes may be.
pub(super) fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, behind)) = rest.split_first() {
        let escape = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(escaped) = escape.filter(|_| byte == b'%') {
            decoded.push(escaped);
            rest = &behind[2..];
        } else {
            decoded.push(byte);
            rest = behind;
        }
    }
    decoded
}

/// What a JSON library escapes beyond what it must.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    /// Nothing.
    Plain,
    /// `<`, `>` and `&`, as Go does.
    Html,
    /// `/`, as PHP does.
    Slash,
    /// All beyond ASCII, as Python does.
    Ascii,
}

fn json_escaped(text: &str, style: Json) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '/' if style == Json::Slash => escaped.push_str("\\/"),
            '<' | '>' | '&' if style == Json::Html => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
            }
            _ if letter.is_control() || (style == Json::Ascii && !letter.is_ascii()) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    #[test]
    fn the_interior_of_base64_stands_in_any_surroundings() {
        let value = b"tr0ub4dor&3";
        for before in 0..6 {
            for behind in 0..6 {
                let text = [&vec![b'<'; before][..], value, &vec![b'>'; behind]].concat();
                let encoded = STANDARD.encode(text);
                let interior = base64_interior(&STANDARD, value, before % 3);
                assert!(names::contains(encoded.as_bytes(), &interior), "{before} {behind}");
            }
        }
    }
}
