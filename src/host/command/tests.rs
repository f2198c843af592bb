use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::host::{Artifact, Host};

/// A script, run as a program of this machine.
struct Script {
    text: String,
    limit: Duration,
    max_bytes: u64,
}

impl Script {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), limit: Duration::from_secs(20), max_bytes: 1 << 20 }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let shell = ["-c", &self.text, "sh"];
        Program {
            place: Place::Here,
            path: "/bin/sh".into(),
            arguments: shell.iter().chain(arguments).map(ToString::to_string).collect(),
            environment: None,
        }
    }

    fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn at_most(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    async fn run(&self) -> Reading {
        self.run_with(&[]).await
    }

    async fn run_with(&self, arguments: &[&str]) -> Reading {
        let (sender, mut chunks) = mpsc::channel(1);
        let gather = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                bytes.extend(chunk);
            }
            bytes
        };
        let running = self.program(arguments).run(None, self.limit, self.max_bytes, sender);
        let (reading, bytes) = tokio::join!(running, gather);
        Reading { bytes, ..reading }
    }
}

fn reason(reading: &Reading) -> &str {
    reading.reason.as_deref().unwrap_or("")
}

/// Waits until a process has ended: the kernel needs a moment to end what was killed.
async fn ended(pid: &str) {
    for _ in 0..1000 {
        if !runs(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pid} still runs");
}

/// Whether a process still runs (and is not just waiting to be reaped).
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn output_and_exit_status_are_kept_and_the_place_is_named() {
    let script = Script::new("echo \"$#:$1:$2\"");
    let reading = script.run_with(&["a*b", "$HOME;ls"]).await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "2:a*b:$HOME;ls\n"));
    assert_eq!((reading.exit_status, reading.reason.as_deref()), (Some(0), None));
    assert_eq!(reading.original_bytes, 15);
    assert!(reading.place.unwrap().ends_with("/bin/sh"));
}

#[tokio::test]
async fn the_environment_is_clean_and_the_folder_is_the_root() {
    let reading = Script::new("env; pwd; exec cat").run().await;
    assert_eq!(reading.outcome, Outcome::Ok);
    let text = reading.text();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("_=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/", "LANG=C", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/"]);
}

#[tokio::test]
async fn a_failure_says_the_exit_status_and_what_was_complained_of_and_keeps_the_output() {
    let reading =
        Script::new("echo half; printf 'bad \\033[31mthing\\nmore\\n' >&2; exit 3").run().await;
    assert_eq!((reading.outcome, reading.exit_status), (Outcome::Failed, Some(3)));
    assert_eq!(reading.text(), "half\n");
    assert_eq!(reason(&reading), "exit status 3: bad \\u{1b}[31mthing; more");
    let silent = Script::new("exit 1").run().await;
    assert_eq!(reason(&silent), "exit status 1");
}

#[tokio::test]
async fn a_refusal_of_the_kernel_is_told_from_other_failures() {
    let reading = Script::new("echo 'RTNETLINK: Operation not permitted' >&2; exit 2").run().await;
    assert_eq!(reading.outcome, Outcome::Denied);
    assert_eq!(reason(&reading), "exit status 2: RTNETLINK: Operation not permitted");
}

#[tokio::test]
async fn a_complaint_of_a_program_that_succeeds_is_kept_apart_from_its_output() {
    let reading = Script::new("echo out; echo warning >&2").run().await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "out\n"));
    assert_eq!(reason(&reading), "warning");
}

#[tokio::test]
async fn a_program_that_passes_over_a_file_has_not_read_all() {
    let script = "echo out; echo 'Journal file /x corrupted, ignoring file.' >&2";
    let reading = Script::new(script).run().await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Failed, "out\n"));
    assert_eq!(reason(&reading), "Journal file /x corrupted, ignoring file.");
}

#[tokio::test]
async fn a_signal_that_killed_it_is_named() {
    let reading = Script::new("kill -SEGV $$").run().await;
    assert_eq!((reading.outcome, reading.exit_status), (Outcome::Failed, None));
    assert_eq!(reason(&reading), "killed by SIGSEGV");
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed_with_its_children_and_what_it_printed_is_kept() {
    let script = Script::new("trap '' TERM; sleep 100 & echo $! $$; while :; do wait; done");
    let begun = Instant::now();
    let reading = script.within(Duration::from_millis(300)).run().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(reason(&reading), "did not finish within 300ms");
    let text = reading.text();
    let pids: Vec<&str> = text.split_ascii_whitespace().collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        ended(pid).await;
    }
}

#[tokio::test]
async fn a_process_that_is_left_behind_does_not_hold_us_up_and_is_ended() {
    let reading = Script::new("sleep 100 & echo $!").run().await;
    assert_eq!((reading.outcome, reading.exit_status), (Outcome::Ok, Some(0)));
    ended(&reading.text()).await;
    assert_eq!(reason(&reading), "it left a process behind that held its output open");
    assert!(reading.duration < Duration::from_secs(10));
}

#[tokio::test]
async fn a_daemon_in_another_session_that_holds_the_pipe_does_not_hold_us_up() {
    // It ends by itself: nobody else may end it, since it is in a group of its own.
    let reading = Script::new("setsid sh -c 'echo $$; exec sleep 3' & sleep 0.1").run().await;
    assert_eq!(reading.outcome, Outcome::Ok);
    assert!(reading.duration < Duration::from_secs(3), "{:?}", reading.duration);
    assert!(runs(&reading.text()), "{}", reading.text());
}

#[tokio::test]
async fn a_flood_is_cut_at_a_line_and_its_source_is_ended() {
    let script = Script::new("exec yes 0123456789abcde").at_most(100_001);
    let reading = script.run().await;
    assert_eq!((reading.outcome, reading.exit_status), (Outcome::Truncated, None));
    let text = reading.text();
    let (kept, note) = text.split_once("\n\n[calivet: ").unwrap();
    assert_eq!(note, "what follows is left out]\n");
    assert_eq!(kept.len() + 1, 100_000);
    assert_eq!(reason(&reading), "printed more than the 100001 bytes that are kept");
}

#[tokio::test]
async fn a_hundred_megabytes_on_both_pipes_are_no_trouble() {
    let flood = "head -c 104857600 /dev/zero >&2; head -c 104857600 /dev/zero";
    let reading = Script::new(flood).at_most(u64::MAX).run().await;
    assert_eq!(reading.outcome, Outcome::Ok);
    assert_eq!(reading.original_bytes, 104_857_600);
    assert!(reason(&reading).len() < 3000);
}

#[tokio::test]
async fn a_program_that_floods_stderr_for_ever_is_ended_in_time() {
    let reading = Script::new("exec yes >&2").within(Duration::from_millis(200)).run().await;
    assert_eq!(reading.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn it_is_ended_when_nobody_listens_any_more() {
    let script = Script::new("echo $$; exec sleep 100");
    let (sender, mut chunks) = mpsc::channel(1);
    let program = script.program(&[]);
    let listen = async {
        let pid = chunks.recv().await.unwrap();
        chunks.close();
        String::from_utf8(pid).unwrap()
    };
    let running = program.run(None, Duration::from_secs(60), 1000, sender);
    let (reading, pid) = tokio::join!(running, listen);
    assert_eq!(reading.outcome, Outcome::Interrupted);
    ended(&pid).await;
}

#[tokio::test]
async fn it_is_ended_when_the_question_is_dropped() {
    let script = Script::new("echo $$; exec sleep 100");
    let (sender, mut chunks) = mpsc::channel(1);
    let program = script.program(&[]);
    let pid = tokio::select! {
        _ = program.run(None, Duration::from_secs(60), 1000, sender) => panic!("it ended"),
        pid = chunks.recv() => String::from_utf8(pid.unwrap()).unwrap(),
    };
    ended(&pid).await;
}

#[tokio::test]
async fn what_is_not_of_this_machine_fails_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    fs::write(&path, b"\x7fELF\x02\x01\x01\0nonsense").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let program = Program { place: Place::Here, path, arguments: Vec::new(), environment: None };
    let reading = loop {
        let (sender, _chunks) = mpsc::channel(1);
        let reading = program.clone().run(None, Duration::from_secs(20), 1000, sender).await;
        // Another test's child may still hold the file open for writing, until it becomes its program.
        if !reason(&reading).contains("Text file busy") {
            break reading;
        }
    };
    assert_eq!(reading.outcome, Outcome::Failed);
    assert!(reason(&reading).starts_with("failed to run "), "{}", reason(&reading));
    assert!(reason(&reading).ends_with("Exec format error (os error 8)"), "{}", reason(&reading));
}

#[tokio::test]
async fn a_program_that_the_host_lacks_is_missing() {
    let host = Host::live(Path::new("/"), Duration::from_secs(20));
    let reading = host.read(&Artifact::command("x", "calivet-has-no-such-program -x")).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    // On a node of Calico's, what was looked for in its container follows.
    let expected = "no such program on this host: calivet-has-no-such-program";
    assert!(reason(&reading).starts_with(expected), "{}", reason(&reading));
    let empty = host.read(&Artifact::command("x", " ")).await;
    assert_eq!(empty.outcome, Outcome::Missing);
}

#[tokio::test]
async fn a_program_that_others_could_have_changed_is_skipped() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let program = root.path().join("usr/bin/ip");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    let host = Host::live(root.path(), Duration::from_secs(20));
    let reading = host.read(&Artifact::command("x", "ip")).await;
    assert_eq!(reading.outcome, Outcome::Skipped);
    assert!(reason(&reading).contains("can be changed by others"), "{}", reason(&reading));
}

#[tokio::test]
async fn a_program_of_this_machine_is_found_and_run() {
    let host = Host::live(Path::new("/"), Duration::from_secs(20));
    let reading = host.read(&Artifact::command("x", "uname  -s")).await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "Linux\n"));
    assert_eq!(reading.place.as_deref(), Some("/usr/bin/uname"));
}

#[tokio::test]
async fn another_root_is_not_entered_by_a_program_that_is_not_calivet() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let program = root.path().join("usr/bin/ip");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let host = Host::live(root.path(), Duration::from_secs(20));
    let reading = host.read(&Artifact::command("x", "ip")).await;
    assert_eq!(reading.outcome, Outcome::Failed);
    assert!(reason(&reading).contains("cannot run itself again"), "{}", reason(&reading));
}
