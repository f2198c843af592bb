use proptest::prelude::*;

use super::*;

const SET: Facility = Facility {
    name: "xt_set",
    modules: &["xt_set", "ipt_set"],
    options: &["NETFILTER_XT_SET"],
    seen: Seen::Match("set"),
};

fn names(list: &[&str]) -> HashSet<String> {
    list.iter().map(ToString::to_string).collect()
}

fn modular() -> Facts {
    Facts {
        is_modular: Some(true),
        loaded: Some(names(&["ip_tables"])),
        built_in: Some(names(&["nf_conntrack"])),
        available: Some(names(&["vxlan"])),
        ..Facts::default()
    }
}

#[test]
fn a_release_is_as_new_as_its_version_or_as_what_was_carried_into_it() {
    let floor = ((5, 3, 0), Some(((4, 18, 0), 193)));
    for (text, expected) in [
        ("6.18.44-fc-v857", true),
        ("5.3.0", true),
        ("5.4", true),
        ("4.18.0-305.el8.x86_64", true),
        ("4.18.0-193.el8.x86_64", true),
        ("4.18.0-147.el8.x86_64", false),
        ("4.18.0-305-generic", false),
        ("3.10.0-1160.el7.x86_64", false),
        ("5.2.21+", false),
    ] {
        assert_eq!(Release::parse(text).unwrap().has(floor.0, floor.1), expected, "{text}");
    }
    for text in ["", "plan9", "6", "6.", ".1"] {
        assert_eq!(Release::parse(text), None, "{text:?}");
    }
}

#[test]
fn an_option_is_set_built_in_or_as_a_module() {
    let text = "#\n# Automatically generated\n#\nCONFIG_VXLAN=m\nCONFIG_BPF_SYSCALL=y\n# CONFIG_NET_IPIP is not set\nCONFIG_X=n\nCONFIG_HZ=250\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.get("VXLAN"), Some(Set::Module));
    assert_eq!(config.get("BPF_SYSCALL"), Some(Set::Yes));
    assert_eq!(config.get("HZ"), Some(Set::Yes));
    assert_eq!((config.get("NET_IPIP"), config.get("X")), (None, None));
    assert!(Config::parse("hello\n").is_none());
}

#[test]
fn a_module_is_on_the_disk_packed_or_not() {
    let list = "kernel/net/netfilter/xt_set.ko.zst: kernel/a.ko.zst\nkernel/drivers/vfio/pci/vfio-pci.ko:\nextra/wireguard.ko.xz:\n";
    assert_eq!(available(list), names(&["xt_set", "vfio_pci", "wireguard"]));
}

#[test]
fn every_way_to_have_a_facility_is_told_from_the_others() {
    assert!(matches!(modular().presence(&SET), Presence::Absent(_)));
    let loaded = Facts { loaded: Some(names(&["ipt_set"])), ..modular() };
    assert_eq!(loaded.presence(&SET), Presence::Loaded);
    let built_in = Facts { built_in: Some(names(&["xt_set"])), ..modular() };
    assert_eq!(built_in.presence(&SET), Presence::BuiltIn);
    let available = Facts { available: Some(names(&["xt_set"])), ..modular() };
    assert_eq!(available.presence(&SET), Presence::Available);
    let at_work = Facts { matches: names(&["set"]), ..modular() };
    assert_eq!(at_work.presence(&SET), Presence::Loaded);
    assert!(matches!(Facts::default().presence(&SET), Presence::Unknown(_)));
}

#[test]
fn a_kernel_without_modules_is_judged_by_its_configuration() {
    let fixed = |config: Option<&str>| Facts {
        is_modular: Some(false),
        config: config.and_then(Config::parse).map(|config| (config, "a file".to_owned())),
        ..Facts::default()
    };
    assert_eq!(fixed(Some("CONFIG_NETFILTER_XT_SET=y\n")).presence(&SET), Presence::BuiltIn);
    assert!(matches!(fixed(Some("CONFIG_A=y\n")).presence(&SET), Presence::Absent(_)));
    assert!(matches!(fixed(None).presence(&SET), Presence::Unknown(_)));
    let at_work = Facts { matches: names(&["set"]), ..fixed(None) };
    assert_eq!(at_work.presence(&SET), Presence::BuiltIn);
}

#[test]
fn a_module_whose_file_is_gone_is_lacking() {
    let config = Config::parse("CONFIG_NETFILTER_XT_SET=m\n").map(|it| (it, "a file".to_owned()));
    let upgraded = Facts {
        available: None,
        built_in: None,
        lacks_folder: true,
        config: config.clone(),
        ..modular()
    };
    assert!(matches!(upgraded.presence(&SET), Presence::Absent(_)));
    let no_extra = Facts { config: config.clone(), ..modular() };
    assert!(matches!(no_extra.presence(&SET), Presence::Absent(_)));
    let in_a_pod = Facts { available: None, built_in: None, config, ..modular() };
    assert!(matches!(in_a_pod.presence(&SET), Presence::Unknown(_)));
}

#[test]
fn mounts_lockdown_and_capabilities_are_read() {
    let table = "30 29 0:27 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n31 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\nx\n";
    let mounts = mounts(table);
    assert_eq!(mounts.len(), 2);
    assert_eq!((mounts[0].point.as_str(), mounts[0].kind.as_str()), ("/sys/fs/bpf", "bpf"));
    assert_eq!(lockdown("none [integrity] confidentiality\n"), Some("integrity"));
    assert_eq!(lockdown("none\n"), None);
    assert_eq!(
        capabilities("CapPrm:\t00\nCapEff:\t000001ffffffffff\n", "CapEff"),
        Some(0x1ff_ffff_ffff)
    );
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,80}", bytes: Vec<u8>) {
        let _ = (Release::parse(&text), Config::parse(&text), available(&text), mounts(&text));
        let _ = (lockdown(&text), capabilities(&text, "CapEff"), Config::unpack(&bytes));
    }
}
