//! Places at which no bundle can be written, or only a part of one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ends::start;
use super::fuse::{FileSystem, Manner, Refusal};
use super::{CALIVET, Scratch, Unpacked, is_root, text, wait_until};
use crate::root::Root;

/// A host whose logs do not shrink: half a megabyte in small files.
fn host() -> Root {
    let mut root = Root::new();
    let mut state = 7_u64;
    for number in 0..40 {
        let noise: Vec<u8> = (0..16 << 10)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b'A' + (state >> 59) as u8
            })
            .collect();
        root = root.file(&format!("/var/log/calico/{number}.log"), noise);
    }
    root
}

/// Runs a script with calivet's command line as its arguments, in a mount namespace of its own in which `$D` is
/// empty; what the script copies to `$KEEP` outlasts it.
fn on_mount(options: &str, scratch: &Scratch, root: &Path, script: &str) -> Output {
    let at = scratch.path().join("mount");
    fs::create_dir(&at).unwrap();
    let script = format!("mount -t tmpfs -o {options} small \"$D\"\n{script}");
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh", CALIVET, "--root"])
        .arg(root)
        .args(["node", "diags", "--output-file"])
        .arg(at.join("x.tar.gz"))
        .env("D", &at)
        .env("KEEP", scratch.archive())
        .output()
        .unwrap()
}

#[test]
fn when_the_disk_fills_what_was_written_can_be_read_and_one_error_says_so() {
    if !is_root() {
        return;
    }
    let (root, scratch) = (host(), Scratch::new());
    let run = on_mount(
        "size=200k",
        &scratch,
        root.path(),
        "\"$@\"\ncode=$?\ncp \"$D/x.tar.gz\" \"$KEEP\"\nexit $code",
    );
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), ""), "{run:?}");
    let said = text(&run.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    let size = fs::metadata(scratch.archive()).unwrap().len();
    for part in [
        &format!("{size} bytes were written"),
        "failed to write logs/",
        "x.tar.gz",
        "No space left on device",
    ] {
        assert!(errors[0].contains(part), "{part}: {said}");
    }
    let bundle = scratch.open();
    assert!(size > 50 << 10, "{size}");
    bundle.assert_written_items_are_there();
}

impl Unpacked {
    /// Whatever the disk took is whole, be the closing manifest among it or not.
    fn assert_written_items_are_there(&self) {
        if self.manifest["finished"].is_null() {
            assert!(fs::read_dir(self.diagnostics.join("logs")).unwrap().count() > 0);
        } else {
            assert_eq!(self.manifest["complete"], false);
            self.assert_holds_what_it_says();
        }
    }
}

#[test]
fn a_disk_that_takes_nothing_leaves_no_file_and_status_3() {
    if !is_root() {
        return;
    }
    let (root, scratch) = (host(), Scratch::new());
    let fill = "dd if=/dev/zero of=\"$D/full\" 2>/dev/null\n\"$@\"\ncode=$?\n[ ! -e \"$D/x.tar.gz\" ] || exit 99\nexit $code";
    let run = on_mount("size=64k", &scratch, root.path(), fill);
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(3), ""), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    assert!(said.contains("x.tar.gz") && said.contains("No space left on device"), "{said}");
}

#[test]
fn a_read_only_folder_is_named_with_its_cause() {
    if !is_root() {
        return;
    }
    let (root, scratch) = (Root::new(), Scratch::new());
    let run = on_mount("ro", &scratch, root.path(), "\"$@\"");
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(3), ""), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.starts_with("error: failed to create ") && said.lines().count() == 1, "{said}");
    assert!(said.contains("x.tar.gz: Read-only file system"), "{said}");
}

#[test]
fn a_file_that_may_not_grow_further_ends_the_run_and_not_the_process() {
    let (root, scratch) = (host(), Scratch::new());
    // In blocks of 512 bytes: 100 KiB.
    let limit = ["sh", "-c", "ulimit -f 200; exec \"$@\"", "sh"];
    let run = scratch.wrapped(&limit, root.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.contains("File too large") && said.contains("bytes were written"), "{said}");
    scratch.open().assert_written_items_are_there();
}

/// `node diags` that writes to a file system of the test's own.
fn onto(disk: &FileSystem, root: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(CALIVET);
    command.arg("--root").arg(root).args(["node", "diags"]).args(options);
    command.arg("--output-file").arg(disk.file());
    command
}

/// Quotas of ext4 and tmpfs take kernels that are built with them; what reaches calivet is the same errno.
#[test]
fn a_quota_that_is_used_up_ends_the_run_and_what_was_written_can_be_read() {
    let (root, scratch) = (host(), Scratch::new());
    let manner = Manner { writes: (150 << 10, Refusal::Error(Errno::EDQUOT)), sync: None };
    let Some(disk) = FileSystem::mount(scratch.path().join("disk"), manner) else { return };
    let run = onto(&disk, root.path(), &[]).output().unwrap();
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), ""), "{run:?}");
    let said = text(&run.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let size = disk.content().len();
    assert_eq!(errors.len(), 1, "{said}");
    for part in [&format!("{size} bytes were written"), "failed to write logs/", "quota exceeded"] {
        assert!(errors[0].contains(part), "{part}: {said}");
    }
    assert!(size > 50 << 10, "{size}");
    fs::write(scratch.archive(), disk.content()).unwrap();
    scratch.open().assert_written_items_are_there();
}

#[test]
fn a_disk_that_says_only_at_the_end_that_it_failed_is_believed() {
    let (root, scratch) = (host(), Scratch::new());
    // As NFS does, which writes when it likes.
    let manner = Manner { writes: (usize::MAX, Refusal::Silence), sync: Some(Errno::EDQUOT) };
    let Some(disk) = FileSystem::mount(scratch.path().join("disk"), manner) else { return };
    let run = onto(&disk, root.path(), &[]).output().unwrap();
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(1), ""), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.contains("x.tar.gz") && said.contains("quota exceeded"), "{said}");
}

/// A disk that takes a little and then neither writes nor fails.
fn hung_disk(scratch: &Scratch) -> Option<FileSystem> {
    let manner = Manner { writes: (20 << 10, Refusal::Silence), sync: None };
    FileSystem::mount(scratch.path().join("disk"), manner)
}

#[test]
fn a_second_signal_ends_a_run_whose_disk_hangs() {
    let (root, scratch) = (host(), Scratch::new());
    let Some(disk) = hung_disk(&scratch) else { return };
    let mut child = start(&onto(&disk, root.path(), &[]));
    let pid = Pid::from_raw(child.id().cast_signed());
    wait_until("it writes", || disk.content().len() > 1000);
    std::thread::sleep(Duration::from_secs(1));
    kill(pid, Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let still_runs = child.try_wait().unwrap().is_none();
    let begun = Instant::now();
    // It has ended already if the first one was enough.
    let _ = kill(pid, Signal::SIGINT);
    let status = ended(&mut child, Duration::from_secs(5));
    assert!(still_runs, "one signal ended it at once: {status:?}");
    assert_eq!(status, Some(130), "after {:?}", begun.elapsed());
}

#[test]
fn the_deadline_ends_a_run_whose_disk_hangs() {
    let (root, scratch) = (host(), Scratch::new());
    let Some(disk) = hung_disk(&scratch) else { return };
    let mut child = start(&onto(&disk, root.path(), &["--deadline", "1s"]));
    // The second of the deadline, and the ten that it may take to finish the bundle.
    let status = ended(&mut child, Duration::from_secs(20));
    assert_eq!(status, Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("could not be finished in time"), "{said}");
}

/// The exit status of a program that ends within `limit`; one that does not is killed.
fn ended(child: &mut std::process::Child, limit: Duration) -> Option<i32> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may not be waited for: who waits for a disk may be beyond killing.
    child.kill().unwrap();
    None
}

#[test]
fn a_folder_that_is_removed_meanwhile_is_told() {
    let (root, scratch) = (Root::new(), Scratch::new());
    // Held up for a second by a BIRD that does not answer.
    let _bird =
        std::os::unix::net::UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    let folder = scratch.path().join("gone");
    fs::create_dir(&folder).unwrap();
    let child = Command::new(CALIVET)
        .args(["--timeout", "1s", "--root"])
        .arg(root.path())
        .args(["node", "diags", "--output-file"])
        .arg(folder.join("x.tar.gz"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the file is there", || folder.join("x.tar.gz").exists());
    fs::remove_dir_all(&folder).unwrap();
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), text(&run.stdout)), (Some(3), ""), "{run:?}");
    assert!(text(&run.stderr).contains("x.tar.gz: it was removed while it was written"), "{run:?}");
}

/// `node diags` with stdout as the shell redirects it.
fn redirected(root: &Path, arguments: &str) -> Output {
    let script = format!("\"$0\" --root \"$1\" node diags --only bird {arguments}");
    Command::new("sh").args(["-c", &script, CALIVET]).arg(root).output().unwrap()
}

#[test]
fn a_full_device_is_an_error_and_no_bundle() {
    let root = Root::new();
    let run = redirected(root.path(), "--output-file - >/dev/full");
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.contains("stdout: No space left on device"), "{said}");
    let run = redirected(root.path(), "--output-file /dev/full");
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert!(text(&run.stderr).contains("is not a regular file"), "{run:?}");
}

#[test]
fn a_path_that_cannot_be_printed_does_not_cost_the_bundle() {
    let (root, scratch) = (Root::new(), Scratch::new());
    let archive = scratch.archive();
    let run = redirected(root.path(), &format!("--output-file {} >/dev/full", archive.display()));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let said = text(&run.stderr);
    assert!(said.contains(&format!("the bundle is at {}", archive.display())), "{said}");
    scratch.open();
}

#[test]
fn a_reader_that_has_had_enough_is_no_news() {
    let root = host();
    let script = "{ \"$0\" --root \"$1\" node diags --output-file -; echo \"status $?\" >&2; } | head -c 10000 >/dev/null";
    let run = Command::new("sh").args(["-c", script, CALIVET]).arg(root.path()).output().unwrap();
    let said = text(&run.stderr);
    assert!(!said.contains("error") && !said.contains("panicked"), "{said}");
    assert!(said.contains("status 1") || said.contains("status 3"), "{said}");
}

#[test]
fn a_bundle_cut_anywhere_gives_every_whole_entry_before_the_cut() {
    let (root, scratch) = (host(), Scratch::new());
    let run = scratch.diags(root.path()).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bytes = fs::read(scratch.archive()).unwrap();
    let bundle = scratch.open();
    let script = "gzip -dc \"$0\" 2>/dev/null | tar -x -C \"$1\" 2>/dev/null; ls \"$1\"/diagnostics/logs 2>/dev/null | wc -l";
    let mut before = 0;
    for step in 1..=24 {
        let folder = scratch.path().join(format!("cut-{step}"));
        fs::create_dir(&folder).unwrap();
        let cut = folder.join("cut.tar.gz");
        // Odd steps, so that cuts fall anywhere.
        let length = bytes.len() * step / 24 - if step < 24 { step * 7 } else { 0 };
        fs::write(&cut, &bytes[..length]).unwrap();
        let run = Command::new("sh").args(["-c", script]).arg(&cut).arg(&folder).output().unwrap();
        let logs: usize = text(&run.stdout).trim().parse().unwrap();
        assert!(logs >= before, "{logs} logs at step {step}, {before} before");
        before = logs;
        // All but the last, which may be cut, are as the whole bundle has them.
        let at = folder.join("diagnostics/logs");
        let names = fs::read_dir(&at).map(|names| names.flatten().collect::<Vec<_>>());
        let broken = names
            .unwrap_or_default()
            .iter()
            .filter(|entry| {
                let path = format!("logs/{}", entry.file_name().to_str().unwrap());
                fs::read(entry.path()).unwrap() != bundle.bytes(&path)
            })
            .count();
        assert!(broken <= 1, "{broken} broken at step {step}");
    }
    assert_eq!(before, 40);
}
