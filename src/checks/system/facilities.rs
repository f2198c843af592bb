//! What Calico needs of a kernel: tables. The names are those of Calico's documentation ("System requirements") and of
//! `felix/rules` and `felix/nftables`, the options those of the kernel's Kconfig files, of old and new kernels.

use crate::kernel::{Facility, Seen};

/// A facility and what it is needed for.
pub(super) struct Need {
    pub(super) facility: Facility,
    /// Whether Calico works without it, but for something that not every node has.
    pub(super) is_optional: bool,
}

const fn need(
    name: &'static str,
    modules: &'static [&'static str],
    options: &'static [&'static str],
    seen: Seen,
) -> Need {
    Need { facility: Facility { name, modules, options, seen }, is_optional: false }
}

const fn nice(
    name: &'static str,
    modules: &'static [&'static str],
    options: &'static [&'static str],
    seen: Seen,
) -> Need {
    Need { is_optional: true, ..need(name, modules, options, seen) }
}

use Seen::{Btf, FileSystem, Link, Match, Nowhere, SetType, Target};

/// iptables of the old kind. Since 6.17 a kernel may have its extensions and not its tables.
pub(super) const LEGACY: &[Need] = &[
    need("ip_tables", &["ip_tables"], &["IP_NF_IPTABLES_LEGACY", "IP_NF_IPTABLES"], Nowhere),
    need("iptable_filter", &["iptable_filter"], &["IP_NF_FILTER"], Nowhere),
    need("iptable_nat", &["iptable_nat"], &["IP_NF_NAT"], Nowhere),
    need("iptable_mangle", &["iptable_mangle"], &["IP_NF_MANGLE"], Nowhere),
    need("iptable_raw", &["iptable_raw"], &["IP_NF_RAW"], Nowhere),
];

/// iptables on top of nftables.
pub(super) const ON_NFTABLES: &[Need] = &[
    need("nf_tables", &["nf_tables"], &["NF_TABLES"], Nowhere),
    need("nft_compat", &["nft_compat"], &["NFT_COMPAT"], Nowhere),
    need("nft_chain_nat", &["nft_chain_nat", "nft_chain_nat_ipv4"], &["NFT_NAT"], Nowhere),
];

/// The extensions that both kinds of iptables share.
pub(super) const IPTABLES: &[Need] = &[
    need("match addrtype", &["xt_addrtype"], &["NETFILTER_XT_MATCH_ADDRTYPE"], Match("addrtype")),
    need("match comment", &["xt_comment"], &["NETFILTER_XT_MATCH_COMMENT"], Match("comment")),
    need(
        "match conntrack",
        &["xt_conntrack"],
        &["NETFILTER_XT_MATCH_CONNTRACK"],
        Match("conntrack"),
    ),
    need(
        "match mark",
        &["xt_mark"],
        &["NETFILTER_XT_MARK", "NETFILTER_XT_MATCH_MARK"],
        Match("mark"),
    ),
    need(
        "match multiport",
        &["xt_multiport"],
        &["NETFILTER_XT_MATCH_MULTIPORT"],
        Match("multiport"),
    ),
    need("match rpfilter", &["ipt_rpfilter"], &["IP_NF_MATCH_RPFILTER"], Match("rpfilter")),
    need("match set", &["xt_set"], &["NETFILTER_XT_SET"], Match("set")),
    need(
        "target MARK",
        &["xt_mark"],
        &["NETFILTER_XT_MARK", "NETFILTER_XT_TARGET_MARK"],
        Target("MARK"),
    ),
    need(
        "target MASQUERADE",
        &["xt_MASQUERADE", "ipt_MASQUERADE"],
        &["NETFILTER_XT_TARGET_MASQUERADE", "IP_NF_TARGET_MASQUERADE"],
        Target("MASQUERADE"),
    ),
    need("targets SNAT, DNAT", &["xt_nat"], &["NETFILTER_XT_NAT"], Target("SNAT")),
    need("target REJECT", &["ipt_REJECT"], &["IP_NF_TARGET_REJECT"], Target("REJECT")),
    need("target CT", &["xt_CT"], &["NETFILTER_XT_TARGET_CT"], Target("CT")),
    nice("target LOG", &["xt_LOG"], &["NETFILTER_XT_TARGET_LOG"], Target("LOG")),
    nice(
        "target CONNMARK",
        &["xt_connmark"],
        &["NETFILTER_XT_CONNMARK", "NETFILTER_XT_TARGET_CONNMARK"],
        Target("CONNMARK"),
    ),
    nice("match sctp", &["xt_sctp"], &["NETFILTER_XT_MATCH_SCTP"], Match("sctp")),
    nice("match ipvs", &["xt_ipvs"], &["NETFILTER_XT_MATCH_IPVS"], Match("ipvs")),
    nice("ip6_tables", &["ip6_tables"], &["IP6_NF_IPTABLES_LEGACY", "IP6_NF_IPTABLES"], Nowhere),
];

/// The nftables dataplane.
pub(super) const NFTABLES: &[Need] = &[
    need("nf_tables", &["nf_tables"], &["NF_TABLES"], Nowhere),
    need("nft_ct", &["nft_ct"], &["NFT_CT"], Nowhere),
    need("nft_nat", &["nft_nat"], &["NFT_NAT"], Nowhere),
    need("nft_chain_nat", &["nft_chain_nat"], &["NFT_NAT"], Nowhere),
    need("nft_masq", &["nft_masq"], &["NFT_MASQ"], Nowhere),
    need("nft_reject", &["nft_reject"], &["NFT_REJECT"], Nowhere),
    need("nft_fib", &["nft_fib"], &["NFT_FIB"], Nowhere),
    need("nft_fib_ipv4", &["nft_fib_ipv4"], &["NFT_FIB_IPV4"], Nowhere),
    nice("nft_fib_ipv6", &["nft_fib_ipv6"], &["NFT_FIB_IPV6"], Nowhere),
    nice("nft_log", &["nft_log"], &["NFT_LOG"], Nowhere),
    nice("nft_limit", &["nft_limit"], &["NFT_LIMIT"], Nowhere),
    nice("nft_flow_offload", &["nft_flow_offload"], &["NFT_FLOW_OFFLOAD"], Nowhere),
];

/// The eBPF dataplane.
pub(super) const EBPF: &[Need] = &[
    need("bpf(2)", &[], &["BPF_SYSCALL"], FileSystem("bpf")),
    need("eBPF in control groups", &[], &["CGROUP_BPF"], Nowhere),
    need("cgroup v2", &[], &["CGROUPS"], FileSystem("cgroup2")),
    need("tc classifier bpf", &["cls_bpf"], &["NET_CLS_BPF"], Nowhere),
    need("qdisc clsact", &["sch_ingress"], &["NET_SCH_INGRESS"], Nowhere),
    need("tc actions", &[], &["NET_CLS_ACT"], Nowhere),
    nice("JIT", &[], &["BPF_JIT"], Nowhere),
    nice("BTF of the kernel", &[], &["DEBUG_INFO_BTF"], Btf),
    nice("XDP sockets", &[], &["XDP_SOCKETS"], Nowhere),
];

/// Sets of addresses, for the iptables dataplane.
pub(super) const IPSET: &[Need] = &[
    need("ip_set", &["ip_set"], &["IP_SET"], Nowhere),
    need("hash:ip", &["ip_set_hash_ip"], &["IP_SET_HASH_IP"], SetType("hash:ip")),
    need("hash:net", &["ip_set_hash_net"], &["IP_SET_HASH_NET"], SetType("hash:net")),
    need("hash:ip,port", &["ip_set_hash_ipport"], &["IP_SET_HASH_IPPORT"], SetType("hash:ip,port")),
    nice("hash:net,net", &["ip_set_hash_netnet"], &["IP_SET_HASH_NETNET"], SetType("hash:net,net")),
    nice("bitmap:port", &["ip_set_bitmap_port"], &["IP_SET_BITMAP_PORT"], SetType("bitmap:port")),
];

/// Connection tracking.
pub(super) const CONNTRACK: &[Need] = &[
    need("nf_conntrack", &["nf_conntrack"], &["NF_CONNTRACK"], Nowhere),
    need("nf_conntrack_netlink", &["nf_conntrack_netlink"], &["NF_CT_NETLINK"], Nowhere),
    // Part of nf_conntrack since 4.19.
    nice("SCTP", &["nf_conntrack_proto_sctp"], &["NF_CT_PROTO_SCTP"], Nowhere),
];

/// VXLAN.
pub(super) const VXLAN: &[Need] = &[need("vxlan", &["vxlan"], &["VXLAN"], Link("vxlan"))];

/// IP in IP.
pub(super) const IPIP: &[Need] = &[need("ipip", &["ipip"], &["NET_IPIP"], Link("ipip"))];

/// `WireGuard`.
pub(super) const WIREGUARD: &[Need] =
    &[need("wireguard", &["wireguard"], &["WIREGUARD"], Link("wireguard"))];

/// What `calicoctl node checksystem` looks for (`calicoctl/calicoctl/commands/node/checksystem.go`); those that it lets
/// pass when they lack are optional.
pub(super) const CALICOCTL: &[Need] = &[
    need("ip_set", &["ip_set"], &["IP_SET"], Nowhere),
    nice("ip6_tables", &["ip6_tables"], &["IP6_NF_IPTABLES"], Nowhere),
    need("ip_tables", &["ip_tables"], &["IP_NF_IPTABLES"], Nowhere),
    need("ipt_ipvs", &["ipt_ipvs", "xt_ipvs"], &["NETFILTER_XT_MATCH_IPVS"], Nowhere),
    need("vfio-pci", &["vfio_pci"], &["VFIO", "VFIO_PCI"], Nowhere),
    nice("xt_bpf", &["xt_bpf"], &["BPF", "NETFILTER_XT_MATCH_BPF"], Nowhere),
    need(
        "ipt_REJECT",
        &["ipt_REJECT", "xt_REJECT"],
        &["IP_NF_TARGET_REJECT", "NFT_REJECT", "NETFILTER_XT_TARGET_REJECT"],
        Nowhere,
    ),
    need(
        "xt_rpfilter",
        &["xt_rpfilter", "ipt_rpfilter"],
        &["IP_NF_MATCH_RPFILTER", "IP6_NF_MATCH_RPFILTER", "NETFILTER_XT_MATCH_RPFILTER"],
        Nowhere,
    ),
    need("nf_conntrack_netlink", &["nf_conntrack_netlink"], &["NF_CT_NETLINK"], Nowhere),
    need("xt_addrtype", &["xt_addrtype"], &["NETFILTER_XT_MATCH_ADDRTYPE"], Nowhere),
    need("xt_conntrack", &["xt_conntrack"], &["NETFILTER_XT_MATCH_CONNTRACK"], Nowhere),
    need(
        "xt_mark",
        &["xt_mark"],
        &["NETFILTER_XT_MARK", "IP_NF_TARGET_MARK", "NETFILTER_XT_TARGET_MARK"],
        Nowhere,
    ),
    need(
        "xt_multiport",
        &["xt_multiport"],
        &["NETFILTER_XT_MATCH_MULTIPORT", "IP_NF_MATCH_MULTIPORT"],
        Nowhere,
    ),
    need("xt_set", &["xt_set", "ipt_set"], &["NETFILTER_XT_SET"], Nowhere),
    nice("xt_u32", &["xt_u32"], &["NETFILTER_XT_MATCH_U32"], Nowhere),
];
