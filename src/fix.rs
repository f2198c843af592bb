//! The only code that changes a node: it carries out what checks propose, one [`Change`] after the other.
//!
//! What is so already is left alone, so that it can be run twice. A file is written whole beside itself and
//! renamed, and what was there before stays as a backup. When one change fails, what was done before it is told and
//! what comes after it is not tried.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use similar::TextDiff;

use crate::host::{Artifact, Host, Outcome, Source};

/// What would mend a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file has this text.
    File {
        /// Its absolute path on the host.
        path: String,
        /// All that it holds.
        text: String,
    },
    /// A setting of the running kernel has this value: sysctl(8).
    Sysctl {
        /// With dots, such as `net.netfilter.nf_conntrack_max`.
        key: String,
        /// As it is written to the key's file below `/proc/sys`.
        value: String,
    },
    /// `NetworkManager` has read its configuration again: asked of it over the system's bus.
    ReloadNetworkManager,
}

/// A change and what it would replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    change: Change,
    /// What is there now; `None`: nothing.
    before: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The file or the kernel's key.
    pub target: String,
    /// What changes, as a unified diff.
    pub diff: String,
    /// What happened.
    pub outcome: Effect,
    /// Why it failed.
    pub reason: Option<String>,
    /// Where the file that was replaced is kept.
    pub backup: Option<String>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It was made.
    Done,
    /// It could not be made; what was there before is still there.
    Failed,
    /// It was not tried: only shown, declined, or one before it failed.
    NotTried,
}

/// What of `changes` is not so already. What is proposed twice is done once.
///
/// # Errors
/// What is there now cannot be read, so that nothing can be said of what a change would replace.
pub async fn plan(host: &Host, changes: Vec<Change>) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for change in changes {
        if steps.iter().any(|step| step.change == change) {
            continue;
        }
        if change == Change::ReloadNetworkManager {
            steps.push(Step { change, before: None });
            continue;
        }
        let path = change.target();
        let reading = host.read(&change.artifact()).await;
        let before = match reading.outcome {
            Outcome::Ok => Some(reading.text().into_owned()),
            Outcome::Missing if matches!(change, Change::File { .. }) => None,
            outcome => {
                let reason = reading.reason.unwrap_or_else(|| outcome.to_string());
                anyhow::bail!("failed to look at {path} before it is changed: {reason}");
            }
        };
        let step = Step { change, before };
        if step.is_needed() {
            steps.push(step);
        }
    }
    Ok(steps)
}

/// Carries out the steps in their order, until one fails.
#[must_use]
pub async fn apply(host: &Host, steps: &[Step], now: Timestamp) -> Vec<Applied> {
    let mut all = Vec::new();
    let mut failed = false;
    for step in steps {
        let mut applied = step.not_tried();
        if !failed {
            match step.apply(host, now).await {
                Ok(backup) => (applied.outcome, applied.backup) = (Effect::Done, backup),
                Err(error) => {
                    failed = true;
                    applied.outcome = Effect::Failed;
                    applied.reason = Some(format!("{error:#}"));
                }
            }
        }
        all.push(applied);
    }
    all
}

impl Change {
    /// The file that is written, or the service that is asked.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::File { path, .. } => path.clone(),
            // sysctl(8): dots stand for slashes, and a slash for a dot.
            Self::Sysctl { key, .. } => {
                let swapped = key.chars().map(|character| match character {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                });
                format!("/proc/sys/{}", swapped.collect::<String>())
            }
            Self::ReloadNetworkManager => "NetworkManager".to_owned(),
        }
    }

    /// What is written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::File { text, .. } => text,
            Self::Sysctl { value, .. } => value,
            Self::ReloadNetworkManager => "",
        }
    }

    fn artifact(&self) -> Artifact {
        Artifact::new("".into(), Source::File(self.target().into()))
    }
}

impl Step {
    fn is_needed(&self) -> bool {
        match &self.change {
            Change::File { text, .. } => self.before.as_ref() != Some(text),
            // The kernel writes numbers of one line apart by tabs.
            Change::Sysctl { value, .. } => !self
                .before
                .as_ref()
                .is_some_and(|before| before.split_whitespace().eq(value.split_whitespace())),
            Change::ReloadNetworkManager => true,
        }
    }

    async fn apply(&self, host: &Host, now: Timestamp) -> anyhow::Result<Option<String>> {
        let path = self.change.target();
        match &self.change {
            Change::File { text, .. } => {
                host.replace_file(Path::new(&path), self.before.as_deref(), text, now)
            }
            Change::Sysctl { value, .. } => {
                host.write_setting(Path::new(&path), value).map(|()| None).map_err(|error| {
                    anyhow::anyhow!(
                        "{error:#}: it takes root, and in a network namespace other than the host's own many settings \
                         are read-only"
                    )
                })
            }
            Change::ReloadNetworkManager => host.reload_network_manager().await.map(|()| None),
        }
    }

    /// What changes, as a unified diff; of what is no text, in a sentence.
    #[must_use]
    pub fn diff(&self) -> String {
        if self.change == Change::ReloadNetworkManager {
            return "NetworkManager reads its configuration again (D-Bus: Reload)\n".to_owned();
        }
        let path = self.change.target();
        let before = self.before.as_deref().unwrap_or_default();
        let old = if self.before.is_some() { path.as_str() } else { "/dev/null" };
        let mut after = self.change.text().to_owned();
        if !after.ends_with('\n') {
            after.push('\n');
        }
        let diff = TextDiff::from_lines(before, &after);
        diff.unified_diff().context_radius(3).header(old, &path).to_string()
    }

    /// The account of a step that is only shown.
    #[must_use]
    pub fn not_tried(&self) -> Applied {
        Applied {
            target: match &self.change {
                Change::File { path, .. } => path.clone(),
                Change::Sysctl { key, .. } => key.clone(),
                Change::ReloadNetworkManager => self.change.target(),
            },
            diff: self.diff(),
            outcome: Effect::NotTried,
            reason: None,
            backup: None,
        }
    }
}

#[cfg(test)]
mod tests;
