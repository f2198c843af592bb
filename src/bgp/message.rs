//! What a BGP speaker says first: an OPEN, a NOTIFICATION, or neither.
//!
//! ```text
//! | marker: 16 bytes of 0xff | length u16 | type u8 | ...
//! OPEN (1):         version u8 | AS u16 | hold time u16 | router id 4 bytes | options' length u8 | options ...
//! NOTIFICATION (3): code u8 | subcode u8 | data ...
//! ```
//!
//! RFC 4271, section 4; the AS of four bytes is a capability (RFC 6793), the reason of a shutdown is data (RFC 9003).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What a peer said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Said {
    /// How many bytes came.
    pub bytes: usize,
    /// Its OPEN.
    pub open: Option<Open>,
    /// Its NOTIFICATION.
    pub notification: Option<Notification>,
    /// The beginning of what is not BGP, with control characters escaped.
    pub other: Option<String>,
}

/// An OPEN: who the peer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// Its AS.
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// The hold time that it proposes, in seconds.
    pub hold_seconds: u16,
    /// Its router id, a dotted quad.
    pub router_id: String,
}

/// A NOTIFICATION: why the peer closes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The error code.
    pub code: u8,
    /// The subcode.
    pub subcode: u8,
    /// Both in words, as far as they are known.
    pub words: String,
}

/// What is kept of bytes that are not BGP.
const EXCERPT: usize = 60;

/// The marker, the length and the type.
const HEADER: usize = 19;

/// The most that is of interest: an OPEN and a NOTIFICATION.
pub const MAX_BYTES: usize = 4096 + 256;

/// The messages at the beginning of what came.
#[must_use]
pub fn parse(bytes: &[u8]) -> Said {
    let mut said = Said { bytes: bytes.len(), ..Said::default() };
    let mut rest = bytes;
    while let Some((kind, body, after)) = split(rest) {
        match kind {
            1 => said.open = said.open.take().or_else(|| open(body)),
            3 => said.notification = said.notification.take().or_else(|| notification(body)),
            _ => {}
        }
        rest = after;
    }
    if said.open.is_none() && said.notification.is_none() && !bytes.is_empty() {
        let shown = &bytes[..bytes.len().min(EXCERPT)];
        said.other = Some(shown.escape_ascii().to_string());
    }
    said
}

/// Whether a whole OPEN or NOTIFICATION has come, so that there is nothing to wait for.
#[must_use]
pub fn is_enough(bytes: &[u8]) -> bool {
    split(bytes).is_some_and(|(kind, _, _)| matches!(kind, 1 | 3))
}

/// The type and body of the first message, and what follows it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let header = bytes.first_chunk::<HEADER>()?;
    if header[..16] != [0xff; 16] {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
    Some((header[18], &message[HEADER..], &bytes[length..]))
}

fn open(body: &[u8]) -> Option<Open> {
    let (&[_version, as_high, as_low, hold_high, hold_low, ref id @ .., _length], options) =
        body.split_first_chunk::<10>()?;
    Some(Open {
        autonomous_system: four_byte_as(options)
            .unwrap_or_else(|| u32::from(u16::from_be_bytes([as_high, as_low]))),
        hold_seconds: u16::from_be_bytes([hold_high, hold_low]),
        router_id: Ipv4Addr::from(*id).to_string(),
    })
}

/// The AS in the capability 65: among the capabilities, which are options of type 2.
fn four_byte_as(mut options: &[u8]) -> Option<u32> {
    while let [kind, length, rest @ ..] = options {
        let (value, after) = rest.split_at_checked(usize::from(*length))?;
        let mut capabilities = if *kind == 2 { value } else { &[] };
        while let [code, length, rest @ ..] = capabilities {
            let (value, after) = rest.split_at_checked(usize::from(*length))?;
            if *code == 65 {
                return value.try_into().ok().map(u32::from_be_bytes);
            }
            capabilities = after;
        }
        options = after;
    }
    None
}

fn notification(body: &[u8]) -> Option<Notification> {
    let &[code, subcode, ref data @ ..] = body else { return None };
    let mut words = words(code, subcode).to_owned();
    // Of a shutdown, its administrator may say why: a length and a text.
    if (code, subcode) == (6, 2)
        && let [length, text @ ..] = data
        && let Some(text) = text.get(..usize::from(*length)).filter(|text| !text.is_empty())
    {
        words = format!("{words}: {}", text.escape_ascii());
    }
    Some(Notification { code, subcode, words })
}

/// In BIRD's words (`bgp_error_dsc` in `proto/bgp/packets.c`), for which users search.
const fn words(code: u8, subcode: u8) -> &'static str {
    match (code, subcode) {
        (1, _) => "Message header error",
        (2, 1) => "Unsupported version number",
        (2, 2) => "Bad peer AS",
        (2, 3) => "Bad BGP identifier",
        (2, 4) => "Unsupported optional parameter",
        (2, 5) => "Authentication failure",
        (2, 6) => "Unacceptable hold time",
        (2, 7) => "Required capability missing",
        (2, _) => "OPEN message error",
        (3, _) => "UPDATE message error",
        (4, _) => "Hold timer expired",
        (5, _) => "Finite state machine error",
        (6, 1) => "Maximum number of prefixes reached",
        (6, 2) => "Administrative shutdown",
        (6, 3) => "Peer de-configured",
        (6, 4) => "Administrative reset",
        (6, 5) => "Connection rejected",
        (6, 6) => "Other configuration change",
        (6, 7) => "Connection collision resolution",
        (6, 8) => "Out of Resources",
        (6, 10) => "BFD session down",
        (6, _) => "Cease",
        _ => "an error that has no name",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What BIRD 1.6.8 sends as soon as it has accepted.
    const OPEN: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x35\x01\
        \x04\xfc\x00\x00\xf0\x0a\x00\x00\x02\x18\x02\x16\x01\x04\x00\x01\x00\x01\x02\x00\x40\x02\x00\x78\
        \x41\x04\x00\x00\xfc\x00\x46\x00\x47\x00";

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER + body.len()).unwrap().to_be_bytes();
        [&[0xff; 16][..], &length, &[kind], body].concat()
    }

    #[test]
    fn an_open_says_who_the_peer_is() {
        let said = parse(OPEN);
        let open = said.open.unwrap();
        assert_eq!((open.autonomous_system, open.hold_seconds), (64512, 240));
        assert_eq!(open.router_id, "10.0.0.2");
        assert_eq!((said.bytes, said.other), (OPEN.len(), None));
        assert!(is_enough(OPEN) && !is_enough(&OPEN[..40]));
    }

    #[test]
    fn an_as_of_four_bytes_is_in_a_capability() {
        let mut open = OPEN.to_vec();
        let at = open.windows(2).position(|pair| pair == [0x41, 4]).unwrap();
        open[at + 2..at + 6].copy_from_slice(&4_200_000_001_u32.to_be_bytes());
        assert_eq!(parse(&open).open.unwrap().autonomous_system, 4_200_000_001);
    }

    #[test]
    fn a_notification_says_why_the_peer_closes() {
        let bytes = [OPEN, &message(3, b"\x06\x02\x0bmaintenance")].concat();
        let said = parse(&bytes);
        assert!(said.open.is_some());
        let notification = said.notification.unwrap();
        assert_eq!((notification.code, notification.subcode), (6, 2));
        assert_eq!(notification.words, "Administrative shutdown: maintenance");
        assert_eq!(parse(&message(3, &[2, 2])).notification.unwrap().words, "Bad peer AS");
    }

    #[test]
    fn what_is_not_bgp_is_shown_without_control_characters() {
        let said = parse(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J");
        assert_eq!(said.other.as_deref(), Some("SSH-2.0-OpenSSH_9.2\\r\\n\\x1b[2J"));
        assert_eq!(parse(b""), Said::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, at in 0..OPEN.len(), byte: u8) {
            let _ = parse(&bytes);
            let mut open = OPEN.to_vec();
            open[at] = byte;
            let _ = parse(&open);
        }
    }
}
