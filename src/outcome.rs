//! What became of an attempt to read something: nine words, that a manifest and what is kept of a host use alike.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What happened when an artifact was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was read whole.
    Ok,
    /// The host has no such thing.
    Missing,
    /// The kernel or the peer refused: more privilege is needed.
    Denied,
    /// It did not answer within its time; what came until then is kept.
    Timeout,
    /// It failed: the reason says how; what came until then is kept.
    Failed,
    /// It is larger than is kept.
    Truncated,
    /// The run was ended before it was whole.
    Interrupted,
    /// It makes no sense on this host, and the reason says why.
    NotApplicable,
    /// It was left out on purpose, and the reason says why.
    Skipped,
}

impl Outcome {
    /// Reads one in a manifest: a word that a newer calivet has for an outcome is no success that is known.
    pub(crate) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = serde_json::Value::deserialize(deserializer)?;
        Ok(Self::deserialize(word).unwrap_or(Self::Failed))
    }

    /// Whether something that is there was not read whole.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Denied | Self::Timeout | Self::Failed | Self::Truncated | Self::Interrupted
        )
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Truncated => "truncated",
            Self::Interrupted => "interrupted",
            Self::NotApplicable => "not-applicable",
            Self::Skipped => "skipped",
        })
    }
}
