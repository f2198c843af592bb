//! Where Calico keeps its resources, and how one gets there: etcd v3 or the Kubernetes API.
//!
//! A [`Connection`] is what calicoctl would use: all of it from its configuration file, or all of it from the
//! environment.

pub mod certificate;
pub mod environment;
pub mod health;
pub mod kubeconfig;
pub mod resources;
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

/// What is asked of the datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How it is, as JSON ([`health`]).
    Health,
    /// All resources of a kind, as JSON ([`resources`]).
    All(Resource),
}

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The nodes. In Kubernetes they are the API's own, with Calico's annotations.
    Nodes,
    /// The mesh, the AS, the port.
    BgpConfigurations,
    /// Peers beside the mesh.
    BgpPeers,
    /// The pools of pods' addresses, and how packets between them travel.
    IpPools,
    /// Felix's configuration, of all nodes and of single ones.
    FelixConfigurations,
    /// Calico's version and the cluster's type.
    ClusterInformations,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Nodes,
        Self::BgpConfigurations,
        Self::BgpPeers,
        Self::IpPools,
        Self::FelixConfigurations,
        Self::ClusterInformations,
    ];

    /// Its name in the API's paths and in etcd's keys.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::BgpConfigurations => "bgpconfigurations",
            Self::BgpPeers => "bgppeers",
            Self::IpPools => "ippools",
            Self::FelixConfigurations => "felixconfigurations",
            Self::ClusterInformations => "clusterinformations",
        }
    }

    /// Where a bundle keeps them.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Nodes => "datastore/nodes.json",
            Self::BgpConfigurations => "datastore/bgpconfigurations.json",
            Self::BgpPeers => "datastore/bgppeers.json",
            Self::IpPools => "datastore/ippools.json",
            Self::FelixConfigurations => "datastore/felixconfigurations.json",
            Self::ClusterInformations => "datastore/clusterinformations.json",
        }
    }
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
