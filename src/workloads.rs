//! The names of pods' interfaces: Calico's prefix is followed by the first digits of the SHA-1 of `NAMESPACE.POD`
//! (`libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go`).
//!
//! The pods of a node are those that have a folder in `/var/log/pods`, which the kubelet makes before it has the pod's
//! network made, and takes away when the pod is gone:
//!
//! ```text
//! 040755 0 0 4096 2026-11-01T00:00:00Z kube-system_coredns-5d78c9869d-abcde_0f4c12ab-...
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;

use sha1::{Digest, Sha1};

/// How much of a hash is in the name of a pod's interface.
const DIGITS: usize = 11;

/// The pods (`NAMESPACE/POD`) in a listing of `/var/log/pods`, by the digits in the names of their interfaces.
#[must_use]
pub fn pods(listing: &str) -> HashMap<String, String> {
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

/// The digits in the name of a pod's interface.
#[must_use]
pub fn digits(interface: &str) -> Option<&str> {
    interface.get(interface.len().checked_sub(DIGITS)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_named_after_its_pod() {
        // As `libcalico-go` computes it: sha1("kube-system.coredns-5d78c9869d-abcde").
        let listing = "040755 0 0 4096 2026-11-01T00:00:00Z kube-system_coredns-5d78c9869d-abcde_0f4c12ab\n\
                       100644 0 0 1 2026-11-01T00:00:00Z notes\n";
        let pods = pods(listing);
        assert_eq!(pods.len(), 1);
        assert_eq!(pods["4d5f75c480c"], "kube-system/coredns-5d78c9869d-abcde");
        assert_eq!(digits("cali4d5f75c480c"), Some("4d5f75c480c"));
        assert_eq!(digits("lo"), None);
        assert_eq!(digits("aé0123456789"), None, "not inside a character");
    }
}
