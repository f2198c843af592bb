//! `check environment`: by which settings is the datastore reached, and did they survive sudo?
//!
//! calicoctl takes all of its settings from its configuration file, or all of them from the environment. What calivet
//! found of both is one artifact without a secret in it, so that a bundle gives the same verdict.

mod endpoints;
mod files;
mod node;

use std::path::Path;

use serde_json::json;

use crate::collectors::{self, Rows};
use crate::datastore::environment::{DEFAULT_KUBECONFIG, Environment, PATH, Sudo};
use crate::datastore::settings::{Effective, Origin, Problem};
use crate::host::{Evidence, Outcome};

use super::{Asked, Check, Finding, Kind, Level};

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "environment",
    about: "calicoctl's settings: where they come from, what is wrong with them, what sudo lost",
    finds: &[
        Kind { id: SETTINGS, passes: "It is known how the datastore is reached." },
        Kind { id: MISTAKES, passes: "calicoctl takes the settings." },
        Kind { id: SUDO, passes: "sudo passed the settings on." },
        Kind { id: IGNORED, passes: "No variable is ignored." },
        Kind {
            id: files::ID,
            passes: "The file that a setting names can be read, and by no others.",
        },
        Kind { id: endpoints::ID, passes: "The datastore's URLs are URLs, and safe." },
        Kind { id: node::ID, passes: "calicoctl and calico-node use the same datastore." },
    ],
    reads: |_, asked| Rows {
        artifacts: vec![collectors::environment(&asked.config)],
        ..Rows::default()
    },
    later: |_, _| Rows::default(),
    judge,
};

const SETTINGS: &str = "environment.settings";
const MISTAKES: &str = "environment.mistakes";
const SUDO: &str = "environment.sudo";
const IGNORED: &str = "environment.ignored";

/// How variables survive sudo.
const KEEP: &str =
    "sudo -E calivet ...            (keeps the variables, if sudoers allows it: SETENV)";

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let environment = match read(evidence) {
        Ok(environment) => environment,
        Err(why) => {
            return vec![Finding::new(
                SETTINGS,
                Level::Unknown,
                format!("the settings are not known: {why}"),
            )];
        }
    };
    let mut findings = vec![
        settings(&environment),
        mistakes(&environment),
        sudo(&environment),
        ignored(&environment),
    ];
    findings.extend(files::judge(&environment));
    findings.push(endpoints::judge(&environment));
    findings.push(node::judge(&environment, evidence));
    findings
}

/// What was found of the settings, or why nothing was.
fn read(evidence: &Evidence) -> Result<Environment, String> {
    let reading = evidence.get(PATH).ok_or("they were not asked for")?;
    if reading.outcome != Outcome::Ok {
        return Err(reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string()));
    }
    Environment::parse(&reading.bytes).map_err(|error| format!("{PATH} is not understood: {error}"))
}

fn settings(environment: &Environment) -> Finding {
    let file = &environment.file;
    let finding = match file.outcome {
        Outcome::Ok | Outcome::Missing if environment.is_refused() => Finding::new(
            SETTINGS,
            Level::Fail,
            "calicoctl connects to nothing: it refuses its settings",
        )
        .remedy("mend what environment.mistakes names"),
        Outcome::Ok | Outcome::Missing => of_connection(environment),
        _ => {
            let reason = file.reason.clone().unwrap_or_else(|| file.outcome.to_string());
            let level = if environment.uid == 0 { Level::Fail } else { Level::Unknown };
            let summary = format!(
                "calicoctl's configuration file {} is there and cannot be read: {reason}",
                file.path
            );
            let finding = Finding::new(SETTINGS, level, summary);
            if environment.uid == 0 { finding } else { finding.remedy("run calivet as root") }
        }
    };
    finding.evidence(json!({
        "origin": environment.origin, "file": file, "effective": environment.effective,
        "home": environment.home, "inCluster": environment.in_cluster,
    }))
}

/// The settings are taken: where do they lead?
fn of_connection(environment: &Environment) -> Finding {
    let shown = |setting: &str| environment.effective(setting);
    let from = |row: &Effective| match (&row.variable, row.line) {
        (Some(variable), _) => variable.clone(),
        (None, Some(line)) => format!("{}:{line}", environment.file.path),
        (None, None) => "calicoctl's default".to_owned(),
    };
    let told = |what: &str, row: &Effective| format!("{what} {} ({})", row.shown, from(row));
    if shown("datastoreType").is_some_and(|row| row.shown == "etcdv3") {
        let endpoints = shown("etcdEndpoints").map(|row| told("etcd at", row));
        let srv = || shown("etcdDiscoverySrv").map(|row| told("etcd at the SRV records of", row));
        let summary = endpoints.or_else(srv).unwrap_or_else(|| "etcd".to_owned());
        return Finding::new(SETTINGS, Level::Ok, summary);
    }
    let by = if let Some(row) = shown("kubeconfigInline") {
        format!("a kubeconfig in the file ({})", from(row))
    } else if let Some(row) = shown("kubeconfig") {
        told("kubeconfig", row)
    } else if let Some(row) = shown("k8sAPIEndpoint") {
        told("the URL", row)
    } else if let Some(file) = default_kubeconfig(environment) {
        format!("kubeconfig {file} (calicoctl's default)")
    } else if environment.in_cluster {
        "the pod's own service account".to_owned()
    } else {
        return nowhere(environment);
    };
    Finding::new(SETTINGS, Level::Ok, format!("the Kubernetes API, by {by}"))
}

/// `~/.kube/config`, if it can be read.
fn default_kubeconfig(environment: &Environment) -> Option<&str> {
    let is_there = |file: &&crate::datastore::environment::FileState| {
        file.setting == DEFAULT_KUBECONFIG && file.outcome == Outcome::Ok
    };
    environment.files.iter().find(is_there).map(|file| file.path.as_str())
}

fn nowhere(environment: &Environment) -> Finding {
    let file = &environment.file.path;
    if environment.origin == Origin::File {
        let summary =
            format!("{file} names no datastore: neither endpoints of etcd nor a kubeconfig");
        return Finding::new(SETTINGS, Level::Warn, summary)
            .remedy(format!("name it in {file}: spec.kubeconfig or spec.etcdEndpoints"));
    }
    if environment.variables.is_empty() {
        let kubeconfig = Path::new(environment.home.as_deref().unwrap_or("~")).join(".kube/config");
        let summary = format!(
            "calicoctl has no settings here: there is neither {file} nor a variable nor {}",
            kubeconfig.display()
        );
        return Finding::new(SETTINGS, Level::Skip, summary);
    }
    let summary =
        "the variables that are set name no datastore: neither endpoints of etcd nor a kubeconfig";
    Finding::new(SETTINGS, Level::Warn, summary)
        .remedy("export KUBECONFIG=FILE, or ETCD_ENDPOINTS=URL")
}

fn mistakes(environment: &Environment) -> Finding {
    let path = &environment.file.path;
    // That it cannot be read at all is told by the settings.
    if !matches!(environment.file.outcome, Outcome::Ok | Outcome::Missing) {
        return Finding::new(MISTAKES, Level::Unknown, format!("{path} could not be read"));
    }
    let is_file = environment.origin == Origin::File;
    let place = |problem: &Problem| match problem.line {
        Some(line) => format!("{path}:{line}: {}", problem.what),
        None if is_file => format!("{path}: {}", problem.what),
        None => problem.what.clone(),
    };
    let Some(first) = environment
        .problems
        .iter()
        .find(|problem| problem.refused)
        .or(environment.problems.first())
    else {
        let nothing = !is_file && environment.variables.is_empty();
        return if nothing {
            Finding::new(MISTAKES, Level::Skip, "there are no settings")
        } else {
            Finding::new(MISTAKES, Level::Ok, "calicoctl takes the settings as they are")
        };
    };
    let level = if first.refused { Level::Fail } else { Level::Warn };
    let more = match environment.problems.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let mut finding = Finding::new(MISTAKES, level, format!("{}{more}", place(first)));
    let others = environment.problems.iter().filter(|problem| *problem != first);
    for other in others.take(5) {
        finding = finding.remedy(format!("also: {}", place(other)));
    }
    if environment.file.named && environment.file.outcome == Outcome::Missing {
        finding = finding.remedy("name the file that is there: --config FILE");
    }
    finding.evidence(json!({"file": path, "problems": environment.problems}))
}

fn sudo(environment: &Environment) -> Finding {
    let Some(Sudo { user, lost, kubeconfig }) = &environment.sudo else {
        return Finding::new(SUDO, Level::Skip, "calivet does not run under sudo");
    };
    let evidence =
        json!({"user": user, "lost": lost, "kubeconfig": kubeconfig, "home": environment.home});
    let has_settings = environment.origin == Origin::File
        || !environment.variables.is_empty()
        || default_kubeconfig(environment).is_some()
        || environment.in_cluster;
    let file = &environment.file.path;
    let lost_names = lost.as_deref().unwrap_or_default();
    let finding = if environment.origin == Origin::File {
        Finding::new(
            SUDO,
            Level::Ok,
            format!("{file} is read whether sudo passes variables on or not"),
        )
    } else if !lost_names.is_empty() {
        let names = lost_names.join(", ");
        Finding::new(
            SUDO,
            Level::Warn,
            format!("sudo did not pass on what {user} had set: {names}"),
        )
        .remedy(KEEP)
    } else if let (Some(kubeconfig), false) = (kubeconfig, has_settings) {
        let home = environment.home.as_deref().unwrap_or("another folder");
        let summary =
            format!("under sudo, HOME is {home}, so that {user}'s {kubeconfig} is not found");
        Finding::new(SUDO, Level::Warn, summary)
            .remedy(format!("sudo KUBECONFIG={kubeconfig} calivet ..."))
    } else if has_settings {
        Finding::new(SUDO, Level::Ok, "there are settings under sudo, too")
    } else if lost.is_some() {
        Finding::new(SUDO, Level::Skip, format!("{user} had set nothing that sudo could have lost"))
    } else {
        let summary = format!(
            "calivet runs under sudo for {user}, and there are neither variables (ETCD_*, KUBECONFIG, DATASTORE_TYPE) \
             nor {file}: sudo may have dropped them"
        );
        Finding::new(SUDO, Level::Warn, summary).remedy(KEEP)
    };
    let finding = match finding.level {
        Level::Warn => finding
            .remedy(format!("or write the settings to {file}, which is read under sudo, too")),
        _ => finding,
    };
    finding.evidence(evidence)
}

fn ignored(environment: &Environment) -> Finding {
    let path = &environment.file.path;
    if environment.origin == Origin::Environment {
        return Finding::new(
            IGNORED,
            Level::Skip,
            format!("there is no {path}: the environment counts"),
        );
    }
    if environment.ignored.is_empty() {
        return Finding::new(
            IGNORED,
            Level::Ok,
            format!("{path} alone counts, and no variable says otherwise"),
        );
    }
    let names = environment.ignored.join(", ");
    let summary =
        format!("{path} is there, so that calicoctl ignores the environment whole: {names}");
    Finding::new(IGNORED, Level::Warn, summary)
        .remedy(format!(
            "put into {path} what is to count, or unset the variables: unset {}",
            environment.ignored.join(" ")
        ))
        .evidence(json!({"file": path, "ignored": environment.ignored}))
}

#[cfg(test)]
mod tests;
