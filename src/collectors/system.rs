//! The machine: its name, its time, its processes.

use std::borrow::Cow;

use super::{Artifact, Collector, Extent, Rows, Source};
use crate::{clock, filesystems, processes};

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
        Artifact::new(Cow::Borrowed(clock::PATH), Source::Clock),
        Artifact::new(Cow::Borrowed(filesystems::PATH), Source::FileSystems),
        Artifact::command("date", "date"),
        Artifact::command("hostname", "hostname"),
        // By these, and no serial number, a cloud's machine is known.
        Artifact::file("/sys/class/dmi/id/sys_vendor").public(),
        Artifact::file("/sys/class/dmi/id/product_name").public(),
        Artifact::file("/sys/class/dmi/id/bios_version").public(),
        Artifact::file("/sys/class/dmi/id/chassis_asset_tag").public(),
        Artifact::file("/etc/os-release"),
        Artifact::file("/etc/hosts"),
        Artifact::file("/etc/resolv.conf"),
        Artifact::command("system/disks", "df -hT -x fuse -x nfs -x nfs4 -x cifs"),
    ],
    trees: &[],
    more: |node| {
        let mut artifacts = if node.systemd {
            vec![
                Artifact::command(
                    "system/failed-units",
                    "systemctl list-units --failed --no-pager",
                ),
                Artifact::command(TIMEDATECTL, "timedatectl show"),
            ]
        } else {
            Vec::new()
        };
        // It asks chronyd, where that runs, and nobody else.
        if processes::time_keepers(&node.processes).any(|name| name == "chronyd") {
            artifacts.push(Artifact::command(CHRONY, "chronyc -n -c tracking"));
        }
        Rows { artifacts, trees: Vec::new() }
    },
};

/// What runs as the first process: `systemd` or another.
pub(super) const INIT: Artifact = Artifact::file("/proc/1/comm").public();

/// What systemd tells of the clock.
pub(crate) const TIMEDATECTL: &str = "system/time";
/// What chronyd tells of it.
pub(crate) const CHRONY: &str = "system/chrony";
