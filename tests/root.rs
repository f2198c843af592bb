//! A folder that calivet takes for a host's file system (`--root`).

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A host's file system in a temporary folder, which goes when this does.
pub(crate) struct Root {
    folder: TempDir,
}

impl Root {
    /// A host with nothing on it but the folders that every host has.
    pub(crate) fn new() -> Self {
        let root = Self { folder: TempDir::with_prefix("calivet-root-").unwrap() };
        for folder in ["etc", "proc", "run", "sys", "tmp", "var/lib", "var/log", "var/run/calico"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        root.file("/etc/hostname", "node-1\n")
            .file("/proc/sys/kernel/hostname", "node-1\n")
            // Booted at 2026-11-01T00:00:00Z: a process's start is counted from there.
            .file("/proc/stat", "btime 1793491200\n")
            .file("/proc/uptime", "1000000.00 2000000.00\n")
    }

    /// Where calivet is told to look: its `--root`.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the host's absolute `path` really lies.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// The same host with a file at the absolute `path`.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// The same host with a process of root's that runs `argv`.
    pub(crate) fn process(self, pid: u32, argv: &[&str]) -> Self {
        self.process_of(pid, argv, 0, "         0          0 4294967295\n")
    }

    /// The same host with a process that runs `argv` as `uid` in a user namespace with this `uid_map`.
    pub(crate) fn process_of(self, pid: u32, argv: &[&str], uid: u32, uid_map: &str) -> Self {
        let name = Path::new(argv[0]).file_name().unwrap().to_str().unwrap();
        // The kernel keeps 15 bytes of the name of a process.
        let name = &name[..name.len().min(15)];
        let folder = format!("/proc/{pid}");
        let start = 1_000 + u64::from(pid);
        let numbers = "0 -1 4194560 100 0 0 0 5 3 0 0 20 0 1 0";
        self.file(&format!("{folder}/cmdline"), argv.join("\0") + "\0")
            .file(&format!("{folder}/comm"), format!("{name}\n"))
            .file(
                &format!("{folder}/stat"),
                format!("{pid} ({name}) S 1 {pid} {pid} {numbers} {start} 8000000 500 18446744073709551615\n"),
            )
            .file(
                &format!("{folder}/status"),
                format!(
                    "Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t1\n\
                     Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n\
                     NSpid:\t{pid}\nVmRSS:\t    2000 kB\nThreads:\t1\n\
                     CapEff:\t000001ffffffffff\n"
                ),
            )
            .file(&format!("{folder}/cgroup"), "0::/kubepods.slice/kubepods-besteffort.slice\n")
            .file(&format!("{folder}/uid_map"), uid_map)
    }

    /// The same host with a whole calico-node of version 3.33: Felix, confd and both BIRDs.
    pub(crate) fn calico_node(self) -> Self {
        self.process(1, &["/sbin/init"])
            .process(410, &["runsvdir", "-P", "/etc/service/enabled"])
            .process(412, &["calico", "component", "felix"])
            .process(420, &["calico", "component", "confd"])
            .process(425, &["calico", "component", "node", "node-services"])
            .process(433, &bird("bird"))
            .process(434, &bird("bird6"))
    }
}

/// The arguments with which calico-node runs a BIRD.
fn bird(daemon: &str) -> [&str; 7] {
    match daemon {
        "bird" => [
            "bird",
            "-R",
            "-s",
            "/var/run/calico/bird.ctl",
            "-d",
            "-c",
            "/etc/calico/confd/config/bird.cfg",
        ],
        _ => [
            "bird6",
            "-R",
            "-s",
            "/var/run/calico/bird6.ctl",
            "-d",
            "-c",
            "/etc/calico/confd/config/bird6.cfg",
        ],
    }
}
