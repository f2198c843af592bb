//! The certificates that Calico and the kubelet use on a node: public facts of them, and never a key.
//!
//! ```json
//! [{"user": "calico-node", "role": "client", "path": "/node-certs/tls.crt", "setting": "FELIX_TYPHACERTFILE",
//!   "container": true, "outcome": "ok", "held": 1,
//!   "certificates": [{"subject": "CN=typha-client", "issuer": "CN=tigera-operator-signer",
//!                     "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2028-04-05T00:00:00Z", "names": []}]}]
//! ```
//!
//! They stand in PEM (RFC 7468), often beside the key, which is passed over:
//!
//! ```text
//! -----BEGIN CERTIFICATE-----
//! MIIBszCCAVmgAwIBAgIUe...
//! -----END CERTIFICATE-----
//! ```
//!
//! or as base64 of that in a kubeconfig: `client-certificate-data`, `certificate-authority-data`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::datastore::certificate::Certificate;
use crate::outcome::Outcome;

/// Where a bundle keeps it.
pub const PATH: &str = "certificates.json";

/// The most certificates that are read of one file: the lists of all public authorities hold some 150.
pub const MOST: usize = 256;

/// The most certificates that are kept of a file of authorities, beside those that have issued one of this node's.
pub const MOST_AUTHORITIES: usize = 8;

/// Who uses a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// Felix and confd, towards Typha, etcd and the API server.
    CalicoNode,
    /// The CNI plugin, towards etcd and the API server.
    Cni,
    /// The kubelet, towards the API server.
    Kubelet,
    /// calicoctl, and whoever uses its configuration.
    Calicoctl,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Says who this node is.
    Client,
    /// Vouches for the other end.
    Authority,
}

/// Certificates at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Who uses them.
    pub user: User,
    /// What they are for.
    pub role: Role,
    /// The file.
    pub path: String,
    /// The setting that names it, or the member of the kubeconfig in which it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Whether the path is that in calico-node's container.
    #[serde(default)]
    pub container: bool,
    /// Whether it could be read.
    pub outcome: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many certificates there are.
    pub held: u64,
    /// Those that matter: all, or of a long list of authorities those that have issued one of the others.
    pub certificates: Vec<Certificate>,
}

/// What a bundle kept.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Held>> {
    serde_json::from_slice(bytes).ok()
}

/// The certificates in a PEM file, and how many blocks there are that hold none.
#[must_use]
pub fn from_pem(text: &str) -> (Vec<Certificate>, u64) {
    let (mut found, mut wrong) = (Vec::new(), 0);
    let mut block: Option<String> = None;
    for line in text.lines().map(str::trim) {
        match line {
            "-----BEGIN CERTIFICATE-----" => block = Some(String::new()),
            "-----END CERTIFICATE-----" => {
                let Some(body) = block.take() else { continue };
                let der = STANDARD.decode(body).ok();
                match der.and_then(|der| Certificate::parse(&der)) {
                    Some(certificate) => found.push(certificate),
                    None => wrong += 1,
                }
                if found.len() == MOST {
                    break;
                }
            }
            line => {
                if let Some(block) = &mut block {
                    block.push_str(line);
                }
            }
        }
    }
    (found, wrong)
}

/// A certificate in a kubeconfig, or the path of the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is for.
    pub role: Role,
    /// Where it stands: `users[calico].client-certificate-data`.
    pub name: String,
    /// What stands there.
    pub value: Value,
}

/// What a member of a kubeconfig holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Base64 of PEM.
    Inline(String),
    /// A path, relative to the kubeconfig's folder.
    File(String),
}

impl Value {
    /// The PEM that stands in the kubeconfig itself; `None` if it is no base64 of a text.
    #[must_use]
    pub fn pem(data: &str) -> Option<String> {
        let compact: String = data.split_ascii_whitespace().collect();
        String::from_utf8(STANDARD.decode(compact).ok()?).ok()
    }
}

#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    #[serde(default)]
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    #[serde(default)]
    name: String,
    user: Option<UserEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
}

/// The certificates that a kubeconfig holds or names; `None`: it is no kubeconfig.
#[must_use]
pub fn of_kubeconfig(text: &str) -> Option<Vec<Member>> {
    let config: Kubeconfig = serde_yaml::from_str(text).ok()?;
    let mut members = Vec::new();
    let mut add = |role, name: String, data: Option<String>, file: Option<String>, key: &str| {
        let is_set = |text: &String| !text.is_empty();
        if let Some(data) = data.filter(is_set) {
            let name = format!("{name}.{key}-data");
            members.push(Member { role, name, value: Value::Inline(data) });
        } else if let Some(file) = file.filter(is_set) {
            let name = format!("{name}.{key}");
            members.push(Member { role, name, value: Value::File(file) });
        }
    };
    for NamedUser { name, user } in config.users {
        let Some(user) = user else { continue };
        let name = format!("users[{name}]");
        let (data, file) = (user.client_certificate_data, user.client_certificate);
        add(Role::Client, name, data, file, "client-certificate");
    }
    for NamedCluster { name, cluster } in config.clusters {
        let Some(cluster) = cluster else { continue };
        let name = format!("clusters[{name}]");
        let (data, file) = (cluster.certificate_authority_data, cluster.certificate_authority);
        add(Role::Authority, name, data, file, "certificate-authority");
    }
    Some(members)
}

/// Leaves of each long list of authorities those that have issued another certificate here.
pub fn keep_what_matters(held: &mut [Held]) {
    let clients = || held.iter().filter(|held| held.role == Role::Client);
    let issuers: Vec<String> =
        clients().flat_map(|held| &held.certificates).map(|it| it.issuer.clone()).collect();
    for held in held.iter_mut().filter(|held| held.role == Role::Authority) {
        if held.certificates.len() > MOST_AUTHORITIES {
            held.certificates.retain(|certificate| issuers.contains(&certificate.subject));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kubeconfig_names_files_or_holds_certificates() {
        let text = "clusters: [{name: here, cluster: {server: https://x, certificate-authority-data: LS0t}}]\n\
                    users: [{name: node, user: {client-certificate: pki/node.pem, client-key: k}}, {name: t, user: {token: x}}]\n";
        let members = of_kubeconfig(text).unwrap();
        assert_eq!(members[0].name, "users[node].client-certificate");
        assert_eq!(members[0].value, Value::File("pki/node.pem".to_owned()));
        assert_eq!(members[1].name, "clusters[here].certificate-authority-data");
        assert_eq!(members[1].value, Value::Inline("LS0t".to_owned()));
        assert_eq!(members.len(), 2);
        assert_eq!(of_kubeconfig("- x"), None);
        assert_eq!(of_kubeconfig("apiVersion: v1"), Some(Vec::new()));
    }

    #[test]
    fn a_key_beside_a_certificate_is_passed_over_and_a_broken_block_is_counted() {
        let text = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n\
                    -----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(from_pem(text), (Vec::new(), 1));
        assert_eq!(from_pem(""), (Vec::new(), 0));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,300}") {
            let _ = (from_pem(&text), of_kubeconfig(&text), Value::pem(&text));
        }
    }
}
