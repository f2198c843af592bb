//! Programs that the host lacks are run from calico-node's container, if that gives nobody anything: end to end,
//! with real processes in namespaces of their own.

use std::fs;
use std::io::Write;

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::namespaces::Namespaces;
use crate::run::run;

/// A machine without `nmcli`, on which what is called Felix is started by `before` in a mount namespace of its own
/// where there is one.
fn machine(before: &str) -> Option<Namespaces> {
    let namespaces = match Namespaces::new() {
        Ok(namespaces) => namespaces,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "skipped: {reason}");
            return None;
        }
    };
    namespaces.run(&format!(
        "for folder in /usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin; do\n\
           if [[ -e $folder/nmcli ]]; then mount --bind /dev/null $folder/nmcli; fi\ndone\n\
         mkdir /run/agents\ncd /run/agents\nmkfifo never\ncp -L /bin/sh calico\n\
         echo 'exec 3<>never; read -r nothing <&3' >component\n\
         cat >start <<'EOF'\n\
         mount -t tmpfs -o mode=0755 tmpfs /usr/local/bin\n\
         printf '#!/bin/sh\\necho \"in the container: $*\"\\n' >/usr/local/bin/nmcli\n\
         chmod 755 /usr/local/bin/nmcli\n\
         cd /run/agents\n\
         : >started\n\
         exec {before} bash -c 'exec -a calico ./calico component felix'\nEOF\n\
         unshare --mount bash start >/dev/null 2>&1 &\n\
         for ((try = 0; try < 200; try++)); do\n\
           if grep -qsz '^felix$' /proc/[0-9]*/cmdline; then exit 0; fi; sleep 0.05\ndone; exit 1",
    ));
    Some(namespaces)
}

/// What the manifest says of `nmcli`, and what the bundle holds of it.
#[track_caller]
fn nmcli(machine: &Namespaces) -> (Value, Option<String>) {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    let diags = run(machine
        .command(env!("CARGO_BIN_EXE_calivet"))
        .args(["node", "diags", "-o", "json", "--only", "networkmanager", "--output-file"])
        .arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    let manifest = diags.json();
    let items = manifest["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["path"] == "networkmanager/devices").unwrap().clone();
    let tar = run(std::process::Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path()));
    assert_eq!((tar.status, tar.stderr.as_str()), (0, ""));
    let text = fs::read_to_string(folder.path().join("diagnostics/networkmanager/devices"));
    (item, text.ok())
}

#[test]
fn a_program_that_the_host_lacks_is_run_from_felixs_container_and_the_manifest_says_so() {
    let Some(machine) = machine("") else { return };
    let (item, text) = nmcli(&machine);
    assert_eq!((&item["outcome"], &item["exitStatus"]), (&"ok".into(), &0.into()), "{item}");
    let place = item["place"].as_str().unwrap();
    let form = regex::Regex::new(r"^/usr/local/bin/nmcli in the container of pid \d+$").unwrap();
    assert!(form.is_match(place), "{place}");
    assert_eq!(item["source"], "nmcli --fields all device status");
    assert_eq!(text.as_deref(), Some("in the container: --fields all device status\n"));
}

#[test]
fn no_program_is_run_from_a_container_that_may_do_less_than_calivet() {
    for (before, reason) in [
        ("setpriv --bounding-set=-sys_time,-syslog", "holds not all capabilities"),
        ("unshare --net", "is not in the host's network namespace"),
    ] {
        let Some(machine) = machine(before) else { return };
        let (item, text) = nmcli(&machine);
        assert_eq!((&item["outcome"], text), (&"missing".into(), None), "{before}: {item}");
        let said = item["reason"].as_str().unwrap();
        assert!(said.contains("nmcli") && said.contains(reason), "{before}: {said}");
        assert_eq!(item["place"], Value::Null, "{before}: {item}");
    }
}
