//! Files that are none, that have no end, that lie about themselves.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{Scratch, Unpacked, is_root};
use crate::root::Root;

const POD: &str = "/var/log/pods/kube-system_calico-node-x_1/calico-node";

/// A host with one good log, and the folder of logs.
fn host() -> Root {
    Root::new()
        .file("/var/log/calico/felix/current", "good\n")
        .file(&format!("{POD}/0.log"), "pod\n")
}

/// The bundle of the host, in which what is beside the fault is whole.
#[track_caller]
fn bundle(root: &Path, more: &[&str]) -> (Scratch, Unpacked) {
    let scratch = Scratch::new();
    let run = scratch.diags(root).args(["--only", "logs"]).args(more).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.bytes("logs/felix/current"), b"good\n");
    assert_eq!(bundle.bytes("logs/pods/kube-system_calico-node-x_1/calico-node/0.log"), b"pod\n");
    bundle.assert_holds_what_it_says();
    (scratch, bundle)
}

#[test]
fn a_fifo_among_the_logs_is_noted_and_not_read() {
    let root = host();
    let fifo = root.at("/var/log/calico/fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let (_scratch, bundle) = bundle(root.path(), &[]);
    assert_eq!(bundle.told("logs/fifo"), ("not-applicable", "a FIFO, not read"));
}

#[test]
fn a_socket_among_the_logs_is_noted_and_not_read() {
    let root = host();
    let _socket = UnixListener::bind(root.at("/var/log/calico/socket")).unwrap();
    let (_scratch, bundle) = bundle(root.path(), &[]);
    assert_eq!(bundle.told("logs/socket"), ("not-applicable", "a socket, not read"));
}

#[test]
fn a_device_among_the_logs_is_noted_and_not_read() {
    if !is_root() {
        return;
    }
    let root = host();
    let device = root.at("/var/log/calico/zero");
    mknod(&device, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();
    let (_scratch, bundle) = bundle(root.path(), &[]);
    let (outcome, reason) = bundle.told("logs/zero");
    assert_eq!(outcome, "not-applicable");
    assert!(reason.contains("device"), "{reason}");
}

#[test]
fn a_link_that_leads_out_of_the_logs_is_noted_and_not_followed() {
    let root = host().file("/etc/shadow", "root:$6$not-to-be-seen\n");
    symlink("/etc/shadow", root.at("/var/log/calico/absolute")).unwrap();
    symlink("../../../etc/shadow", root.at("/var/log/calico/relative")).unwrap();
    symlink("../../..", root.at("/var/log/calico/folder")).unwrap();
    symlink(".", root.at("/var/log/calico/loop")).unwrap();
    let (_scratch, bundle) = bundle(root.path(), &[]);
    for (name, target) in [
        ("absolute", "/etc/shadow"),
        ("relative", "../../../etc/shadow"),
        ("folder", "../../.."),
        ("loop", "."),
    ] {
        let reason = format!("a symbolic link to {target}, not followed");
        let path = format!("logs/{name}");
        assert_eq!(bundle.told(&path), ("not-applicable", reason.as_str()));
    }
}

#[test]
fn logs_that_lie_too_deep_are_left_out_and_the_bundle_is_not_whole() {
    let deep = "d/".repeat(20);
    let root = host().file(&format!("/var/log/calico/{deep}felix.log"), "one line\n");
    let (_scratch, bundle) = bundle(root.path(), &[]);
    let left_out = format!("logs/{}", ["d"; 16].join("/"));
    let reason = "a folder below 16 others, not entered";
    assert_eq!(bundle.told(&left_out), ("truncated", reason));
    assert_eq!(bundle.manifest["complete"], false);
}

#[test]
fn of_a_sparse_terabyte_head_and_tail_are_kept() {
    let root = host();
    let mut file = File::create(root.at("/var/log/calico/huge")).unwrap();
    file.write_all(b"the first line\n").unwrap();
    file.set_len(1 << 40).unwrap();
    let mut file = OpenOptions::new().append(true).open(root.at("/var/log/calico/huge")).unwrap();
    file.write_all(b"\nthe last line\n").unwrap();
    let (_scratch, bundle) = bundle(root.path(), &["--max-file-size", "64KiB"]);
    let item = bundle.item("logs/huge");
    assert_eq!(
        (&item["outcome"], &item["originalBytes"]),
        (&"truncated".into(), &((1_u64 << 40) + 15).into())
    );
    let kept = bundle.bytes("logs/huge");
    assert!(kept.starts_with(b"the first line\n") && kept.ends_with(b"\nthe last line\n"));
    assert!(kept.len() < 66 << 10, "{}", kept.len());
    let text = String::from_utf8_lossy(&kept);
    assert!(text.contains("[calivet: ") && text.contains(" bytes left out here]"));
}

#[test]
fn a_file_that_grows_while_it_is_read_ends() {
    let root = host();
    let path = root.at("/var/log/calico/growing");
    fs::write(&path, "first\n").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (over, mut file) =
            (Arc::clone(&over), OpenOptions::new().append(true).open(&path).unwrap());
        move || {
            while !over.load(Ordering::Relaxed) {
                file.write_all(b"and another line\n").unwrap();
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
    });
    let (_scratch, bundle) = bundle(root.path(), &[]);
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(bundle.told("logs/growing").0, "ok");
    assert!(bundle.bytes("logs/growing").starts_with(b"first\n"));
}

#[test]
fn a_gzip_bomb_ends_at_the_limit_of_a_file() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![b'\n'; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let root = host().file(&format!("{POD}/0.log.20261122-000000.gz"), bomb);
    let (_scratch, bundle) = bundle(root.path(), &["--max-file-size", "1MiB"]);
    let path = "logs/pods/kube-system_calico-node-x_1/calico-node/0.log.20261122-000000";
    assert_eq!(bundle.told(path).0, "truncated");
    assert!(bundle.bytes(path).len() < (1 << 20) + 100);
}

#[test]
fn of_a_broken_gzip_file_what_came_out_is_kept() {
    let mut whole = GzEncoder::new(Vec::new(), Compression::fast());
    whole.write_all(&b"a line of a rotated log\n".repeat(100)).unwrap();
    let mut broken = whole.finish().unwrap();
    let crc = broken.len() - 8;
    broken[crc] ^= 0xff;
    let cut = broken[..crc].to_vec();
    let root =
        host().file(&format!("{POD}/1.log.gz"), broken).file(&format!("{POD}/2.log.gz"), cut);
    let (_scratch, bundle) = bundle(root.path(), &[]);
    for name in ["1.log", "2.log"] {
        let path = format!("logs/pods/kube-system_calico-node-x_1/calico-node/{name}");
        assert_eq!(bundle.told(&path).0, "failed", "{name}");
        assert!(bundle.bytes(&path).starts_with(b"a line of a rotated log\n"), "{name}");
    }
}

#[test]
fn odd_names_unpack_to_distinct_harmless_ones() {
    let root = host();
    let names: [&[u8]; 7] = [
        b"line\nfeed",
        b"esc\x1b[2J",
        b"\xff\xfe",
        b"-rf",
        b"rtl\xe2\x80\xaegpj",
        b"quote\"'",
        b" blank ",
    ];
    for name in names {
        fs::write(root.at("/var/log/calico").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let (_scratch, bundle) = bundle(root.path(), &[]);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for entry in fs::read_dir(bundle.diagnostics.join("logs")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        assert!(!name.to_str().unwrap().chars().any(char::is_control), "{name:?}");
        if entry.file_type().unwrap().is_file() {
            found.push(fs::read(entry.path()).unwrap());
        }
    }
    for name in names {
        assert!(found.contains(&name.to_vec()), "{name:?} is lost");
    }
}

#[test]
fn a_thousand_logs_are_all_there() {
    let mut root = host();
    for number in 0..1000 {
        root = root.file(&format!("/var/log/calico/cni/{number}.log"), format!("log {number}\n"));
    }
    let (_scratch, bundle) = bundle(root.path(), &[]);
    for number in 0..1000 {
        let path = format!("logs/cni/{number}.log");
        assert_eq!(bundle.bytes(&path), format!("log {number}\n").as_bytes());
    }
}

#[test]
fn a_bundle_may_be_held_to_a_size_and_tells_what_it_left_out() {
    let mut root = host();
    let mut state = 1_u64;
    for number in 0..60 {
        // Noise: it does not shrink.
        let noise: Vec<u8> = (0..16 << 10)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b'A' + (state >> 59) as u8
            })
            .collect();
        root = root.file(&format!("/var/log/calico/n/{number}.log"), noise);
    }
    let limit = 200 << 10;
    let scratch = Scratch::new();
    let run = scratch.diags(root.path()).args(["--max-size", "200KiB"]).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    bundle.assert_holds_what_it_says();
    assert_eq!(bundle.told("host/proc/uptime").0, "ok", "worth more than any log");
    let size = fs::metadata(scratch.archive()).unwrap().len();
    assert!(size <= limit && size > limit / 2, "{size} bytes");
    let items = bundle.manifest["items"].as_array().unwrap();
    let left: Vec<_> = items
        .iter()
        .filter(|item| item["reason"].as_str().unwrap_or("").contains("--max-size"))
        .collect();
    assert!(!left.is_empty() && left.iter().all(|item| item["outcome"] == "skipped"));
    let summary = String::from_utf8(bundle.bytes("summary.txt")).unwrap();
    assert!(left.iter().all(|item| summary.contains(item["path"].as_str().unwrap())));
}
