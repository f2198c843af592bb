//! `NetworkManager` and the other programs that may take Calico's interfaces from it.

use std::borrow::Cow;

use super::{Artifact, Collector, Rows, Source, Tree};

pub(super) const COLLECTOR: Collector = Collector {
    name: "networkmanager",
    about: "NetworkManager, systemd-networkd, dhcpcd, ConnMan, ifupdown, netplan: who manages which interface",
    artifacts: &[
        Artifact::file("/etc/NetworkManager/NetworkManager.conf"),
        Artifact::file("/etc/NetworkManager/nm-system-settings.conf"),
        Artifact::file("/var/lib/NetworkManager/NetworkManager-intern.conf"),
        LIVE,
        VERSION,
        Artifact::command("networkmanager/devices", "nmcli --fields all device status"),
        Artifact::file("/usr/lib/udev/rules.d/85-nm-unmanaged.rules").public(),
        Artifact::file("/etc/udev/rules.d/85-nm-unmanaged.rules").public(),
        Artifact::file("/etc/dhcpcd.conf"),
        Artifact::file("/run/dhcpcd/pid").public(),
        Artifact::file("/run/dhcpcd.pid").public(),
        Artifact::file("/etc/connman/main.conf"),
        Artifact::file("/etc/network/interfaces"),
        Artifact::file("/run/systemd/netif/state").public(),
        Artifact::file("/etc/systemd/networkd.conf"),
    ],
    trees: &[
        Tree::new("/etc/NetworkManager/conf.d", &["*.conf"]),
        Tree::new("/run/NetworkManager/conf.d", &["*.conf"]),
        Tree::new("/usr/lib/NetworkManager/conf.d", &["*.conf"]),
        Tree::new("/run/NetworkManager/devices", &["*"]),
        Tree::new("/run/udev/data", &["n*"]),
        Tree::new("/etc/NetworkManager/system-connections", &["*"]),
        Tree::new("/etc/systemd/network", NETWORKD),
        Tree::new("/run/systemd/network", NETWORKD),
        Tree::new("/usr/local/lib/systemd/network", NETWORKD),
        Tree::new("/usr/lib/systemd/network", NETWORKD),
        Tree::new("/etc/systemd/networkd.conf.d", &["*.conf"]),
        Tree::new("/run/systemd/networkd.conf.d", &["*.conf"]),
        Tree::new("/usr/local/lib/systemd/networkd.conf.d", &["*.conf"]),
        Tree::new("/usr/lib/systemd/networkd.conf.d", &["*.conf"]),
        Tree::new("/etc/network/interfaces.d", &["*"]),
        Tree::new("/etc/netplan", &["*.yaml"]),
        Tree::new("/etc/sysconfig/network", &["ifcfg-*"]),
        Tree::new("/etc/sysconfig/network-scripts", &["ifcfg-*"]),
    ],
    more: |node| {
        let row = Artifact::command("networkmanager/networkd_links", "networkctl list --no-pager");
        Rows { artifacts: if node.systemd { vec![row] } else { Vec::new() }, trees: Vec::new() }
    },
};

/// What the service itself says.
const LIVE: Artifact =
    Artifact::new(Cow::Borrowed("networkmanager/dbus.json"), Source::NetworkManager);

/// Whether it is installed, and which it is.
const VERSION: Artifact =
    Artifact::command("networkmanager/version", "NetworkManager --version").public();

/// systemd.network(5), systemd.link(5), systemd.netdev(5), each with its drop-ins.
const NETWORKD: &[&str] = &["*.network", "*.link", "*.netdev", "*.d/*.conf"];
