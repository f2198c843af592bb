//! The kernel: version, modules, settings now and after a reboot, load and memory.

use std::borrow::Cow;

use super::{Artifact, Collector, NAME_BYTES, Node, Rows, Source, Tree, conntrack};

/// The folders of modules, one for each kernel that is installed.
pub const MODULE_FOLDERS: &str = "kernel/modules_listing";
/// Modules that are loaded, and some that are built in.
pub const SYS_MODULE: &str = "kernel/sys_module";
/// What the kernel tells of its own types.
pub const BTF: &str = "kernel/btf";
/// What is mounted, as the first process sees it.
pub const MOUNTS: &str = "host/proc/1/mountinfo";
/// The same, as calivet sees it.
pub const OWN_MOUNTS: &str = "host/proc/self/mountinfo";

/// The modules that are loaded; absent where the kernel can load none.
pub(super) const MODULES: Artifact = Artifact::file("/proc/modules").public();
/// The kernel's release, as `uname -r` says.
pub(super) const RELEASE: Artifact = Artifact::file("/proc/sys/kernel/osrelease").public();
/// The host's name as the kernel has it.
pub(super) const HOSTNAME: Artifact =
    Artifact::file("/proc/sys/kernel/hostname").public().at_most(NAME_BYTES);

pub(super) const COLLECTOR: Collector = Collector {
    name: "kernel",
    about: "version, modules, sysctls and the files that set them, load, memory, kernel log",
    artifacts: &[
        HOSTNAME,
        MODULES,
        RELEASE,
        Artifact::file("/proc/version").public(),
        Artifact::file("/proc/cmdline"),
        UPTIME,
        Artifact::file("/proc/loadavg").public(),
        MEMINFO,
        Artifact::file("/proc/cpuinfo").public(),
        STAT,
        Artifact::file("/proc/vmstat").public(),
        SLABINFO,
        Artifact::file("/proc/softirqs").public(),
        Artifact::file("/proc/interrupts").public(),
        Artifact::file("/proc/locks").public(),
        Artifact::file("/proc/filesystems").public(),
        Artifact::file("/proc/self/mountinfo"),
        Artifact::file("/proc/1/mountinfo"),
        listing(MODULE_FOLDERS, "/lib/modules"),
        listing(SYS_MODULE, "/sys/module"),
        listing(BTF, "/sys/kernel/btf"),
        Artifact::file("/proc/pressure/cpu").public(),
        Artifact::file("/proc/pressure/io").public(),
        Artifact::file("/proc/pressure/memory").public(),
        Artifact::file("/proc/config.gz").public(),
        Artifact::file("/sys/kernel/security/lockdown").public(),
        Artifact::file("/proc/sys/kernel/modules_disabled").public(),
        Artifact::new(Cow::Borrowed("kernel/sysctl"), Source::Settings),
        SYSCTL_CONF,
        ETC_MODULES,
        LOG,
    ],
    trees: &[
        Tree::new("/proc/sys/net/netfilter", &["*"]).public(),
        Tree::new("/proc/sys/net/bridge", &["*"]).public(),
        Tree::new("/proc/sys/net/core", &["*"]).public(),
        Tree::new("/proc/sys/net/ipv4", SYSCTLS).public(),
        Tree::new("/proc/sys/net/ipv6", SYSCTLS).public(),
    ],
    more: |node| Rows { artifacts: of_release(node), trees: configuration() },
};

const fn listing(name: &'static str, folder: &'static str) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Listing(Cow::Borrowed(folder))).public()
}

/// Whether a kernel's release can be part of a path and of nothing else.
pub(super) fn is_release(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_plain)
}

/// The places of the running kernel's configuration, in the order in which they are looked at, and the list of its
/// modules on the disk.
#[must_use]
pub fn config_paths(release: &str) -> [String; 3] {
    [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/src/linux-headers-{release}/.config"),
    ]
}

/// The list of the modules on the disk.
#[must_use]
pub fn modules_path(release: &str) -> String {
    format!("/lib/modules/{release}/modules.dep")
}

/// The files that are named after the running kernel's release.
fn of_release(node: &Node) -> Vec<Artifact> {
    if node.release.is_empty() {
        return Vec::new();
    }
    let paths = config_paths(&node.release).into_iter().chain([modules_path(&node.release)]);
    let files = paths.map(|path| Artifact::file_at(path).public());
    files.chain(builtin_modules(&node.release)).collect()
}

/// What `check system` rests on.
#[must_use]
pub fn requirements(node: &Node) -> Rows {
    const FIXED: &[&str] = &[
        "host/proc/filesystems",
        MOUNTS,
        OWN_MOUNTS,
        "host/proc/config.gz",
        "host/sys/kernel/security/lockdown",
        "host/proc/sys/kernel/modules_disabled",
        "host/proc/net/ip_tables_matches",
        "host/proc/net/ip_tables_targets",
        "host/proc/net/ip6_tables_matches",
        "host/proc/net/ip6_tables_targets",
        MODULE_FOLDERS,
        SYS_MODULE,
        BTF,
        "network/links.json",
        conntrack::BPF_MAPS,
        "netfilter/nftables.json",
        super::netfilter::IPSET_TYPES,
    ];
    let mut rows = super::at(node, FIXED);
    rows.artifacts.extend(of_release(node));
    rows.artifacts.extend(super::felix::process_status(node));
    rows
}

/// What `check sysctl` rests on.
#[must_use]
pub fn forwarding(node: &Node) -> Rows {
    const FIXED: &[&str] = &[
        "network/links.json",
        "network/addresses.json",
        "host/proc/net/netstat",
        "host/proc/net/stat/arp_cache",
        "host/proc/net/stat/ndisc_cache",
        conntrack::BPF_MAPS,
    ];
    let mut rows = super::at(node, FIXED);
    rows.artifacts.extend([SYSCTL_CONF, super::system::INIT]);
    rows.trees = vec![
        Tree::new("/proc/sys/net/bridge", &["bridge-nf-call-*tables"]).public(),
        Tree::new("/proc/sys/net/ipv4", FORWARDING).public(),
        Tree::new("/proc/sys/net/ipv6", FORWARDING).public(),
    ];
    rows.trees.extend(configuration());
    rows
}

/// The settings that are looked at, of those in [`SYSCTLS`]: each costs as much as a whole table.
const FORWARDING: &[&str] = &[
    "ip_forward",
    "conf/all/forwarding",
    "conf/default/forwarding",
    "conf/all/rp_filter",
    "conf/default/rp_filter",
    "conf/all/arp_ignore",
    "conf/all/accept_local",
    "conf/all/proxy_arp",
    "conf/all/route_localnet",
    "conf/all/disable_ipv6",
    "neigh/default/gc_thresh?",
];

/// Settings in `/proc/sys/net/ipv4` and `ipv6` but those of single interfaces, which come and go with pods. From
/// the secret, an interface's stable addresses are made (RFC 7217).
pub(crate) const SYSCTLS: &[&str] =
    &["*", "conf/all/*", "conf/default/*", "neigh/default/*", "route/*", "!conf/*/stable_secret"];

/// The log, as far as the kernel still holds it.
pub(super) const LOG: Artifact = Artifact::new(Cow::Borrowed("logs/kernel.log"), Source::KernelLog);
/// Seconds since boot.
pub(super) const UPTIME: Artifact = Artifact::file("/proc/uptime").public();
/// Memory.
pub(super) const MEMINFO: Artifact = Artifact::file("/proc/meminfo").public();
/// The kernel's objects.
pub(super) const SLABINFO: Artifact = Artifact::file("/proc/slabinfo").public();
/// Time of each CPU, and of boot.
pub(super) const STAT: Artifact = Artifact::file("/proc/stat").public();
/// Settings at boot, where procps looks last.
pub(super) const SYSCTL_CONF: Artifact = Artifact::file("/etc/sysctl.conf");
/// Where a link in modules-load.d leads on Debian.
pub(super) const ETC_MODULES: Artifact = Artifact::file("/etc/modules");

/// The folders of what the kernel's settings and modules are after a boot.
pub(super) fn configuration() -> Vec<Tree> {
    conntrack::folders().map(|folder| Tree::new(folder, CONF)).collect()
}

/// The modules that are part of the kernel itself (kernel's `Documentation/kbuild/kbuild.rst`).
pub(super) fn builtin_modules(release: &str) -> Option<Artifact> {
    let path = format!("/lib/modules/{release}/modules.builtin");
    let file = || Artifact::new(Cow::Borrowed(""), Source::File(Cow::Owned(path))).public();
    (!release.is_empty()).then(file)
}

const CONF: &[&str] = &["*.conf"];

/// The names in `/proc/modules`:
///
/// ```text
/// nf_conntrack 172032 4 xt_conntrack,nf_nat,nf_conntrack_netlink,xt_MASQUERADE, Live 0x0000000000000000
/// ```
pub(super) fn module_names(table: &str) -> Vec<String> {
    table
        .lines()
        .filter_map(|line| Some(line.split_ascii_whitespace().next()?.to_owned()))
        .collect()
}

/// The names in `modules.builtin`, with `_` for `-` as the kernel has them:
///
/// ```text
/// kernel/net/netfilter/nf_conntrack.ko
/// ```
pub(crate) fn builtin_names(list: &str) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.rsplit('/').next()?.strip_suffix(".ko"));
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_builtin_module_is_named_as_the_kernel_names_it() {
        let list = "kernel/net/netfilter/nf_tables.ko\nkernel/drivers/vfio/pci/vfio-pci.ko\n";
        assert_eq!(super::builtin_names(list), ["nf_tables", "vfio_pci"]);
    }

    #[test]
    fn a_module_is_the_first_word_of_its_line() {
        let table =
            "nf_conntrack 172032 4 xt_conntrack,nf_nat, Live 0x0\nip_set 61440 0 - Live 0x0\n";
        assert_eq!(super::module_names(table), ["nf_conntrack", "ip_set"]);
    }
}
