//! One process, from the files of its folder.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::Result;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::read;

use super::Extent;
use crate::datastore::url;
use crate::host::beneath::{open_beneath, open_root, read_link};
use crate::processes::{ENVIRONMENT, Process, TIME_KEEPERS};

/// The names under which Calico's agents have been started.
const AGENTS: [&str; 9] = [
    "calico",
    "calico-node",
    "calico-felix",
    "bird",
    "bird6",
    "confd",
    // No agents of Calico's, but what they set is looked at beside them: kube-proxy in its forms.
    "kube-proxy",
    "hyperkube",
    "kubelite",
];
/// The most bytes that are kept of a command line.
const MAX_ARGUMENTS: usize = 4 << 10;
/// The most bytes that are read of an environment: that of a pod names every service of its namespace.
const MAX_ENVIRONMENT: usize = 1 << 20;
/// The most bytes that are read of any other file.
const MAX_FILE: usize = 64 << 10;
/// Reads processes out of a host's `/proc`.
#[derive(Debug)]
pub(super) struct Reader {
    proc: OwnedFd,
    /// calivet's own `uid_map`, where there is one.
    own_map: Option<String>,
}

impl Reader {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let folder = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root_folder = open_root(root)?;
        let proc = open_beneath(&root_folder, "/proc", folder)?;
        let mut reader = Self { proc, own_map: None };
        if let Ok(file) = open_beneath(&root_folder, "/proc/self/uid_map", OFlag::O_RDONLY) {
            reader.own_map = read_whole(&file, MAX_FILE).ok().map(|map| words(&map));
        }
        Ok(reader)
    }

    /// The numbers of all processes, in order.
    pub(super) fn list(&self) -> Result<Vec<u32>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = Dir::from_fd(openat(&self.proc, ".", flags, Mode::empty())?)?;
        let mut pids = Vec::new();
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name.first().is_some_and(u8::is_ascii_digit) {
                pids.extend(std::str::from_utf8(name).ok().and_then(|pid| pid.parse::<u32>().ok()));
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// Where a thread reads into.
    pub(super) fn buffer() -> Vec<u8> {
        vec![0; MAX_ARGUMENTS]
    }

    /// Reads a process; with it, whether it may be one of Calico's agents. `None`: it is not wanted.
    pub(super) fn read(
        &self,
        pid: u32,
        extent: Extent,
        buffer: &mut [u8],
    ) -> Result<Option<(Process, bool)>> {
        if extent == Extent::Agents {
            // A glance: most processes are no agents, and this is the least that tells.
            let file = open_file(&self.proc, format!("{pid}/cmdline").as_str())?;
            let bytes = read(file, buffer)?;
            let line = buffer.get(..bytes).unwrap_or_default();
            if !may_be_agent(line) && !keeps_time(line) {
                return Ok(None);
            }
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = openat(&self.proc, pid.to_string().as_str(), flags, Mode::empty())?;
        let bytes = read(open_file(&folder, "cmdline")?, buffer)?;
        let line = &buffer[..bytes];
        if line.is_empty() {
            return Ok(None);
        }
        let may_be_agent = may_be_agent(line);
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        let argv = line.split(|byte| *byte == 0).map(text).collect();
        let bytes = read(open_file(&folder, "stat")?, buffer)?;
        let stat = Stat::parse(&buffer[..bytes]).ok_or(Errno::EBADMSG)?;
        let mut process = Process {
            pid,
            ppid: stat.ppid,
            // The kernel gives the folder (and not always the files in it) to the effective user.
            uid: fstat(&folder)?.st_uid,
            host_root: false,
            state: stat.state,
            start_time: stat.start_time,
            comm: stat.comm,
            argv,
            exe: None,
            container: None,
            environment: None,
        };
        if may_be_agent {
            self.complete(&folder, &mut process)?;
        }
        Ok(Some((process, may_be_agent)))
    }

    /// Reads what only of agents is worth its cost.
    fn complete(&self, folder: &OwnedFd, process: &mut Process) -> Result<()> {
        let status = read_optional(folder, "status", MAX_FILE)?;
        if let Some(uid) = status.as_deref().and_then(effective_user) {
            process.uid = uid;
        }
        let map = read_optional(folder, "uid_map", MAX_FILE)?.map(|map| words(&map));
        process.host_root = process.uid == 0 && is_own(map.as_deref(), self.own_map.as_deref());
        process.container =
            read_optional(folder, "cgroup", MAX_FILE)?.as_deref().and_then(container);
        process.exe = read_link(folder, c"exe");
        process.environment = read_optional(folder, "environ", MAX_ENVIRONMENT)?
            .map(|environment| variables(&environment));
        Ok(())
    }
}

/// Whether a command line begins with the name of one of Calico's agents, with or without a path before it.
fn may_be_agent(line: &[u8]) -> bool {
    AGENTS.iter().any(|agent| agent.as_bytes() == program(line))
}

/// Whether a command line begins with the name of a program that keeps the clock; some add a colon and what they do.
fn keeps_time(line: &[u8]) -> bool {
    let name = program(line).split(|byte| matches!(byte, b' ' | b':')).next().unwrap_or_default();
    TIME_KEEPERS.iter().any(|keeper| keeper.as_bytes() == name)
}

fn program(line: &[u8]) -> &[u8] {
    let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
    program.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn open_file(folder: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Reads a file that may not be there or not be for everybody. The process having ended is still an error.
fn read_optional(folder: &OwnedFd, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    match open_file(folder, name).and_then(|file| read_whole(&file, limit)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::ENOENT | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn read_whole(file: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut end = 0;
    while end < limit {
        bytes.resize(limit.min(end + (4 << 10)), 0);
        match read(&file, &mut bytes[end..])? {
            0 => break,
            more => end += more,
        }
    }
    bytes.truncate(end);
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn words(bytes: &[u8]) -> String {
    text(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is used of `stat`: `433 (bird) S 412 ...`. The name may hold blanks and brackets.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: String,
    state: String,
    ppid: u32,
    start_time: u64,
}

impl Stat {
    fn parse(stat: &[u8]) -> Option<Self> {
        let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let comm = text(stat.get(begin..end)?);
        let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
        // The fields are counted as in proc(5), where the state is the third.
        let state = fields.next()?.to_owned();
        let ppid = fields.next()?.parse().ok()?;
        let start_time = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self { comm, state, ppid, start_time })
    }
}

/// The effective user in `status`: the second number of `Uid:\t0\t0\t0\t0`.
fn effective_user(status: &[u8]) -> Option<u32> {
    let status = text(status);
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether a process has calivet's own mapping of users, both as calivet sees them. A kernel without user
/// namespaces has no mappings; a folder that holds a machine may have none for calivet, which then stands for
/// the machine's own root.
fn is_own(map: Option<&str>, own: Option<&str>) -> bool {
    match (map, own) {
        (None, None) => true,
        (Some(map), None) => map == "0 0 4294967295",
        (map, own) => map == own,
    }
}

/// The last component of a control group's path: of the one hierarchy of version 2, or else of the first
/// hierarchy of version 1 that says something.
fn container(cgroup: &[u8]) -> Option<String> {
    let cgroup = text(cgroup);
    let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let unified = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    unified
        .into_iter()
        .chain(paths())
        .filter_map(|path| path.rsplit('/').next())
        .find(|name| !name.is_empty() && *name != "..")
        .map(str::to_owned)
}

/// The variables of an environment that may be kept.
fn variables(environment: &[u8]) -> BTreeMap<String, String> {
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let at = variable.iter().position(|byte| *byte == b'=')?;
            let name = text(&variable[..at]);
            if !ENVIRONMENT.contains(&name.as_str()) {
                return None;
            }
            let value = text(&variable[at + 1..]);
            // A URL may hold a password.
            let value = if name.ends_with("ENDPOINTS") { url::shown(&value) } else { value };
            Some((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &str = "433 (a) b( c) S 412 433 433 0 -1 4194304 1 0 0 0 5 6 0 0 20 0 1 0 8642 1 2";

    #[test]
    fn a_name_may_hold_blanks_and_brackets() {
        let stat = Stat::parse(STAT.as_bytes()).unwrap();
        assert_eq!((stat.comm.as_str(), stat.state.as_str()), ("a) b( c", "S"));
        assert_eq!((stat.ppid, stat.start_time), (412, 8642));
    }

    #[test]
    fn the_effective_user_is_the_second() {
        assert_eq!(effective_user(b"Name:\tbird\nUid:\t1000\t7\t0\t0\nGid:\t0\n"), Some(7));
        assert_eq!(effective_user(b"Name:\tbird\n"), None);
    }

    #[test]
    fn a_container_is_named_by_either_version_of_control_groups() {
        let names = [
            (
                "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-ab12.scope\n",
                Some("cri-containerd-ab12.scope"),
            ),
            (
                "12:pids:/kubepods/pod1/ab12\n1:name=systemd:/kubepods/pod1/ab12\n0::/\n",
                Some("ab12"),
            ),
            ("3:cpu,cpuacct:/\n2:memory:/docker/c:d\n", Some("c:d")),
            ("0::/\n", None),
            ("0::/../..\n", None),
            ("", None),
        ];
        for (cgroup, name) in names {
            assert_eq!(container(cgroup.as_bytes()).as_deref(), name, "{cgroup}");
        }
    }

    #[test]
    fn only_the_mapping_of_calivet_itself_is_its_own() {
        let identity = Some("0 0 4294967295");
        assert!(is_own(None, None) && is_own(identity, identity) && is_own(identity, None));
        assert!(!is_own(Some("0 100000 65536"), identity));
        assert!(!is_own(Some("0 100000 65536"), None));
        assert!(!is_own(None, identity));
    }

    proptest! {
        #[test]
        fn what_stat_holds_never_panics(stat in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Stat::parse(&stat);
            let _ = container(&stat);
            let _ = effective_user(&stat);
            let _ = variables(&stat);
        }

        #[test]
        fn a_stat_that_is_cut_is_no_stat(bytes in 0..STAT.len() - 8) {
            prop_assert_eq!(Stat::parse(&STAT.as_bytes()[..bytes]), None);
        }
    }
}
