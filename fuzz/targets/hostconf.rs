//! Configuration of the host that anybody's package may have written: NetworkManager's keyfiles, sysctl.d, networkd, and
//! the like.
#![no_main]

use calivet::networkmanager::config::{Config, Content, Daemon, File, Files};
use calivet::networkmanager::device::Device;
use calivet::networkmanager::{device_spec, glob, ifupdown, keyfile};
use calivet::{connman, dhcpcd, fnmatch, netplan, networkd, sysctl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What stands before the first NUL is one file, what follows others.
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let [first, second, third] = [0; 3].map(|_| parts.next().unwrap_or_default());
    networkmanager(first, second, third);
    settings(first, second);
    let text = String::from_utf8_lossy(first);
    let name = String::from_utf8_lossy(second);
    let _ = (connman::leaves_alone(&text, &name), dhcpcd::judge(&text, &name));
    let _ = netplan::Definitions::parse(&text).taking(&name, Some("vxlan"));
    let _ = fnmatch::matches(&text, &name);
    let file = |path: &str, text: &str| networkd::File {
        path: path.to_owned(),
        text: Some(text.to_owned()),
    };
    let files = [
        file("/etc/systemd/network/a.network", &text),
        file("/run/systemd/network/b.network", &name),
    ];
    let _ = networkd::Networks::of(&files);
});

fn networkmanager(first: &[u8], second: &[u8], third: &[u8]) {
    let parsed = keyfile::parse(first);
    assert_eq!(parsed, keyfile::parse(first));
    if let Some(list) = keyfile::string_list(first)
        && list.last().is_none_or(|piece| !piece.is_empty())
    {
        assert_eq!(keyfile::string_list(&keyfile::join_strings(&list)), Some(list));
    }
    let specs = device_spec::split(first);
    let joined = device_spec::join(specs.iter().map(Vec::as_slice));
    // A blank within a spec costs it characters each time it is split, in NetworkManager too.
    if !specs.iter().flatten().any(u8::is_ascii_whitespace) {
        assert_eq!(device_spec::split(&joined), specs, "what is joined is split the same way");
    }
    let device = Device::of_kind("cali0123456789a", "veth");
    let _ = device_spec::matches(&specs, &device);
    let _ = (glob::matches(first, second), keyfile::string(first), keyfile::boolean(second));
    let file = |path: &str, bytes: &[u8]| File {
        path: path.to_owned(),
        content: Content::Text(bytes.to_vec()),
    };
    let files = Files {
        vendor: vec![file("/usr/lib/NetworkManager/conf.d/10-a.conf", second)],
        etc: vec![file("/etc/NetworkManager/conf.d/20-b.conf", third)],
        main: Some(file("/etc/NetworkManager/NetworkManager.conf", first)),
        intern: Some(file("/var/lib/NetworkManager/NetworkManager-intern.conf", second)),
        ..Files::default()
    };
    let daemon = Daemon { version: Some([1, 42, 4]), tag: None };
    if let Ok(config) = Config::read(&files, &daemon) {
        let _ =
            (config.unmanaged_devices(), config.dhcp_plugin(), config.device_sections().count());
        let interfaces = [("/etc/network/interfaces".to_owned(), first.to_vec())].into();
        let others = ifupdown::specs(&config, &ifupdown::interfaces(&interfaces));
        let _ = calivet::networkmanager::verdict::judge(&config, &others, &device);
    }
}

fn settings(first: &[u8], second: &[u8]) {
    let file = |path: &str, bytes: &[u8]| sysctl::File {
        path: path.to_owned(),
        content: sysctl::Content::Text(String::from_utf8_lossy(bytes).into_owned()),
    };
    let files = [
        file("/usr/lib/sysctl.d/50-a.conf", first),
        file("/etc/sysctl.d/60-b.conf", second),
        file("/etc/sysctl.conf", first),
        file("/etc/modules-load.d/a.conf", first),
        file("/etc/modprobe.d/a.conf", second),
    ];
    for reader in [sysctl::Reader::Systemd, sysctl::Reader::Procps] {
        let keys = [
            "net/ipv4/ip_forward",
            "net/ipv4/conf/cali1/rp_filter",
            "net/ipv4/conf/eth0.100/rp_filter",
        ];
        let boot = sysctl::at_boot(&files, reader, &keys);
        for write in &boot.writes {
            assert!(keys.contains(&write.key.as_str()), "only what was asked for is answered");
            let _ = sysctl::number(&write.value);
        }
    }
    let _ =
        (sysctl::loads(&files, "nf_conntrack"), sysctl::option(&files, "nf_conntrack", "hashsize"));
}
