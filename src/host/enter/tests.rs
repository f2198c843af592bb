use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::*;

/// A process of our own that stands still until the test is over.
struct Still(Child);

impl Still {
    /// Starts `argv` before a shell that runs `script` and then sleeps. `None`: this machine cannot.
    fn start(argv: &[&str], script: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .args(["sh", "-c", &format!("{script}\necho ready; exec sleep 100")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let still = Self(child);
        if line != "ready\n" {
            eprintln!("skipped: {argv:?} cannot be done here");
            return None;
        }
        Some(still)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn fitness(&self) -> Result<u64, String> {
        let process = open_process(Path::new("/"), self.pid())?;
        fitness(Path::new("/"), self.pid(), process.as_fd())
    }

    /// The part of the refusal after the process's number.
    fn refusal(&self) -> String {
        let refusal = self.fitness().unwrap_err();
        let start = format!("pid {} looks like calico-node but ", self.pid());
        refusal.strip_prefix(&start).unwrap_or_else(|| panic!("{refusal}")).to_owned()
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn parsed(arguments: &[&str]) -> Option<Place> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    parse(&arguments).map(|(place, _)| place)
}

#[test]
fn arguments_are_understood_as_they_were_made() {
    for place in [
        Place::Root("/host".into()),
        Place::MountsOf { root: "/".into(), pid: 433, mounts: 4_026_532_758 },
    ] {
        let made = arguments(&place, Path::new("/usr/sbin/ip"));
        assert_eq!(made[0], RUN_IN);
        let (understood, argv) = parse(&made[1..]).unwrap();
        assert_eq!((understood, argv), (place, &[OsString::from("/usr/sbin/ip")][..]));
    }
}

#[test]
fn odd_arguments_are_refused() {
    for odd in [
        &[][..],
        &["root"],
        &["root", "/"],
        &["root", "/", "--"],
        &["root", "/", "--", "ip"],
        &["root", "relative", "--", "/bin/ip"],
        &["root", "/", "more", "--", "/bin/ip"],
        &["--", "/bin/ip"],
        &["elsewhere", "/", "--", "/bin/ip"],
        &["mounts-of", "/", "1", "--", "/bin/ip"],
        &["mounts-of", "/", "-1", "7", "--", "/bin/ip"],
        &["mounts-of", "/", "0", "7", "--", "/bin/ip"],
        &["mounts-of", "/", "x", "7", "--", "/bin/ip"],
        &["mounts-of", "/", "1", "x", "--", "/bin/ip"],
    ] {
        assert_eq!(parsed(odd), None, "{odd:?}");
    }
}

#[test]
fn status_is_read_by_its_labels_and_what_is_not_there_gives_nothing() {
    let status = "Name:\tcalico-node\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t2\n";
    assert!(is_root(status));
    assert_eq!(capabilities(status, "CapEff"), 0x1ff_ffff_ffff);
    assert_eq!(field(status, "Seccomp"), Some("2"));
    assert!(!is_root("Uid:\t0\t1000\t0\t0\n"));
    assert!(!is_root(""));
    assert_eq!(capabilities("CapEff:\tx\n", "CapEff"), 0);
}

#[test]
fn a_process_like_ourselves_is_fit() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let top = Path::new("/");
    let pid = std::process::id();
    let process = open_process(top, pid).unwrap();
    let mounts = fitness(top, pid, process.as_fd()).unwrap();
    assert_eq!(mounts, namespace(process.as_fd(), "ns/mnt").unwrap().1);
}

#[test]
fn a_process_that_is_not_there_says_so() {
    let refusal = open_process(Path::new("/"), u32::MAX).unwrap_err();
    assert_eq!(
        refusal,
        format!("pid {} cannot be looked at (No such file or directory (os error 2))", u32::MAX)
    );
}

#[test]
fn a_container_that_holds_all_privilege_already_is_fit() {
    let Some(container) = Still::start(&["unshare", "--mount"], "") else { return };
    let mounts = container.fitness().unwrap();
    let own = open_process(Path::new("/"), std::process::id()).unwrap();
    assert_ne!(mounts, namespace(own.as_fd(), "ns/mnt").unwrap().1);
}

#[test]
fn an_impostor_without_a_capability_gains_nothing() {
    let drop_one = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    let Some(impostor) = Still::start(&drop_one, "") else { return };
    assert!(
        impostor.refusal().starts_with("holds not all capabilities ("),
        "{}",
        impostor.refusal()
    );
}

#[test]
fn an_impostor_that_is_not_root_gains_nothing() {
    let Some(impostor) = Still::start(&["setpriv", "--reuid=1000", "--clear-groups"], "") else {
        return;
    };
    assert_eq!(impostor.refusal(), "does not run as root");
}

#[test]
fn an_impostor_that_is_root_in_its_own_user_namespace_gains_nothing() {
    let Some(impostor) = Still::start(&["unshare", "--user", "--map-root-user"], "") else {
        return;
    };
    assert_eq!(impostor.refusal(), "is not in the host's user namespace");
}

#[test]
fn an_impostor_in_its_own_network_gains_nothing() {
    let Some(impostor) = Still::start(&["unshare", "--net", "--mount"], "") else { return };
    assert_eq!(impostor.refusal(), "is not in the host's network namespace");
}

#[test]
fn a_process_that_has_ended_cannot_be_taken_for_another() {
    let Some(container) = Still::start(&["unshare", "--mount"], "") else { return };
    let pid = container.pid();
    let process = open_process(Path::new("/"), pid).unwrap();
    drop(container);
    let refusal = fitness(Path::new("/"), pid, process.as_fd()).unwrap_err();
    assert!(refusal.contains("cannot be looked at"), "{refusal}");
}
