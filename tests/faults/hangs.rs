//! What never answers, never ends, or ends only when it is made to.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CALIVET, Scratch, is_root, text, timed, wait_until, with_programs};
use crate::fake_bird::{FakeBird, Recorded};
use crate::lab::namespaces::Namespaces;
use crate::memory::noise;
use crate::root::Root;

/// A file system whose server never answers, as a dead NFS server does not.
struct Hung {
    folder: PathBuf,
    _server: fs::File,
}

impl Hung {
    /// `None`: there is no FUSE here.
    fn mount(folder: PathBuf) -> Option<Self> {
        if !is_root() {
            return None;
        }
        fs::create_dir_all(&folder).unwrap();
        let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let flags = nix::mount::MsFlags::MS_RDONLY;
        let options = Some(options.as_str());
        match nix::mount::mount(Some("hung"), &folder, Some("fuse"), flags, options) {
            Ok(()) => Some(Self { folder, _server: server }),
            Err(error) => {
                eprintln!("skipped: no FUSE: {error}");
                None
            }
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.folder, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_log_folder_that_hangs_costs_its_own_limit_and_nothing_else() {
    let root = Root::new().file("/etc/hosts", "127.0.0.1 localhost\n");
    let Some(_hung) = Hung::mount(root.at("/var/log/calico")) else { return };
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--timeout", "1s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("logs"), ("timeout", "did not finish within 1s"));
    assert_eq!(bundle.told("host/etc/hosts").0, "ok");
    assert_eq!(bundle.manifest["interrupted"], false);
}

#[test]
fn a_configuration_folder_that_hangs_delays_the_learning_once_and_is_told() {
    let root = Root::new()
        .file("/etc/cni/net.d/10-calico.conf", "{\"k8s_auth_token\": \"t0ken-of-the-cni-x\"}\n");
    let Some(_hung) = Hung::mount(root.at("/etc/calico")) else { return };
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--timeout", "1s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(text(&run.stderr).contains("could not be read"), "{run:?}");
    let secrets = &scratch.open().manifest["secrets"];
    assert_eq!(secrets["unread"].as_array().unwrap().len(), 1, "{secrets}");
    assert_eq!(secrets["unread"][0]["outcome"], "timeout");
    // What lies elsewhere was learned all the same.
    assert!(secrets["values"].as_u64().unwrap() >= 1, "{secrets}");
}

#[test]
fn the_deadline_ends_what_is_under_way_and_the_bundle_is_finished() {
    let root = Root::new().file("/etc/hosts", "127.0.0.1 localhost\n");
    let Some(_hung) = Hung::mount(root.at("/var/log/calico")) else { return };
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--deadline", "2s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(5), "{took:?}");
    let bundle = scratch.open();
    let reason = "the deadline of the run (2s) was over before it was whole";
    assert_eq!(bundle.told("logs"), ("timeout", reason));
    assert_eq!(bundle.told("host/etc/hosts").0, "ok");
    assert_eq!(
        (&bundle.manifest["interrupted"], &bundle.manifest["complete"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn a_bird_that_accepts_and_never_answers_is_a_timeout() {
    let root = Root::new();
    let _bird = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--only", "bird", "--timeout", "1s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(scratch.open().told("bird/ipv4/show-status").0, "timeout");
}

#[test]
fn a_bird_that_drips_is_cut_off_and_what_came_is_kept() {
    let root = Root::new();
    let listener = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"0001 BIRD v0.3.3+birdv1.6.8 ready.\n").unwrap();
        let mut heard = [0; 100];
        assert!(client.read(&mut heard).unwrap() > 0);
        client.write_all(b"0016 Access restricted\n").unwrap();
        assert!(client.read(&mut heard).unwrap() > 0);
        client.write_all(b"1000-BIRD v0.3.3+birdv1.6.8\n1011-").unwrap();
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--only", "bird", "--timeout", "1s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("bird/ipv4/show-status").0, "timeout");
    let kept = bundle.bytes("bird/ipv4/show-status");
    assert!(text(&kept).contains("BIRD v0.3.3"), "{kept:?}");
}

#[test]
fn a_bird_that_restarts_in_mid_reply_is_not_asked_again_so_that_no_bundle_mixes_two() {
    let root = Root::new().calico_node();
    let bird = FakeBird::listen(&root.at("/var/run/calico/bird.ctl"), |connection| {
        connection.greet();
        while let Some(question) = connection.hear() {
            if question == "show protocols all" {
                connection.say("2002-name     proto    table    state  since       info\n");
                return;
            }
            connection.say(Recorded("1.6.8").answer(&question));
        }
    });
    let scratch = Scratch::new();
    let run = scratch.diags(root.path()).args(["--only", "bird"]).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let bundle = scratch.open();
    let because = "closed before the whole answer to `show protocols all`";
    for path in ["bird/ipv4/show-protocols-all", "bird/ipv4/show-route-all"] {
        let (outcome, reason) = bundle.told(path);
        assert_eq!(outcome, "failed", "{path}: {reason}");
        assert!(reason.ends_with(because), "{path}: {reason}");
    }
    assert!(text(&bundle.bytes("bird/ipv4/show-protocols-all")).contains("proto"));
    assert_eq!(bundle.told("bird/ipv4/show-status"), ("ok", ""));
    assert_eq!(bird.connections(), 1);
}

#[test]
fn an_http_answer_that_never_ends_is_cut_off() {
    let Ok(namespaces) = Namespaces::new() else {
        assert!(!is_root(), "no namespaces can be made here");
        return;
    };
    let (sender, bound) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                namespaces.enter_network();
                sender.send(TcpListener::bind("127.0.0.1:9099").unwrap()).unwrap();
            })
            .join()
            .unwrap();
    });
    let listener: TcpListener = bound.recv().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            std::thread::spawn(move || {
                let mut client = client.unwrap();
                assert!(client.read(&mut [0; 1024]).unwrap() > 0);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                while client.write_all(b"x\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let root = Root::new();
    let scratch = Scratch::new();
    let mut command = namespaces.command(CALIVET);
    command.arg("--root").arg(root.path()).args(["--timeout", "1s", "node", "diags"]);
    command.args(["--only", "felix", "--output-file"]).arg(scratch.archive());
    let (run, took) = timed(&mut command);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("felix/liveness"), ("timeout", "no whole answer within 1s"));
    assert!(bundle.bytes("felix/liveness").starts_with(b"HTTP 200\nx\n"));
}

/// A root with a shell, `cat`, `sleep` and `setsid`, whose `date` is this script.
fn with_date(script: &str) -> Root {
    let programs = ["/bin/sh", "/bin/cat", "/bin/sleep", "/usr/bin/setsid"];
    let root = with_programs(&programs).file("/usr/bin/date", format!("#!/bin/sh\n{script}"));
    for folder in [root.path(), &root.at("/usr"), &root.at("/usr/bin"), &root.at("/usr/bin/date")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    root
}

/// The processes that run beneath a root of the test's own.
fn left_over(root: &Path) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| fs::read_link(entry.path().join("root")).is_ok_and(|at| at == root)).count()
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_its_children() {
    if !is_root() {
        return;
    }
    let root = with_date("trap '' TERM\necho begun\nsleep 300 &\nwhile :; do sleep 100; done\n");
    let scratch = Scratch::new();
    let (run, took) =
        timed(scratch.diags(root.path()).args(["--only", "system", "--timeout", "1s"]));
    assert!(took < Duration::from_secs(6), "{took:?} {run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("date"), ("timeout", "did not finish within 1s"));
    assert_eq!(bundle.bytes("date"), b"begun\n");
    wait_until("all that it started has ended", || left_over(root.path()) == 0);
}

/// What is larger than the room that all items have in memory goes to its place as it comes, and others wait for it.
#[test]
fn a_large_item_that_hangs_delays_the_end_by_no_more_than_its_own_limit() {
    if !is_root() {
        return;
    }
    let limit = Duration::from_secs(4);
    let mut took = Vec::new();
    for then in ["", "exec sleep 1000"] {
        let root = with_date(&format!("cat /noise\n{then}\n"));
        // Of 15 MiB that go through, 11 are left by gzip.
        noise(&root.at("/noise"), 15 << 20, 1);
        fs::create_dir(root.at("/var/log/calico")).unwrap();
        for name in ["a", "b"] {
            noise(&root.at("/var/log/calico").join(name), 20 << 20, 2);
        }
        let scratch = Scratch::new();
        let mut command = scratch.diags(root.path());
        let (run, time) = timed(command.args(["--only", "system,logs", "--timeout", "4s"]));
        assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
        let bundle = scratch.open();
        let hung = ("timeout", "did not finish within 4s");
        assert_eq!(bundle.told("date"), if then.is_empty() { ("ok", "") } else { hung });
        assert_eq!(bundle.bytes("date").len(), 15 << 20);
        for name in ["logs/a", "logs/b"] {
            assert_eq!(bundle.told(name), ("ok", ""), "its own limit does not run while it waits");
            assert_eq!(bundle.bytes(name).len(), 20 << 20);
        }
        took.push(time);
    }
    // A busy machine is not always equally busy.
    assert!(took[1] < took[0] * 2 + limit, "{took:?}");
}

#[test]
fn a_bus_that_never_answers_costs_its_own_limit_and_the_files_are_there() {
    let root = Root::new().file("/etc/NetworkManager/NetworkManager.conf", "[main]\n");
    fs::create_dir_all(root.at("/run/dbus")).unwrap();
    let _bus = UnixListener::bind(root.at("/run/dbus/system_bus_socket")).unwrap();
    let scratch = Scratch::new();
    let mut command = scratch.diags(root.path());
    let (run, took) = timed(command.args(["--only", "networkmanager", "--timeout", "1s"]));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("networkmanager/dbus.json").0, "timeout");
    assert_eq!(bundle.told("host/etc/NetworkManager/NetworkManager.conf").0, "ok");
}

#[test]
fn a_daemon_that_a_program_leaves_behind_does_not_hold_the_run_up() {
    if !is_root() {
        return;
    }
    let root = with_date("echo begun\nsetsid --fork sleep 4\nexit 0\n");
    let scratch = Scratch::new();
    let (run, took) = timed(scratch.diags(root.path()).args(["--only", "system"]));
    assert!(took < Duration::from_millis(3500), "{took:?} {run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.bytes("date"), b"begun\n");
    let (outcome, reason) = bundle.told("date");
    assert_eq!((outcome, reason), ("ok", "it left a process behind that held its output open"));
    wait_until("it has ended by itself", || left_over(root.path()) == 0);
}
