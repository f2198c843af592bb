//! Which value a setting has after a boot, compared with what the two programs that apply settings do: the same files,
//! in a file system of their own whose `/proc/sys` is a folder.

use std::os::unix::fs::symlink;
use std::path::Path;

use calivet::sysctl::{self, Content, File, Reader};

use crate::lab::namespaces::Namespaces;

const TREES: usize = 600;

const FOLDERS: [&str; 4] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

const NAMES: [&str; 9] = [
    "10-a.conf",
    "10-A.conf",
    "50-b.conf",
    "5-c.conf",
    "99-sysctl.conf",
    "z.conf",
    ".hidden.conf",
    "notes.txt",
    "\u{e9}.conf",
];

const KEYS: [&str; 5] = [
    "net/netfilter/nf_conntrack_max",
    "net/nf_conntrack_max",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/eth0.100/rp_filter",
];

/// Ways to name them, and others.
const SPELLINGS: [&str; 26] = [
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_max",
    "net/netfilter/nf_conntrack_max",
    "net.nf_conntrack_max",
    "net.ipv4.ip_forward",
    "/net/ipv4/ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.eth0/100.rp_filter",
    "net/ipv4/conf/eth0.100/rp_filter",
    "net//ipv4/./ip_forward",
    "net..ipv4.ip_forward",
    "net.ipv4.conf.*.rp_filter",
    "net/ipv4/conf/*/rp_filter",
    "net.ipv4.conf.e*.rp_filter",
    "net.*.nf_conntrack_max",
    "net.*conntrack_max",
    "net.nf_conntrack_m?x",
    "net.netfilter.nf_conntrack_[a-m]ax",
    "net.ipv4.conf.[!a]*.rp_filter",
    "net.ipv4.conf.[^e]*.rp_filter",
    "net.ipv4.{ip_for*,tcp_*}",
    "net.ipv4.conf.{all,x}.rp_filter",
    "*",
    "*.*",
    "net.ipv4.[",
    "no.such.key",
];

/// Numbers that are the same in every run (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn line(&mut self) -> String {
        let key = self.pick(&SPELLINGS);
        let value = self.pick(&["1", "2", "3", "4", "17", "5 6", "", "7 # seven", "8=9"]);
        let end = self.pick(&["", "", "", " ", "\r", "\t"]);
        match self.below(12) {
            0 => format!("-{key}{end}"),
            1 => format!("-{key} = {value}{end}"),
            2 => format!("- {key}={value}{end}"),
            3 => format!("# {key} = {value}"),
            4 => format!("; {key} = {value}"),
            5 => format!("{key}{end}"),
            6 => format!(" \t{key}\t=\t{value}{end}"),
            7 => self.pick(&["", " ", "=", "-", "=1", "x"]).to_owned(),
            _ => format!("{key} = {value}{end}"),
        }
    }

    fn text(&mut self) -> String {
        let lines: Vec<String> = (0..self.below(6)).map(|_| self.line()).collect();
        let last = self.pick(&["\n", "\n", ""]);
        lines.join("\n") + last
    }
}

/// Makes a tree below `root`, and says what a program finds there.
fn make(numbers: &mut Numbers, root: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let at = |path: &str| root.join(&path[1..]);
    for folder in FOLDERS {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    let old = (numbers.below(3) > 0).then(|| numbers.text());
    if let Some(text) = &old {
        std::fs::write(at(sysctl::OLD_FILE), text).unwrap();
        let content = Content::Text(text.clone());
        files.push(File { path: sysctl::OLD_FILE.to_owned(), content });
    }
    for _ in 0..=numbers.below(8) {
        let path = format!("{}/{}", numbers.pick(&FOLDERS), numbers.pick(&NAMES));
        if files.iter().any(|file| file.path == path) {
            continue;
        }
        let content = match numbers.below(12) {
            0 => {
                symlink("/dev/null", at(&path)).unwrap();
                Content::Nothing
            }
            1 => {
                symlink("/etc/sysctl.conf", at(&path)).unwrap();
                old.clone().map_or(Content::Nothing, Content::Text)
            }
            2 => {
                std::fs::create_dir(at(&path)).unwrap();
                Content::Nothing
            }
            3 => {
                symlink("nowhere", at(&path)).unwrap();
                Content::Nothing
            }
            _ => {
                let text = numbers.text();
                std::fs::write(at(&path), &text).unwrap();
                Content::Text(text)
            }
        };
        files.push(File { path, content });
    }
    files
}

/// A file system of its own, in which nothing of this machine can be written to: `/proc/sys` is a folder in memory.
const BUILD: &str = r#"
root=FROM/root
mkdir "$root"
mount -t tmpfs -o mode=0755 tmpfs "$root"
mkdir -p "$root"/{usr,etc,run,dev,proc/sys}
mount --bind -o ro /usr "$root/usr"
mount -t tmpfs tmpfs "$root/usr/lib/sysctl.d"
mount -t tmpfs tmpfs "$root/usr/local"
for name in lib lib64 sbin; do ln -s usr/$name "$root/$name"; done
: >"$root/dev/null"
furnish() {
    rm -rf "$root/etc" "$root/run" "$root/usr/local/lib"
    find "$root/usr/lib/sysctl.d" -mindepth 1 -delete
    cp -dr "$1/." "$root/"
}
"#;

const REMOVE: &str = r#"
umount -R "$root"
"#;

/// Applies each tree with both programs, and prints what `/proc/sys` holds after each: a line for each program and key.
const APPLY: &str = r#"
for key in KEYS; do mkdir -p "$root/proc/sys/${key%/*}"; done
for number in $(seq 0 $((TREES - 1))); do
    furnish "FROM/$number"
    for program in '/lib/systemd/systemd-sysctl' '/usr/sbin/sysctl --system'; do
        for key in KEYS; do echo - >"$root/proc/sys/$key"; done
        # Each complains of lines that are wrong on purpose.
        chroot "$root" $program >/dev/null 2>&1 || true
        for key in KEYS; do
            IFS= read -r value <"$root/proc/sys/$key" || true
            echo "$value"
        done
    done
done
"#;

/// Prints which files systemd reads of each tree, in its order, and an empty line behind.
const SHOW: &str = r#"
for number in $(seq 0 $((TREES - 1))); do
    furnish "FROM/$number"
    chroot "$root" /lib/systemd/systemd-sysctl --cat-config 2>/dev/null | grep -aE '^# /(etc|run|usr)/' | cut -c3- || true
    echo
done
"#;

fn script(work: &str, trees: &Path) -> String {
    format!("{BUILD}{work}{REMOVE}")
        .replace("TREES", &TREES.to_string())
        .replace("FROM", &trees.display().to_string())
        .replace("KEYS", &KEYS.join(" "))
}

/// The programs that apply settings.
const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd-sysctl", "/usr/sbin/sysctl"];

#[test]
fn the_value_after_a_boot_is_what_systemd_and_procps_write() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let trees = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(20_261_123);
    let files: Vec<Vec<File>> = (0..TREES)
        .map(|number| make(&mut numbers, &trees.path().join(number.to_string())))
        .collect();
    let printed = namespaces.run(&script(APPLY, trees.path()));
    let mut written = printed.lines();
    let mut decided = 0;
    for (number, files) in files.iter().enumerate() {
        for reader in [Reader::Systemd, Reader::Procps] {
            for key in KEYS {
                let boot = sysctl::at_boot(files, reader, &[key]);
                let expected = boot.writes.last().map_or("-", |write| write.value.as_str());
                decided += usize::from(!boot.writes.is_empty());
                let real = written.next().unwrap_or_else(|| panic!("tree {number}: {printed}"));
                assert_eq!(expected, real, "tree {number}, {reader:?}, {key}: {files:#?}");
            }
        }
    }
    assert_eq!(written.next(), None);
    // Trees that decide nothing would prove nothing.
    assert!(decided > TREES * 3, "only {decided} values were written");
}

#[test]
fn the_order_of_the_files_is_the_one_that_systemd_shows() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let trees = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    let mut all = Vec::new();
    for number in 0..TREES {
        let root = trees.path().join(number.to_string());
        let files = make(&mut numbers, &root);
        // It stops at the first file that it cannot show.
        let (shown, others): (Vec<File>, Vec<File>) =
            files.into_iter().partition(|file| matches!(file.content, Content::Text(_)));
        for file in others {
            let path = root.join(&file.path[1..]);
            if path.is_symlink() {
                std::fs::remove_file(path).unwrap();
            } else {
                std::fs::remove_dir(path).unwrap();
            }
        }
        all.push(shown);
    }
    let printed = namespaces.run(&script(SHOW, trees.path()));
    let mut lines = printed.lines();
    for (number, files) in all.iter().enumerate() {
        let order = sysctl::in_order(files, &sysctl::FOLDERS, Reader::Systemd);
        let expected: Vec<&str> = order.iter().map(|file| file.path.as_str()).collect();
        let shown: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        assert_eq!(shown, expected, "tree {number}: {files:#?}");
    }
}
