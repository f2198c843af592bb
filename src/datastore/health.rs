//! How the datastore is: what a bundle keeps as `datastore/health.json`.
//!
//! ```json
//! {"kind": "etcd", "user": "calico",
//!  "endpoints": [{"url": "https://10.0.0.1:2379", "address": "10.0.0.1:2379", "failure": null,
//!    "connectMilliseconds": 1, "tlsMilliseconds": 2, "answerMilliseconds": 1,
//!    "tls": {"version": "TLSv1_3", "certificates": [{"subject": "CN=etcd-1", "...": "..."}], "isTrusted": true,
//!      "distrust": null, "asksForCertificate": true}}],
//!  "clientCertificate": {"subject": "CN=calico"}, "authorities": [{"subject": "CN=etcd-ca"}],
//!  "version": "3.4.23", "healthy": true, "alarms": [], "keys": 41}
//! ```

use serde::{Deserialize, Serialize};

use super::certificate::Certificate;

/// Where a bundle keeps the document.
pub const PATH: &str = "datastore/health.json";

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Health {
    /// Which datastore it is.
    pub kind: Kind,
    /// Each place where it may be reached, with what was found there.
    pub endpoints: Vec<Endpoint>,
    /// By what this node says who it is: a user's name, `client certificate`, `token`, ...
    pub user: Option<String>,
    /// The client's certificate, where there is one.
    pub client_certificate: Option<Certificate>,
    /// The authorities by which the server is checked, where they were given.
    pub authorities: Vec<Certificate>,
    /// Whether any certificate of the server is taken, as it was configured.
    pub takes_any_certificate: bool,
    /// Its version.
    pub version: Option<String>,
    /// etcd: what `/health` says.
    pub healthy: Option<bool>,
    /// etcd: the alarms that are raised, such as `NOSPACE`; `None`: not told.
    pub alarms: Option<Vec<String>>,
    /// etcd: what the member complains of (`maintenance/status`).
    pub complaints: Vec<String>,
    /// etcd: the size of its database in bytes.
    pub database_bytes: Option<u64>,
    /// etcd: the number of Calico's keys.
    pub keys: Option<u64>,
    /// Kubernetes: the API groups of Calico's that are served.
    pub groups: Option<Vec<String>>,
    /// Why who this node is was not accepted.
    pub refusal: Option<String>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

/// Which datastore Calico uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// etcd v3.
    Etcd,
    /// The Kubernetes API.
    #[default]
    Kubernetes,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Etcd => "etcd",
            Self::Kubernetes => "the Kubernetes API",
        })
    }
}

/// A place where the datastore may be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// As it is configured.
    pub url: String,
    /// The address that was connected to.
    pub address: Option<String>,
    /// How long it took to connect.
    pub connect_milliseconds: Option<u64>,
    /// How long the TLS handshake took.
    pub tls_milliseconds: Option<u64>,
    /// How long it took until the first answer had come.
    pub answer_milliseconds: Option<u64>,
    /// What was seen of TLS; `None` where none is spoken or it did not come to it.
    pub tls: Option<Tls>,
    /// Why it cannot be used.
    pub failure: Option<Failure>,
}

/// What was seen of a TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// The version that was agreed on.
    pub version: Option<String>,
    /// The server's certificates, its own first.
    pub certificates: Vec<Certificate>,
    /// Whether the server's certificate was found good.
    pub is_trusted: Option<bool>,
    /// Why it was not.
    pub distrust: Option<String>,
    /// Whether the server asked for a client's certificate.
    pub asks_for_certificate: bool,
}

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In one word.
    pub cause: Cause,
    /// In a sentence.
    pub reason: String,
}

/// Why an endpoint cannot be used, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// What is configured is no URL that could be asked.
    Configuration,
    /// The name is not known to the resolver.
    Resolve,
    /// Nobody listens there.
    Refused,
    /// The kernel or the network does not get there.
    Unreachable,
    /// It does not answer in time.
    TimedOut,
    /// The server's certificate is by none of the known authorities.
    UnknownAuthority,
    /// The server's certificate is over.
    Expired,
    /// The server's certificate does not hold yet.
    NotYetValid,
    /// The server's certificate is for other names.
    WrongName,
    /// The server wants a client's certificate, and was given none or one that it does not take.
    ClientCertificate,
    /// TLS failed otherwise: the server may not speak it.
    Tls,
    /// What came is no answer.
    Answer,
    /// Something else.
    Failed,
}

impl Health {
    /// The document in `bytes`; `None` if it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
