//! Programs in another file system: the built `calivet` becomes them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use calivet::host::{Artifact, Host, Outcome};

use crate::run::install;

const CALIVET: &str = env!("CARGO_BIN_EXE_calivet");

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

/// Exit status, stdout and stderr of the built `calivet`.
fn run_in(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(CALIVET).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A process in a mount namespace of its own, in which `/usr/local/bin/calivet-test-only` prints where it is.
struct Container(Child);

impl Container {
    fn start(before: &[&str]) -> Self {
        let script = "mount -t tmpfs none /usr/local/bin
            printf '#!/bin/sh\necho \"in the container: $*\"\n' > /usr/local/bin/calivet-test-only
            chmod 755 /usr/local/bin /usr/local/bin/calivet-test-only
            echo ready
            exec sleep 100";
        let mut child = Command::new("unshare")
            .arg("--mount")
            .args(before)
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn mounts(&self) -> String {
        let link = fs::read_link(format!("/proc/{}/ns/mnt", self.pid())).unwrap();
        let link = link.to_str().unwrap();
        link.trim_start_matches("mnt:[").trim_end_matches(']').to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_program_is_run_from_a_container_that_is_fit() {
    if !is_root() {
        return;
    }
    let container = Container::start(&[]);
    let program = "/usr/local/bin/calivet-test-only";
    assert!(!Path::new(program).exists());
    let (pid, mounts) = (container.pid(), container.mounts());
    let said = run_in(&["__run-in", "mounts-of", "/", &pid, &mounts, "--", program, "a b", "c"]);
    assert_eq!(said, (Some(0), "in the container: a b c\n".to_owned(), String::new()));
}

#[test]
fn a_container_that_is_not_the_one_that_was_chosen_is_not_entered() {
    if !is_root() {
        return;
    }
    let container = Container::start(&[]);
    let pid = container.pid();
    let (status, stdout, stderr) =
        run_in(&["__run-in", "mounts-of", "/", &pid, "1", "--", "/bin/true"]);
    assert_eq!((status, stdout.as_str()), (Some(125), ""));
    assert_eq!(stderr, format!("calivet: pid {pid} is another process than before\n"));
}

#[test]
fn a_container_that_lacks_privilege_is_not_entered_whoever_asks() {
    if !is_root() {
        return;
    }
    let container = Container::start(&["--net"]);
    let (pid, mounts) = (container.pid(), container.mounts());
    let (status, _, stderr) =
        run_in(&["__run-in", "mounts-of", "/", &pid, &mounts, "--", "/bin/true"]);
    assert_eq!(status, Some(125));
    assert!(stderr.ends_with("is not in the host's network namespace\n"), "{stderr}");
}

#[test]
fn odd_arguments_are_refused() {
    for odd in [&["__run-in"][..], &["__run-in", "root", "/", "--", "true"], &["__run-in", "x"]] {
        assert_eq!(run_in(odd), (Some(125), String::new(), "calivet: odd arguments\n".to_owned()));
    }
}

/// A root with a shell of its own, which shows by its files that it is the root.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    // A dynamic program needs its loader and libraries: `ldd` names them.
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let ldd = Command::new("ldd").arg(&shell).output().unwrap();
    let libraries = String::from_utf8(ldd.stdout).unwrap();
    let paths = libraries.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    for path in paths.map(PathBuf::from) {
        install(&path, &root.path().join(path.strip_prefix("/").unwrap()));
    }
    install(&shell, &root.path().join("bin/sh"));
    let script = root.path().join("script");
    fs::write(&script, "#!/bin/sh\necho *; echo $PATH; echo \"$@\" >&2\nexit $#\n").unwrap();
    install(&script, &root.path().join("usr/bin/where"));
    fs::remove_file(script).unwrap();
    root
}

#[tokio::test]
async fn a_program_of_another_root_runs_inside_it() {
    if !is_root() {
        return;
    }
    let root = root();
    let host = Host::live(root.path(), Duration::from_secs(20)).entered_by(Path::new(CALIVET));
    let reading = host.read(&Artifact::command("where", "where")).await;
    assert_eq!((reading.outcome, &reading.reason), (Outcome::Ok, &None));
    let text = reading.text();
    assert!(text.starts_with("bin ") && text.contains(" usr\n"), "{text}");
    assert!(text.ends_with("/usr/sbin:/usr/bin:/sbin:/bin\n"), "{text}");
    assert_eq!(reading.place, Some(format!("/usr/bin/where in {}", root.path().display())));

    let reading = host.read(&Artifact::command("where", "where it  fails")).await;
    assert_eq!((reading.outcome, reading.exit_status), (Outcome::Failed, Some(2)));
    assert_eq!(reading.reason.as_deref(), Some("exit status 2: it fails"));
}

#[tokio::test]
async fn a_program_that_cannot_run_in_its_root_says_why() {
    if !is_root() {
        return;
    }
    let root = root();
    fs::remove_dir_all(root.path().join("bin")).unwrap();
    let host = Host::live(root.path(), Duration::from_secs(20)).entered_by(Path::new(CALIVET));
    let reading = host.read(&Artifact::command("where", "where")).await;
    assert_eq!(reading.outcome, Outcome::Failed);
    let reason = "failed to run /usr/bin/where: No such file or directory (os error 2)";
    assert_eq!(reading.reason.as_deref(), Some(reason));
}
