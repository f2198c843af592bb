//! Random configurations, computed by calivet and by the real `NetworkManager` 1.42.
//!
//! `CALIVET_TEST_CONFIGURATIONS=2000` compares that many, from `CALIVET_TEST_SEED` on.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;

use calivet::networkmanager::config::{Config, Content, DANGLING, Daemon, File, Files, NoConfig};
use calivet::networkmanager::device::{Device, Udev};
use calivet::networkmanager::ifupdown;
use calivet::networkmanager::verdict::judge;

use super::configurations::{Configuration, DEVICES, configuration};
use crate::lab::networkmanager::Machine;

/// How many configurations are compared unless the environment says otherwise.
const PRINTED: u64 = 200;
const LIVE: u64 = 30;

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse().ok());
    let first = number("CALIVET_TEST_SEED").unwrap_or(1);
    first..first + number("CALIVET_TEST_CONFIGURATIONS").unwrap_or(usual)
}

/// The version of the package, and an environment without a tag.
fn daemon() -> Daemon {
    Daemon { version: Some([1, 42, 4]), tag: Some(String::new()) }
}

/// The files as calivet sees them.
fn files(configuration: &Configuration) -> Files {
    let mut files = Files::default();
    let texts = configuration
        .files
        .iter()
        .map(|(path, text)| File { path: path.clone(), content: Content::Text(text.clone()) });
    let links = configuration.links.iter().map(|(path, target)| {
        let reason = if target == "/dev/null" { "a device" } else { DANGLING };
        File { path: path.clone(), content: Content::NotAFile(reason.to_owned()) }
    });
    for file in texts.chain(links) {
        let (folder, name) = file.path.rsplit_once('/').unwrap();
        match (folder, name) {
            ("/usr/lib/NetworkManager/conf.d", _) => files.vendor.push(file),
            ("/run/NetworkManager/conf.d", _) => files.run.push(file),
            ("/etc/NetworkManager/conf.d", _) => files.etc.push(file),
            (_, "NetworkManager.conf") => files.main = Some(file),
            (_, "nm-system-settings.conf") => files.old_main = Some(file),
            (_, "NetworkManager-intern.conf") => files.intern = Some(file),
            _ => {}
        }
    }
    files
}

fn install(configuration: &Configuration, machine: &Machine) {
    machine.clear();
    for (path, content) in &configuration.files {
        machine.write(path, content);
    }
    for (path, target) in &configuration.links {
        machine.link(path, target);
    }
}

type Sections = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What `NetworkManager` prints, without the defaults, which are comments, and what its command line sets.
fn printed(text: &[u8]) -> Sections {
    let mut sections = Sections::new();
    let mut current = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if line.starts_with(b"[") && line.ends_with(b"]") && !line.contains(&b'=') {
            current = line[1..line.len() - 1].to_vec();
        } else if let Some(equals) = line.iter().position(|byte| *byte == b'=')
            && !line.starts_with(b"#")
            && (current.as_slice(), &line[..equals]) != (b"main", b"configure-and-quit")
        {
            let section = sections.entry(current.clone()).or_default();
            section.insert(line[..equals].to_vec(), line[equals + 1..].to_vec());
        }
    }
    sections
}

fn computed(config: &Config) -> Sections {
    let mut sections = Sections::new();
    for section in &config.sections {
        for setting in &section.settings {
            let values = sections.entry(section.name.clone()).or_default();
            values.insert(setting.key.clone(), setting.value.clone());
        }
    }
    sections
}

fn show(configuration: &Configuration) -> String {
    let mut text = String::new();
    for (path, content) in &configuration.files {
        let content = content.escape_ascii().to_string().replace("\\n", "\n");
        let _ = writeln!(text, "--- {path}\n{content}");
    }
    for (path, target) in &configuration.links {
        let _ = writeln!(text, "--- {path} -> {target}");
    }
    text
}

#[test]
fn the_merged_configuration_is_what_network_manager_prints() {
    let Some(machine) = Machine::start() else { return };
    let mut refused = 0;
    for seed in seeds(PRINTED) {
        let configuration = configuration(seed);
        install(&configuration, &machine);
        let real = machine.print_config();
        let ours = Config::read(&files(&configuration), &daemon());
        match (&real, &ours) {
            (Ok(text), Ok(config)) => {
                assert_eq!(
                    computed(config).iter().map(show_section).collect::<Vec<_>>(),
                    printed(text).iter().map(show_section).collect::<Vec<_>>(),
                    "ours and NetworkManager's, seed {seed}\n{}",
                    show(&configuration)
                );
            }
            (Err(said), Err(NoConfig::Refused { path, .. })) => {
                refused += 1;
                assert!(said.contains(path), "seed {seed}: {said} is not about {path}");
            }
            _ => panic!("seed {seed}: {real:?}, {ours:?}\n{}", show(&configuration)),
        }
    }
    let all = seeds(PRINTED).count();
    println!("{all} configurations, {refused} of them refused");
    assert!(refused * 3 < all, "{refused} of {all} are refused: too few are compared");
}

fn show_section((name, values): (&Vec<u8>, &BTreeMap<Vec<u8>, Vec<u8>>)) -> String {
    let mut text = format!("[{}]", name.escape_ascii());
    for (key, value) in values {
        let _ = write!(text, " {}={}", key.escape_ascii(), value.escape_ascii());
    }
    text
}

/// The links that [`DEVICES`] names, as they are before each start: `NetworkManager` may have changed them.
const LINKS: &str = "
ip -batch - <<'EOF' 2>/dev/null || true
link set vxlan.calico up
address replace 10.65.0.1/32 dev vxlan.calico
link set vxlan-v6.calico down
address flush dev vxlan-v6.calico
link set tun1 down
link set br7 down
EOF
";

fn make_links(machine: &Machine) {
    let mut script = String::from("set -f\n");
    for (index, (name, kind)) in DEVICES.iter().enumerate() {
        let lines = match *kind {
            "veth" => format!(
                "ip link add '{name}' type veth peer name peer{index}\nip link set '{name}' up\n"
            ),
            "vxlan" => format!(
                "ip link add {name} type vxlan id {} dstport {}\n",
                4096 + index,
                4789 + index
            ),
            "tun" => format!("ip tuntap add dev {name} mode tun\n"),
            kind => format!("ip link add {name} type {kind}\n"),
        };
        script.push_str(&lines);
    }
    machine.run(&script);
}

#[test]
fn each_device_is_managed_or_not_as_network_manager_does_it() {
    let Some(machine) = Machine::start() else { return };
    make_links(&machine);
    let names = DEVICES.map(|(name, _)| name);
    let (mut answers, mut unknown, mut managed_count) = (0, 0, 0);
    for seed in seeds(LIVE) {
        let configuration = configuration(seed);
        let Ok(config) = Config::read(&files(&configuration), &daemon()) else { continue };
        machine.stop();
        install(&configuration, &machine);
        machine.run(LINKS);
        machine.restart();
        let real = machine.managed(&names);
        let interfaces = configuration.files.iter().filter(|(path, _)| path == ifupdown::MAIN);
        let interfaces = ifupdown::interfaces(&interfaces.cloned().collect());
        let others = ifupdown::specs(&config, &interfaces);
        for (name, kind) in DEVICES {
            let device = Device {
                udev: Some(Udev::Silent),
                in_use: Some(name == "vxlan.calico"),
                is_port: Some(false),
                dhcp_plugin: config.dhcp_plugin(),
                ..Device::of_kind(name, kind)
            };
            let verdict = judge(&config, &others, &device);
            answers += 1;
            match verdict.managed {
                None => unknown += 1,
                Some(managed) => {
                    managed_count += usize::from(managed);
                    assert_eq!(
                        managed,
                        real[name],
                        "ours and NetworkManager's for {name}, seed {seed}: {verdict:?}\n{}\n{}",
                        show(&configuration),
                        String::from_utf8_lossy(&fs::read(machine.at("/run/nm.log")).unwrap())
                    );
                }
            }
        }
    }
    machine.stop();
    println!("{answers} answers, {unknown} unknown, {managed_count} managed");
    assert!(answers >= 100 && unknown * 100 < answers, "{unknown} of {answers} are unknown");
    assert!(managed_count * 10 > answers && managed_count * 10 < answers * 9, "{managed_count}");
}
