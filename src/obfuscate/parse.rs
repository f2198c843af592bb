//! The spellings of addresses, and what only looks like one.
//!
//! ```text
//! 10.0.0.2   10_0_0_2   10-0-0-2   2.0.0.10.in-addr.arpa
//! fd00::2    fd00__2    ::ffff:10.0.0.2    2001:0db8:0000:0000:0000:0000:0000:0001
//! 52:54:00:12:34:56     ee:ee:ee:ee:ee:ee:52:54:00:12:34:56:08:00
//! ```
//!
//! Every function looks at a bounded part of the text.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::scan::is_word;

/// No IPv6 address is spelled longer, with an IPv4 address at its end.
const LONGEST_V6: usize = 45;

/// The decimal octet at `at`, as an address writes it, and where it ends.
fn octet(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let digits = text.get(at..)?.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let word = &text[at..at + digits];
    if !(1..=3).contains(&digits) || digits > 1 && word[0] == b'0' {
        return None;
    }
    let value = word.iter().fold(0, |value: u16, digit| value * 10 + u16::from(digit - b'0'));
    Some((u8::try_from(value).ok()?, at + digits))
}

/// The four octets at `start`, parted by `by`, and where they end. No more numbers may follow.
pub(super) fn v4(text: &[u8], start: usize, by: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0; 4];
    let mut at = start;
    for (place, value) in octets.iter_mut().enumerate() {
        if place > 0 {
            if !text.get(at..)?.starts_with(by) {
                return None;
            }
            at += by.len();
        }
        (*value, at) = octet(text, at)?;
    }
    let behind = &text[at..];
    let digit = behind.strip_prefix(by).and_then(<[u8]>::first);
    let followed =
        behind.first().is_some_and(|&byte| is_word(byte)) || digit.is_some_and(u8::is_ascii_digit);
    (!followed).then_some((Ipv4Addr::from(octets), at))
}

/// Whether four numbers are a version and no address: what stands before them says so, or what follows.
pub(super) fn is_version(text: &[u8], start: usize, stop: usize) -> bool {
    let behind = &text[start.saturating_sub(40)..start];
    // One of more numbers: an object identifier, a longer version. One that begins with a dot is absolute.
    if let Some(before) = behind.strip_suffix(b".")
        && before.last().is_none_or(|byte| byte.is_ascii_digit() || b" \t\n=\"'(".contains(byte))
    {
        return true;
    }
    if behind.ends_with(b".so.") || matches!(text.get(stop), Some(b'+' | b'~')) {
        return true;
    }
    let parted = behind.iter().rev().take(8).take_while(|byte| b" =:\"'/([\t\\".contains(byte));
    let behind = &behind[..behind.len() - parted.count()];
    let is_name = |byte: &&u8| is_word(**byte) || b"_-".contains(byte);
    let word = behind.iter().rev().take(32).take_while(is_name).count();
    let word = &behind[behind.len() - word..];
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    is(b"v")
        || is(b"ver")
        || is(b"rev")
        || is(b"revision")
        || word.windows(7).any(|part| part.eq_ignore_ascii_case(b"version"))
}

/// The address in a name of which it is a part: other words before it, or `.NAMESPACE.pod` behind.
/// `by` is a dash, or the two dashes by which Calico spells one in the names of its resources.
pub(super) fn dashed_v4(text: &[u8], start: usize, by: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let (address, stop) = v4(text, start, by)?;
    let before = text[..start].strip_suffix(by).and_then(<[u8]>::last);
    let named = before.is_some_and(u8::is_ascii_alphabetic);
    let pod = || {
        let behind = text.get(stop..)?.strip_prefix(b".")?;
        let namespace = behind.iter().take(64).position(|&byte| byte == b'.')?;
        behind[namespace..].starts_with(b".pod").then_some(())
    };
    (named || pod().is_some()).then_some((address, stop))
}

/// One to four octets before `.in-addr.arpa`: how many, the address they stand for, where they end.
pub(super) fn reversed_v4(text: &[u8], start: usize) -> Option<(usize, [u8; 4], usize)> {
    if text[..start].ends_with(b".") {
        return None;
    }
    let (mut octets, mut count, mut at) = ([0; 4], 0, start);
    loop {
        let (octet, end) = octet(text, at)?;
        octets.copy_within(0..3, 1);
        octets[0] = octet;
        count += 1;
        at = end + 1;
        if text.get(end) != Some(&b'.') {
            return None;
        }
        if starts_with_ignoring_case(text, at, b"in-addr.arpa") {
            octets[count..].fill(0);
            return Some((count, octets, end));
        }
        if count == 4 {
            return None;
        }
    }
}

/// Up to 32 hexadecimal digits, each a label, before `.ip6.arpa`; likewise.
pub(super) fn reversed_v6(
    text: &[u8],
    start: usize,
    end: usize,
) -> Option<(usize, Ipv6Addr, usize)> {
    let begins = end - start == 1 && !text[..start].ends_with(b".");
    if !begins || text.get(start + 3) != Some(&b'.') {
        return None;
    }
    let (mut bits, mut at) = (0, start);
    for count in 1..=32 {
        let [digit, b'.', ..] = text.get(at..)? else { return None };
        if !digit.is_ascii_hexdigit() {
            return None;
        }
        bits = bits >> 4 | u128::from(hex_digit(*digit)) << 124;
        at += 2;
        if starts_with_ignoring_case(text, at, b"ip6.arpa") {
            return Some((count, Ipv6Addr::from_bits(bits), at - 1));
        }
    }
    None
}

fn starts_with_ignoring_case(text: &[u8], at: usize, wanted: &[u8]) -> bool {
    text.get(at..at + wanted.len()).is_some_and(|found| found.eq_ignore_ascii_case(wanted))
}

/// An IPv6 address with underscores for colons, as confd puts it into the name of a protocol.
pub(super) fn underscored_v6(text: &[u8], start: usize) -> Option<(Ipv6Addr, usize)> {
    let run = text.get(start..)?.iter().take(LONGEST_V6 + 1);
    let mut length = run.take_while(|byte| byte.is_ascii_hexdigit() || **byte == b'_').count();
    let behind = &text[start + length..];
    if behind.starts_with(b"port_") && text[start..start + length].ends_with(b"_") {
        length -= 1;
    } else if behind.first().is_some_and(|&byte| is_word(byte)) {
        return None;
    }
    let spelled = std::str::from_utf8(&text[start..start + length]).ok()?.replace('_', ":");
    Some((spelled.parse().ok()?, start + length))
}

/// The length behind a slash at `at`, at most `most`.
pub(super) fn length(text: &[u8], at: usize, most: u32) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix(b"/")?;
    let count = digits.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let ends = digits.get(count).is_none_or(|&byte| !is_word(byte));
    if !(1..=3).contains(&count) || !ends {
        return None;
    }
    let value = digits[..count].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (value <= most).then_some(value)
}

/// The length behind a slash, also as a netmask (`10.0.0.0/255.0.0.0`).
pub(super) fn length_v4(text: &[u8], at: usize) -> Option<u32> {
    if text.get(at) != Some(&b'/') {
        return None;
    }
    length(text, at, 32).or_else(|| {
        let (mask, _) = v4(text, at + 1, b".")?;
        let length = mask.to_bits().leading_ones();
        (mask.to_bits().count_ones() == length).then_some(length)
    })
}

/// Where a run of groups and colons begins that may hold the word at `start`: there, or at the two colons before
/// it. `None` if the word is in the middle of one.
pub(super) fn colons_start(text: &[u8], start: usize) -> Option<usize> {
    let behind = &text[start.saturating_sub(8)..start];
    let Some(before) = behind.strip_suffix(b":") else { return Some(start) };
    let (before, double) =
        before.strip_suffix(b":").map_or((before, false), |before| (before, true));
    let group = before.iter().rev().take_while(|byte| is_word(**byte)).count();
    let word = &before[before.len() - group..];
    match group {
        // What is further back was a run or is no address.
        0 if before.ends_with(b":") => None,
        0 => Some(if double { start - 2 } else { start }),
        1..=4 if word.iter().all(u8::is_ascii_hexdigit) => None,
        _ => Some(start),
    }
}

/// Groups of hexadecimal digits, parted by colons.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(super) struct Colons {
    start: usize,
    /// One past the last digit or double colon.
    pub(super) end: usize,
    groups: usize,
    double: bool,
    /// Each group has two digits.
    pairs: bool,
    /// Each group has four digits.
    padded: bool,
    first: [u8; 4],
    digits: bool,
}

/// The run at `start`; `None` if it can be no address: too many groups, two double colons, a single group.
pub(super) fn colons(text: &[u8], start: usize) -> Option<Colons> {
    let mut run = Colons {
        start,
        end: start,
        groups: 0,
        double: false,
        pairs: true,
        padded: true,
        first: [0; 4],
        digits: false,
    };
    let mut at = start;
    loop {
        let group = text.get(at..)?;
        let length = group.iter().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let group = &group[..length];
        let after = text.get(at + length).copied().unwrap_or(b' ');
        if length > 4 || length > 0 && is_word(after) {
            return None;
        }
        if length > 0 {
            run.pairs &= length == 2;
            run.padded &= length == 4;
            run.digits |= group.iter().any(u8::is_ascii_digit);
            if let (0..4, [high, low]) = (run.groups, group) {
                run.first[run.groups] = hex_digit(*high) << 4 | hex_digit(*low);
            }
            run.groups += 1;
            at += length;
            run.end = at;
        }
        if run.groups > 14 {
            return None;
        }
        match (after, text.get(at + 1)) {
            (b':', Some(b':')) if run.double => return None,
            (b':', Some(b':')) => {
                run.double = true;
                at += 2;
                run.end = at;
                if text.get(at) == Some(&b':') {
                    return None;
                }
                if !text.get(at).is_some_and(u8::is_ascii_hexdigit) {
                    // Another word follows: it is a path of a program's.
                    return text.get(at).is_none_or(|&byte| !is_word(byte)).then_some(run);
                }
            }
            (b':', Some(next)) if next.is_ascii_hexdigit() && length > 0 => at += 1,
            _ => return (run.double || run.groups > 1).then_some(run),
        }
    }
}

/// How an IPv6 address is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    upper: bool,
    /// All 32 digits.
    padded: bool,
    /// The last 32 bits as an IPv4 address.
    dotted: bool,
}

impl Style {
    pub(super) fn spell(self, address: Ipv6Addr) -> String {
        let groups = address.segments();
        let text = if self.padded {
            groups.map(|group| format!("{group:04x}")).join(":")
        } else if self.dotted
            && matches!(address.segments(), [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, ..])
        {
            let [.., a, b, c, d] = address.octets();
            let rest = Ipv6Addr::from_bits(address.to_bits() >> 32 << 32).to_string();
            format!("{rest}{}", Ipv4Addr::from([a, b, c, d]))
        } else {
            address.to_string()
        };
        if self.upper { text.to_ascii_uppercase() } else { text }
    }
}

impl Colons {
    /// Which groups begin a MAC, if the run is one or holds some: alone, as a DHCP client's identifier, or the
    /// two of a packet's link-layer header as the kernel logs it.
    pub(super) fn macs(&self) -> Option<&'static [usize]> {
        if !self.pairs || self.double {
            return None;
        }
        match (self.groups, self.first) {
            (6, _) => Some(&[0]),
            (7, [1, ..]) => Some(&[1]),
            (10, [0, 3, 0, 1]) => Some(&[4]),
            (14, [0, 1, 0, 1]) => Some(&[8]),
            (14, _) => Some(&[0, 6]),
            _ => None,
        }
    }

    /// The IPv6 address that the run is, where it ends, and how it is written.
    pub(super) fn ipv6(&self, text: &[u8]) -> Option<(Ipv6Addr, usize, Style)> {
        let Self { start, end, .. } = *self;
        // The run ends in the first octet of an IPv4 address.
        let last = text[start..end].iter().rposition(|&byte| byte == b':').map(|at| start + at + 1);
        let dotted = match (text.get(end), last) {
            (Some(b'.'), Some(last)) => v4(text, last, b".").map(|(_, stop)| stop),
            _ => None,
        };
        let groups = self.groups + usize::from(dotted.is_some());
        if groups > 8 || groups < 8 && !self.double {
            return None;
        }
        // `add::bad` is rather a name in a program than an address without a single digit.
        if !self.digits && self.groups < 3 && text.get(end) != Some(&b'/') {
            return None;
        }
        let parse = |stop: usize| -> Option<(Ipv6Addr, usize)> {
            let spelled = std::str::from_utf8(text.get(start..stop)?).ok()?;
            Some((spelled.parse().ok()?, stop))
        };
        let with_dots = dotted.and_then(parse);
        let (address, stop) = with_dots.or_else(|| parse(end))?;
        let style = Style {
            upper: text[start..stop].iter().any(u8::is_ascii_uppercase),
            padded: self.padded && self.groups == 8 && !self.double,
            dotted: with_dots.is_some(),
        };
        Some((address, stop, style))
    }
}

/// The value of a hexadecimal digit; zero for what is none.
pub(super) fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}
