//! A network device, as far as `NetworkManager`'s rules ask for it.

/// What is known of a device. `None` in a field: it is not known, and a rule that rests on it gives no answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// The interface's name.
    pub name: String,
    /// What sort of device `NetworkManager` makes of it.
    pub sort: Option<Sort>,
    /// The driver: of a device that is made by software, its kind.
    pub driver: Option<String>,
    /// The driver's version, as ethtool shows it.
    pub driver_version: Option<String>,
    /// The permanent hardware address; `Some(None)` where it has none, as every device made by software.
    pub permanent_address: Option<Option<Vec<u8>>>,
    /// Which DHCP client `NetworkManager` uses (`dhcp=` in `[main]`, if it is installed).
    pub dhcp_plugin: Option<String>,
    /// What udev says of it.
    pub udev: Option<Udev>,
    /// Up and either with an address (IPv6 link-local ones do not count) or part of a bridge or bond: else a
    /// device made by software is left alone.
    pub in_use: Option<bool>,
    /// It is part of a bridge, bond or team.
    pub is_port: Option<bool>,
    /// What `NetworkManager` was told by its user and keeps in `/run/NetworkManager/devices`.
    pub told: Option<Told>,
}

/// udev's word: `NM_UNMANAGED` in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Udev {
    /// It is not set, or there is no udev.
    Silent,
    /// To leave it alone.
    Unmanaged,
    /// To take it.
    Managed,
}

/// `managed=` in `/run/NetworkManager/devices/IFINDEX`: it counts when `NetworkManager` starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its value.
    pub managed: bool,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
}

/// What `NetworkManager` makes of a kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// What `type:` is compared with.
    pub description: &'static str,
    /// Made by software and not a veth: left alone until it is up with an address.
    pub waits_until_in_use: bool,
    /// Left alone unless somebody says otherwise.
    pub is_unmanaged_by_default: bool,
}

/// Kinds (`IFLA_INFO_KIND`) and `NetworkManager`'s device types (`NM_DEVICE_DEFINE_LINK_TYPES`).
const SORTS: &[(&str, Sort)] = &[
    ("veth", Sort::veth()),
    ("vxlan", Sort::software("vxlan")),
    ("wireguard", Sort::software("wireguard")),
    ("ipip", Sort::software("iptunnel")),
    ("sit", Sort::software("iptunnel")),
    ("gre", Sort::software("iptunnel")),
    ("gretap", Sort::software("iptunnel")),
    ("ip6tnl", Sort::software("iptunnel")),
    ("ip6gre", Sort::software("iptunnel")),
    ("ip6gretap", Sort::software("iptunnel")),
    ("vti", Sort::software("iptunnel")),
    ("vti6", Sort::software("iptunnel")),
    ("bridge", Sort::software("bridge")),
    ("bond", Sort::software("bond")),
    ("tun", Sort::software("tun")),
    ("dummy", Sort::software("dummy")),
    ("vlan", Sort::software("vlan")),
    ("macvlan", Sort::software("macvlan")),
    ("macvtap", Sort::software("macvlan")),
    ("macsec", Sort::software("macsec")),
    ("vrf", Sort::software("vrf")),
    ("ifb", Sort { is_unmanaged_by_default: true, ..Sort::software("ifb") }),
];

impl Sort {
    const fn software(description: &'static str) -> Self {
        Self { description, waits_until_in_use: true, is_unmanaged_by_default: false }
    }

    /// To its specs a veth is an ethernet device, and it is taken at once.
    const fn veth() -> Self {
        Self { description: "ethernet", waits_until_in_use: false, is_unmanaged_by_default: false }
    }

    /// The sort of a kind of link, as the kernel names it; `None` if that is not enough to tell.
    #[must_use]
    pub fn of_kind(kind: &str) -> Option<Self> {
        SORTS.iter().find(|(name, _)| *name == kind).map(|(_, sort)| *sort)
    }
}

impl Device {
    /// A device made by software that exists or will exist: of the given kind, without a hardware address of its
    /// own. Where nothing is known of udev and of its addresses, that stays so.
    #[must_use]
    pub fn of_kind(name: &str, kind: &str) -> Self {
        // The versions that these drivers have given themselves for many years (`veth_get_drvinfo` and its like);
        // others give the kernel's.
        let driver_version = match kind {
            "veth" => Some("1.0"),
            "vxlan" => Some("0.1"),
            "tun" => Some("1.6"),
            "bridge" => Some("2.3"),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            sort: Sort::of_kind(kind),
            driver: Some(kind.to_owned()),
            driver_version: driver_version.map(str::to_owned),
            permanent_address: Some(None),
            ..Self::default()
        }
    }
}
