use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// Long enough never to run out in a test that does not wait for it.
const LATE: Duration = Duration::from_secs(20);

/// A folder that holds a machine's `/proc`, with process 1 in it.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap()).with(1, "/sbin/init\0")
    }

    /// The same with one more process.
    fn with(self, pid: u32, cmdline: &str) -> Self {
        let folder = self.folder(pid);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cmdline"), cmdline).unwrap();
        let between = " 0".repeat(22 - 5);
        let stat = format!("{pid} (comm {pid}) S 1{between} 4711 0 0\n");
        fs::write(folder.join("stat"), stat).unwrap();
        self
    }

    /// The same with one more file of a process.
    fn file(self, pid: u32, name: &str, content: &str) -> Self {
        fs::write(self.folder(pid).join(name), content).unwrap();
        self
    }

    fn folder(&self, pid: u32) -> PathBuf {
        self.0.path().join(format!("proc/{pid}"))
    }

    async fn scan(&self, extent: Extent) -> (Reading, Vec<Process>) {
        table(scan(self.0.path(), extent, LATE).await)
    }
}

fn table(reading: Reading) -> (Reading, Vec<Process>) {
    let table = match reading.bytes.as_slice() {
        [] => Vec::new(),
        bytes => serde_json::from_slice(bytes).unwrap(),
    };
    (reading, table)
}

fn pids(table: &[Process]) -> Vec<u32> {
    table.iter().map(|process| process.pid).collect()
}

#[tokio::test]
async fn an_agent_is_read_with_all_that_tells_where_it_runs() {
    let machine = Machine::new()
        .with(433, "/bin/bird\0-R\0-s\0/var/run/calico/bird.ctl\0")
        .file(433, "status", "Name:\tbird\nUid:\t9\t0\t9\t9\n")
        .file(433, "uid_map", "         0          0 4294967295\n")
        .file(433, "cgroup", "0::/kubepods/pod1/cri-ab12\n")
        .file(433, "environ", "TOKEN=secret\0NODENAME=node-1\0");
    symlink("/bin/bird", machine.folder(433).join("exe")).unwrap();
    let (reading, table) = machine.scan(Extent::Agents).await;
    assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None));
    let [process] = table.as_slice() else { panic!("{table:?}") };
    assert_eq!(process.argv, ["/bin/bird", "-R", "-s", "/var/run/calico/bird.ctl"]);
    assert_eq!((process.pid, process.ppid, process.uid), (433, 1, 0));
    assert_eq!((process.state.as_str(), process.start_time), ("S", 4711));
    assert_eq!(process.comm, "comm 433");
    assert!(process.host_root);
    assert_eq!(process.exe.as_deref(), Some("/bin/bird"));
    assert_eq!(process.container.as_deref(), Some("cri-ab12"));
    assert_eq!(process.environment, Some([("NODENAME".to_owned(), "node-1".to_owned())].into()));
}

#[tokio::test]
async fn an_environment_that_was_read_and_names_nothing_of_calicos_is_not_one_that_was_not_read() {
    let machine = Machine::new()
        .with(433, "/bin/bird\0-R\0")
        .file(433, "environ", "HOME=/root\0")
        .with(434, "/bin/bird6\0-R\0");
    let (_, table) = machine.scan(Extent::Agents).await;
    let environments: Vec<_> = table.into_iter().map(|process| process.environment).collect();
    assert_eq!(environments, [Some(BTreeMap::new()), None]);
}

#[tokio::test]
async fn root_of_another_user_namespace_is_not_the_hosts() {
    let machine = Machine::new()
        .with(433, "bird\0")
        .file(433, "status", "Uid:\t0\t0\t0\t0\n")
        .file(433, "uid_map", "0 100000 65536\n")
        .with(434, "bird6\0")
        .file(434, "status", "Uid:\t0\t1000\t0\t0\n")
        .file(434, "uid_map", "0 0 4294967295\n");
    let (_, table) = machine.scan(Extent::Agents).await;
    assert_eq!(pids(&table), [433, 434]);
    assert!(table.iter().all(|process| !process.host_root), "{table:?}");
}

#[tokio::test]
async fn agents_alone_or_all_with_a_command_line_are_read_in_order() {
    let machine = Machine::new()
        .with(100, "calico\0component\0felix\0")
        .with(20, "")
        .with(9, "/opt/calico-node\0-confd\0")
        .with(10, "vim\0bird\0")
        .with(11, "birdcage\0");
    fs::create_dir(machine.0.path().join("proc/sys")).unwrap();
    let (reading, agents) = machine.scan(Extent::Agents).await;
    assert_eq!((reading.outcome, pids(&agents)), (Outcome::Ok, vec![9, 100]));
    let (reading, all) = machine.scan(Extent::All).await;
    assert_eq!((reading.outcome, pids(&all)), (Outcome::Ok, vec![1, 9, 10, 11, 100]));
    assert_eq!(all[2].argv, ["vim", "bird"]);
}

#[tokio::test]
async fn a_process_that_ends_meanwhile_is_left_out() {
    let machine = Machine::new().with(433, "bird\0").with(434, "bird6\0");
    fs::remove_file(machine.folder(433).join("stat")).unwrap();
    let (reading, table) = machine.scan(Extent::Agents).await;
    assert_eq!((reading.outcome, pids(&table)), (Outcome::Ok, vec![434]));
}

#[tokio::test]
async fn a_long_command_line_is_cut() {
    let machine = Machine::new().with(433, &format!("bird\0{}\0", "x".repeat(1 << 20)));
    let (_, table) = machine.scan(Extent::Agents).await;
    assert_eq!(table[0].argv.iter().map(String::len).sum::<usize>(), 4096 - 1);
}

#[tokio::test]
async fn a_process_that_blocks_its_reader_is_skipped_and_said() {
    let machine = Machine::new().with(433, "bird\0").with(434, "bird6\0");
    let fifo = machine.folder(2).join("cmdline");
    fs::create_dir(machine.folder(2)).unwrap();
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let (reading, table) = machine.scan(Extent::Agents).await;
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(
        reading.reason.as_deref(),
        Some("1 of 4 processes (the first: 2) did not give their command line in time")
    );
    assert_eq!(pids(&table), [433, 434]);
    // The thread that was left behind may end.
    fs::OpenOptions::new().write(true).open(fifo).unwrap();
}

#[tokio::test]
async fn what_stands_for_a_process_but_is_a_link_is_not_followed() {
    let machine = Machine::new().with(433, "bird\0");
    fs::rename(machine.folder(433), machine.0.path().join("elsewhere")).unwrap();
    symlink(machine.0.path().join("elsewhere"), machine.folder(433)).unwrap();
    for extent in [Extent::Agents, Extent::All] {
        let (reading, table) = machine.scan(extent).await;
        assert!(!pids(&table).contains(&433));
        assert_ne!(reading.outcome, Outcome::Ok);
    }
}

#[tokio::test]
async fn without_proc_or_processes_in_it_the_table_is_missing() {
    let machine = Machine(tempfile::tempdir().unwrap());
    let (reading, _) = machine.scan(Extent::All).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    assert_eq!(reading.reason.as_deref(), Some("/proc: no such file or directory"));
    fs::create_dir_all(machine.0.path().join("proc/sys")).unwrap();
    let (reading, _) = machine.scan(Extent::All).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    assert_eq!(reading.reason.as_deref(), Some("/proc: it shows no process"));
    assert!(reading.bytes.is_empty());
}

#[tokio::test]
async fn a_table_without_process_1_is_known_to_be_a_part() {
    let machine = Machine::new().with(433, "bird\0");
    fs::remove_dir_all(machine.folder(1)).unwrap();
    let (reading, table) = machine.scan(Extent::Agents).await;
    assert_eq!((reading.outcome, pids(&table)), (Outcome::Denied, vec![433]));
    assert!(reading.reason.unwrap().contains("hidepid"));
}

#[tokio::test]
async fn processes_that_may_not_be_read_are_counted() {
    if nix::unistd::geteuid().is_root() {
        // Root may read everything: this very test once more, as a user who may not.
        let name = "host::process::tests::processes_that_may_not_be_read_are_counted";
        let output = Command::new("/proc/self/exe")
            .args(["--exact", name])
            .env_remove("TMPDIR")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    }
    let machine = Machine::new().with(433, "bird\0").with(434, "bird6\0");
    fs::set_permissions(machine.folder(1), fs::Permissions::from_mode(0o000)).unwrap();
    let (reading, table) = machine.scan(Extent::Agents).await;
    assert_eq!((reading.outcome, pids(&table)), (Outcome::Denied, vec![433, 434]));
    assert_eq!(
        reading.reason.as_deref(),
        Some("1 of 3 processes could not be read (the first: 1: permission denied)")
    );
    fs::set_permissions(machine.folder(1), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_table_that_is_full_says_so_and_still_takes_agents() {
    let mut state = State { pids: vec![1, 2, 3], ended: true, ..State::default() };
    let machine = Machine::new();
    let (_, table) = machine.scan(Extent::All).await;
    state.bytes = MAX_BYTES + 1;
    state.add(table[0].clone(), false);
    assert!(state.table.is_empty());
    state.add(table[0].clone(), true);
    assert_eq!(state.table.len(), 1);
    let (outcome, reason) = state.judge().unwrap_err();
    assert_eq!((outcome, reason.as_str()), (Outcome::Truncated, "1 of 3 processes are left out"));
}

#[tokio::test]
async fn a_process_of_this_machine_is_found() {
    let mut child = Command::new("sleep")
        .arg0("/somewhere/bird")
        .arg("60")
        .env_clear()
        .envs([("NODENAME", "node-1"), ("TOKEN", "secret")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (_, table) = table(scan(Path::new("/"), Extent::Agents, LATE).await);
    child.kill().unwrap();
    child.wait().unwrap();
    let process = table.iter().find(|process| process.pid == child.id()).unwrap();
    assert_eq!(process.argv, ["/somewhere/bird", "60"]);
    assert_eq!(process.comm, "sleep");
    assert_eq!(process.ppid, std::process::id());
    assert_eq!(process.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(process.host_root, nix::unistd::geteuid().is_root());
    assert!(process.exe.as_deref().unwrap().starts_with('/'));
    assert_eq!(process.environment, Some([("NODENAME".to_owned(), "node-1".to_owned())].into()));
}
