use super::*;
use crate::archive::entry_path;
use crate::archive::header::BLOCK;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write as _;
use tar::{EntryType, Header};

/// A tar entry with exactly these fields, whatever a decent tar would say.
fn raw(name: &[u8], kind: u8, size: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_entry_type(EntryType::new(kind));
    header.as_old_mut().size = [0; 12];
    header.as_old_mut().size[..size.len()].copy_from_slice(size);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(data);
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    entry
}

fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    raw(name.as_bytes(), kind, format!("{:011o}", data.len()).as_bytes(), data)
}

fn file(name: &str, data: &str) -> Vec<u8> {
    entry(name, b'0', data.as_bytes())
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in records {
        let bare = key.len() + value.len() + 3;
        let length = (bare + 1..bare + 9).find(|n| bare + n.to_string().len() == *n).unwrap();
        data.extend([&length.to_string(), " ", key, "=", value, "\n"]);
    }
    entry("PaxHeader", b'x', data.as_bytes())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// Names and data of what is given, and what became of the archive.
fn shown(bytes: &[u8], limits: Limits) -> (Vec<(String, String)>, Contents) {
    let mut files = Vec::new();
    let contents = read_gzip(bytes, limits, &mut |member, data| {
        let mut text = String::new();
        if data.read_to_string(&mut text).is_ok() {
            files.push((member.path.clone(), text));
        }
        ControlFlow::Continue(())
    });
    (files, contents)
}

fn names(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|file| file.0.as_str()).collect()
}

/// Between two files that are in order: only they are given, and why the one between is not.
#[track_caller]
fn refused(hostile: Vec<u8>) -> String {
    let bytes = gzip(&[file("before", "1"), hostile, file("after", "2"), end()].concat());
    let (files, contents) = shown(&bytes, Limits::default());
    assert_eq!(names(&files), ["before", "after"], "{contents:?}");
    assert_eq!(contents.ending, Ending::Whole);
    assert_eq!((contents.refused_total, contents.refused.len()), (1, 1));
    let refusal = &contents.refused[0];
    assert!(!refusal.path.chars().any(char::is_control));
    format!("{}: {}", refusal.path, refusal.reason)
}

/// After a file that is in order: it is given, and how the archive ends.
#[track_caller]
fn ends(hostile: Vec<u8>) -> Ending {
    let bytes = gzip(&[file("before", "1"), hostile, file("after", "2"), end()].concat());
    let (files, contents) = shown(&bytes, Limits::default());
    assert_eq!(names(&files), ["before"], "{contents:?}");
    contents.ending
}

#[test]
fn a_path_out_of_the_archive_is_refused() {
    for name in ["../x", "a/../../x", "a/.."] {
        assert_eq!(refused(file(name, "x")), format!("{name}: its path leads out of the archive"));
    }
    assert_eq!(refused(file("/etc/passwd", "x")), "/etc/passwd: its path is absolute");
    assert_eq!(refused(file("", "x")), ": it has no name");
    let long = [entry("././@LongLink", b'L', b"../from/a/long/name\0"), file("innocent", "x")];
    assert_eq!(refused(long.concat()), "../from/a/long/name: its path leads out of the archive");
    let long = [pax(&[("path", "/from/pax")]), file("innocent", "x")].concat();
    assert_eq!(refused(long), "/from/pax: its path is absolute");
}

#[test]
fn what_is_not_a_file_is_refused() {
    for (kind, reason) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a FIFO"),
        (b'S', "a sparse file"),
        (b'Z', "neither a file nor a folder"),
    ] {
        assert_eq!(refused(entry("x", kind, b"")), format!("x: {reason}"));
    }
    // Data behind a link's header: GNU tar takes none, so they would be read as the next header.
    assert!(matches!(ends(entry("x", b'1', b"data")), Ending::Damaged(_)));
}

#[test]
fn sparse_files_are_passed_over_with_their_maps() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.as_gnu_mut().unwrap().set_is_extended(true);
    header.as_old_mut().name[0] = b's';
    header.set_size(3);
    header.set_cksum();
    let mut map = tar::GnuExtSparseHeader::new();
    map.set_is_extended(true);
    let sparse = [header.as_bytes().as_slice(), map.as_bytes(), &[0; BLOCK], b"abc", &[0; 509]];
    assert_eq!(refused(sparse.concat()), "s: a sparse file");
    let sparse = [pax(&[("GNU.sparse.major", "1"), ("path", "p")]), file("s", "x")].concat();
    assert_eq!(refused(sparse), "p: a sparse file");
}

#[test]
fn extended_names_are_understood_and_bounded() {
    let long = format!("diagnostics/{}", "n/".repeat(150) + "leaf");
    let archive = [
        entry("././@LongLink", b'L', format!("{long}\0").as_bytes()),
        file("short", "gnu"),
        pax(&[("mtime", "1.5"), ("path", &long), ("size", "3")]),
        raw(b"short", b'0', b"0", b"pax"),
        entry("global", b'g', b"13 path=all\n"),
        entry("././@LongLink", b'K', b"linkname\0"),
        file("./plain", "."),
        end(),
    ];
    let (files, contents) = shown(&gzip(&archive.concat()), Limits::default());
    let expected = [(long.as_str(), "gnu"), (long.as_str(), "pax"), ("plain", ".")];
    assert_eq!(files, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    assert_eq!((contents.ending, contents.refused_total), (Ending::Whole, 0));

    let huge = [entry("././@LongLink", b'L', &vec![b'n'; 1 << 20]), file("short", "x")].concat();
    assert_eq!(refused(huge), "short: its name is too long");
    let huge = [pax(&[("comment", &"c".repeat(1 << 20))]), file("short", "x")].concat();
    assert_eq!(refused(huge), "short: its PAX header is too long");
    let garbled = [entry("PaxHeader", b'x', b"nonsense\n"), file("short", "x")].concat();
    assert_eq!(refused(garbled), "short: its PAX header is not understood");
    let negative = [pax(&[("size", "-1")]), file("short", "x")].concat();
    assert_eq!(refused(negative), "short: its size is not a number");
}

#[test]
fn a_name_that_a_terminal_would_obey_is_given_escaped() {
    let bytes = gzip(&[raw(b"a\x1b[2J\n\xff", b'0', b"1", b"x"), end()].concat());
    assert_eq!(names(&shown(&bytes, Limits::default()).0), ["a%1B[2J%0A%FF"]);
    let refusal = refused(raw(b"/\x1b]0;owned\x07", b'0', b"0", b""));
    assert_eq!(refusal, "/%1B]0;owned%07: its path is absolute");
}

#[test]
fn folders_are_passed_over() {
    let archive =
        [entry("./", b'5', b""), entry("d/", b'5', b""), entry("old/", 0, b""), file("d/f", "x")];
    let (files, contents) = shown(&gzip(&archive.concat()), Limits::default());
    assert_eq!(names(&files), ["d/f"]);
    assert_eq!(contents.refused_total, 0);
}

#[test]
fn sizes_that_lie_end_the_archive() {
    let numbers: [&[u8]; 4] =
        [b"-0000000001", b"99999999999", b"\x1b[31mhello", b"\xff\xff\xff\xff"];
    for size in numbers {
        let ending = ends(raw(b"x", b'0', size, b"x"));
        let (Ending::Damaged(reason) | Ending::TooLarge(reason)) = &ending else {
            panic!("{ending:?}");
        };
        assert!(!reason.chars().any(char::is_control), "{reason:?}");
    }
    // All bits set: -1 for one reader, the largest number for another.
    assert!(matches!(ends(raw(b"x", b'0', &[0xff; 12], b"x")), Ending::Damaged(_)));
    let mut largest = [0xff; 12];
    largest[..4].copy_from_slice(&[0x80, 0, 0, 0]);
    for kind in [b'0', b'2', b'L', b'x', b'g'] {
        assert!(matches!(ends(raw(b"x", kind, &largest, b"")), Ending::TooLarge(_)));
    }
    let pax = [pax(&[("size", "18446744073709551615")]), file("x", "x")].concat();
    assert!(matches!(ends(pax), Ending::TooLarge(_)));
    assert_eq!(ends(raw(b"x", b'0', b"17777777777", b"x")), Ending::Truncated);
}

#[test]
fn a_wrong_checksum_ends_the_archive() {
    let mut header = file("x", "x");
    header[0] = b'y';
    assert_eq!(ends(header), Ending::Damaged("the checksum of a tar header is wrong".to_owned()));

    let mut bytes = gzip(&[file("before", "1"), end()].concat());
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let (files, contents) = shown(&bytes, Limits::default());
    assert_eq!(names(&files), ["before"]);
    assert!(matches!(contents.ending, Ending::Damaged(_)), "{contents:?}");
}

#[test]
fn a_bomb_is_left_at_the_limit() {
    let limits = Limits { bytes: 4 << 20, ..Limits::default() };
    let zeros = gzip(&vec![0; 4 << 20]);
    let bomb = [gzip(&raw(b"bomb", b'0', b"10000000000", b"")), zeros.repeat(256)].concat();
    let before = gzip(&file("before", "1"));
    // A gigabyte in one entry, told at once by its size.
    let (files, contents) = shown(&[before.as_slice(), &bomb].concat(), limits);
    assert_eq!(names(&files), ["before"]);
    assert!(matches!(contents.ending, Ending::TooLarge(_)), "{contents:?}");
    // Small entries without end.
    let many = gzip(&file("f", "x").repeat(5000));
    let mut bytes = 0;
    let contents = read_gzip([before, many].concat().as_slice(), limits, &mut |_, data| {
        bytes += io::copy(data, &mut io::sink()).unwrap();
        ControlFlow::Continue(())
    });
    assert!(matches!(contents.ending, Ending::TooLarge(_)), "{contents:?}");
    assert_eq!(bytes, (4 << 20) / 1024);
    // Data beyond the limit are an error to whoever reads them.
    let limits = Limits { bytes: 1024, ..Limits::default() };
    let (files, contents) = shown(&gzip(&[file("f", &"x".repeat(600)), end()].concat()), limits);
    assert!(files.is_empty() && matches!(contents.ending, Ending::TooLarge(_)));
}

#[test]
fn a_gigabyte_of_zeros_costs_no_memory() {
    let zeros = gzip(&vec![0; 1 << 20]);
    let bomb =
        [gzip(&raw(b"bomb", b'0', b"10000000000", b"")), zeros.repeat(1024), gzip(&end())].concat();
    let mut seen = 0;
    let contents = read_gzip(bomb.as_slice(), Limits::default(), &mut |member, _| {
        seen += member.size;
        ControlFlow::Continue(())
    });
    assert_eq!((seen, contents.ending), (1 << 30, Ending::Whole));
}

#[test]
fn entries_without_end_are_left_at_the_limit() {
    let bytes =
        gzip(&[file("f", "").repeat(150_000), entry("l", b'2', b"").repeat(150_000)].concat());
    let (files, contents) = shown(&bytes, Limits { entries: 200_000, ..Limits::default() });
    assert_eq!(files.len(), 150_000);
    assert_eq!((contents.refused_total, contents.refused.len()), (50_000, MAX_REFUSED));
    assert_eq!(contents.ending, Ending::TooLarge("it has more than 200000 entries".to_owned()));
    // Headers that only announce another are entries too.
    let bytes = gzip(&entry("././@LongLink", b'L', b"n\0").repeat(1000));
    let contents = shown(&bytes, Limits { entries: 999, ..Limits::default() }).1;
    assert!(matches!(contents.ending, Ending::TooLarge(_)));
}

#[test]
fn whoever_has_enough_stops_the_reading() {
    let bytes = gzip(&[file("a", "1"), file("b", "2"), end()].concat());
    let mut seen = 0;
    let contents = read_gzip(bytes.as_slice(), Limits::default(), &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((seen, contents.ending), (1, Ending::Left));
}

#[test]
fn what_is_no_archive_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let nothing: Visit<'_> = &mut |_, _| ControlFlow::Continue(());
    assert!(matches!(read(&path, Limits::default(), nothing), Err(ReadError::Open { .. })));
    for content in ["", "plain text", "PK\u{3}\u{4}"] {
        std::fs::write(&path, content).unwrap();
        let error = read(&path, Limits::default(), nothing).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is no bundle: not a gzip file", path.display()));
    }
    std::fs::write(&path, gzip(b"a text that is no tar at all".repeat(40).as_slice())).unwrap();
    let contents = read(&path, Limits::default(), nothing).unwrap();
    assert!(matches!(contents.ending, Ending::Damaged(_)), "{contents:?}");
}

#[test]
fn a_folder_is_read_without_following_links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("b/c")).unwrap();
    std::fs::write(at("b/c/file"), "text").unwrap();
    std::fs::write(at("a"), "first").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("b/link")).unwrap();
    std::os::unix::fs::symlink("/etc", at("etc")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut files = Vec::new();
    let contents = read(folder.path(), Limits::default(), &mut |member, data| {
        let mut text = String::new();
        data.read_to_string(&mut text).unwrap();
        files.push((member.path.clone(), text));
        ControlFlow::Continue(())
    });
    let contents = contents.unwrap();
    assert_eq!(files, [("a", "first"), ("b/c/file", "text")].map(|(a, b)| (a.into(), b.into())));
    let refused: Vec<_> =
        contents.refused.iter().map(|r| (r.path.as_str(), r.reason.as_str())).collect();
    let link = "a symbolic link";
    assert_eq!(refused, [("b/link", link), ("etc", link), ("fifo", "a FIFO or socket")]);

    let count = |limits| {
        let mut seen = 0;
        let visit: Visit<'_> = &mut |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        };
        let ending = read(folder.path(), limits, visit).unwrap().ending;
        (seen, matches!(ending, Ending::TooLarge(_)))
    };
    assert_eq!(count(Limits { entries: 4, ..Limits::default() }), (2, true));
    assert_eq!(count(Limits { bytes: 5, ..Limits::default() }), (1, true));
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        shown(&bytes, Limits::default());
        shown(&gzip(&bytes), Limits::default());
    }

    #[test]
    fn a_changed_archive_does_no_harm(
        changes in prop::collection::vec((0..6000_usize, any::<u8>()), 1..8),
        cut in 0..6000_usize,
    ) {
        let mut tar = [
            pax(&[("path", "pax"), ("size", "4")]), file("a", "text"),
            entry("././@LongLink", b'L', b"long\0"), file("b", &"data".repeat(300)), entry("l", b'2', b""), end(),
        ]
        .concat();
        let mut gz = gzip(&tar);
        for (place, byte) in &changes {
            let (length, place_gz) = (tar.len(), place % gz.len());
            tar[place % length] = *byte;
            gz[place_gz] = *byte;
        }
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        for bytes in [gzip(&tar), gz, gzip(&tar[..cut.min(tar.len())])] {
            let (files, contents) = shown(&bytes, limits);
            prop_assert!(files.iter().all(|(path, _)| entry_path(path) == *path));
            prop_assert!(contents.refused.iter().all(|r| !r.path.chars().any(char::is_control)));
        }
    }
}
