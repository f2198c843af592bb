//! Whose an address is: the link behind it, and the pod behind the link.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use serde::Deserialize;
use sha1::{Digest, Sha1};

use super::Facts;
use crate::cni_cache;
use crate::collectors::conntrack as rows;
use crate::host::{Outcome, Reading};

/// What the host knows of addresses.
pub(super) struct Owners {
    /// The link behind an address, by the route to it alone.
    links: HashMap<String, String>,
    /// The pod that was given an address, by the cache of libcni.
    by_address: HashMap<String, String>,
    /// The pod behind a link, by the digits of its name.
    by_digits: HashMap<String, String>,
}

/// What of a route is read.
#[derive(Debug, Deserialize)]
struct Route<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    destination: Cow<'a, str>,
    #[serde(borrow)]
    dev: Option<Cow<'a, str>>,
}

impl Owners {
    /// Of these addresses.
    pub(super) fn of(facts: &Facts, addresses: &BTreeSet<&str>) -> Self {
        let mut links = HashMap::new();
        let routes = facts.reading(rows::ROUTES).map(Reading::text).unwrap_or_default();
        for line in routes.lines() {
            // A row is a line, and only routes to one address are of interest.
            if !line.contains("/32\"") && !line.contains("/128\"") {
                continue;
            }
            let Ok(route) = serde_json::from_str::<Route>(line.trim_end_matches(',')) else {
                continue;
            };
            let Some((address, "32" | "128")) = route.destination.rsplit_once('/') else {
                continue;
            };
            if let (true, Some(dev), "unicast") =
                (addresses.contains(address), &route.dev, route.r#type.as_ref())
            {
                links.insert(address.to_owned(), dev.to_string());
            }
        }
        let listing = facts.reading(rows::PODS).map(Reading::text).unwrap_or_default();
        Self { links, by_address: cached(facts, addresses), by_digits: pods(&listing) }
    }

    pub(super) fn link(&self, address: &str) -> Option<&str> {
        self.links.get(address).map(String::as_str)
    }

    /// The name of a link says what is behind it now; the cache, who was given the address.
    pub(super) fn pod(&self, address: &str) -> Option<&str> {
        let by_link = self.link(address).and_then(|link| {
            let digits = link.get(link.len().checked_sub(DIGITS)?..)?;
            self.by_digits.get(digits)
        });
        by_link.or_else(|| self.by_address.get(address)).map(String::as_str)
    }

    /// Link and pod in brackets, as far as they are known.
    pub(super) fn shown(&self, address: &str) -> String {
        match (self.link(address), self.pod(address)) {
            (Some(link), Some(pod)) => format!(" ({link}, pod {pod})"),
            (Some(link), None) => format!(" ({link})"),
            (None, Some(pod)) => format!(" (pod {pod})"),
            (None, None) => String::new(),
        }
    }
}

/// The pods that were given these addresses. Of two that were given one, the later has it.
fn cached(facts: &Facts, addresses: &BTreeSet<&str>) -> HashMap<String, String> {
    let mut files: Vec<&Reading> = facts
        .evidence
        .below(rows::CNI_RESULTS)
        .map(|(_, reading)| reading)
        .filter(|reading| reading.outcome == Outcome::Ok)
        .collect();
    files.sort_by_key(|reading| reading.modified);
    let mut pods = HashMap::new();
    for pod in files.into_iter().filter_map(|reading| cni_cache::pod(&reading.bytes)) {
        for address in pod.addresses.into_iter().filter(|one| addresses.contains(one.as_str())) {
            pods.insert(address, pod.name.clone());
        }
    }
    pods
}

/// How much of a hash is in the name of a pod's link.
const DIGITS: usize = 11;

/// The pods of this node by the digits in the names of their links: Calico's prefix is followed by the first digits of
/// the SHA-1 of `NAMESPACE.POD`. Their names are those of folders in `/var/log/pods`:
///
/// ```text
/// 040755 0 0 4096 2026-11-01T00:00:00Z kube-system_coredns-5d78c9869d-abcde_0f4c12ab-...
/// ```
fn pods(listing: &str) -> HashMap<String, String> {
    let folders = listing.lines().filter_map(|line| line.splitn(6, ' ').nth(5));
    let pods = folders.filter_map(|folder| {
        let mut parts = folder.split('_');
        let (namespace, pod, _uid) = (parts.next()?, parts.next()?, parts.next()?);
        let hash = Sha1::digest(format!("{namespace}.{pod}"));
        let mut digits = String::new();
        for byte in hash.iter().take(DIGITS.div_ceil(2)) {
            let _ = write!(digits, "{byte:02x}");
        }
        digits.truncate(DIGITS);
        Some((digits, format!("{namespace}/{pod}")))
    });
    pods.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_link_is_named_after_its_pod() {
        // As `libcalico-go` computes it: sha1("kube-system.coredns-5d78c9869d-abcde").
        let listing = "040755 0 0 4096 2026-11-01T00:00:00Z kube-system_coredns-5d78c9869d-abcde_0f4c12ab\n\
                       100644 0 0 1 2026-11-01T00:00:00Z notes\n";
        let pods = pods(listing);
        assert_eq!(pods.len(), 1);
        let (digits, pod) = pods.iter().next().unwrap();
        assert_eq!(pod, "kube-system/coredns-5d78c9869d-abcde");
        assert_eq!(digits, DIGEST);
    }

    pub(in super::super) const DIGEST: &str = "4d5f75c480c";
}
