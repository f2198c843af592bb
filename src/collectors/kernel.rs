//! The kernel: version, modules, settings now and after a reboot, load and memory.

use std::borrow::Cow;

use super::{Artifact, Collector, NAME_BYTES, Rows, Source, Tree, conntrack};

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
        Artifact::file("/proc/pressure/cpu").public(),
        Artifact::file("/proc/pressure/io").public(),
        Artifact::file("/proc/pressure/memory").public(),
        Artifact::file("/proc/config.gz").public(),
        Artifact::file("/sys/kernel/security/lockdown").public(),
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
    more: |node| Rows {
        artifacts: builtin_modules(&node.release).into_iter().collect(),
        trees: configuration(),
    },
};

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
pub(super) fn builtin_names(list: &str) -> Vec<String> {
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
