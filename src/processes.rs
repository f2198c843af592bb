//! The processes of a node. (A stand-in for what the parsers bring: the table's rows only.)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The environment variables of an agent that may be kept: none of them can hold a secret.
pub const ENVIRONMENT: &[&str] = &["CALICO_NETWORKING_BACKEND", "FELIX_HEALTHPORT", "NODENAME"];

/// A process, as `/proc/PID` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its number in the process namespace of the `/proc` that was read.
    pub pid: i32,
    /// The number of its parent.
    pub ppid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Whether it has effective user 0 and the user namespace mapping of calivet itself.
    pub host_root: bool,
    /// One letter: `R`, `S`, `D`, `T`, `Z`, ...
    pub state: String,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// The name of its program, at most 15 bytes.
    pub comm: String,
    /// Its arguments.
    pub argv: Vec<String>,
    /// The file that it executes, as its own mount namespace names it.
    pub exe: Option<String>,
    /// The last component of its control group's path.
    pub container: Option<String>,
    /// The variables of [`ENVIRONMENT`] that it was started with.
    pub environment: BTreeMap<String, String>,
}
