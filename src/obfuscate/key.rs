//! The key from which every pseudonym follows, and the pseudorandom function that it keys (HMAC-SHA-256, RFC 2104).

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// 32 random bytes. Who has them and a list of names can tell which pseudonym is whose; addresses can be undone
/// outright. So they stay on the host, or with its operator.
#[derive(Clone)]
pub struct Key {
    inner: Sha256,
    outer: Sha256,
}

/// What a value is: the same bytes get unrelated pseudonyms in different roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Role {
    Id,
    Ipv4,
    Ipv6,
    Mac,
    Interface,
    Name,
}

/// The key itself is not shown.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Key").field(&self.id()).finish()
    }
}

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(bytes).for_each(|(byte, key)| *byte ^= key);
            Sha256::new().chain_update(block)
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    /// The key that its file holds: 64 hexadecimal digits and a newline.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim_end().as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self::new(&bytes))
    }

    /// What tells keys apart and tells nothing else of them: bundles with the same id have the same pseudonyms.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.prf(Role::Id, b"")[..8])
    }

    /// 256 bits that nobody without the key can tell from random ones.
    pub(super) fn prf(&self, role: Role, message: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update([role as u8]).chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_hmac_sha_256() {
        // python3: hmac.new(bytes(range(32)), b"\x01abc", "sha256")
        let key = Key::new(&std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(
            hex(&key.prf(Role::Ipv4, b"abc")),
            "4befc27d483bc3db31820ca39ed188e03e76c7559cda6f293419dc8216eac36b"
        );
    }

    #[test]
    fn a_key_is_read_from_64_digits_and_from_nothing_else() {
        let text = "00".repeat(31) + "fF\n";
        let mut bytes = [0; 32];
        bytes[31] = 0xff;
        assert_eq!(Key::from_text(&text).unwrap().id(), Key::new(&bytes).id());
        for wrong in ["", "00", &"0g".repeat(32), &"00".repeat(33), &"+1".repeat(32)] {
            assert!(Key::from_text(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let shown = format!("{:?}", Key::new(&[0xab; 32]));
        assert!(!shown.contains("abab"), "{shown}");
    }
}
