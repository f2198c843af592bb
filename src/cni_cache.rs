//! What a container runtime remembers of each pod's interface: libcni's cache, `/var/lib/cni/results/NETWORK-CONTAINER-eth0`.
//!
//! ```text
//! {"kind":"cniCacheV1","containerId":"3f69...","config":"eyJj...","ifName":"eth0","networkName":"k8s-pod-network",
//!  "cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","kube-system"],["K8S_POD_NAME","coredns-5d78c9869d-abcde"]],
//!  "result":{"cniVersion":"0.3.1","interfaces":[{"name":"cali4d5f75c480c"}],"ips":[{"address":"10.244.1.7/32"}]}}
//! ```
//!
//! The format is that of `libcni/api.go` in `containernetworking/cni`. `config` is base64 of the plugins'
//! configuration, in which a token may stand: it is not looked at, and cut out of bundles.

use serde::Deserialize;

/// A pod and the addresses that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Its addresses, without the length of a prefix.
    pub addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Cache {
    kind: String,
    #[serde(default, rename = "cniArgs")]
    arguments: Vec<(String, String)>,
    #[serde(default)]
    result: Outcome,
}

#[derive(Debug, Default, Deserialize)]
struct Outcome {
    #[serde(default)]
    ips: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
}

/// The pod of one file. `None`: it is no such file, or is not about a pod of Kubernetes.
#[must_use]
pub fn pod(bytes: &[u8]) -> Option<Pod> {
    let cache: Cache = serde_json::from_slice(bytes).ok()?;
    let argument = |name: &str| {
        let found = cache.arguments.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    if cache.kind != "cniCacheV1" {
        return None;
    }
    let name = format!("{}/{}", argument("K8S_POD_NAMESPACE")?, argument("K8S_POD_NAME")?);
    let addresses = cache.result.ips.iter().map(|ip| {
        let address =
            ip.address.split_once('/').map_or(ip.address.as_str(), |(address, _)| address);
        address.to_owned()
    });
    Some(Pod { name, addresses: addresses.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"kind":"cniCacheV1","containerId":"3f69","config":"eyJj","ifName":"eth0",
        "networkName":"k8s-pod-network",
        "cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-5"]],
        "result":{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.7/32"},{"address":"fd00::7/128","gateway":"fe80::1"}]}}"#;

    #[test]
    fn a_pod_is_known_by_the_addresses_that_it_was_given() {
        let expected = Pod {
            name: "shop/web-5".to_owned(),
            addresses: vec!["10.244.1.7".to_owned(), "fd00::7".to_owned()],
        };
        assert_eq!(pod(FILE.as_bytes()), Some(expected));
    }

    #[test]
    fn what_is_no_cache_or_of_no_pod_names_nobody() {
        for text in [
            "",
            "[]",
            "{\"kind\":\"cniCacheV1\"}",
            &FILE.replace("cniCacheV1", "other"),
            &FILE.replace("K8S_POD_NAME\"", "OTHER\""),
            &FILE[..FILE.len() - 1],
        ] {
            assert_eq!(pod(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = pod(&bytes);
        }
    }
}
