//! Names that are no secret: every cluster has them.

/// Whether every cluster has it: to replace it would hide nothing.
pub(super) fn is_everywhere(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "calico-apiserver",
        "calico-system",
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "localhost",
        "localhost4",
        "localhost6",
        "tigera-operator",
    ];
    NAMES.contains(&name) || name.starts_with("ip6-")
}

/// Whether a domain says nothing of a site.
pub(super) fn is_public_domain(domain: &str) -> bool {
    const DOMAINS: &[&str] = &[
        "amazonaws.com",
        "cluster.local",
        "compute.internal",
        "docker.internal",
        "ec2.internal",
        "google.internal",
        "ip6.arpa",
        "in-addr.arpa",
        "internal.cloudapp.net",
    ];
    DOMAINS.iter().any(|public| {
        let above = domain.strip_suffix(public);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    })
}

/// What Calico or every cluster runs.
const WORKLOADS: &[&str] = &[
    "calico-apiserver",
    "calico-kube-controllers",
    "calico-node",
    "calico-typha",
    "calico-webhooks",
    "coredns",
    "csi-node-driver",
    "kube-proxy",
    "tigera-operator",
];

/// Whether a name of [`WORKLOADS`] may begin with this word.
#[inline]
pub(super) fn begins_workload(word: &[u8]) -> bool {
    matches!(word, b"calico" | b"coredns" | b"csi" | b"kube" | b"tigera")
}

/// The workload of a pod that Calico or every cluster runs, if it is one: the beginning of its name.
pub(super) fn system_pod(name: &str) -> Option<&'static str> {
    WORKLOADS.iter().copied().find(|workload| {
        name.strip_prefix(workload).is_some_and(|rest| rest.starts_with('-') && rest.len() > 1)
    })
}

/// The workloads whose name begins what stands at the beginning of `text`.
pub(super) fn workloads_at(text: &[u8]) -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().copied().filter(move |workload| text.starts_with(workload.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workload_begins_with_a_word_that_is_known_to_begin_one() {
        for workload in WORKLOADS {
            assert!(begins_workload(workload.split('-').next().unwrap().as_bytes()), "{workload}");
        }
    }

    #[test]
    fn a_domain_is_public_as_a_whole_label() {
        assert!(is_public_domain("eu-west-1.compute.internal"));
        assert!(is_public_domain("svc.cluster.local"));
        assert!(!is_public_domain("notcluster.local"));
        assert!(!is_public_domain("example.com"));
    }

    #[test]
    fn a_system_pod_is_one_by_the_beginning_of_its_name() {
        assert_eq!(system_pod("calico-node-x7k2p"), Some("calico-node"));
        assert_eq!(system_pod("coredns-558bd4d5db-abcde"), Some("coredns"));
        assert_eq!(system_pod("calico-nodes"), None);
        assert_eq!(system_pod("web-0"), None);
    }
}
