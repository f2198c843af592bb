//! Signals at any moment.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{CALIVET, Scratch, text, wait_until};
use crate::root::Root;

/// A host with some megabytes of logs and a BIRD that does not answer.
fn host() -> (Root, UnixListener) {
    let mut root = Root::new();
    for number in 0..30 {
        let line =
            format!("2026-11-23 02:33:26.123 [INFO][{number}] felix/int_dataplane.go 1: ok\n");
        root = root.file(&format!("/var/log/calico/{number}.log"), line.repeat(500));
    }
    symlink("elsewhere", root.at("/var/log/calico/link")).unwrap();
    let bird = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    (root, bird)
}

/// Starts a program with each signal doing what it does by default: what runs in the background of a shell that has
/// no job control is started with SIGINT ignored, and calivet heeds that.
pub(super) fn start(command: &Command) -> Child {
    let mut anew = Command::new("env");
    anew.arg("--default-signal=INT,TERM,HUP").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => anew.env(name, value),
            None => anew.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        anew.current_dir(folder);
    }
    anew.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// Has calivet taken over the handling of signals? Before that it ends like any other program.
fn is_watching(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught >> (Signal::SIGXFSZ as u32 - 1) & 1 == 1
}

#[test]
fn at_whatever_moment_a_signal_comes_the_bundle_is_finished_and_says_so() {
    let (root, _bird) = host();
    let mut interrupted = 0;
    let mut state = 42_u64;
    for round in 0..66 {
        let (signal, status) =
            [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)][round % 3];
        let scratch = Scratch::new();
        let child = start(scratch.diags(root.path()).args(["--timeout", "300ms"]));
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((state >> 33) % 400_000));
        send(&child, signal);
        let run = child.wait_with_output().unwrap();
        let code = run.status.code();
        if run.status.signal().is_some() {
            // It came before calivet had begun to listen: then there is nothing yet.
            assert!(!scratch.archive().exists(), "{run:?}");
            continue;
        }
        let manifest = scratch.open().manifest;
        if code == Some(status) {
            interrupted += 1;
            assert_eq!(
                (&manifest["interrupted"], &manifest["complete"]),
                (&true.into(), &false.into())
            );
            assert!(!manifest["finished"].is_null());
        } else {
            // It came when all had been written.
            assert_eq!((code, &manifest["interrupted"]), (Some(1), &false.into()), "{run:?}");
        }
    }
    assert!(interrupted > 20, "only {interrupted} runs were interrupted");
}

#[test]
fn a_signal_before_anything_was_read_gives_a_bundle_that_lists_what_is_missing() {
    let (root, _bird) = host();
    let scratch = Scratch::new();
    let child = start(&scratch.diags(root.path()));
    wait_until("it listens", || is_watching(&child));
    send(&child, Signal::SIGTERM);
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(143), "{run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.manifest["interrupted"], true);
    let items = bundle.manifest["items"].as_array().unwrap();
    let said = |item: &&serde_json::Value| {
        item["reason"]
            .as_str()
            .is_some_and(|reason| reason.starts_with("SIGTERM ended the run before"))
    };
    assert!(items.iter().filter(said).count() > 10, "{items:?}");
}

#[test]
fn what_had_come_of_an_item_is_kept_when_a_signal_ends_it() {
    let root = Root::new();
    let listener = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    let (asked, is_asked) = std::sync::mpsc::channel();
    let _held = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"0001 BIRD v0.3.3+birdv1.6.8 ready.\n").unwrap();
        let mut heard = [0; 100];
        assert!(client.read(&mut heard).unwrap() > 0);
        client.write_all(b"0016 Access restricted\n").unwrap();
        assert!(client.read(&mut heard).unwrap() > 0);
        client.write_all(b"1000-BIRD v0.3.3+birdv1.6.8\n1011-").unwrap();
        asked.send(()).unwrap();
        while client.read(&mut heard).is_ok_and(|count| count > 0) {}
    });
    let scratch = Scratch::new();
    let child = start(scratch.diags(root.path()).args(["--only", "bird"]));
    is_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    send(&child, Signal::SIGINT);
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(130), "{run:?}");
    let bundle = scratch.open();
    let reason = "SIGINT ended the run before it was whole";
    assert_eq!(bundle.told("bird/ipv4/show-status"), ("interrupted", reason));
    assert_eq!(bundle.told("bird/ipv4/show-protocols").1, "SIGINT ended the run before its turn");
    bundle.assert_holds_what_it_says();
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let (root, _bird) = host();
    let scratch = Scratch::new();
    // Nobody reads the pipe, so the bundle cannot be finished.
    let mut command = Command::new(CALIVET);
    command.arg("--root").arg(root.path()).args(["node", "diags", "--output-file", "-"]);
    for number in 0..20 {
        fs::write(root.at(&format!("/var/log/calico/n{number}")), noise(64 << 10, number)).unwrap();
    }
    let child = start(&command);
    wait_until("it listens", || is_watching(&child));
    std::thread::sleep(Duration::from_millis(700));
    send(&child, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    send(&child, Signal::SIGTERM);
    let mut child = child;
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(status.code(), Some(143), "{:?}", scratch.path());
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'A' + (state >> 59) as u8
        })
        .collect()
}

#[test]
fn a_terminal_that_goes_away_does_not_end_a_run_under_nohup() {
    let (root, _bird) = host();
    let scratch = Scratch::new();
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
    let child = start(scratch.wrapped(&ignoring, root.path()).args(["--timeout", "500ms"]));
    wait_until("it listens", || is_watching(&child));
    send(&child, Signal::SIGHUP);
    let run: Output = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(text(&run.stdout).starts_with("Diags saved to "));
    assert_eq!(scratch.open().manifest["interrupted"], false);
}
