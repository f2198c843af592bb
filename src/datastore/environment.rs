//! What calicoctl would use to reach the datastore, as a bundle keeps it: no secret is in it.
//!
//! ```json
//! {"uid": 0, "home": "/root", "sudo": {"user": "ada", "lost": ["ETCD_ENDPOINTS"]}, "inCluster": false,
//!  "variables": [{"variable": "ETCD_ENDPOINTS", "shown": "https://[secret]@10.0.0.1:2379"}],
//!  "file": {"path": "/etc/calico/calicoctl.cfg", "named": false, "outcome": "missing"},
//!  "origin": "environment", "effective": [...], "ignored": [], "problems": [], "endpoints": [...],
//!  "files": [{"setting": "etcdKeyFile", "path": "/k", "credential": true, "outcome": "ok", "mode": "0600", "uid": 0}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{Effective, Endpoint, Named, Origin, Problem, Settings};
use super::url::{self, SECRET};
use super::variables;
use crate::outcome::Outcome;

/// Where a bundle keeps it.
pub const PATH: &str = "datastore/environment.json";

/// The setting that [`FileState`] names for a kubeconfig which no setting names.
pub const DEFAULT_KUBECONFIG: &str = "~/.kube/config";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// The effective user of calivet.
    pub uid: u32,
    /// `HOME`.
    pub home: Option<String>,
    /// What is known of sudo, if calivet runs under it.
    pub sudo: Option<Sudo>,
    /// Whether calivet runs in a pod that can reach the API by its own service account.
    pub in_cluster: bool,
    /// The variables of calivet's own environment that concern the datastore.
    pub variables: Vec<Variable>,
    /// calicoctl's configuration file.
    pub file: ConfigurationFile,
    /// Where all settings come from.
    pub origin: Origin,
    /// Those that are in force.
    pub effective: Vec<Effective>,
    /// Variables that are ignored, for there is a file.
    pub ignored: Vec<String>,
    /// Mistakes.
    pub problems: Vec<Problem>,
    /// The URLs of the datastore.
    pub endpoints: Vec<Endpoint>,
    /// The files that the settings name.
    pub files: Vec<FileState>,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name. Not `name`: with a `value`, redaction would cut the pair.
    pub variable: String,
    /// Its value, as far as it can be shown.
    pub shown: String,
}

/// Who called sudo, and what became of their environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sudo {
    /// `SUDO_USER`.
    pub user: String,
    /// Variables of the datastore's that sudo had and calivet has not; `None`: sudo's environment cannot be seen.
    pub lost: Option<Vec<String>>,
    /// The kubeconfig in the folder of the one who called, if it is there and `HOME` is another.
    pub kubeconfig: Option<String>,
}

/// calicoctl's configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationFile {
    /// Its path on the host.
    pub path: String,
    /// Whether it is another than calicoctl's default.
    pub named: bool,
    /// Whether it could be read.
    pub outcome: Outcome,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A file that a setting names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// The setting's key.
    pub setting: String,
    /// The path, as it is named.
    pub path: String,
    /// Whether it holds a credential.
    pub credential: bool,
    /// Whether it can be read.
    pub outcome: Outcome,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its permissions, in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

impl Environment {
    /// What a bundle kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The value of a setting that is in force, as far as it can be shown.
    #[must_use]
    pub fn effective(&self, setting: &str) -> Option<&Effective> {
        self.effective.iter().find(|row| row.setting == setting)
    }

    /// Whether calicoctl refuses to go on.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.problems.iter().any(|problem| problem.refused)
    }
}

/// The variables that concern the datastore and are set, as far as they can be shown.
#[must_use]
pub fn shown(environment: &BTreeMap<String, String>) -> Vec<Variable> {
    let variable = |(name, secret): (String, bool)| {
        let value = environment.get(&name)?;
        let shown = match secret {
            true => SECRET.to_owned(),
            false if name.contains("ENDPOINT") => url::shown(value),
            false => value.clone(),
        };
        Some(Variable { variable: name, shown })
    };
    variables::set(environment).into_iter().filter_map(variable).collect()
}

/// The files whose state matters: those that the settings name, and where none does, the default kubeconfig.
#[must_use]
pub fn files(settings: &Settings, home: Option<&str>) -> Vec<(String, Named)> {
    let mut files: Vec<(String, Named)> =
        settings.files.iter().map(|file| (file.setting.to_owned(), file.clone())).collect();
    let has = |key: &str| settings.effective.iter().any(|row| row.setting == key);
    let is_kubernetes = settings
        .effective
        .iter()
        .any(|row| row.setting == "datastoreType" && row.shown == "kubernetes");
    let is_told = ["kubeconfig", "kubeconfigInline", "k8sAPIEndpoint"].into_iter().any(has);
    if let (true, false, Some(home)) = (is_kubernetes, is_told, home) {
        let path = std::path::Path::new(home).join(".kube/config");
        let named = Named { setting: "kubeconfig", path, credential: true };
        files.push((DEFAULT_KUBECONFIG.to_owned(), named));
    }
    files
}
