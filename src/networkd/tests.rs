use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: Some(text.to_owned()) }
}

fn cali(files: &[File]) -> Verdict {
    Networks::of(files).judge(&Interface { name: "cali0123456789a", kind: Some("veth") })
}

fn at(path: &str, line: usize) -> Origin {
    Origin { path: path.to_owned(), line }
}

const ALL: &str = "[Match]\nName=*\n\n[Network]\nDHCP=yes\n";
const CALICO: &str = "[Match]\nName=cali* tunl0 vxlan.calico\n[Link]\nUnmanaged=yes\n";

#[test]
fn the_first_file_by_name_that_fits_decides() {
    let (all, calico) =
        ("/etc/systemd/network/50-all.network", "/etc/systemd/network/10-calico.network");
    assert_eq!(cali(&[file(all, ALL)]), Verdict::Taken(at(all, 2)));
    assert_eq!(cali(&[file(all, ALL), file(calico, CALICO)]), Verdict::Unmanaged(at(calico, 4)));
    let late = "/etc/systemd/network/60-calico.network";
    assert_eq!(cali(&[file(all, ALL), file(late, CALICO)]), Verdict::Taken(at(all, 2)));
    assert_eq!(cali(&[file(calico, "[Match]\nName=eth*\n")]), Verdict::Nobody);
}

#[test]
fn a_file_hides_one_of_the_same_name_in_a_lower_folder_and_an_empty_one_does_nothing() {
    let (vendor, own) =
        ("/usr/lib/systemd/network/50-a.network", "/etc/systemd/network/50-a.network");
    assert_eq!(cali(&[file(vendor, ALL), file(own, CALICO)]), Verdict::Unmanaged(at(own, 4)));
    assert_eq!(cali(&[file(vendor, ALL), file(own, "")]), Verdict::Nobody);
    let null = File { path: own.to_owned(), text: None };
    assert_eq!(cali(&[file(vendor, ALL), null]), Verdict::Nobody);
    let runtime = "/run/systemd/network/50-a.network";
    assert_eq!(cali(&[file(vendor, CALICO), file(runtime, ALL)]), Verdict::Taken(at(runtime, 2)));
}

#[test]
fn a_drop_in_adds_to_its_file() {
    let main = "/usr/lib/systemd/network/50-all.network";
    let drop_in = "/etc/systemd/network/50-all.network.d/calico.conf";
    let files = [file(main, ALL), file(drop_in, "[Link]\nUnmanaged=yes\n")];
    assert_eq!(cali(&files), Verdict::Unmanaged(at(drop_in, 2)));
    let files = [file(main, ALL), file(drop_in, "[Match]\nName=\nName=eth0\n")];
    assert_eq!(cali(&files), Verdict::Nobody);
}

#[test]
fn all_conditions_must_hold_and_a_list_can_be_turned_round() {
    let path = "/etc/systemd/network/a.network";
    let judged = |text: &str| cali(&[file(path, text)]);
    assert_eq!(judged("[Match]\nType=ether\nKind=veth\n"), Verdict::Taken(at(path, 2)));
    assert_eq!(judged("[Match]\nType=wlan\n"), Verdict::Nobody);
    assert_eq!(judged("[Match]\nName=!cali* eth*\n"), Verdict::Nobody);
    assert_eq!(judged("[Match]\nName=!eth*\n"), Verdict::Taken(at(path, 2)));
    assert_eq!(judged("[Match]\nName=*\nName=!cali*\n"), Verdict::Nobody);
    assert_eq!(judged("[Match]\nName=cali*\nName=!eth*\n"), Verdict::Taken(at(path, 2)));
    assert_eq!(judged("[Match]\nHost=node-1\nName=cali*\n"), Verdict::Unknown(at(path, 2)));
    assert_eq!(judged("[Match]\nHost=node-1\nName=eth*\n"), Verdict::Nobody);
    // networkd warns of a file without conditions, and passes over it.
    assert_eq!(judged("[Network]\nDHCP=yes\n"), Verdict::Nobody);
    assert_eq!(judged("[Match]\nname=*\nName=\n"), Verdict::Nobody);
}

#[test]
fn foreign_routes_are_deleted_unless_somebody_says_no() {
    let key = "ManageForeignRoutes";
    assert_eq!(manages_foreign(None, &[], key), (true, None));
    let main = file("/etc/systemd/networkd.conf", "[Network]\n#ManageForeignRoutes=no\n");
    assert_eq!(manages_foreign(Some(&main), &[], key), (true, None));
    let no = file("/etc/systemd/networkd.conf.d/a.conf", "[Network]\nManageForeignRoutes=no\n");
    assert_eq!(
        manages_foreign(Some(&main), std::slice::from_ref(&no), key),
        (false, Some(at(&no.path, 2)))
    );
    let yes = file("/usr/lib/systemd/networkd.conf.d/b.conf", "[Network]\nManageForeignRoutes=1\n");
    let found = manages_foreign(Some(&main), &[no, yes.clone()], key);
    assert_eq!(found, (true, Some(at(&yes.path, 2))), "the last by name decides");
}
