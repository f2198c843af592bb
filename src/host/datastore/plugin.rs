//! A program that a kubeconfig names for its credentials, run as kubectl runs it, but within bounds.
//!
//! ```json
//! {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "..."}}
//! ```
//!
//! It gets calivet's own environment and no terminal. Root runs only what root alone can change.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::Refused;
use crate::datastore::kubeconfig::Plugin;
use crate::datastore::{Kubernetes, Pem, Secret};
use crate::host::command::Program;
use crate::host::program::{self, Absent, Unfit};
use crate::host::{Outcome, beneath};

/// The bound on the program: those of clouds ask a server.
const RUNNING: Duration = Duration::from_secs(5);
/// A question that may take no longer than this is not worth to run a program for, which may be ended in the middle of
/// its work.
const WORTH: Duration = Duration::from_secs(2);
/// A token, a certificate and a key take some ten thousand bytes.
const MOST: u64 = 256 << 10;

/// Fills in what the program gives.
pub(super) async fn run(
    plugin: &Plugin,
    root: &Path,
    limit: Duration,
    connection: &mut Kubernetes,
) -> Result<(), Refused> {
    let skipped = |reason: String| Refused::new(Outcome::Skipped, reason);
    let name = &plugin.command;
    if root != Path::new("/") {
        return Err(skipped(format!(
            "the kubeconfig names a program for its credentials ({name}), which is not run with --root"
        )));
    }
    if limit <= WORTH {
        return Err(skipped(format!(
            "the kubeconfig names a program for its credentials ({name}), which is not run for so short a question: \
             see check datastore"
        )));
    }
    let path = find(name)?;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let added = plugin.environment.iter().map(|(name, value)| (name.into(), value.into()));
    environment.extend(added);
    environment.push(("KUBERNETES_EXEC_INFO".into(), plugin.told.clone().into()));
    let program = Program::here(path, plugin.arguments.clone(), environment);
    let (chunks, mut received) = mpsc::channel(2);
    let gather = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = received.recv().await {
            bytes.extend(chunk);
        }
        bytes
    };
    let (reading, bytes) = tokio::join!(program.run(None, RUNNING, MOST, chunks), gather);
    if reading.outcome != Outcome::Ok {
        let reason = reading.reason.unwrap_or_default();
        return Err(Refused::new(
            reading.outcome,
            format!("the program for the credentials, {name}, gave none: {reason}"),
        ));
    }
    let none = || format!("the program for the credentials, {name}, gave none that are understood");
    let said: Value =
        serde_json::from_slice(&bytes).map_err(|_| Refused::new(Outcome::Failed, none()))?;
    let text = |field: &str| said["status"][field].as_str().map(|text| Secret(text.to_owned()));
    let (token, certificate) = (text("token"), text("clientCertificateData"));
    if token.is_none() && certificate.is_none() {
        return Err(Refused::new(Outcome::Failed, none()));
    }
    connection.token = token.or_else(|| connection.token.take());
    if let Some(certificate) = certificate {
        connection.certificate = Some(Pem::Inline(certificate));
        connection.key = text("clientKeyData").map(Pem::Inline);
    }
    Ok(())
}

/// The program of a name or a path.
fn find(name: &str) -> Result<PathBuf, Refused> {
    let missing = || {
        let reason =
            format!("there is no program {name}, which the kubeconfig names for its credentials");
        Refused::new(Outcome::Missing, reason)
    };
    let path = Path::new(name);
    if !nix::unistd::geteuid().is_root() {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let is_there =
            |path: &PathBuf| nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
        let found = if name.contains('/') {
            Some(path.to_owned()).filter(is_there)
        } else {
            std::env::split_paths(&folders).map(|folder| folder.join(name)).find(is_there)
        };
        return found.ok_or_else(missing);
    }
    let untrusted = |reason: String| Refused::new(Outcome::Skipped, reason);
    let top = beneath::open_root(Path::new("/"))
        .map_err(|error| Refused::new(Outcome::Failed, std::io::Error::from(error).to_string()))?;
    if !path.is_absolute() {
        return program::find(top.as_fd(), name).map_err(|absent| match absent {
            Absent::Missing(_) => missing(),
            Absent::Untrusted(reason) => untrusted(reason),
        });
    }
    match program::check(top.as_fd(), path) {
        Ok(()) => Ok(path.to_owned()),
        Err(Unfit::Absent) => Err(missing()),
        Err(Unfit::NoProgram(reason)) => Err(Refused::new(Outcome::Failed, reason)),
        Err(Unfit::Untrusted(reason)) => Err(untrusted(reason)),
    }
}
