//! Writer and reader together, and against GNU tar and gzip.
#![allow(
    clippy::disallowed_methods,
    reason = "tests run tar and gzip on files in a temporary folder"
)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;

use super::entry::{Entry, PART};
use super::reader::{self, Contents, Ending, Limits};
use super::writer::{DEFAULT_LEVEL, Writer};
use super::{FOLDER, Output};

type Files = BTreeMap<String, Vec<u8>>;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn time() -> Timestamp {
    "2026-11-23T02:33:26Z".parse().unwrap()
}

/// Bytes that compress somewhat and differ with the seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&(state & 0x0f07_0f03_0f0f_0f3f).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

type Samples = Vec<(Vec<u8>, Vec<u8>)>;

/// Every shape of entry: empty, small, on a block's edge, of two parts, with names long and hostile.
fn samples() -> Samples {
    let long = format!("logs/pods/{}/{}.log", "p".repeat(120), "c".repeat(90));
    let mut samples: Samples = [
        ("manifest.json", 300),
        ("empty", 0),
        ("block", 512),
        ("short", 513),
        ("bird/ipv4/show-status", 90_000),
        ("logs/large", PART + 77),
        (long.as_str(), 1000),
        ("exactly/one-hundred/with-diagnostics/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 10),
    ]
    .into_iter()
    .zip(0..)
    .map(|((path, length), seed)| (path.into(), noise(length, seed)))
    .collect();
    samples.push((b"logs/a\nb\x1b[31m\xff".to_vec(), b"hostile".to_vec()));
    samples.push((b"../../etc/cron.d/x".to_vec(), b"nowhere".to_vec()));
    samples.push((b"manifest.json".to_vec(), b"the last".to_vec()));
    samples
}

/// The same and entries of one part exactly, of two and of three.
fn more_samples() -> Samples {
    let mut samples = samples();
    for (path, length) in [("part", PART), ("parts", 2 * PART), ("and-a-bit", 5 * PART / 2 + 5)] {
        samples.push((path.into(), noise(length, 77)));
    }
    samples
}

fn expected(samples: &Samples) -> Files {
    samples.iter().map(|(path, data)| (super::entry_path(path), data.clone())).collect()
}

async fn write(output: Output, jobs: usize, chunk: usize, samples: &Samples) -> u64 {
    let mut writer = Writer::new(output, jobs, DEFAULT_LEVEL);
    for (path, data) in samples {
        let mut entry = Entry::begin(&writer.compressor(), path);
        for piece in data.chunks(chunk) {
            entry.push(piece.to_vec()).await;
        }
        assert_eq!(entry.bytes(), data.len() as u64);
        writer.append(entry.finish(time()).await).await.unwrap();
    }
    writer.finish().await.unwrap()
}

fn archive(jobs: usize, chunk: usize, samples: &Samples) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let written = block_on(write(Output::create(&path, false).unwrap(), jobs, chunk, samples));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(written, bytes.len() as u64);
    bytes
}

/// What our reader gives, whole members only.
fn read(bytes: &[u8]) -> (Files, Contents) {
    let mut files = Files::new();
    let contents = reader::read_gzip(bytes, Limits::default(), &mut |member, data| {
        let mut content = Vec::new();
        if data.read_to_end(&mut content).is_ok() {
            assert_eq!(content.len() as u64, member.size);
            files.insert(member.path.strip_prefix(FOLDER).unwrap().to_owned(), content);
        }
        ControlFlow::Continue(())
    });
    (files, contents)
}

/// What `gzip -dc | tar x` gives, whatever they complain of.
fn unpack(bytes: &[u8]) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    fs::write(&path, bytes).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Command::new("tar")
        .args(["x", "-C"])
        .arg(&out)
        .stdin(gzip.stdout.take().unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    gzip.wait().unwrap();
    let mut files = Files::new();
    let root = out.join(FOLDER);
    if root.exists() {
        collect(&root, &root, &mut files);
    }
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Where gzip members end.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        std::io::copy(&mut decoder, &mut std::io::sink()).unwrap();
        rest = decoder.into_inner();
        ends.push(bytes.len() - rest.len());
    }
    ends
}

/// An archive of [`samples`] and where each of its entries ends.
fn archive_and_ends() -> (Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let mut ends = Vec::new();
    block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 2, DEFAULT_LEVEL);
        for (name, data) in samples() {
            writer.add(name, data, time()).await.unwrap();
            ends.push(usize::try_from(writer.written()).unwrap());
        }
        writer.finish().await.unwrap();
    });
    (fs::read(&path).unwrap(), ends)
}

/// Nothing whole is lost of an archive cut after `cut` bytes, to us or to `gzip -dc | tar x`.
fn assert_nothing_lost(bytes: &[u8], samples: &Samples, ends: &[usize], cut: usize) {
    let whole = samples.iter().zip(ends).filter(|(_, end)| **end <= cut);
    let whole: Files =
        whole.map(|((path, data), _)| (super::entry_path(path), data.clone())).collect();
    let ours = read(&bytes[..cut]);
    assert_eq!(ours.1.truncated(), cut < bytes.len(), "cut at {cut}: {:?}", ours.1.ending);
    let theirs = unpack(&bytes[..cut]);
    for (path, content) in &whole {
        // Data may be whole though their checksum is cut off: the last manifest is then there too soon.
        let last = &samples.last().unwrap().1;
        let right = |got: Option<&Vec<u8>>| {
            got == Some(content) || (path == "manifest.json" && got == Some(last))
        };
        assert!(right(ours.0.get(path)), "cut at {cut}: {path}, of {:?}", ours.0.keys());
        // Of an archive that is cut within the last manifest, tar puts what there is of it in the first one's place.
        let partly = path == "manifest.json"
            && cut > ends[ends.len() - 2]
            && theirs.get(path).is_some_and(|got| last.starts_with(got));
        assert!(right(theirs.get(path)) || partly, "cut at {cut}: {path}, of {:?}", theirs.keys());
    }
    assert!(ours.0.len() <= whole.len() + 1, "cut at {cut}: {:?}", ours.0.keys());
}

#[test]
fn what_was_written_is_read_again() {
    let (files, contents) = read(&archive(2, 100_000, &more_samples()));
    assert_eq!(contents.ending, Ending::Whole);
    assert_eq!(contents.refused_total, 0);
    assert!(files == expected(&more_samples()), "{:?}", files.keys());
    assert!(files.contains_key("logs/a%0Ab%1B[31m%FF"));
    assert!(files.contains_key("%2E%2E/%2E%2E/etc/cron.d/x"));
}

#[test]
fn gnu_tar_and_gzip_open_it() {
    let bytes = archive(2, 100_000, &more_samples());
    assert!(unpack(&bytes) == expected(&more_samples()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    fs::write(&path, &bytes).unwrap();
    let gzip = Command::new("gzip").arg("-t").arg(&path).output().unwrap();
    assert!(gzip.status.success() && gzip.stderr.is_empty(), "{gzip:?}");
    let tar = Command::new("tar").arg("tvzf").arg(&path).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    let listing = String::from_utf8(tar.stdout).unwrap();
    assert_eq!(listing.lines().count(), more_samples().len());
    assert!(listing.lines().all(|line| line.starts_with("-rw------- 0/0")), "{listing}");
}

/// Writes an entry to its place as it comes.
async fn write_through(writer: &mut Writer, path: &str, data: &[u8]) {
    let mut entry = Entry::begin(&writer.compressor(), path);
    writer.begin(entry.path()).await.unwrap();
    for piece in data.chunks(300_000) {
        entry.push(piece.to_vec()).await;
        if entry.held() > 0 {
            writer.extend(entry.path().to_owned().as_str(), entry.take()).await.unwrap();
        }
    }
    let rest = entry.finish(time()).await.packed().await;
    writer.end(rest).await.unwrap();
}

#[test]
fn an_entry_that_goes_to_its_place_as_it_comes_is_the_same_as_one_that_waited() {
    let data = noise(3 * PART + 77, 5);
    let long = format!("logs/{}", "l".repeat(150));
    for path in ["logs/large", long.as_str()] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tar.gz");
        block_on(async {
            let mut writer = Writer::new(Output::create(&file, false).unwrap(), 2, DEFAULT_LEVEL);
            assert!(writer.can_begin());
            writer.add("date", b"now".to_vec(), time()).await.unwrap();
            write_through(&mut writer, path, &data).await;
            writer.add("after", b"it".to_vec(), time()).await.unwrap();
            assert_eq!(writer.written(), fs::metadata(&file).unwrap().len());
            writer.finish().await.unwrap();
        });
        let samples = vec![
            (b"date".to_vec(), b"now".to_vec()),
            (path.as_bytes().to_vec(), data.clone()),
            (b"after".to_vec(), b"it".to_vec()),
        ];
        let bytes = fs::read(&file).unwrap();
        assert!(bytes == archive(1, 100_000, &samples));
        assert!(unpack(&bytes) == expected(&samples));
    }
}

#[test]
fn an_archive_whose_writer_died_within_an_entry_yields_all_before_and_what_there_is_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let data = noise(2 * PART, 5);
    block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 1, DEFAULT_LEVEL);
        writer.add("date", b"now".to_vec(), time()).await.unwrap();
        let mut entry = Entry::begin(&writer.compressor(), "logs/large");
        entry.push(data.clone()).await;
        writer.begin("logs/large").await.unwrap();
        let members = entry.finish(time()).await.packed().await;
        assert!(members.bytes() > PART as u64 / 4);
        // Nothing else can come between.
        writer.add("other", b"no".to_vec(), time()).await.unwrap_err();
        let mut entry = Entry::begin(&writer.compressor(), "again");
        entry.push(data.clone()).await;
        while entry.held() == 0 {
            tokio::task::yield_now().await;
        }
        writer.extend("logs/large", entry.take()).await.unwrap();
    });
    let bytes = fs::read(&path).unwrap();
    let (files, contents) = read(&bytes);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["date"]);
    assert!(contents.truncated(), "{:?}", contents.ending);
    let theirs = unpack(&bytes);
    assert_eq!(theirs["date"], b"now");
    let part = &theirs["logs/large"];
    assert!(part.len() >= PART && data.starts_with(part), "{}", part.len());
}

#[test]
fn an_entry_that_is_taken_back_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 1, DEFAULT_LEVEL);
        writer.add("date", b"now".to_vec(), time()).await.unwrap();
        let before = writer.written();
        writer.begin("logs/large").await.unwrap();
        writer.extend("logs/large", vec![noise(100_000, 1)]).await.unwrap();
        assert!(writer.length() > before + 100_000);
        writer.take_back().await;
        assert_eq!((writer.length(), fs::metadata(&path).unwrap().len()), (before, before));
        writer.extend("logs/large", vec![noise(10, 1)]).await.unwrap_err();
        writer.add("after", b"it".to_vec(), time()).await.unwrap();
        // What is still begun at the end is not whole.
        writer.begin("logs/other").await.unwrap();
        writer.finish().await.unwrap();
    });
    let (files, contents) = read(&fs::read(&path).unwrap());
    assert_eq!(contents.ending, Ending::Whole);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["after", "date"]);
}

#[test]
fn the_archive_depends_neither_on_the_threads_nor_on_the_chunks() {
    let samples = more_samples();
    let one = archive(1, 100_000, &samples);
    assert!(archive(4, 100_000, &samples) == one);
    assert!(archive(4, 4093, &samples) == one);
    assert!(archive(0, 3 << 20, &samples) == one);
}

#[test]
fn a_cut_between_two_members_loses_nothing_before_it() {
    let (bytes, ends) = archive_and_ends();
    let samples = samples();
    let members = boundaries(&bytes);
    // One member an entry, three for the large one, and the archive's end.
    assert_eq!(members.len(), samples.len() + 2 + 1);
    assert!(ends.iter().all(|end| members.contains(end)));
    for cut in members {
        assert_nothing_lost(&bytes, &samples, &ends, cut);
    }
}

#[test]
fn a_cut_anywhere_loses_nothing_before_it() {
    let (bytes, ends) = archive_and_ends();
    let samples = samples();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for count in 0..200 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (from, to) = match count % 4 {
            0 => (0, bytes.len()),
            // The small entries before and after the large one take the least space.
            1 => (0, ends[3]),
            2 => (ends[5], bytes.len()),
            _ => (ends[3], ends[5]),
        };
        let cut = from + usize::try_from(state % (to - from) as u64).unwrap();
        assert_nothing_lost(&bytes, &samples, &ends, cut);
    }
}

#[test]
fn entries_that_would_share_a_name_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 1, 1);
        for (name, text) in
            [("a", "1"), ("/a", "2"), ("a~2", "3"), ("./a", "4"), ("summary.txt", "5")]
        {
            writer.add(name, text.into(), time()).await.unwrap();
        }
        writer.add("summary.txt", "6".into(), time()).await.unwrap();
        writer.finish().await.unwrap();
    });
    let (files, _) = read(&fs::read(&path).unwrap());
    let files: Vec<_> = files.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
    assert_eq!(
        files,
        [("a", b"1"), ("a~2", b"2"), ("a~2~2", b"3"), ("a~3", b"4"), ("summary.txt", b"6")]
            .map(|(k, v)| (k, v.as_slice()))
    );
}

#[test]
fn a_file_of_which_nothing_could_be_written_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    drop(Writer::new(Output::create(&path, false).unwrap(), 1, 1));
    assert!(!path.exists());
}

#[test]
fn what_was_written_stays_when_the_run_ends_without_finishing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 1, 1);
        writer.add("date", b"now".to_vec(), time()).await.unwrap();
    });
    let (files, contents) = read(&fs::read(&path).unwrap());
    assert_eq!(files["date"], b"now");
    assert!(contents.truncated());
}

#[test]
fn a_full_device_is_an_error_each_time_and_no_panic() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    block_on(async {
        let mut writer = Writer::new(Output::stream(full, "standard output"), 1, 1);
        let error = writer.add("date", b"now".to_vec(), time()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "failed to write date to standard output");
        writer.add("date", b"now".to_vec(), time()).await.unwrap_err();
        assert_eq!(writer.written(), 0);
        writer.finish().await.unwrap_err();
    });
}

#[test]
fn a_reader_that_has_gone_is_a_broken_pipe() {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    block_on(async {
        let mut writer = Writer::new(Output::stream(write, "standard output"), 1, 1);
        let error = writer.add("date", b"now".to_vec(), time()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

/// A file that may not grow beyond a size gives what a full disk gives, in the middle of an entry.
#[test]
fn when_the_disk_fills_the_archive_still_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().to_owned();
    // A tiny file system in a mount namespace of a thread's own.
    let result = std::thread::spawn(move || {
        use nix::mount::{MsFlags, mount as mount_at};
        use nix::sched::{CloneFlags, unshare};
        let none: Option<&str> = None;
        let tiny = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount_at(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
            .and_then(|()| {
                mount_at(Some("tmpfs"), &mount, Some("tmpfs"), MsFlags::empty(), Some("size=1m"))
            });
        if let Err(errno) = tiny {
            println!("skipped: no file system of its own: {errno}");
            return None;
        }
        let path = mount.join("x.tar.gz");
        let output = Output::create(&path, false).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The file is open already; threads that write to it need not see the mount.
        runtime.block_on(async {
            let mut writer = Writer::new(output, 1, 1);
            writer.add("before", noise(100_000, 1), time()).await.unwrap();
            let error = writer.add("large", noise(6 << 20, 2), time()).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            writer.begin("as-it-comes").await.unwrap();
            let error = writer.extend("as-it-comes", vec![noise(6 << 20, 2)]).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            writer.add("manifest.json", b"large is missing".to_vec(), time()).await.unwrap();
            writer.finish().await.unwrap();
        });
        Some(fs::read(&path).unwrap())
    })
    .join()
    .unwrap();
    let Some(bytes) = result else { return };
    let (files, contents) = read(&bytes);
    assert_eq!(contents.ending, Ending::Whole);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["before", "manifest.json"]);
    assert_eq!(unpack(&bytes), files);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever names and contents, in whatever chunks: what was written is read, under the names that are promised.
    #[test]
    fn what_was_written_is_read_whatever_it_is(
        entries in proptest::collection::vec((".{0,300}", proptest::collection::vec(0..3000_usize, 0..4)), 0..8),
        jobs in 1..4_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.gz");
        let expected: Vec<(String, Vec<u8>)> = block_on(async {
            let mut writer = Writer::new(Output::create(&path, false).unwrap(), jobs, DEFAULT_LEVEL);
            let mut expected = Vec::new();
            for (name, chunks) in &entries {
                let mut entry = Entry::begin(&writer.compressor(), name);
                let mut content = Vec::new();
                for (seed, length) in (0..).zip(chunks) {
                    content.extend(noise(*length, seed));
                    entry.push(noise(*length, seed)).await;
                }
                expected.push((format!("{FOLDER}{}", entry.path()), content));
                writer.append(entry.finish(time()).await).await.unwrap();
            }
            writer.finish().await.unwrap();
            expected
        });
        let mut found = Vec::new();
        let contents = reader::read(&path, Limits::default(), &mut |member, data| {
            let mut content = Vec::new();
            data.read_to_end(&mut content).unwrap();
            found.push((member.path.clone(), content));
            ControlFlow::Continue(())
        });
        let contents = contents.unwrap();
        proptest::prop_assert_eq!((contents.ending, contents.refused_total), (Ending::Whole, 0));
        proptest::prop_assert_eq!(found, expected);
    }
}
