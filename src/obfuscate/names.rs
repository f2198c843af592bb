//! Names of nodes, pods, namespaces and domains: learnt from where they stand for certain, never guessed.
//! Those that were learnt are replaced wherever they stand; others only in a field that says what they are.
//!
//! ```text
//! /var/lib/calico/nodename       node-1
//! /var/log/pods/                 shop_web-7d4b9c6f5-x2x7p_0a1b2c3d-0000-4000-8000-0123456789ab
//! /var/log/containers/           web-7d4b9c6f5-x2x7p_shop_web-0123...cdef.log
//! /etc/hosts                     10.0.0.2 node-2.example.com node-2
//! bird.cfg                       # For peer /calico/bgp/v1/host/node-2/ip_addr_v4
//! ```
//!
//! A name with dots is learnt in two parts, the host and its domain, so that `node-2` and `node-2.example.com`
//! stay the same node. A name that holds an address (`ip-10-0-0-2`) is not learnt: the address in it is replaced
//! wherever it stands, also on nodes that never heard of the name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::everywhere;
use super::key::{Key, Role, hex};
use super::scan;
use super::words;

/// No DNS name is longer.
const LONGEST: usize = 253;
/// A shorter name stands in too many texts by chance.
const SHORTEST: usize = 3;
/// The most names that are learnt: what is read may hold any number.
const MOST: usize = 50_000;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A machine.
    Node,
    /// A pod.
    Pod,
    /// A namespace of pods.
    Namespace,
    /// What follows the first dot of a machine's name.
    Domain,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Namespace => "ns",
            Self::Domain => "domain",
        }
    }
}

/// Names that must not leave, gathered before anything is written.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// In lower case.
    known: BTreeMap<String, Kind>,
    /// Names that are too common to be replaced.
    kept: BTreeSet<String>,
    /// Words that are not replaced whoever bears them.
    reserved: BTreeSet<String>,
}

impl Names {
    /// Reserves the words of a path by which an artifact is looked up in a bundle: what is learnt later and bears
    /// such a name is kept.
    pub fn reserve(&mut self, path: &str) {
        for component in path.to_lowercase().split('/') {
            let words = component.split(|letter: char| !letter.is_ascii_alphanumeric());
            self.reserved.extend(words.chain([component]).map(str::to_owned));
        }
    }

    /// A machine's name, with or without its domain.
    pub fn learn_node(&mut self, name: &str) {
        let name = name.trim().trim_end_matches('.').to_lowercase();
        let (host, domain) = name.split_once('.').unwrap_or((&name, ""));
        self.learn(host, Kind::Node);
        self.learn_domain(domain);
    }

    /// A domain; the domains above it are learnt too, but for those that say nothing of a site.
    pub fn learn_domain(&mut self, domain: &str) {
        let domain = domain.trim().trim_matches('.').to_lowercase();
        let mut rest = domain.as_str();
        while rest.contains('.') && !everywhere::is_public_domain(rest) {
            self.learn(rest, Kind::Domain);
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
    }

    /// The kubelet's folder for the logs of a pod: `NAMESPACE_POD_UID`.
    pub fn learn_pod_folder(&mut self, folder: &str) {
        let mut parts = folder.split('_');
        if let (Some(namespace), Some(pod), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            self.learn(pod, Kind::Pod);
            self.learn(namespace, Kind::Namespace);
        }
    }

    /// The kubelet's link to the log of a container: `POD_NAMESPACE_CONTAINER-ID.log`.
    pub fn learn_container_link(&mut self, link: &str) {
        let mut parts = link.split('_');
        if let (Some(pod), Some(namespace), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            self.learn(pod, Kind::Pod);
            self.learn(namespace, Kind::Namespace);
        }
    }

    /// `/etc/hosts`: an address, then names.
    pub fn learn_hosts(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            line.split_whitespace().skip(1).for_each(|name| self.learn_node(name));
        }
    }

    /// `/etc/resolv.conf`: its `search` and `domain` lines.
    pub fn learn_resolver(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("search" | "domain")) {
                words.for_each(|domain| self.learn_domain(domain));
            }
        }
    }

    /// BIRD's configuration, in which confd names the datastore's key of each peer.
    pub fn learn_bird_configuration(&mut self, text: &str) {
        for (_, rest) in text.lines().filter_map(|line| line.split_once("/bgp/v1/host/")) {
            if let Some((name, _)) = rest.split_once('/') {
                self.learn_node(name);
            }
        }
    }

    /// How many names are replaced.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no name is replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Names that were learnt and are not replaced: too short, or words that stand everywhere.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    /// Whether a name is too short, or a word that stands everywhere.
    fn keeps(&self, name: &str) -> bool {
        name.len() < SHORTEST || words::is_common(name) || self.reserved.contains(name)
    }

    fn learn(&mut self, name: &str, kind: Kind) {
        let name = name.trim().to_lowercase();
        let is_name = name.len() <= LONGEST
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !is_name || everywhere::is_everywhere(&name) || scan::holds_address(&name) {
            return;
        }
        if self.keeps(&name) {
            self.kept.insert(name);
        } else if self.known.len() < MOST {
            self.known.entry(name).or_insert(kind);
        }
    }
}

/// The names, ready to be found.
#[derive(Debug)]
pub(super) struct Index {
    /// For the first word of a name, as [`first_word`] packs it, the names that begin with it, sorted.
    groups: HashMap<u64, Vec<Entry>>,
    /// One byte for each short hash of a first word: most words are told from all names by one look.
    maybe: Vec<u8>,
    /// The names as they were learnt.
    names: Names,
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    pseudonym: String,
    /// Calico puts names into the names of its resources with each dash doubled.
    is_doubled: bool,
}

const SHORT_HASHES: usize = 1 << 12;

impl Index {
    pub(super) fn new(key: &Key, names: &Names) -> Self {
        let mut index =
            Self { groups: HashMap::new(), maybe: vec![0; SHORT_HASHES], names: names.clone() };
        for (name, &kind) in &names.known {
            let pseudonym = pseudonym(key, name, kind);
            let doubled = name.replace('-', "--");
            if doubled != *name && !names.known.contains_key(&doubled) {
                index.add(&doubled, pseudonym.replace('-', "--"), true);
            }
            index.add(name, pseudonym, false);
        }
        for group in index.groups.values_mut() {
            group.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        }
        index
    }

    fn add(&mut self, name: &str, pseudonym: String, is_doubled: bool) {
        let name = name.as_bytes();
        let end = name.iter().position(|&byte| !scan::is_word(byte)).unwrap_or(name.len());
        let word = first_word(name, 0, end);
        self.maybe[short_hash(word)] = 1;
        let entry = Entry { name: name.to_vec(), pseudonym, is_doubled };
        self.groups.entry(word).or_default().push(entry);
    }

    /// Whether a name may begin with the word from `start` to `end`.
    #[inline]
    pub(super) fn may_begin(&self, text: &[u8], start: usize, end: usize) -> bool {
        self.maybe[short_hash(first_word(text, start, end))] != 0
    }

    /// The longest name that stands at `start`, where a word begins that ends at `end`: where it ends, and its
    /// pseudonym.
    #[inline]
    pub(super) fn find(&self, text: &[u8], start: usize, end: usize) -> Option<(usize, &str)> {
        let word = first_word(text, start, end);
        if self.maybe[short_hash(word)] == 0 { None } else { self.find_longest(text, start, word) }
    }

    fn find_longest(&self, text: &[u8], start: usize, word: u64) -> Option<(usize, &str)> {
        // Those names that agree with the text up to `at`.
        let mut group = self.groups.get(&word)?.as_slice();
        let mut longest = None;
        for at in start.. {
            let depth = at - start;
            let byte = text.get(at).map(u8::to_ascii_lowercase);
            if let Some((first, others)) = group.split_first()
                && first.name.len() == depth
            {
                if !byte.is_some_and(scan::is_word) {
                    longest = Some((at, first.pseudonym.as_str()));
                }
                group = others;
            }
            let Some(byte) = byte.filter(|_| !group.is_empty()) else { break };
            let from = group.partition_point(|entry| entry.name[depth] < byte);
            let to = group.partition_point(|entry| entry.name[depth] <= byte);
            group = &group[from..to];
        }
        longest
    }

    /// The pseudonym of a name that stands in a field, and whether it was learnt. `None`: it is kept.
    pub(super) fn pseudonym(&self, key: &Key, name: &str, kind: Kind) -> Option<(String, bool)> {
        if let Some(&kind) = self.names.known.get(name) {
            return Some((pseudonym(key, name, kind), true));
        }
        let everywhere = everywhere::is_everywhere(name)
            || kind == Kind::Domain && everywhere::is_public_domain(name)
            || scan::holds_address(name);
        (!everywhere && !self.names.keeps(name)).then(|| (pseudonym(key, name, kind), false))
    }

    /// Each name and its pseudonym.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let entries = self.groups.values().flatten().filter(|entry| !entry.is_doubled);
        entries.map(|entry| {
            (String::from_utf8_lossy(&entry.name).into_owned(), entry.pseudonym.clone())
        })
    }
}

/// The pods of Calico and of what every cluster runs keep the beginning of their name, so that a reader and a
/// check still see what a log is of.
fn pseudonym(key: &Key, name: &str, kind: Kind) -> String {
    let digits = hex(&key.prf(Role::Name, name.as_bytes())[..4]);
    match everywhere::system_pod(name).filter(|_| kind == Kind::Pod) {
        Some(workload) => format!("{workload}-{digits}"),
        None => format!("{}-{digits}", kind.word()),
    }
}

/// The first eight bytes of the word from `start` to `end` in lower case; blanks fill a shorter one.
#[inline]
fn first_word(text: &[u8], start: usize, end: usize) -> u64 {
    let length = (end - start).min(8);
    let word = if let Some(bytes) = text[start..].first_chunk::<8>() {
        // All eight are read at once, and what is behind the word is masked.
        u64::from_le_bytes(*bytes) & (u64::MAX >> (64 - 8 * length))
    } else {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&text[start..start + length]);
        u64::from_le_bytes(bytes)
    };
    // It makes letters small and leaves digits as they are.
    word | 0x2020_2020_2020_2020
}

/// Knuth's multiplicative hash.
#[inline]
fn short_hash(word: u64) -> usize {
    let product = word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(product >> (u64::BITS - SHORT_HASHES.trailing_zeros())).unwrap_or(0)
}
