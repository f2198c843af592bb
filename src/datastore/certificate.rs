//! Certificates: whose, by whom, until when. What is told of them is what anybody sees who connects.
//!
//! ```json
//! {"subject": "CN=etcd-1", "issuer": "CN=etcd-ca", "notBefore": "2026-01-01T00:00:00Z",
//!  "notAfter": "2027-01-01T00:00:00Z", "names": ["10.0.0.1", "etcd-1"]}
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate as Decoded;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// At most so many names are kept: an API server has a dozen.
const MOST_NAMES: usize = 64;

/// A certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// From when on it holds.
    pub not_before: Option<Timestamp>,
    /// Until when it holds.
    pub not_after: Option<Timestamp>,
    /// The host names and addresses for which it holds.
    #[serde(default)]
    pub names: Vec<String>,
}

impl Certificate {
    /// The certificate in DER; `None` if it is none.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let decoded = Decoded::from_der(der).ok()?;
        let body = decoded.tbs_certificate();
        let validity = body.validity();
        let names = match body.get_extension::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => {
                names.iter().filter_map(name).take(MOST_NAMES).collect()
            }
            _ => Vec::new(),
        };
        Some(Self {
            subject: body.subject().to_string(),
            issuer: body.issuer().to_string(),
            not_before: timestamp(validity.not_before),
            not_after: timestamp(validity.not_after),
            names,
        })
    }

    /// Whether it no longer holds at `time`.
    #[must_use]
    pub fn is_expired(&self, time: Timestamp) -> bool {
        self.not_after.is_some_and(|end| end < time)
    }

    /// Whether it does not hold yet at `time`.
    #[must_use]
    pub fn is_early(&self, time: Timestamp) -> bool {
        self.not_before.is_some_and(|begin| begin > time)
    }
}

fn timestamp(time: Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_second(seconds).ok()
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = || <[u8; 4]>::try_from(octets).map(|it| IpAddr::from(Ipv4Addr::from(it)));
            let v6 = || <[u8; 16]>::try_from(octets).map(|it| IpAddr::from(Ipv6Addr::from(it)));
            v4().or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            // A certificate is a sequence of a sequence.
            let framed = [&[0x30, 0x82, 1, 0x2c, 0x30][..], &bytes].concat();
            let _ = (Certificate::parse(&bytes), Certificate::parse(&framed));
        }
    }
}
