//! The clock beside what can be compared with it: the hardware's clock, and when files were last written to.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl;
use nix::sys::stat::fstat;

use super::beneath::{self, Links};
use super::file;
use crate::clock::{Clock, Stamp, TIMESYNC};

/// Files that tell by their time: those that keepers of the clock write, and those that Calico and the kubelet have
/// written not long ago.
const FILES: &[&str] = &[
    TIMESYNC,
    "/var/lib/systemd/timesync/clock",
    "/var/lib/chrony/drift",
    "/var/lib/chrony/chrony.drift",
    "/var/lib/ntp/ntp.drift",
    "/var/lib/ntp/drift",
    "/var/lib/ntpsec/ntp.drift",
    "/var/lib/calico/nodename",
    "/etc/cni/net.d/10-calico.conflist",
    "/etc/cni/net.d/calico-kubeconfig",
    "/var/log/calico/cni/cni.log",
    "/var/log/pods",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
];

/// What stands of the hardware's clock in sysfs: seconds since 1970, some twelve bytes.
const HARDWARE: &str = "/sys/class/rtc/rtc0/since_epoch";
const MAX_NUMBER: u64 = 64;

/// Looks at the clock of the host at `root`.
pub(super) fn look(root: &Path) -> Clock {
    let hardware_clock = hardware(root);
    let now = Timestamp::now();
    let stamp = |path: &&str| {
        let at = beneath::open_on_host(root, Path::new(path)).ok()?;
        let modified = beneath::modified(&fstat(&at).ok()?)?;
        Some(Stamp { path: (*path).to_owned(), modified })
    };
    Clock {
        now,
        hardware_clock,
        zone: zone(root).map(|target| target.to_string_lossy().into_owned()),
        files: FILES.iter().filter_map(stamp).collect(),
    }
}

/// The kernel's file has no size, and is read like any that is regular.
fn hardware(root: &Path) -> Option<i64> {
    file::small(root, Path::new(HARDWARE), MAX_NUMBER)?.trim().parse().ok()
}

/// Where `/etc/localtime` leads (localtime(5): its target tells the zone's name).
fn zone(root: &Path) -> Option<PathBuf> {
    use std::os::fd::AsFd;
    let etc = beneath::open_on_host(root, Path::new("/etc")).ok()?;
    let link = beneath::open(etc.as_fd(), Path::new("localtime"), Links::Refused).ok()?;
    fcntl::readlinkat(&link, "").ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_zone_is_where_the_link_leads_and_the_hardwares_clock_is_read() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir_all(at("sys/class/rtc/rtc0")).unwrap();
        fs::create_dir_all(at("run/systemd/timesync")).unwrap();
        symlink("/usr/share/zoneinfo/Asia/Tokyo", at("etc/localtime")).unwrap();
        fs::write(at("sys/class/rtc/rtc0/since_epoch"), "1795401206\n").unwrap();
        fs::write(at("run/systemd/timesync/synchronized"), "").unwrap();
        let clock = look(root.path());
        assert_eq!(clock.zone_name(), Some("Asia/Tokyo"));
        assert_eq!(clock.hardware_clock, Some(1_795_401_206));
        assert!(clock.stamp(TIMESYNC).is_some());
        assert_eq!(clock.files.len(), 1);
    }

    #[test]
    fn a_host_without_any_of_it_has_a_clock_nevertheless() {
        let root = tempfile::tempdir().unwrap();
        let clock = look(root.path());
        assert_eq!((clock.hardware_clock, clock.zone, clock.files.len()), (None, None, 0));
    }
}
