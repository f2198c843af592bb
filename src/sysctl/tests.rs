use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), content: Content::Text(text.to_owned()) }
}

const MAX: &str = "net/netfilter/nf_conntrack_max";

/// The value that decides, and where it stands.
fn decides(files: &[File], reader: Reader) -> Option<(String, String)> {
    let boot = at_boot(files, reader, &[MAX, "net/nf_conntrack_max"]);
    boot.writes.last().map(|write| (write.value.clone(), write.place()))
}

#[track_caller]
fn both(files: &[File], value: &str, place: &str) {
    for reader in [Reader::Systemd, Reader::Procps] {
        let expected = Some((value.to_owned(), place.to_owned()));
        assert_eq!(decides(files, reader), expected, "{reader:?}");
    }
}

#[test]
fn the_name_decides_the_order_and_the_last_line_wins() {
    let files = [
        file("/etc/sysctl.d/50-b.conf", "\n# x\nnet.netfilter.nf_conntrack_max = 2\n"),
        file("/usr/lib/sysctl.d/60-c.conf", "net/netfilter/nf_conntrack_max=3"),
        file("/run/sysctl.d/10-a.conf", "-net.netfilter.nf_conntrack_max =1"),
        file("/etc/sysctl.d/70-d.txt", "net.netfilter.nf_conntrack_max = 4"),
    ];
    both(&files, "3", "/usr/lib/sysctl.d/60-c.conf:1");
}

#[test]
fn of_one_name_the_first_folder_is_read_even_where_it_says_nothing() {
    let mut files = vec![
        file("/usr/lib/sysctl.d/60-c.conf", "net.netfilter.nf_conntrack_max = 3"),
        file("/run/sysctl.d/60-c.conf", "net.netfilter.nf_conntrack_max = 2"),
        file("/etc/sysctl.d/10-a.conf", "net.netfilter.nf_conntrack_max = 1"),
    ];
    both(&files, "2", "/run/sysctl.d/60-c.conf:1");
    files.push(File { path: "/etc/sysctl.d/60-c.conf".to_owned(), content: Content::Nothing });
    both(&files, "1", "/etc/sysctl.d/10-a.conf:1");
}

#[test]
fn only_procps_reads_the_old_file_and_reads_it_last() {
    let files = [
        file(OLD_FILE, "net.netfilter.nf_conntrack_max = 9"),
        file("/etc/sysctl.d/zz.conf", "net.netfilter.nf_conntrack_max = 1"),
    ];
    assert_eq!(decides(&files, Reader::Systemd).unwrap().0, "1");
    assert_eq!(decides(&files, Reader::Procps).unwrap().1, "/etc/sysctl.conf:1");
}

#[test]
fn a_pattern_writes_what_is_named_nowhere_and_not_left_out() {
    let pattern = file("/etc/sysctl.d/90.conf", "net.netfilter.nf_*_max = 7");
    both(std::slice::from_ref(&pattern), "7", "/etc/sysctl.d/90.conf:1");
    let named = file("/etc/sysctl.d/10.conf", "net.netfilter.nf_conntrack_max = 1");
    both(&[pattern.clone(), named], "1", "/etc/sysctl.d/10.conf:1");
    let left_out = file("/etc/sysctl.d/95.conf", "-net.netfilter.nf_conntrack_max");
    for reader in [Reader::Systemd, Reader::Procps] {
        assert_eq!(decides(&[pattern.clone(), left_out.clone()], reader), None);
    }
    // What is left out by a pattern is not left out.
    both(
        &[pattern, file("/etc/sysctl.d/95.conf", "-net.*conntrack_max")],
        "7",
        "/etc/sysctl.d/90.conf:1",
    );
}

#[test]
fn for_systemd_a_line_without_a_value_takes_an_earlier_one_back() {
    let files = [
        file("/etc/sysctl.d/10.conf", "net.netfilter.nf_conntrack_max = 1"),
        file("/etc/sysctl.d/20.conf", "-net.netfilter.nf_conntrack_max"),
    ];
    assert_eq!(decides(&files, Reader::Systemd), None);
    assert_eq!(decides(&files, Reader::Procps).unwrap().0, "1");
}

#[test]
fn for_systemd_a_line_that_says_the_same_again_stays_at_its_first_place() {
    let files = [
        file("/etc/sysctl.d/10.conf", "net.netfilter.nf_conntrack_max = 1"),
        file("/etc/sysctl.d/20.conf", "net.nf_conntrack_max = 2"),
        file("/etc/sysctl.d/30.conf", "net.netfilter.nf_conntrack_max = 1"),
    ];
    // Both names are one setting, so that the order of the lines decides.
    assert_eq!(decides(&files, Reader::Systemd).unwrap().0, "2");
    assert_eq!(decides(&files, Reader::Procps).unwrap().0, "1");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let path = "/etc/sysctl.d/20.conf".to_owned();
    let files = [File { path: path.clone(), content: Content::Unread("denied".to_owned()) }];
    let boot = at_boot(&files, Reader::Systemd, &[MAX]);
    assert_eq!(boot.unread, [(path, "denied".to_owned())]);
}

#[test]
fn the_kernel_reads_numbers_as_c_does() {
    for (text, expected) in [
        ("262144", Some(262_144)),
        ("0x40000", Some(262_144)),
        ("010", Some(8)),
        ("0", Some(0)),
        (" 7 # seven", Some(7)),
        ("7,8", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("many", None),
    ] {
        assert_eq!(number(text), expected, "{text}");
    }
}

#[test]
fn a_module_is_loaded_by_the_first_list_that_names_it() {
    let files = [
        file("/usr/lib/modules-load.d/a.conf", "# x\nip_set\nnf-conntrack\n"),
        file("/etc/modules-load.d/b.conf", "nf_conntrack\n"),
        file("/etc/modules-load.d/c.conf", "#nf_conntrack\n"),
    ];
    assert_eq!(
        loads(&files, "nf_conntrack"),
        Some(("/usr/lib/modules-load.d/a.conf".to_owned(), 3))
    );
    assert_eq!(loads(&files[2..], "nf_conntrack"), None);
}

#[test]
fn the_last_option_of_a_module_counts() {
    let files = [
        file(
            "/etc/modprobe.d/a.conf",
            "options nf_conntrack hashsize=1 x=2\noptions other hashsize=3",
        ),
        file("/lib/modprobe.d/b.conf", "options nf_conntrack  hashsize=4 "),
    ];
    let found = option(&files, "nf_conntrack", "hashsize");
    assert_eq!(found, Some(("4".to_owned(), "/lib/modprobe.d/b.conf".to_owned(), 1)));
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text: String, key: String) {
        let files = [file("/etc/sysctl.d/a.conf", &text), file(OLD_FILE, &text)];
        for reader in [Reader::Systemd, Reader::Procps] {
            let _ = at_boot(&files, reader, &[&key]);
        }
        let _ = (loads(&files, &key), option(&files, &key, &text), number(&text));
    }
}
