//! Where Calico keeps its resources, and how one gets there: etcd v3 or the Kubernetes API.
//!
//! A [`Connection`] is what calicoctl would use: all of it from its configuration file, or all of it from the
//! environment.

pub mod certificate;
pub mod environment;
pub mod settings;
pub mod url;
pub mod variables;

use std::fmt;
use std::path::PathBuf;

/// How the datastore is reached (`libcalico-go/lib/apiconfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// etcd v3.
    Etcd(Etcd),
    /// The Kubernetes API.
    Kubernetes(Kubernetes),
}

/// How etcd is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Etcd {
    /// URLs, such as `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The domain whose SRV records name the endpoints, in place of them.
    pub discovery_srv: Option<String>,
    /// The user, where etcd asks for one.
    pub username: Option<String>,
    /// Their password.
    pub password: Option<Secret>,
    /// The authorities that etcd's certificate is checked by.
    pub ca: Option<Pem>,
    /// The client's certificate.
    pub certificate: Option<Pem>,
    /// Its private key.
    pub key: Option<Pem>,
}

/// How the Kubernetes API is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// Files that are merged, the first one wins; empty: `~/.kube/config`, else the pod's own service account.
    pub kubeconfig: Vec<PathBuf>,
    /// The text of a kubeconfig, in place of the files.
    pub kubeconfig_inline: Option<Secret>,
    /// The context in it, in place of its current one.
    pub context: Option<String>,
    /// The URL of the API server, in place of the kubeconfig's.
    pub api_endpoint: Option<String>,
    /// The authorities that the API server's certificate is checked by.
    pub ca: Option<Pem>,
    /// The client's certificate.
    pub certificate: Option<Pem>,
    /// Its private key.
    pub key: Option<Pem>,
    /// The bearer token.
    pub token: Option<Secret>,
    /// Whether any certificate of the API server is taken.
    pub insecure_skip_tls_verify: bool,
    /// `projectcalico.org/v3` or `crd.projectcalico.org/v1`, where that is not to be found out.
    pub api_group: Option<String>,
}

/// A certificate, a key, or authorities, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file of the host's.
    File(PathBuf),
    /// The text itself.
    Inline(Secret),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}
