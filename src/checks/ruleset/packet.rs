//! A packet as a rule sees it, and the registers through which rules look at it (`nft_regs` of the kernel).

use std::net::IpAddr;

use serde_json::Value;

/// Whether something is so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    #[default]
    Unknown,
}

impl Truth {
    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    pub(super) const fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(fact: bool) -> Self {
        if fact { Self::Yes } else { Self::No }
    }
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum Direction {
    /// From this host.
    Out,
    /// To this host.
    In,
    /// Through this host, to or from a pod.
    Through,
}

/// A packet.
#[derive(Debug, Clone)]
pub(in crate::checks) struct Packet {
    /// The protocol within IP, by its number: [`TCP`], [`UDP`], [`IPIP`].
    pub(in crate::checks) protocol: u8,
    /// Which way it goes.
    pub(in crate::checks) direction: Direction,
    /// From where; `None`: not known.
    pub(in crate::checks) source: Option<IpAddr>,
    /// Where to; `None`: not known.
    pub(in crate::checks) destination: Option<IpAddr>,
    /// From which port; `None`: any.
    pub(in crate::checks) source_port: Option<u16>,
    /// To which port; `None`: any.
    pub(in crate::checks) destination_port: Option<u16>,
    /// The link over which it goes or comes; of what goes through, over which it comes.
    pub(in crate::checks) link: Option<String>,
    /// The link over which it leaves, of what goes through.
    pub(in crate::checks) onward: Option<String>,
    /// Whether it begins a connection (SYN) or answers one (SYN and ACK).
    pub(in crate::checks) is_first: bool,
}

/// Transmission Control Protocol.
pub(in crate::checks) const TCP: u8 = 6;
/// User Datagram Protocol.
pub(in crate::checks) const UDP: u8 = 17;
/// IPv4 within IPv4 (RFC 2003).
pub(in crate::checks) const IPIP: u8 = 4;

/// States of connection tracking, as bits (`NF_CT_STATE_BIT`).
const ESTABLISHED: u32 = 2;
const NEW: u32 = 8;

impl Packet {
    fn is_ipv6(&self) -> bool {
        self.source.or(self.destination).is_some_and(|address| address.is_ipv6())
    }

    pub(super) fn family(&self) -> &'static str {
        if self.is_ipv6() { "ip6" } else { "ip" }
    }

    /// What `meta` loads.
    pub(super) fn meta(&self, key: &str) -> Vec<Option<u8>> {
        let link = |direction| {
            let name = match (self.direction, direction) {
                (Direction::Through, Direction::Out) => self.onward.as_ref(),
                (Direction::Through, Direction::In) => self.link.as_ref(),
                (own, direction) => self.link.as_ref().filter(|_| own == direction),
            }?;
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(16, 0);
            Some(bytes)
        };
        let known = match key {
            "l4proto" => Some(vec![self.protocol]),
            "nfproto" => Some(vec![if self.is_ipv6() { 10 } else { 2 }]),
            "protocol" => Some(if self.is_ipv6() { vec![0x86, 0xdd] } else { vec![0x08, 0x00] }),
            "oifname" => link(Direction::Out),
            "iifname" => link(Direction::In),
            _ => None,
        };
        known.map_or_else(|| vec![None; 16], |bytes| bytes.into_iter().map(Some).collect())
    }

    const fn state(&self) -> u32 {
        if self.is_first { NEW } else { ESTABLISHED }
    }

    /// What `ct` loads.
    pub(super) fn tracked(&self, key: &str) -> Vec<Option<u8>> {
        match key {
            "state" => self.state().to_ne_bytes().map(Some).to_vec(),
            // `enum ip_conntrack_status`: of a connection that is not confirmed yet no bit is set. That its address was
            // translated is left out, for the packets that are asked about are sent to whom they are meant for.
            "status" if self.is_first => vec![Some(0); 4],
            _ => vec![None; 16],
        }
    }

    /// What `payload` loads.
    pub(super) fn payload(&self, base: &str, offset: u64, bytes: u64) -> Vec<Option<u8>> {
        let header = match base {
            "network" => self.network_header(),
            "transport" => self.transport_header(),
            _ => Vec::new(),
        };
        let at = |index: u64| usize::try_from(index).ok().and_then(|index| *header.get(index)?);
        (offset..offset.saturating_add(bytes.min(64))).map(at).collect()
    }

    fn network_header(&self) -> Vec<Option<u8>> {
        let mut header = vec![None; 40];
        let mut put = |at: usize, address: Option<IpAddr>| {
            let octets = match address {
                Some(IpAddr::V4(address)) => address.octets().to_vec(),
                Some(IpAddr::V6(address)) => address.octets().to_vec(),
                None => return,
            };
            for (place, octet) in header[at..].iter_mut().zip(octets) {
                *place = Some(octet);
            }
        };
        let (protocol, source, destination) = if self.is_ipv6() { (6, 8, 24) } else { (9, 12, 16) };
        put(source, self.source);
        put(destination, self.destination);
        header[protocol] = Some(self.protocol);
        header
    }

    fn transport_header(&self) -> Vec<Option<u8>> {
        let mut header = vec![None; 20];
        if !matches!(self.protocol, TCP | UDP) {
            return header;
        }
        for (at, port) in [(0, self.source_port), (2, self.destination_port)] {
            for (index, byte) in port.into_iter().flat_map(u16::to_be_bytes).enumerate() {
                header[at + index] = Some(byte);
            }
        }
        if self.protocol == TCP {
            header[13] = Some(if self.is_first { 0x02 } else { 0x12 });
        }
        header
    }

    /// Whether a match of iptables (`xt_*` of the kernel) is true; what it asks for is a C structure.
    pub(super) fn matches(&self, name: &str, revision: u64, expression: &Value) -> Truth {
        let mut info = bytes(&expression["info"]).unwrap_or_default();
        // The zeros at its end are left out.
        info.resize(
            usize::try_from(expression["info_bytes"].as_u64().unwrap_or(0))
                .map_or(0, |it| it.min(4096))
                .max(info.len()),
            0,
        );
        let short = |at: usize| Some(u16::from_ne_bytes([*info.get(at)?, *info.get(at + 1)?]));
        let ranged = |port: Option<u16>, at: usize, inverted: bool| {
            let (Some(from), Some(to)) = (short(at), short(at + 2)) else { return Truth::Unknown };
            let truth = match port {
                _ if (from, to) == (0, u16::MAX) => Truth::Yes,
                Some(port) => (from..=to).contains(&port).into(),
                None => Truth::Unknown,
            };
            if inverted { truth.not() } else { truth }
        };
        match name {
            "comment" => Truth::Yes,
            "tcp" if self.protocol != TCP => Truth::No,
            "multiport" if !matches!(self.protocol, TCP | UDP) => Truth::No,
            // struct xt_tcp: source ports, destination ports, option, flags and their mask, what is inverted.
            "tcp" => {
                let [Some(option), Some(mask), Some(flags), Some(inverted)] =
                    [8, 9, 10, 11].map(|at| info.get(at).copied())
                else {
                    return Truth::Unknown;
                };
                let own = if self.is_first { 0x02 } else { 0x12 };
                let has_flags = Truth::from((own & mask) == flags);
                ranged(self.source_port, 0, inverted & 1 != 0)
                    .and(ranged(self.destination_port, 4, inverted & 2 != 0))
                    .and(if inverted & 4 != 0 { has_flags.not() } else { has_flags })
                    .and(if option == 0 { Truth::Yes } else { Truth::Unknown })
            }
            // struct xt_multiport_v1: which ports, how many, 15 of them, whether each begins a range, inverted.
            "multiport" => {
                let (Some(which), Some(count)) = (info.first(), info.get(1)) else {
                    return Truth::Unknown;
                };
                let ports: Vec<Option<u16>> =
                    (0..usize::from(*count).min(15)).map(|index| short(2 + 2 * index)).collect();
                let is_range = |index: usize| info.get(32 + index).is_some_and(|flag| *flag != 0);
                let holds = |port: Option<u16>| {
                    let Some(port) = port else { return Truth::Unknown };
                    let mut index = 0;
                    while let Some(Some(from)) = ports.get(index) {
                        let to = if is_range(index) {
                            index += 1;
                            ports.get(index).copied().flatten().unwrap_or(*from)
                        } else {
                            *from
                        };
                        if (*from..=to).contains(&port) {
                            return Truth::Yes;
                        }
                        index += 1;
                    }
                    Truth::No
                };
                let (source, destination) = (holds(self.source_port), holds(self.destination_port));
                let truth = match which {
                    0 => source,
                    1 => destination,
                    _ => source.or(destination),
                };
                if info.get(47).is_some_and(|inverted| *inverted != 0) {
                    truth.not()
                } else {
                    truth
                }
            }
            // struct xt_conntrack_mtinfo2 and 3, where it asks for the state and nothing else.
            "conntrack" if revision >= 2 => match (short(146), short(148), short(150)) {
                (Some(1), Some(inverted), Some(mask)) => {
                    let truth = Truth::from(u32::from(mask) & self.state() != 0);
                    if inverted & 1 != 0 { truth.not() } else { truth }
                }
                _ => Truth::Unknown,
            },
            _ => Truth::Unknown,
        }
    }
}

/// The bytes of a value in the kernel's tables: hexadecimal after `0x`, or an address.
pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    if let Some(digits) = text.strip_prefix("0x") {
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        return digits.as_bytes().chunks(2).map(pair).collect();
    }
    match text.parse().ok()? {
        IpAddr::V4(address) => Some(address.octets().to_vec()),
        IpAddr::V6(address) => Some(address.octets().to_vec()),
    }
}

/// Registers of 4 bytes, and what is known of them.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    bytes: [Option<u8>; SIZE],
    /// What was loaded at each word.
    loads: [Load; SIZE / 4],
}

/// What was loaded into a register.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    /// Whether it is an address or a port of the packet.
    pub(super) is_of_packet: bool,
    /// How many bytes.
    pub(super) length: usize,
    /// The mask that was laid over it; empty: none.
    pub(super) mask: Vec<u8>,
}

/// The verdict's 16 bytes, then the registers from 8 to 23, and room behind the last.
const SIZE: usize = 96;

impl Default for Registers {
    fn default() -> Self {
        Self { bytes: [None; SIZE], loads: Default::default() }
    }
}

impl Registers {
    /// Where a register begins: 1 to 4 are of 16 bytes and lie over those of 4, which are numbered from 8.
    pub(super) fn at(number: u64) -> usize {
        let word = match usize::try_from(number).unwrap_or(0) {
            number @ 0..=4 => number * 4,
            number => number.saturating_sub(4),
        };
        (word * 4).min(SIZE - 20)
    }

    pub(super) fn put(&mut self, at: usize, value: &[Option<u8>], load: Load) {
        for index in 0..value.len().next_multiple_of(4) {
            let Some(place) = self.bytes.get_mut(at + index) else { break };
            // What fills up the last word is zero.
            *place = value.get(index).copied().unwrap_or(Some(0));
        }
        self.loads[at / 4] = Load { length: value.len(), ..load };
    }

    pub(super) fn is_of_packet(&self, at: usize) -> bool {
        self.loads[at / 4].is_of_packet
    }

    /// As many bytes, if all are known.
    pub(super) fn value(&self, at: usize, length: usize) -> Option<Vec<u8>> {
        self.bytes.get(at..at + length)?.iter().copied().collect()
    }

    pub(super) fn masked(
        &self,
        at: usize,
        length: u64,
        mask: &[u8],
        xor: &[u8],
    ) -> Vec<Option<u8>> {
        let length = usize::try_from(length).unwrap_or(0).min(16);
        (0..length)
            .map(|index| {
                let (mask, xor) = (*mask.get(index)?, *xor.get(index)?);
                // What is masked out is known, whatever it was.
                if mask == 0 { Some(xor) } else { Some((self.bytes[at + index]? & mask) ^ xor) }
            })
            .collect()
    }

    pub(super) fn compare(&self, at: usize, op: &str, data: Option<Vec<u8>>) -> Truth {
        let Some(mut data) = data.filter(|data| data.len() <= 16) else { return Truth::Unknown };
        // An address stands whole where a part of it is compared.
        let load = &self.loads[at / 4];
        if load.length > 0 {
            data.truncate(load.length);
        }
        data.iter_mut().zip(&load.mask).for_each(|(byte, mask)| *byte &= mask);
        let Some(value) = self.value(at, data.len()) else {
            // One byte that differs is enough.
            let differs = data
                .iter()
                .enumerate()
                .any(|(index, byte)| self.bytes[at + index].is_some_and(|known| known != *byte));
            return match op {
                "eq" if differs => Truth::No,
                "neq" if differs => Truth::Yes,
                _ => Truth::Unknown,
            };
        };
        Truth::from(match op {
            "eq" => value == data,
            "neq" => value != data,
            "lt" => value < data,
            "lte" => value <= data,
            "gt" => value > data,
            "gte" => value >= data,
            _ => return Truth::Unknown,
        })
    }

    pub(super) fn between(&self, at: usize, from: Option<Vec<u8>>, to: Option<Vec<u8>>) -> Truth {
        self.compare(at, "gte", from).and(self.compare(at, "lte", to))
    }

    /// Whether each word lies between its two ends, as in a set of concatenated ranges.
    pub(super) fn between_each(&self, at: usize, from: &[u8], to: &[u8]) -> Truth {
        let words = from.chunks(4).zip(to.chunks(4)).enumerate();
        words.fold(Truth::Yes, |truth, (index, (from, to))| {
            truth.and(self.between(at + 4 * index, Some(from.to_vec()), Some(to.to_vec())))
        })
    }
}
