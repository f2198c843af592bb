//! Lists of device specs, as `unmanaged-devices` and `match-device` hold them.
//!
//! ```text
//! interface-name:cali*;interface-name:=tunl0,driver:vxlan;except:type:ethernet
//! ```
//!
//! The rules are those of `nm_match_spec_split` and `nm_match_spec_device` (`nm-core-utils.c`), quirks included: a
//! driver before a slash is compared only as far as it goes, a bare name is no pattern, and a bare name after
//! `except:` matches nothing at all.

use super::device::Device;
use super::glob;
use super::keyfile::unescape;

/// What a list says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It matches; which spec of the list did it, where that is one (a list of nothing but `except:` matches
    /// whatever none of them names).
    Yes(Option<usize>),
    /// No spec matches.
    No,
    /// This `except:` matches: it takes the device out, whatever else does.
    Except(usize),
    /// It depends on what is not known of the device; which spec asks for that.
    Unknown(usize),
}

/// Splits a raw value into specs.
///
/// As in `NetworkManager`, a blank inside a spec costs it its last character: blanks are counted to be taken off the
/// end, and the count is not taken back when a word follows. `interface-name: cali*` is a spec for ` cali`.
#[must_use]
pub fn split(value: &[u8]) -> Vec<Vec<u8>> {
    let mut specs = Vec::new();
    let mut spec: Vec<u8> = Vec::new();
    let mut blanks = 0;
    let mut push = |spec: &mut Vec<u8>, blanks: &mut usize| {
        spec.truncate(spec.len() - *blanks);
        *blanks = 0;
        if !spec.is_empty() {
            specs.push(std::mem::take(spec));
        }
    };
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let Some(escape) = bytes.next() else { break };
                match unescape(escape) {
                    Some(byte) => spec.push(byte),
                    None if matches!(escape, b',' | b';') => spec.push(escape),
                    None => spec.extend([b'\\', escape]),
                }
                blanks = 0;
            }
            b',' | b';' => push(&mut spec, &mut blanks),
            _ if byte.is_ascii_whitespace() && spec.is_empty() => {}
            _ => {
                spec.push(byte);
                blanks += usize::from(byte.is_ascii_whitespace());
            }
        }
    }
    push(&mut spec, &mut blanks);
    specs
}

/// The inverse of [`split`] (`nm_match_spec_join`).
#[must_use]
pub fn join<'a>(specs: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for spec in specs.into_iter().filter(|spec| !spec.is_empty()) {
        if !text.is_empty() {
            text.push(b',');
        }
        let rest = match spec[0] {
            b' ' => {
                text.extend(b"\\s");
                &spec[1..]
            }
            b'\t' => {
                text.extend(b"\\t");
                &spec[1..]
            }
            _ => spec,
        };
        for byte in rest {
            match byte {
                b'\n' => text.extend(b"\\n"),
                b'\r' => text.extend(b"\\r"),
                b'\\' | b',' | b';' => text.extend([b'\\', *byte]),
                _ => text.push(*byte),
            }
        }
        let escape = match text.last() {
            Some(b' ') => b's',
            Some(b'\t') => b't',
            _ => continue,
        };
        text.pop();
        text.extend([b'\\', escape]);
    }
    text
}

/// Whether a list of specs matches a device.
#[must_use]
pub fn matches<S: AsRef<[u8]>>(specs: &[S], device: &Device) -> Match {
    let mut found = [None, None];
    let mut perhaps = [None, None];
    let mut has = [false, false];
    for (index, spec) in specs.iter().enumerate() {
        let spec = spec.as_ref();
        if spec.is_empty() {
            continue;
        }
        let (is_except, spec) = without_prefix(spec, b"except:").map_or((0, spec), |it| (1, it));
        has[is_except] = true;
        match is_match(spec, is_except == 0, device) {
            Some(true) => found[is_except] = found[is_except].or(Some(index)),
            Some(false) => {}
            None => perhaps[is_except] = perhaps[is_except].or(Some(index)),
        }
    }
    let [positive, except] = found;
    if let Some(index) = except {
        return Match::Except(index);
    }
    if let Some(index) = perhaps[1] {
        // If it does match, the answer is no. So is it otherwise if nothing else matches, unless there is nothing
        // else.
        let is_no_either_way = has[0] && positive.is_none() && perhaps[0].is_none();
        return if is_no_either_way { Match::No } else { Match::Unknown(index) };
    }
    if has[1] && !has[0] {
        return Match::Yes(None);
    }
    match (positive, perhaps[0]) {
        (Some(index), _) => Match::Yes(Some(index)),
        (None, Some(index)) => Match::Unknown(index),
        (None, None) => Match::No,
    }
}

/// The rest of a spec after a tag, which is written in any case.
fn without_prefix<'a>(spec: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = spec.split_at_checked(tag.len())?;
    head.eq_ignore_ascii_case(tag).then_some(rest)
}

/// `match_device_eval`. `None`: it depends on what is not known. A bare word counts only where `except:` does not
/// stand before it.
fn is_match(spec: &[u8], is_bare_allowed: bool, device: &Device) -> Option<bool> {
    let name = device.name.as_bytes();
    if spec == b"*" {
        return Some(true);
    }
    if let Some(wanted) = without_prefix(spec, b"type:") {
        return device.sort.map(|sort| sort.description.as_bytes() == wanted);
    }
    if let Some(wanted) = without_prefix(spec, b"mac:") {
        return has_address(wanted, device);
    }
    if let Some(wanted) = without_prefix(spec, b"interface-name:") {
        if let Some(literal) = wanted.strip_prefix(b"=") {
            return Some(literal == name);
        }
        let pattern = wanted.strip_prefix(b"~").unwrap_or(wanted);
        return Some(pattern == name || glob::matches(pattern, name));
    }
    if let Some(wanted) = without_prefix(spec, b"driver:") {
        return has_driver(wanted, device);
    }
    if let Some(wanted) = without_prefix(spec, b"s390-subchannels:") {
        // Only an ethernet device of such a machine has any, and none that is made by software.
        return match device.permanent_address {
            Some(None) => Some(false),
            _ if !wanted.first().is_some_and(u8::is_ascii_hexdigit) => Some(false),
            _ => None,
        };
    }
    if let Some(wanted) = without_prefix(spec, b"dhcp-plugin:") {
        return device.dhcp_plugin.as_ref().map(|plugin| plugin.as_bytes() == wanted);
    }
    if !is_bare_allowed {
        return Some(false);
    }
    match has_address(spec, device) {
        _ if spec == name => Some(true),
        answer => answer,
    }
}

/// The driver is compared literally; before a slash, only as far as it is written. What follows the last slash is a
/// pattern for the version.
fn has_driver(wanted: &[u8], device: &Device) -> Option<bool> {
    let driver = device.driver.as_ref().map(String::as_bytes);
    let Some(slash) = wanted.iter().rposition(|byte| *byte == b'/') else {
        return driver.map(|driver| driver == wanted);
    };
    let (name, version) = (&wanted[..slash], &wanted[slash + 1..]);
    if !driver?.starts_with(name) {
        return Some(false);
    }
    if version.iter().all(|byte| *byte == b'*') && !version.is_empty() {
        return Some(true);
    }
    device.driver_version.as_ref().map(|known| glob::matches(version, known.as_bytes()))
}

fn has_address(wanted: &[u8], device: &Device) -> Option<bool> {
    let Some(wanted) = hardware_address(wanted) else { return Some(false) };
    let Some(address) = &device.permanent_address else { return None };
    Some(address.as_ref().is_some_and(|address| {
        // Of an InfiniBand address only the last 8 bytes last.
        let tail =
            |bytes: &[u8]| if bytes.len() == 20 { bytes[12..].to_vec() } else { bytes.to_vec() };
        address.len() == wanted.len() && tail(address) == tail(&wanted)
    }))
}

/// `_nm_utils_hwaddr_aton`: one or two hexadecimal digits a byte, between them all colons or all hyphens.
fn hardware_address(text: &[u8]) -> Option<Vec<u8>> {
    const MAX: usize = 20;
    let text = std::str::from_utf8(text).ok()?;
    let separator = if text.contains(':') { ':' } else { '-' };
    let bytes: Option<Vec<u8>> = text
        .split(separator)
        .take(MAX + 1)
        .map(|byte| {
            let is_byte = (1..=2).contains(&byte.len())
                && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_byte.then(|| u8::from_str_radix(byte, 16).ok()).flatten()
        })
        .collect();
    bytes.filter(|bytes| bytes.len() <= MAX)
}

#[cfg(test)]
mod tests;
