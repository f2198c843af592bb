//! The machine: its name, its time, its processes.

use std::borrow::Cow;

use super::{Artifact, Collector, Extent, Rows, Source};

/// The table of processes.
pub(super) const PROCESSES: Artifact =
    Artifact::new(Cow::Borrowed("processes.json"), Source::Processes(Extent::All));

/// The same, as far as Calico's agents are in it.
pub(super) const AGENTS: Artifact =
    Artifact::new(Cow::Borrowed("processes.json"), Source::Processes(Extent::Agents));

pub(super) const COLLECTOR: Collector = Collector {
    name: "system",
    about: "the machine: name, time, processes, disks, failed units",
    artifacts: &[
        PROCESSES,
        INIT,
        Artifact::command("date", "date"),
        Artifact::command("hostname", "hostname"),
        Artifact::file("/etc/os-release"),
        Artifact::file("/etc/hosts"),
        Artifact::file("/etc/resolv.conf"),
        Artifact::command("system/disks", "df -hT -x fuse -x nfs -x nfs4 -x cifs"),
    ],
    trees: &[],
    more: |node| {
        let artifacts = if node.systemd {
            vec![
                Artifact::command(
                    "system/failed-units",
                    "systemctl list-units --failed --no-pager",
                ),
                Artifact::command("system/time", "timedatectl show"),
            ]
        } else {
            Vec::new()
        };
        Rows { artifacts, trees: Vec::new() }
    },
};

/// What runs as the first process: `systemd` or another.
pub(super) const INIT: Artifact = Artifact::file("/proc/1/comm").public();
