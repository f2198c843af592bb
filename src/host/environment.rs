//! calivet's own environment, as far as it concerns the datastore, and the files that settings name: they are looked
//! at, and none of them is read but calicoctl's configuration file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sys::stat::fstat;
use nix::unistd::{AccessFlags, eaccess, geteuid, getppid};

use super::{Outcome, Reading, beneath, file};
use crate::datastore::environment::{
    self, ConfigurationFile, DEFAULT_KUBECONFIG, Environment, FileState, Sudo,
};
use crate::datastore::settings::{self, DEFAULT_PATH, Named, Settings};
use crate::datastore::variables;

/// A configuration file holds a few lines, and a kubeconfig at most.
pub(super) const MAX_FILE: u64 = 1 << 20;
/// The most that is read of an ancestor's environment.
const MAX_ENVIRONMENT: u64 = 2 << 20;
/// How many processes up sudo is looked for: it may have started a shell.
const MAX_ANCESTORS: usize = 8;

/// What calicoctl would use on the host at `root`, by the configuration file at `path` and what it was read as.
pub(super) fn look(root: &Path, path: &Path, file: &Reading) -> Environment {
    let environment = own();
    let settings = settings(path, file, &environment);
    let home = environment.get("HOME").filter(|home| !home.is_empty());
    let files = environment::files(&settings, home.map(String::as_str));
    Environment {
        uid: geteuid().as_raw(),
        home: home.cloned(),
        sudo: sudo(root, &environment),
        in_cluster: environment.contains_key("KUBERNETES_SERVICE_HOST"),
        variables: environment::shown(&environment),
        file: ConfigurationFile {
            path: path.display().to_string(),
            named: path != Path::new(DEFAULT_PATH),
            outcome: file.outcome,
            reason: file.reason.clone(),
        },
        origin: settings.origin,
        files: files.iter().map(|(setting, named)| state(root, setting, named)).collect(),
        effective: settings.effective,
        ignored: settings.ignored,
        problems: settings.problems,
        endpoints: settings.endpoints,
    }
}

/// The settings by what the configuration file at `path` was read as, with their secrets.
pub(super) fn settings(
    path: &Path,
    file: &Reading,
    environment: &BTreeMap<String, String>,
) -> Settings {
    let unreadable = |reason: &str| settings::File::Unreadable(reason.to_owned());
    let file = match file.outcome {
        Outcome::Ok => match String::from_utf8(file.bytes.clone()) {
            Ok(text) => settings::File::Text(text),
            Err(_) => unreadable("it is not UTF-8"),
        },
        Outcome::Missing if path == Path::new(DEFAULT_PATH) => settings::File::Absent,
        Outcome::Missing => settings::File::Missing,
        Outcome::Truncated => unreadable("it is longer than 1 MiB"),
        outcome => unreadable(file.reason.as_deref().unwrap_or(&outcome.to_string())),
    };
    settings::settings(&file, environment)
}

/// What of calivet's own environment concerns the datastore.
pub(super) fn own() -> BTreeMap<String, String> {
    let others = ["HOME", "SUDO_USER", "KUBERNETES_SERVICE_HOST"].map(ToOwned::to_owned);
    let names = variables::all().map(|(name, _)| name).chain(others);
    let set = names.filter_map(|name| {
        let value = std::env::var_os(&name)?.to_string_lossy().into_owned();
        Some((name, value))
    });
    set.collect()
}

/// Whether a file can be read, and by whom else.
fn state(root: &Path, setting: &str, named: &Named) -> FileState {
    let path = std::path::absolute(&named.path).unwrap_or_else(|_| named.path.clone());
    let mut state = FileState {
        setting: setting.to_owned(),
        path: named.path.display().to_string(),
        credential: named.credential,
        outcome: Outcome::Ok,
        reason: None,
        mode: None,
        uid: None,
    };
    let found = beneath::open_on_host(root, &path).and_then(|at| fstat(&at).map(|stat| (at, stat)));
    match found {
        Ok((at, stat)) => {
            state.mode = Some(format!("{:04o}", stat.st_mode & 0o7777));
            state.uid = Some(stat.st_uid);
            if let Some(refusal) = beneath::refusal(&stat) {
                (state.outcome, state.reason) = (Outcome::NotApplicable, Some(refusal.to_owned()));
            } else {
                let itself = format!("/proc/self/fd/{}", at.as_raw_fd());
                if let Err(errno) = eaccess(itself.as_str(), AccessFlags::R_OK) {
                    (state.outcome, state.reason) = file::refused("read", &path, errno);
                }
            }
        }
        Err(errno) => (state.outcome, state.reason) = file::refused("open", &path, errno),
    }
    state
}

/// Who called sudo, and what sudo did not pass on.
fn sudo(root: &Path, own: &BTreeMap<String, String>) -> Option<Sudo> {
    let user = own.get("SUDO_USER").filter(|user| !user.is_empty())?.clone();
    let Some(callers) = callers_environment() else {
        return Some(Sudo { user, lost: None, kubeconfig: None });
    };
    let lost = variables::set(&callers).into_iter().map(|(name, _)| name);
    let lost = lost.filter(|name| !own.contains_key(name)).collect();
    let home = callers.get("HOME").filter(|home| own.get("HOME") != Some(home)).map(PathBuf::from);
    let kubeconfig = home.filter(|home| home.is_absolute()).and_then(|home| {
        let path = home.join(".kube/config");
        let named = Named { setting: "kubeconfig", path, credential: true };
        let state = state(root, DEFAULT_KUBECONFIG, &named);
        (state.outcome == Outcome::Ok).then_some(state.path)
    });
    Some(Sudo { user, lost: Some(lost), kubeconfig })
}

/// The environment of the sudo under which calivet runs: it is that of the one who called. Of the variables only those
/// that concern the datastore, and `HOME`.
fn callers_environment() -> Option<BTreeMap<String, String>> {
    let mut pid = getppid().as_raw();
    for _ in 0..MAX_ANCESTORS {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = read(&folder.join("stat"), 4 << 10)?;
        let stat = String::from_utf8_lossy(&stat);
        // A name may hold brackets itself.
        let (before, behind) = stat.rsplit_once(')')?;
        if before.split_once('(')?.1 == "sudo" {
            let environment = read(&folder.join("environ"), MAX_ENVIRONMENT)?;
            return Some(concerning(&environment));
        }
        pid = behind.split_ascii_whitespace().nth(1)?.parse().ok()?;
        if pid <= 1 {
            return None;
        }
    }
    None
}

fn concerning(environment: &[u8]) -> BTreeMap<String, String> {
    let names: Vec<String> =
        variables::all().map(|(name, _)| name).chain(["HOME".to_owned()]).collect();
    let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let text = String::from_utf8_lossy(variable);
        let (name, value) = text.split_once('=')?;
        names.iter().any(|known| known == name).then(|| (name.to_owned(), value.to_owned()))
    });
    variables.collect()
}

/// A file of `/proc`, whole.
fn read(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max_bytes).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
