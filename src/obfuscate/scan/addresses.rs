//! Addresses as texts spell them: with dots, dashes, underscores or colons, forwards or backwards.

use std::fmt::{Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Found, Scanner};
use crate::obfuscate::address::{network_v4, network_v6};
use crate::obfuscate::{hardware, parse};

impl Scanner {
    /// `10.0.0.2`, `10.0.0.0/8`, `2.0.0.10.in-addr.arpa`, `8.b.d.0.1.0.0.2.ip6.arpa`.
    pub(super) fn dotted(&mut self, text: &[u8], start: usize, end: usize) -> Option<Found> {
        if let Some((count, octets, stop)) = parse::reversed_v4(text, start) {
            let original = Ipv4Addr::from(octets);
            let pseudonym = self.ipv4(original);
            let labels: Vec<String> =
                pseudonym.octets()[..count].iter().rev().map(ToString::to_string).collect();
            return Some(self.replaced(original == pseudonym, start, stop, labels.join(".")));
        }
        if let Some((count, original, stop)) = parse::reversed_v6(text, start, end) {
            let pseudonym = self.ipv6(original);
            let digits = format!("{:032x}", pseudonym.to_bits());
            let labels: Vec<String> =
                digits[..count].chars().rev().map(|digit| digit.to_string()).collect();
            return Some(self.replaced(original == pseudonym, start, stop, labels.join(".")));
        }
        let (original, stop) = parse::v4(text, start, b".")?;
        if parse::is_version(text, start, stop) {
            return Some(Found::Same(stop));
        }
        let pseudonym = self.ipv4(original);
        let network = parse::length_v4(text, stop)
            .map_or(pseudonym, |length| network_v4(original, pseudonym, length));
        Some(self.replaced(original == network, start, stop, network))
    }

    /// The address in a host's name: `ip-10-0-0-2`, `10-0-0-2.default.pod.cluster.local`.
    pub(super) fn dashed(&mut self, text: &[u8], start: usize) -> Option<Found> {
        let (dash, (original, stop)) = ["-", "--"]
            .into_iter()
            .find_map(|dash| Some((dash, parse::dashed_v4(text, start, dash.as_bytes())?)))?;
        let pseudonym = self.ipv4(original);
        let spelled = pseudonym.to_string().replace('.', dash);
        Some(self.replaced(original == pseudonym, start, stop, spelled))
    }

    /// The address in a name of BIRD's: `Mesh_10_0_0_2`, `Node_fd80_24e2_f998_72d7__2_port_179`.
    pub(super) fn protocol(&mut self, text: &[u8], start: usize, end: usize) -> Option<Found> {
        const KINDS: [&[u8]; 5] = [b"Mesh", b"Node", b"Global", b"Workload", b"Local"];
        if !KINDS.contains(&&text[start..end]) {
            return None;
        }
        let start = end + 1;
        if let Some((original, stop)) = parse::v4(text, start, b"_") {
            let pseudonym = self.ipv4(original);
            let spelled = pseudonym.to_string().replace('.', "_");
            return Some(self.replaced(original == pseudonym, start, stop, spelled));
        }
        let (original, stop) = parse::underscored_v6(text, start)?;
        let pseudonym = self.ipv6(original);
        let spelled = pseudonym.to_string().replace([':', '.'], "_");
        Some(self.replaced(original == pseudonym, start, stop, spelled))
    }

    /// A MAC or an IPv6 address.
    pub(super) fn colons(&mut self, text: &[u8], start: usize, copied: usize) -> Option<Found> {
        let start = parse::colons_start(text, start).filter(|&start| start >= copied)?;
        let run = parse::colons(text, start)?;
        if let Some(places) = run.macs() {
            let mut spelled = text[start..run.end].to_vec();
            for place in places {
                self.mac(&mut spelled[3 * place..3 * place + 17]);
            }
            let same = spelled == text[start..run.end];
            let spelled = String::from_utf8_lossy(&spelled).into_owned();
            return Some(self.replaced(same, start, run.end, spelled));
        }
        let (original, stop, style) = run.ipv6(text)?;
        let pseudonym = self.ipv6(original);
        let network = parse::length(text, stop, 128)
            .map_or(pseudonym, |length| network_v6(original, pseudonym, length));
        Some(self.replaced(original == network, start, stop, style.spell(network)))
    }

    /// Replaces a MAC where it stands, in the case in which it is written.
    fn mac(&mut self, spelled: &mut [u8]) {
        let mut address = [0; 6];
        for (octet, pair) in address.iter_mut().zip(spelled.chunks(3)) {
            *octet = parse::hex_digit(pair[0]) << 4 | parse::hex_digit(pair[1]);
        }
        let (pseudonym, is_new) = self.macs.get(address, || hardware::mac(&self.key, address));
        if address != pseudonym {
            self.record.mac(address, is_new);
        }
        let upper = spelled.iter().any(u8::is_ascii_uppercase);
        for (pair, octet) in spelled.chunks_mut(3).zip(pseudonym) {
            let digits = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
            pair[0] = digits[usize::from(octet >> 4)];
            pair[1] = digits[usize::from(octet & 15)];
        }
    }

    pub(in crate::obfuscate) fn ipv4(&mut self, original: Ipv4Addr) -> Ipv4Addr {
        let (pseudonym, is_new) = self.ipv4.get(original, || self.addresses.ipv4(original));
        if original != pseudonym {
            self.record.ipv4(original, is_new);
        }
        pseudonym
    }

    pub(in crate::obfuscate) fn ipv6(&mut self, original: Ipv6Addr) -> Ipv6Addr {
        let (pseudonym, is_new) = self.ipv6.get(original, || self.addresses.ipv6(original));
        if original != pseudonym {
            self.record.ipv6(original, is_new);
        }
        pseudonym
    }

    fn replaced(&mut self, same: bool, start: usize, stop: usize, by: impl Display) -> Found {
        if same {
            return Found::Same(stop);
        }
        self.spelled.clear();
        // Writing to memory does not fail.
        let _ = write!(self.spelled, "{by}");
        Found::Other(start, stop)
    }
}
