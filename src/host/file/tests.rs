use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::unistd::mkfifo;

use super::*;
use crate::host::{Artifact, Host, Source};

async fn read_file(root: &Path, path: &str, max_bytes: u64) -> Reading {
    let host = Host::live(root, Duration::from_secs(20));
    let source = Source::File(path.to_owned().into());
    host.read(&Artifact::new("x".into(), source).at_most(max_bytes)).await
}

async fn read_leaf(root: &Path, path: &str, max_bytes: u64) -> Reading {
    let host = Host::live(root, Duration::from_secs(20));
    let source = Source::Leaf { folder: "/log".into(), path: path.into() };
    host.read(&Artifact::new("x".into(), source).at_most(max_bytes)).await
}

fn root_with(name: &str, content: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("log")).unwrap();
    fs::write(root.path().join("log").join(name), content).unwrap();
    root
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn reason(reading: &Reading) -> &str {
    reading.reason.as_deref().unwrap_or("")
}

#[tokio::test]
async fn a_file_is_read_whole_and_says_where_it_was() {
    let root = root_with("file", b"content\n");
    let reading = read_file(root.path(), "/log/file", 100).await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "content\n"));
    assert_eq!(reading.original_bytes, 8);
    assert_eq!(reading.reason, None);
    assert_eq!(reading.place, Some(format!("{}/log/file", root.path().display())));
}

#[tokio::test]
async fn files_of_the_kernel_say_size_zero_and_are_read_to_their_end() {
    for path in [
        "/proc/self/status",
        "/proc/net/dev",
        "/proc/mounts",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        let expected = Path::new(path).exists();
        let reading = read_file(Path::new("/"), path, 1 << 20).await;
        if expected {
            assert_eq!(reading.outcome, Outcome::Ok, "{path}: {}", reason(&reading));
            assert!(!reading.bytes.is_empty(), "{path}");
            assert_eq!(reading.original_bytes, reading.bytes.len() as u64);
        } else {
            assert_eq!(reading.outcome, Outcome::Missing);
        }
    }
}

#[tokio::test]
async fn a_large_file_of_the_kernel_is_cut_and_says_so() {
    let reading = read_file(Path::new("/"), "/proc/self/status", 50).await;
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert!(reading.text().starts_with("Name:"), "{}", reading.text());
    assert!(
        reading.text().ends_with("\n[calivet: what follows is left out]\n"),
        "{}",
        reading.text()
    );
}

#[tokio::test]
async fn absent_and_unreadable_are_different_words() {
    let root = root_with("file", b"");
    let reading = read_file(root.path(), "/log/none", 100).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    assert!(reason(&reading).starts_with("failed to open "), "{}", reason(&reading));
    assert!(reason(&reading).ends_with("/log/none: No such file or directory (os error 2)"));
    assert_eq!(read_file(root.path(), "/log/file/x", 100).await.outcome, Outcome::Missing);
    assert_eq!(read_file(&root.path().join("no-root"), "/x", 100).await.outcome, Outcome::Missing);
    let empty = read_file(root.path(), "/log/file", 100).await;
    assert_eq!((empty.outcome, empty.bytes.len()), (Outcome::Ok, 0));
}

#[test]
fn errors_of_permission_are_denied_and_others_failed() {
    let path = Path::new("/etc/x");
    let (outcome, reason) = refused("open", path, Errno::EACCES);
    assert_eq!(outcome, Outcome::Denied);
    assert_eq!(reason.unwrap(), "failed to open /etc/x: Permission denied (os error 13)");
    assert_eq!(refused("open", path, Errno::EPERM).0, Outcome::Denied);
    assert_eq!(refused("open", path, Errno::ELOOP).0, Outcome::Failed);
    assert_eq!(refused("open", path, Errno::EMFILE).0, Outcome::Failed);
    assert_eq!(refused("open", path, Errno::ESRCH).0, Outcome::Missing);
}

#[tokio::test]
async fn fifos_sockets_folders_and_devices_are_noted_and_not_read() {
    let root = root_with("file", b"");
    let log = root.path().join("log");
    mkfifo(&log.join("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(log.join("socket")).unwrap();
    for (name, expected) in
        [("fifo", "a FIFO, not read"), ("socket", "a socket, not read"), ("", "a folder, not read")]
    {
        let reading = read_file(root.path(), &format!("/log/{name}"), 100).await;
        assert_eq!((reading.outcome, reason(&reading)), (Outcome::NotApplicable, expected));
    }
    let device = read_file(Path::new("/"), "/dev/zero", 100).await;
    assert_eq!((device.outcome, reason(&device)), (Outcome::NotApplicable, "a device, not read"));
}

/// Opening a FIFO for reading lets its writer go on, which then dies of SIGPIPE: the patient must not notice.
#[tokio::test]
async fn the_writer_of_a_fifo_does_not_notice() {
    let root = root_with("file", b"");
    let fifo = root.path().join("log/fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    read_file(root.path(), "/log/fifo", 100).await;
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
    assert_eq!(fcntl::open(&fifo, flags, Mode::empty()).unwrap_err(), Errno::ENXIO);
}

#[tokio::test]
async fn a_leaf_that_is_a_link_is_not_followed_and_a_file_that_is_one_stays_in_the_root() {
    let root = root_with("file", b"inside");
    symlink("file", root.path().join("log/link")).unwrap();
    symlink("/etc/passwd", root.path().join("log/out")).unwrap();
    let leaf = read_leaf(root.path(), "link", 100).await;
    assert_eq!(leaf.outcome, Outcome::NotApplicable);
    assert_eq!(reason(&leaf), "a symbolic link, not followed");
    assert_eq!(read_file(root.path(), "/log/link", 100).await.bytes, b"inside");
    assert_eq!(read_file(root.path(), "/log/out", 100).await.outcome, Outcome::Missing);
}

#[tokio::test]
async fn of_a_large_file_head_and_tail_are_kept_whole_lines_and_the_gap_is_exact() {
    let lines: Vec<String> = (0..100_000).map(|number| format!("line {number:06}\n")).collect();
    let content = lines.concat();
    let root = root_with("file", content.as_bytes());
    let reading = read_file(root.path(), "/log/file", 100_000).await;
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert_eq!(reading.original_bytes, content.len() as u64);
    let text = reading.text();
    let (head, rest) = text.split_once("[calivet: ").unwrap();
    let (gap, tail) = rest.split_once(" bytes left out here]\n").unwrap();
    let gap: usize = gap.parse().unwrap();
    assert!(head.len() + tail.len() <= 100_000);
    assert_eq!(head.len() + gap + tail.len(), content.len());
    assert_eq!(head, &content[..head.len()]);
    assert_eq!(tail, &content[content.len() - tail.len()..]);
    assert!(head.ends_with('\n') && tail.starts_with("line "));
}

#[tokio::test]
async fn a_terabyte_of_nothing_costs_nothing() {
    let root = root_with("file", b"first\n");
    let file = fs::OpenOptions::new().write(true).open(root.path().join("log/file")).unwrap();
    file.set_len(1 << 40).unwrap();
    let reading = read_leaf(root.path(), "file", 1000).await;
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert_eq!(reading.original_bytes, 1 << 40);
    assert!(reading.bytes.starts_with(b"first\n[calivet: "));
    assert!(reading.bytes.len() < 1100, "{}", reading.bytes.len());
}

#[tokio::test]
async fn no_allowance_or_one_byte_of_it_is_no_trouble() {
    let root = root_with("file", b"one\ntwo\n");
    let none = read_file(root.path(), "/log/file", 0).await;
    assert_eq!(
        (none.outcome, none.text().as_ref()),
        (Outcome::Truncated, "[calivet: 8 bytes left out here]\n")
    );
    let one = read_file(root.path(), "/log/file", 1).await;
    assert_eq!(one.outcome, Outcome::Truncated);
}

/// A source that grows as it is read, as a busy log does.
#[tokio::test]
async fn a_growing_file_is_read_to_the_size_it_had() {
    let root = root_with("file", &vec![b'a'; 3 << 20]);
    let path = root.path().join("log/file");
    let (sender, mut chunks) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let host = Host::live(root.path(), Duration::from_secs(20));
    let artifact = Artifact::new("x".into(), Source::File("/log/file".into()));
    let append = async {
        let mut bytes = 0;
        while let Some(chunk) = chunks.recv().await {
            bytes += chunk.len();
            fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(&[b'b'; 4096])
                .unwrap();
        }
        bytes
    };
    let (reading, bytes) = tokio::join!(host.stream(&artifact, sender), append);
    assert_eq!((reading.outcome, bytes), (Outcome::Ok, 3 << 20));
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_is_read_is_read_to_its_end() {
    let root = root_with("file", &vec![b'a'; 5 << 20]);
    let path = root.path().join("log/file");
    let (sender, mut chunks) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let host = Host::live(root.path(), Duration::from_secs(20));
    let artifact = Artifact::new("x".into(), Source::File("/log/file".into()));
    let remove = async {
        let mut bytes = 0;
        while let Some(chunk) = chunks.recv().await {
            assert!(chunk.len() <= CHUNK);
            bytes += chunk.len();
            let _gone_already = fs::remove_file(&path);
        }
        bytes
    };
    let (reading, bytes) = tokio::join!(host.stream(&artifact, sender), remove);
    assert_eq!((reading.outcome, bytes), (Outcome::Ok, 5 << 20));
}

#[tokio::test]
async fn reading_does_not_change_the_access_time() {
    let root = root_with("file", b"x");
    let path = root.path().join("log/file");
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_times(times).unwrap();
    read_file(root.path(), "/log/file", 100).await;
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
}

#[tokio::test]
async fn a_packed_leaf_is_unpacked_and_a_packed_file_is_not() {
    let packed = [gzip(b"one\n"), gzip(b"two\n")].concat();
    let root = root_with("felix.log.1.gz", &packed);
    let leaf = read_leaf(root.path(), "felix.log.1.gz", 1 << 20).await;
    assert_eq!((leaf.outcome, leaf.text().as_ref()), (Outcome::Ok, "one\ntwo\n"));
    let file = read_file(root.path(), "/log/felix.log.1.gz", 1 << 20).await;
    assert_eq!(file.bytes, packed);
}

#[tokio::test]
async fn a_leaf_that_only_calls_itself_packed_is_kept_as_it_is() {
    let root = root_with("x.gz", b"plain text\n");
    let reading = read_leaf(root.path(), "x.gz", 100).await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "plain text\n"));
}

#[tokio::test]
async fn a_packed_bomb_ends_at_the_allowance() {
    let root = root_with("bomb.gz", &gzip(&vec![0; 64 << 20]));
    let reading = read_leaf(root.path(), "bomb.gz", 1 << 20).await;
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert_eq!(reading.bytes.len(), (1 << 20) + "\n[calivet: what follows is left out]\n".len());
}

#[tokio::test]
async fn a_packed_file_of_endless_empty_members_ends_at_the_allowance() {
    let root = root_with("empty.gz", &gzip(b"").repeat(100_000));
    let reading = read_leaf(root.path(), "empty.gz", 10_001).await;
    assert_eq!((reading.outcome, reading.bytes.len()), (Outcome::Truncated, 0));
}

#[tokio::test]
async fn of_broken_packed_files_is_kept_what_came_out() {
    let text = "many words\n".repeat(50_000);
    let whole = gzip(text.as_bytes());
    let root = root_with("cut.gz", &whole[..whole.len() / 2]);
    let cut = read_leaf(root.path(), "cut.gz", 1 << 20).await;
    assert_eq!(cut.outcome, Outcome::Failed);
    assert!(!cut.bytes.is_empty() && text.as_bytes().starts_with(&cut.bytes));

    let mut wrong = whole.clone();
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    fs::write(root.path().join("log/wrong.gz"), &wrong).unwrap();
    let wrong = read_leaf(root.path(), "wrong.gz", 1 << 20).await;
    assert_eq!((wrong.outcome, wrong.bytes.len()), (Outcome::Failed, text.len()));
    assert!(reason(&wrong).starts_with("failed to read "), "{}", reason(&wrong));
}

#[tokio::test]
async fn names_that_would_disturb_a_terminal_are_escaped_in_the_reason() {
    let root = root_with("x", b"");
    let reading = read_leaf(root.path(), "a\n\u{1b}[31m", 100).await;
    assert_eq!(reading.outcome, Outcome::Missing);
    assert!(reason(&reading).contains("a\\n\\u{1b}[31m"), "{}", reason(&reading));
}

#[test]
fn what_may_not_be_read_is_denied_and_what_belongs_to_others_is_read() {
    let root = root_with("closed", b"x");
    let log = root.path().join("log");
    fs::write(log.join("open"), b"x").unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(root.path(), 0o755);
    mode(&log.join("closed"), 0o000);
    mode(&log.join("open"), 0o644);
    let before = nix::unistd::setfsuid(1000.into());
    let read_here = |path: &str| Sink::gather(|sink| read(root.path(), Path::new(path), 10, sink));
    let closed = read_here("/log/closed");
    // The kernel refuses O_NOATIME to who is not the owner.
    let open = read_here("/log/open");
    nix::unistd::setfsuid(before);
    assert_eq!(closed.outcome, Outcome::Denied);
    assert!(reason(&closed).ends_with("/log/closed: Permission denied (os error 13)"));
    assert_eq!((open.outcome, open.text().as_ref()), (Outcome::Ok, "x"));
}

/// A file system whose server never answers, as a dead NFS server does not.
struct Hung {
    root: tempfile::TempDir,
    _server: fs::File,
}

impl Hung {
    fn mount() -> Option<Self> {
        let root = root_with("file", b"content");
        let folder = root.path().join("log/hung");
        fs::create_dir(&folder).unwrap();
        let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let mounted = nix::mount::mount(
            Some("hung"),
            &folder,
            Some("fuse"),
            nix::mount::MsFlags::MS_RDONLY,
            Some(options.as_str()),
        );
        match mounted {
            Ok(()) => Some(Self { root, _server: server }),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let folder = self.root.path().join("log/hung");
        nix::mount::umount2(&folder, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_file_system_that_hangs_is_left_alone_after_its_time() {
    let Some(hung) = Hung::mount() else { return };
    let host = Host::live(hung.root.path(), Duration::from_millis(200));
    let reading = host.read(&Artifact::new("x".into(), Source::File("/log/hung/x".into()))).await;
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(reason(&reading), "did not finish within 200ms");

    let tree = crate::host::Tree {
        name: "".into(),
        folder: "/log".into(),
        include: (&["**"]).into(),
        sensitivity: crate::host::Sensitivity::Private,
        max_bytes: 100,
    };
    let listing = host.list(&tree).await;
    assert_eq!(listing.outcome, Outcome::Timeout);
    assert_eq!(listing.found.len(), 1, "what was found before is kept");

    // Others are answered meanwhile.
    let reading = read_file(hung.root.path(), "/log/file", 100).await;
    assert_eq!((reading.outcome, reading.text().as_ref()), (Outcome::Ok, "content"));
}
