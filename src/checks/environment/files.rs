//! The files that the settings name: are they there, and who can read them?

use serde_json::json;

use crate::checks::{Finding, Level};
use crate::datastore::environment::{DEFAULT_KUBECONFIG, Environment, FileState};
use crate::host::Outcome;

pub(super) const ID: &str = "environment.file";

/// One finding for each.
pub(super) fn judge(environment: &Environment) -> Vec<Finding> {
    let is_asked_for =
        |file: &&FileState| file.setting != DEFAULT_KUBECONFIG || file.outcome != Outcome::Missing;
    environment.files.iter().filter(is_asked_for).map(|file| of(environment, file)).collect()
}

fn of(environment: &Environment, file: &FileState) -> Finding {
    let FileState { setting, path, .. } = file;
    let reason = file.reason.as_deref().unwrap_or("no reason was given");
    let finding = match file.outcome {
        Outcome::Ok => return readable(file).evidence(evidence(file)),
        // Of several kubeconfigs, those that are not there are passed over.
        Outcome::Missing if is_one_of_several(environment, file) => {
            Finding::new(ID, Level::Info, format!("{setting} names {path}, which is not there"))
        }
        Outcome::Missing => {
            Finding::new(ID, Level::Fail, format!("{setting} names {path}, which is not there"))
                .remedy(format!("name the file that is there, or put it there: ls -l {path}"))
        }
        Outcome::Denied if environment.uid != 0 => Finding::new(
            ID,
            Level::Unknown,
            format!("{setting}: {path} cannot be read as this user: {reason}"),
        )
        .remedy("run calivet as root"),
        Outcome::NotApplicable => Finding::new(
            ID,
            Level::Fail,
            format!("{setting} names {path}, which is no file to read: {reason}"),
        ),
        _ => Finding::new(
            ID,
            Level::Fail,
            format!("{setting} names {path}, which cannot be read: {reason}"),
        ),
    };
    finding.evidence(evidence(file))
}

fn is_one_of_several(environment: &Environment, file: &FileState) -> bool {
    environment.files.iter().filter(|other| other.setting == file.setting).count() > 1
}

fn readable(file: &FileState) -> Finding {
    let FileState { setting, path, .. } = file;
    let mode = file.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let Some(mode) = mode else {
        return Finding::new(
            ID,
            Level::Unknown,
            format!("{setting}: the permissions of {path} are not known"),
        );
    };
    let may = match mode & 0o066 {
        0 => None,
        bits if bits & 0o022 != 0 => Some("read or changed"),
        bits if bits & 0o004 != 0 => Some("read"),
        // A group that may read is a common arrangement.
        _ => None,
    };
    match may.filter(|_| file.credential) {
        Some(may) => {
            let summary = format!(
                "{setting}: {path} holds a credential and can be {may} by others (mode {mode:04o})"
            );
            Finding::new(ID, Level::Warn, summary).remedy(format!("chmod 600 {path}"))
        }
        None => Finding::new(ID, Level::Ok, format!("{setting}: {path} can be read")),
    }
}

fn evidence(file: &FileState) -> serde_json::Value {
    json!({
        "setting": file.setting, "path": file.path, "credential": file.credential, "outcome": file.outcome,
        "reason": file.reason, "mode": file.mode, "uid": file.uid,
    })
}
