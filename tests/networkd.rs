//! Which file of systemd-networkd's takes an interface, compared with what the real one does: it runs in namespaces of
//! its own, with trees of files that are made up.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use calivet::networkd::{File, Interface, Networks, Verdict};

use crate::lab::namespaces::Namespaces;
use crate::sysctl::Numbers;

const TREES: usize = 80;

const FOLDERS: [&str; 4] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
];

const NAMES: [&str; 7] = [
    "10-a.network",
    "50-b.network",
    "50-B.network",
    "z.network",
    "notes.txt",
    "10-a.network.d/x.conf",
    "50-b.network.d/y.conf",
];

/// Name and kind of each interface.
const LINKS: [(&str, &str); 6] = [
    ("cali0a1b2c3d4e5", "veth"),
    ("eth9", "veth"),
    ("tunl0", "tun"),
    ("vxlan.calico", "vxlan"),
    ("vxlan-v6.calico", "vxlan"),
    ("br7", "bridge"),
];

/// Lines of `[Match]`. Of `Type=`, networkd knows only the half where no udev runs.
const CONDITIONS: [&str; 26] = [
    "Name=*",
    "Name=cali*",
    "Name=cali* tunl0",
    "Name=!cali* tunl0",
    "Name=!eth*",
    "Name=vxlan.calic?",
    "Name=[ct]*",
    "Name=[!c]*",
    "Name=cali*\nName=vxlan*",
    "Name=eth*\nName=\nName=tun*",
    "Name=",
    "  Name =  br*  ",
    "# Name=eth*",
    "; Name=eth*",
    "Name=cali* \\\n  br7",
    "name=cali*",
    "Kind=veth",
    "Kind=!veth",
    "Kind=tun vxlan",
    "Driver=veth",
    "Driver=!vxlan",
    "Type=wlan",
    "Type=!wlan",
    "MACAddress=00:11:22:33:44:55",
    "Unknown=1",
    "no assignment",
];

fn text(numbers: &mut Numbers) -> String {
    if numbers.below(12) == 0 {
        return String::new();
    }
    let mut text = String::new();
    if numbers.below(8) > 0 {
        text.push_str("[Match]\n");
        for _ in 0..=numbers.below(2) {
            text.push_str(numbers.pick(&CONDITIONS));
            text.push('\n');
        }
    }
    if numbers.below(3) == 0 {
        text.push_str("[Link]\nUnmanaged=");
        text.push_str(numbers.pick(&["yes", "1", "true", "no", "perhaps"]));
        text.push('\n');
    }
    text + "[Network]\nLinkLocalAddressing=no\n"
}

/// Makes a tree below `root`, and says what networkd finds there.
fn make(numbers: &mut Numbers, root: &Path) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for folder in FOLDERS {
        std::fs::create_dir_all(root.join(&folder[1..])).unwrap();
    }
    for _ in 0..=numbers.below(6) {
        let path = format!("{}/{}", numbers.pick(&FOLDERS), numbers.pick(&NAMES));
        if files.iter().any(|file| file.path == path) {
            continue;
        }
        let at = root.join(&path[1..]);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let text = (numbers.below(10) > 0).then(|| text(numbers));
        match &text {
            Some(text) => std::fs::write(at, text).unwrap(),
            None => symlink("/dev/null", at).unwrap(),
        }
        files.push(File { path, text });
    }
    files
}

/// Nothing of this machine's can be written to, and what is there of networkd's is out of sight.
const BUILD: &str = r"
mount -t sysfs -o ro sysfs /sys
for folder in /etc/systemd /usr/local/lib /usr/lib/systemd/network; do
    if [[ -d $folder ]]; then mount -t tmpfs tmpfs $folder; fi
done
mkdir -p /run/systemd/netif/{links,leases,lldp}
chown -R systemd-network:systemd-network /run/systemd/netif
";

/// Runs networkd on each tree, and prints what it did with each interface: a line for each, `configured FILE` or
/// `unmanaged`.
const JUDGE: &str = r#"
for number in $(seq 0 $((TREES - 1))); do
    for folder in FOLDERS; do
        mkdir -p "$folder"
        find "$folder" -mindepth 1 -delete
    done
    cp -dr "FROM/$number/." /
    rm -f /run/systemd/netif/links/*
    /lib/systemd/systemd-networkd >/run/networkd.log 2>&1 &
    pid=$!
    for name in LINKS; do
        state=/run/systemd/netif/links/$(</sys/class/net/$name/ifindex)
        for try in $(seq 500); do
            if grep -qsE '^ADMIN_STATE=(configuring|configured|unmanaged|failed)' "$state"; then break; fi
            sleep 0.02
        done
        sed -n 's/^ADMIN_STATE=//p; s/^NETWORK_FILE=//p' "$state" | tr '\n' ' '
        echo
    done
    kill $pid
    wait $pid 2>/dev/null || true
done
"#;

/// The name of a file, or of that to which a drop-in belongs: calivet names the line with the condition.
fn main_file(path: &str) -> &str {
    let path = path.split(".d/").next().unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

#[test]
fn the_file_that_takes_an_interface_is_the_one_that_networkd_takes() {
    let Some(namespaces) = Namespaces::with(&["/lib/systemd/systemd-networkd"]) else { return };
    let mut script = String::from(BUILD);
    for (index, (name, kind)) in LINKS.iter().enumerate() {
        let line = match *kind {
            "veth" => format!("ip link add {name} type veth peer name peer{index}\n"),
            "tun" => format!("ip tuntap add dev {name} mode tun\n"),
            "vxlan" => {
                format!("ip link add {name} type vxlan id {index} dstport {}\n", 4789 + index)
            }
            kind => format!("ip link add {name} type {kind}\n"),
        };
        script.push_str(&line);
    }
    namespaces.run(&script);
    let trees = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(20_261_128);
    let files: Vec<Vec<File>> = (0..TREES)
        .map(|number| make(&mut numbers, &trees.path().join(number.to_string())))
        .collect();
    let names = LINKS.map(|(name, _)| name);
    let script = JUDGE
        .replace("TREES", &TREES.to_string())
        .replace("FROM", &trees.path().display().to_string())
        .replace("FOLDERS", &FOLDERS.join(" "))
        .replace("LINKS", &names.join(" "));
    let printed = namespaces.run(&script);
    let mut lines = printed.lines();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, files) in files.iter().enumerate() {
        let networks = Networks::of(files);
        for (name, kind) in LINKS {
            let real = lines.next().unwrap_or_else(|| panic!("tree {number}: {printed}")).trim();
            let ours = networks.judge(&Interface { name, kind: Some(kind) });
            let expected = match &ours {
                Verdict::Unknown(_) => {
                    *count.entry("unknown").or_default() += 1;
                    continue;
                }
                Verdict::Nobody | Verdict::Unmanaged(_) => None,
                Verdict::Taken(origin) => Some(main_file(&origin.path)),
            };
            let taken = real.split_once(' ').filter(|(state, _)| *state != "unmanaged");
            let taken = taken.map(|(_, path)| main_file(path));
            assert_eq!(
                taken, expected,
                "tree {number}, {name}: networkd {real:?}, calivet {ours:?}: {files:#?}"
            );
            *count.entry(if taken.is_some() { "taken" } else { "left" }).or_default() += 1;
        }
    }
    assert_eq!(lines.next(), None);
    println!("{count:?}");
    let all = TREES * LINKS.len();
    assert!(count["taken"] * 5 > all && count["left"] * 5 > all, "{count:?}");
    assert!(count.get("unknown").copied().unwrap_or_default() * 10 < all, "{count:?}");
}
