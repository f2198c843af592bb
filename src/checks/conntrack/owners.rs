//! Whose an address is: the link behind it, and the pod behind the link.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::Facts;
use crate::cni_cache;
use crate::collectors::conntrack as rows;
use crate::host::{Outcome, Reading};
use crate::workloads;

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
        Self { links, by_address: cached(facts, addresses), by_digits: workloads::pods(&listing) }
    }

    pub(super) fn link(&self, address: &str) -> Option<&str> {
        self.links.get(address).map(String::as_str)
    }

    /// The name of a link says what is behind it now; the cache, who was given the address.
    pub(super) fn pod(&self, address: &str) -> Option<&str> {
        let by_link =
            self.link(address).and_then(|link| self.by_digits.get(workloads::digits(link)?));
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
