//! Names that are known only by where they stand: of pods that are gone, of nodes that this one never heard of.
//!
//! ```text
//! WorkloadEndpoint(node=node-7, orchestrator=k8s, workload=shop/web-5, name=eth0)
//! ContainerID="0a1b" Namespace="shop" Pod="web-5" WorkloadEndpoint="node--7-k8s-web--5-eth0"
//! pod="shop/web-5"    {"nodeName":"node-7"}    names.WEPIdentifiers{Node:"node-7", Pod:"web-5"}
//! /var/log/pods/shop_web-5_0a1b2c3d-0000-4000-8000-0123456789ab/web/0.log
//! ```
//!
//! Each such place is replaced where it stands and nowhere else: what follows from a field alone is not looked for in
//! other texts. Every function looks at a bounded part of the text.

use std::ops::Range;

use super::names::Kind;
use super::scan::is_word;

/// How a field names what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    /// A node, with or without its domain.
    Node,
    /// A pod, alone or behind its namespace and a slash.
    Pod,
    /// A namespace.
    Namespace,
    /// `NODE-k8s-POD-INTERFACE`, each dash in a name doubled.
    Endpoint,
    /// `NAMESPACE_POD_UID`, the kubelet's folder for the logs of a pod.
    LogFolder,
    /// `POD_NAMESPACE_CONTAINER-ID.log`, the kubelet's link to a log.
    LogLink,
}

/// A field's name in lower case, as Felix, confd, the CNI plugin, the kubelet and container runtimes write it: nothing
/// but a letter or a digit may not stand before it.
const FIELDS: &[(&[u8], Field)] = &[
    (b"host", Field::Node),
    (b"hostname", Field::Node),
    (b"hostname-override", Field::Node),
    (b"namespace", Field::Namespace),
    (b"node", Field::Node),
    (b"node(name", Field::Node),
    (b"node_name", Field::Node),
    (b"nodename", Field::Node),
    (b"pod", Field::Pod),
    (b"pod.name", Field::Pod),
    (b"pod_name", Field::Pod),
    (b"podname", Field::Pod),
    (b"podnamespace", Field::Namespace),
    (b"podsandboxmetadata{name", Field::Pod),
    (b"wep", Field::Endpoint),
    (b"wepname", Field::Endpoint),
    (b"workload", Field::Pod),
    (b"workload_id", Field::Pod),
    (b"workloadendpoint", Field::Endpoint),
    (b"workloadid", Field::Pod),
];

/// What is before a name of the kubelet's in a path.
const FOLDERS: &[(&[u8], Field)] =
    &[(b"/log/pods/", Field::LogFolder), (b"/log/containers/", Field::LogLink)];

/// How much before a value is looked at: the longest name of a field, and what parts it from its value.
const REACH: usize = 40;
/// No DNS name is longer.
const LONGEST: usize = 253;

/// Whether a value may begin at `start`, by the byte or two before it: few words are asked any further.
#[inline]
pub(super) fn may_begin(text: &[u8], start: usize) -> bool {
    match start.checked_sub(1).map(|before| text[before]) {
        Some(b'=' | b'"' | b':' | b'\'') => true,
        Some(b' ') => start > 1 && text[start - 2] == b':',
        Some(b'/') => start > 1 && text[start - 2] == b's',
        _ => false,
    }
}

/// The field whose value begins at `start`.
pub(super) fn before(text: &[u8], start: usize) -> Option<Field> {
    let behind = &text[start.saturating_sub(REACH)..start];
    if behind.ends_with(b"/") {
        return FOLDERS
            .iter()
            .find(|(folder, _)| behind.ends_with(folder))
            .map(|(_, field)| *field);
    }
    // `KEY=V` `KEY="V` `KEY:V` `KEY: V` `"KEY":"V` `\"KEY\": \"V`
    let open = behind.strip_suffix(b"\"").or_else(|| behind.strip_suffix(b"'")).unwrap_or(behind);
    let open = open.strip_suffix(b"\\").unwrap_or(open);
    let key = match open.strip_suffix(b"=") {
        Some(key) => key,
        None => open.strip_suffix(b" ").unwrap_or(open).strip_suffix(b":")?,
    };
    let key = key.strip_suffix(b"\"").unwrap_or(key);
    let key = key.strip_suffix(b"\\").unwrap_or(key);
    // Most fields are others: the length and the end of their last word tell.
    let length = key.iter().rev().take_while(|byte| is_word(**byte)).count();
    match (length, key.last()?.to_ascii_lowercase()) {
        (2 | 3 | 8 | 10, b'd') | (3, b'p') | (4 | 16, b't') | (4 | 7 | 8 | 9 | 12, b'e') => {}
        _ => return None,
    }
    let ends_with = |name: &[u8]| {
        let Some(from) = key.len().checked_sub(name.len()) else { return false };
        let begins = from.checked_sub(1).is_none_or(|before| !is_word(key[before]));
        begins && key[from..].eq_ignore_ascii_case(name)
    };
    FIELDS.iter().find(|(name, _)| ends_with(name)).map(|(_, field)| *field)
}

/// A part of a value that is a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it stands.
    pub(super) place: Range<usize>,
    /// What it names.
    pub(super) kind: Kind,
    /// Each of its dashes stands twice.
    pub(super) is_doubled: bool,
}

/// The names in a field's value at `start`, in order; none if it is no name after all.
pub(super) fn names(text: &[u8], start: usize, field: Field) -> Vec<Part> {
    let found = match field {
        Field::Node => node(text, start),
        Field::Pod => pod(text, start),
        Field::Namespace => label(text, start).map(|place| vec![part(place, Kind::Namespace)]),
        Field::Endpoint => endpoint(text, start),
        Field::LogFolder => in_folder(text, start, [Kind::Namespace, Kind::Pod]),
        Field::LogLink => in_folder(text, start, [Kind::Pod, Kind::Namespace]),
    };
    found.unwrap_or_default()
}

const fn part(place: Range<usize>, kind: Kind) -> Part {
    Part { place, kind, is_doubled: false }
}

/// The run of small letters, digits, dots and dashes at `start`, without what ends a sentence. `None`: it is a part of
/// something else.
fn run(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_name = |byte: &&u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let length = text.get(start..)?.iter().take(LONGEST + 1).take_while(is_name).count();
    let behind = &text[start + length..];
    let goes_on = behind.first().is_some_and(|byte| is_word(*byte) || b"_(%{$".contains(byte));
    if length > LONGEST || goes_on || behind.starts_with(b"://") {
        return None;
    }
    let name = &text[start..start + length];
    let end = name.iter().rposition(|byte| !b".-".contains(byte))? + 1;
    Some(start..start + end)
}

/// The same, if it can be a name: no number, time, version, identifier or hash.
fn name(text: &[u8], start: usize) -> Option<Range<usize>> {
    run(text, start).filter(|place| is_name(&text[place.clone()]))
}

fn is_name(name: &[u8]) -> bool {
    let among = |set: &[u8]| name.iter().all(|byte| byte.is_ascii_digit() || set.contains(byte));
    let begins = |first: &[u8]| name.first().is_some_and(|byte| first.contains(byte));
    let is_number =
        among(b".-") || begins(b"0123456789") && among(b"hmnsu.") || name.starts_with(b"0x");
    let is_version = begins(b"v") && among(b"v.");
    // UUIDs, container ids.
    let is_hash = name.len() >= 32 && among(b"abcdef-");
    name.len() > 2 && !begins(b".-") && !is_number && !is_version && !is_hash
}

/// The same without a dot, as the name of a namespace is.
fn label(text: &[u8], start: usize) -> Option<Range<usize>> {
    name(text, start).filter(|place| !text[place.clone()].contains(&b'.'))
}

/// A host, and behind its first dot a domain. A service of the cluster is no host.
fn node(text: &[u8], start: usize) -> Option<Vec<Part>> {
    let all = run(text, start)?;
    let spelled = &text[all.clone()];
    let dot = spelled.iter().position(|&byte| byte == b'.').unwrap_or(spelled.len());
    if !is_name(&spelled[..dot]) || !is_name(spelled) || spelled[dot..].starts_with(b".svc") {
        return None;
    }
    let domain = spelled.get(dot + 1..).unwrap_or_default();
    if domain.split(|&byte| byte == b'.').any(|label| label == b"svc") {
        return None;
    }
    let mut parts = vec![part(start..start + dot, Kind::Node)];
    if domain.contains(&b'.') {
        parts.push(part(start + dot + 1..all.end, Kind::Domain));
    }
    Some(parts)
}

/// `web-5` or `shop/web-5`.
fn pod(text: &[u8], start: usize) -> Option<Vec<Part>> {
    let first = run(text, start)?;
    if text.get(first.end) != Some(&b'/') {
        return is_name(&text[first.clone()]).then(|| vec![part(first, Kind::Pod)]);
    }
    let namespace = label(text, start)?;
    let pod = name(text, first.end + 1)?;
    Some(vec![part(namespace, Kind::Namespace), part(pod, Kind::Pod)])
}

/// `node--7-k8s-web--5-eth0`: names end at a dash that stands alone.
fn endpoint(text: &[u8], start: usize) -> Option<Vec<Part>> {
    let all = run(text, start)?;
    let spelled = &text[all];
    let alone = |&at: &usize| {
        spelled[at] == b'-' && spelled[at - 1] != b'-' && spelled.get(at + 1) != Some(&b'-')
    };
    let mut alone = (1..spelled.len()).filter(alone);
    let [first, second] = [alone.next()?, alone.next()?];
    let last = alone.next_back()?;
    if &spelled[first..=second] != b"-k8s-" {
        return None;
    }
    let doubled = |from: usize, to: usize, kind| Part {
        place: start + from..start + to,
        kind,
        is_doubled: true,
    };
    let parts = vec![doubled(0, first, Kind::Node), doubled(second + 1, last, Kind::Pod)];
    parts.iter().all(|part| is_name(&text[part.place.clone()])).then_some(parts)
}

/// Two names, each with an underscore behind it.
fn in_folder(text: &[u8], start: usize, kinds: [Kind; 2]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut at = start;
    for kind in kinds {
        let length = text[at..].iter().take(LONGEST + 1).position(|&byte| byte == b'_')?;
        let place = at..at + length;
        if !is_name(&text[place.clone()]) || run(&text[..place.end], at)? != place {
            return None;
        }
        at = place.end + 1;
        parts.push(part(place, kind));
    }
    Some(parts)
}

/// Where the name of a pod that Calico or every cluster runs ends, if one begins with the word at `start`:
/// `calico-node-x7k2p`, `coredns-558bd4d5db-abcde`. What Kubernetes adds has no vowels, and so is no word.
pub(super) fn system_pod(text: &[u8], start: usize, workload: &str) -> Option<usize> {
    let place = run(text, start)?;
    let rest = text[place.clone()].strip_prefix(workload.as_bytes())?.strip_prefix(b"-")?;
    let drawn = |part: &[u8]| part.iter().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(byte));
    let mut parts = rest.split(|&byte| byte == b'-');
    let is_pod = match (parts.next(), parts.next(), parts.next()) {
        (Some(own), None, None) => own.len() == 5 && drawn(own),
        (Some(set), Some(own), None) => {
            (8..=10).contains(&set.len())
                && own.len() == 5
                && drawn(own)
                && set.iter().all(u8::is_ascii_alphanumeric)
        }
        _ => false,
    };
    is_pod.then_some(place.end)
}

#[cfg(test)]
mod tests;
