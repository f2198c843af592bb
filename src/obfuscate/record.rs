//! What was replaced: counted for the manifest, kept for the map that stays on the host.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::address::Addresses;
use super::hardware;
use super::key::{Key, hex};

/// The most of a kind that the map holds: memory stays flat. An address beyond it can still be undone with the
/// key, and the map says that it is not whole.
const MOST: usize = 100_000;
/// The most that a stream keeps to itself.
const MOST_OF_A_STREAM: usize = 1024;

/// What all streams of a run have replaced; the originals alone, for the key gives the pseudonyms again.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    ipv4: HashSet<Ipv4Addr>,
    ipv6: HashSet<Ipv6Addr>,
    macs: HashSet<[u8; 6]>,
    interfaces: HashSet<[u8; 11]>,
    /// Pseudonym and name: what was met in a field and had not been learnt.
    names: HashSet<(String, String)>,
    overflow: bool,
}

/// What one stream has replaced.
#[derive(Debug)]
pub(super) struct Record {
    ledger: Arc<Mutex<Ledger>>,
    own: Ledger,
    /// How many places were replaced.
    count: u64,
}

impl Record {
    pub(super) fn new(ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { ledger, own: Ledger::default(), count: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn name(&mut self) {
        self.count += 1;
    }

    /// A name that had not been learnt was met in a field.
    pub(super) fn met(&mut self, pseudonym: String, name: String) {
        self.own.names.insert((pseudonym, name));
        self.hand_over_if_full();
    }

    /// A place was replaced; `is_new` where it is not known that the original was recorded before.
    pub(super) fn interface(&mut self, hash: [u8; 11], is_new: bool) {
        self.count += 1;
        if is_new {
            self.own.interfaces.insert(hash);
            self.hand_over_if_full();
        }
    }

    /// Likewise.
    pub(super) fn mac(&mut self, original: [u8; 6], is_new: bool) {
        self.count += 1;
        if is_new {
            self.own.macs.insert(original);
            self.hand_over_if_full();
        }
    }

    /// Likewise.
    pub(super) fn ipv4(&mut self, original: Ipv4Addr, is_new: bool) {
        self.count += 1;
        if is_new {
            self.own.ipv4.insert(original);
            self.hand_over_if_full();
        }
    }

    /// Likewise.
    pub(super) fn ipv6(&mut self, original: Ipv6Addr, is_new: bool) {
        self.count += 1;
        if is_new {
            self.own.ipv6.insert(original);
            self.hand_over_if_full();
        }
    }

    fn hand_over_if_full(&mut self) {
        let Ledger { ipv4, ipv6, macs, interfaces, names, .. } = &self.own;
        let all = ipv4.len() + ipv6.len() + macs.len() + interfaces.len() + names.len();
        if all >= MOST_OF_A_STREAM {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let Ledger { ipv4, ipv6, macs, interfaces, names, overflow } = &mut *ledger;
        *overflow |= take_over(ipv4, &mut self.own.ipv4);
        *overflow |= take_over(ipv6, &mut self.own.ipv6);
        *overflow |= take_over(macs, &mut self.own.macs);
        *overflow |= take_over(interfaces, &mut self.own.interfaces);
        *overflow |= take_over(names, &mut self.own.names);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Moves what is in `own` to `all`, and says whether something did not fit.
fn take_over<T: Eq + std::hash::Hash>(all: &mut HashSet<T>, own: &mut HashSet<T>) -> bool {
    let mut overflow = false;
    for original in own.drain() {
        if all.len() < MOST {
            all.insert(original);
        } else {
            overflow |= !all.contains(&original);
        }
    }
    overflow
}

impl Ledger {
    /// Whether something is not in it.
    pub(super) fn is_cut(&self) -> bool {
        self.overflow
    }

    /// Each pseudonym that was given, and what it stands for.
    pub(super) fn pairs(&self, key: &Key) -> HashMap<&'static str, BTreeMap<String, String>> {
        let mut addresses = Addresses::new(key.clone());
        let ipv4 = self.ipv4.iter().map(|ip| (addresses.ipv4(*ip).to_string(), ip.to_string()));
        let ipv4 = ipv4.collect();
        let ipv6 = self.ipv6.iter().map(|ip| (addresses.ipv6(*ip).to_string(), ip.to_string()));
        let ipv6 = ipv6.collect();
        let macs = self.macs.iter().map(|mac| (spell(hardware::mac(key, *mac)), spell(*mac)));
        let interfaces = self.interfaces.iter().map(|hash| {
            let name = |hash: [u8; 11]| format!("cali{}", String::from_utf8_lossy(&hash));
            (name(hardware::interface(key, *hash)), name(*hash))
        });
        HashMap::from([
            ("ipv4", ipv4),
            ("ipv6", ipv6),
            ("macs", macs.collect()),
            ("interfaces", interfaces.collect()),
            ("names", self.names.iter().cloned().collect()),
        ])
    }
}

fn spell(mac: [u8; 6]) -> String {
    mac.map(|octet| hex(&[octet])).join(":")
}
