use super::*;
use crate::networkmanager::config::{Content, Daemon, File, Files};
use crate::networkmanager::device::Told;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), content: Content::Text(text.as_bytes().to_vec()) }
}

fn config(etc: &[(&str, &str)]) -> Config {
    let etc = etc.iter().map(|(name, text)| file(&format!("/etc/{name}"), text)).collect();
    Config::read(&Files { etc, ..Files::default() }, &Daemon::default()).unwrap()
}

fn cali() -> Device {
    Device { udev: Some(Udev::Silent), ..Device::of_kind("cali1", "veth") }
}

fn origin(path: &str, line: u32) -> Origin {
    Origin { path: path.into(), line }
}

const CALICO: &str = "[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:tunl*\n";

#[test]
fn the_line_that_names_the_device_is_told() {
    let verdict = judge(&config(&[("calico.conf", CALICO)]), &[], &cali());
    assert_eq!(verdict.managed, Some(false));
    assert_eq!(verdict.by, By::Line(origin("/etc/calico.conf", 2)));
}

#[test]
fn what_undoes_a_line_is_told() {
    let later = "# a later file\n[keyfile]\nunmanaged-devices=interface-name:docker0\n";
    let verdict = judge(&config(&[("calico.conf", CALICO), ("z.conf", later)]), &[], &cali());
    assert_eq!(verdict.managed, Some(true));
    let (line, by) = (origin("/etc/calico.conf", 2), origin("/etc/z.conf", 3));
    assert_eq!(verdict.undone, Some(Undone { line, by, is_except: false }));
    let except = "[keyfile]\nunmanaged-devices+=except:interface-name:cali1\n";
    let verdict = judge(&config(&[("calico.conf", CALICO), ("z.conf", except)]), &[], &cali());
    let (line, by) = (origin("/etc/calico.conf", 2), origin("/etc/z.conf", 2));
    assert_eq!(verdict.undone, Some(Undone { line, by, is_except: true }));
}

#[test]
fn nothing_overrules_the_list_and_a_section_overrules_udev() {
    let managed = "[device-x]\nmatch-device=interface-name:cali*\nmanaged=1\n";
    let both = config(&[("a.conf", CALICO), ("b.conf", managed)]);
    assert_eq!(judge(&both, &[], &cali()).managed, Some(false));
    let marked = Device { udev: Some(Udev::Unmanaged), ..cali() };
    let section = config(&[("b.conf", managed)]);
    let verdict = judge(&section, &[], &marked);
    assert_eq!((verdict.managed, verdict.by), (Some(true), By::Section(origin("/etc/b.conf", 3))));
    assert_eq!(judge(&config(&[]), &[], &marked).managed, Some(false));
    let told = Told { managed: false, path: "/run/7".to_owned(), line: 2 };
    let told = Device { told: Some(told), ..cali() };
    assert_eq!(judge(&section, &[], &told).by, By::Told(origin("/run/7", 2)));
}

#[test]
fn a_section_that_ends_the_search_takes_the_device() {
    let text = "[device]\nmanaged=0\n[device-a]\nmatch-device=interface-name:cali*\nstop-match=1\n";
    let verdict = judge(&config(&[("a.conf", text)]), &[], &cali());
    assert_eq!((verdict.managed, verdict.by), (Some(true), By::Section(origin("/etc/a.conf", 5))));
}

#[test]
fn what_is_not_known_is_not_guessed_unless_it_makes_no_difference() {
    let unknown = Device { udev: None, ..cali() };
    assert_eq!(judge(&config(&[]), &[], &unknown).managed, None);
    assert_eq!(judge(&config(&[("a.conf", CALICO)]), &[], &unknown).managed, Some(false));
    let driver = config(&[("a.conf", "[keyfile]\nunmanaged-devices=driver:x\n")]);
    let named = Device { name: "cali1".to_owned(), ..cali() };
    let named = Device { driver: None, ..named };
    assert_eq!(judge(&driver, &[], &named).managed, None);
    let marked = Device { udev: Some(Udev::Unmanaged), ..named };
    assert_eq!(judge(&driver, &[], &marked).managed, Some(false));
}

#[test]
fn a_tunnel_is_taken_when_it_is_up_with_an_address() {
    let tunnel = Device { udev: Some(Udev::Silent), ..Device::of_kind("tunl0", "ipip") };
    let used = |in_use| Device { in_use, ..tunnel.clone() };
    assert_eq!(judge(&config(&[]), &[], &used(Some(true))).by, By::Nothing);
    assert_eq!(judge(&config(&[]), &[], &used(Some(false))).by, By::Idle);
    assert_eq!(judge(&config(&[]), &[], &used(None)).managed, None);
}
