//! How long the credentials of Calico's CNI plugin last. Tokens are read here, and only their times leave.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::live::Live;
use super::{Artifact, Outcome, Reading, Tree};
use crate::cni::credentials::{Credential, Credentials, Kind, Times, User, users};
use crate::cni::{FOLDERS, Network, is_configuration};

/// Of a folder's files, those that hold credentials or name files that do.
const FILES: &[&str] =
    &["*.conf", "*.conflist", "*.json", "calico-kubeconfig", "*.kubeconfig", "*/*kubeconfig"];
/// A kubeconfig holds some certificates at most.
const MAX_FILE: u64 = 1 << 20;
/// The most files that are looked at: a folder holds a handful.
const MAX_FILES: usize = 64;

/// Looks at the kubeconfigs beside the configurations, at those that these name, and at the files of their tokens.
pub(super) async fn look(live: &Live, limit: Duration) -> Reading {
    let begun = Instant::now();
    let left = || limit.saturating_sub(begun.elapsed());
    let mut reading = Reading::begin();
    let mut found = Credentials::default();
    let mut named: BTreeSet<String> = BTreeSet::new();
    let mut seen = 0;
    for folder in FOLDERS {
        let tree = Tree::new(folder, FILES);
        let Ok(listing) = tokio::time::timeout(left(), live.list(&tree)).await else { break };
        for leaf in listing.found.iter().filter(|found| found.refusal.is_none()) {
            seen += 1;
            if seen > MAX_FILES {
                reading.outcome = Outcome::Truncated;
                reading.reason = Some(format!("no more than {MAX_FILES} files are looked at"));
                break;
            }
            let path = Path::new(folder).join(&leaf.path).display().to_string();
            let row = tree.leaf(&leaf.path).at_most(MAX_FILE).within(left());
            let file = live.gather(&row).await;
            if leaf.path.to_str().is_some_and(is_configuration) {
                for plugin in Network::parse(&file.bytes).into_iter().flat_map(|it| it.plugins) {
                    named.extend(plugin.kubeconfig().map(ToOwned::to_owned));
                    let times = plugin.token().map(Times::of);
                    if times.is_some() {
                        let user = User { by: Kind::Token, times, file: None };
                        found.files.push(credential(path.clone(), &file, vec![user]));
                    }
                }
            } else {
                found.files.push(kubeconfig(path, &file));
            }
        }
    }
    for path in named.into_iter().filter(|path| path.starts_with('/')).take(MAX_FILES) {
        if !found.files.iter().any(|file| file.path == path) {
            let file = live.gather(&row(&path, left())).await;
            found.files.push(kubeconfig(path, &file));
        }
    }
    let users = found.files.iter_mut().flat_map(|file| &mut file.users).take(MAX_FILES);
    for user in users {
        if let Some(path) = user.file.as_ref().filter(|path| path.starts_with('/')) {
            let file = live.gather(&row(path, left())).await;
            if file.outcome == Outcome::Ok {
                user.times = Some(Times::of(&file.text()));
            }
        }
    }
    if left().is_zero() {
        reading.outcome = Outcome::Timeout;
        reading.reason = Some(format!("did not finish within {limit:?}"));
    }
    // Numbers and texts are always JSON.
    reading.bytes = serde_json::to_vec_pretty(&found).unwrap_or_default();
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

fn row(path: &str, limit: Duration) -> Artifact {
    Artifact::file_at(path.to_owned()).at_most(MAX_FILE).within(limit)
}

fn kubeconfig(path: String, file: &Reading) -> Credential {
    let found = if file.outcome == Outcome::Ok { users(&file.text()) } else { None };
    let is_strange = file.outcome == Outcome::Ok && found.is_none();
    let mut credential = credential(path, file, found.unwrap_or_default());
    if is_strange {
        credential.outcome = Outcome::Failed;
        credential.reason = Some("it is no kubeconfig".to_owned());
    }
    credential
}

fn credential(path: String, file: &Reading, users: Vec<User>) -> Credential {
    let Reading { outcome, reason, modified, .. } = file;
    Credential { path, outcome: *outcome, reason: reason.clone(), modified: *modified, users }
}
