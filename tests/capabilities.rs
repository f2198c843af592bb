//! What a single capability lets `calivet` read: the table in `docs/privileges.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::fake_bird::{FakeBird, Recorded};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::run;

/// `setpriv` that makes somebody without a name, with these capabilities and no others.
fn somebody(capabilities: &[&str]) -> Vec<String> {
    let list = capabilities.iter().fold(String::new(), |list, name| list + ",+" + name);
    let mut words =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned).to_vec();
    words.extend(
        ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}=-all{list}")),
    );
    words
}

/// A bundle of the lab's node that was made with these capabilities.
struct Bundle {
    manifest: Value,
    processes: Value,
}

impl Bundle {
    fn of(node: &Namespaces, folder: &Path, capabilities: &[&str]) -> Self {
        let folder = folder.display();
        let calivet = env!("CARGO_BIN_EXE_calivet");
        let somebody = somebody(capabilities).join(" ");
        let script = format!(
            "cd {folder}
             {somebody} {calivet} node diags --no-probe --only system,kernel,netfilter,network,logs --log-dir /mnt/calico \
                 -o json --output-file bundle.tar.gz --force 2>errors >manifest || (($? == 1)) || {{ cat errors; false; }}
             cat manifest"
        );
        let manifest = serde_json::from_str(&node.run(&script)).unwrap();
        let processes =
            node.run(&format!("tar -xzOf {folder}/bundle.tar.gz diagnostics/processes.json"));
        Self { manifest, processes: serde_json::from_str(&processes).unwrap() }
    }

    fn outcome(&self, path: &str) -> &str {
        let items = self.manifest["items"].as_array().unwrap();
        let item = items.iter().rfind(|item| item["path"] == path);
        item.unwrap_or_else(|| panic!("the manifest has no {path}"))["outcome"].as_str().unwrap()
    }

    /// What is known of Felix, which root runs.
    fn felix(&self) -> &Value {
        let all = self.processes.as_array().unwrap();
        all.iter()
            .find(|process| process["argv"][2] == "felix")
            .expect("Felix is seen by everybody")
    }
}

#[test]
fn each_capability_adds_what_the_documentation_says_and_nothing_else() {
    let Some(node) = Namespaces::with(&["setpriv", "nft", "ipset", "conntrack"]) else { return };
    let scratch = TempDir::with_prefix("calivet-capabilities-").unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    node.run(
        "mkdir /run/felix
         cd /run/felix
         cp -L /bin/sh calico
         mkfifo never
         echo 'exec 3<>never; read -r nothing <&3' >component
         (FELIX_LOGSEVERITYSCREEN=Debug exec -a calico ./calico component felix) >/dev/null 2>&1 &
         until grep -qz felix /proc/$!/cmdline; do sleep 0.05; done
         nft add table inet site
         ipset create site hash:net
         mount -t tmpfs -o mode=0755 tmpfs /mnt
         mkdir /mnt/calico
         echo line >/mnt/calico/private.log
         chmod 0600 /mnt/calico/private.log",
    );
    // By what it takes: the items. Whether the kernel's log may be read without a capability is a setting of the machine.
    let tables = [
        "netfilter/nftables.json",
        "netfilter/ipsets.json",
        "netfilter/ipset_types.json",
        "nft_ruleset",
        "ipsets",
    ];
    for (capabilities, [reads_tables, reads_files, sees_programs, sees_environment]) in [
        (&[][..], [false; 4]),
        (&["net_admin"], [true, false, false, false]),
        (&["dac_read_search"], [false, true, false, false]),
        (&["sys_ptrace"], [false, false, true, false]),
        (&["syslog"], [false; 4]),
        (&["dac_read_search", "sys_ptrace"], [false, true, true, true]),
        (&["net_admin", "dac_read_search", "sys_ptrace", "syslog"], [true; 4]),
    ] {
        let bundle = Bundle::of(&node, scratch.path(), capabilities);
        let told = |is_read: bool| if is_read { "ok" } else { "denied" };
        for table in tables {
            assert_eq!(bundle.outcome(table), told(reads_tables), "{table} with {capabilities:?}");
        }
        assert_eq!(bundle.outcome("logs/private.log"), told(reads_files), "with {capabilities:?}");
        let felix = bundle.felix();
        assert_eq!(
            felix["exe"] == "/run/felix/calico",
            sees_programs,
            "{felix} with {capabilities:?}"
        );
        // One that was not read is not there, which is not an empty one.
        let environment = felix.get("environment");
        assert_eq!(environment.is_some(), sees_environment, "{felix} with {capabilities:?}");
        if let Some(environment) = environment {
            assert_eq!(environment["FELIX_LOGSEVERITYSCREEN"], "Debug");
        }
        for everybodys in ["network/links.json", "network/routes.json", "ipv4_route", "ss"] {
            assert_eq!(bundle.outcome(everybodys), "ok", "{everybodys} with {capabilities:?}");
        }
        if capabilities.contains(&"syslog") {
            assert_eq!(bundle.outcome("logs/kernel.log"), "ok");
        }
        let denied = tables.iter().any(|table| bundle.outcome(table) == "denied");
        assert!(!denied || bundle.manifest["complete"] == false, "{capabilities:?}");
    }
}

#[test]
fn to_ask_bird_takes_the_right_to_write_to_its_socket() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: it takes root to become somebody else");
        return;
    }
    let root = Root::new().process(1, &["/sbin/init"]).calico_node();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = root.at("/var/run/calico/bird.ctl");
    FakeBird::recorded(&socket, Recorded("1.6.8"));
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
    for (capabilities, state) in [
        (&[][..], "unreachable"),
        (&["dac_read_search"], "unreachable"),
        (&["dac_override"], "ready"),
    ] {
        let words = somebody(capabilities);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_calivet")).arg("--root").arg(root.path());
        let status = run(command.args(["node", "status", "-o", "json"])).json();
        assert_eq!(status["bgp"]["ipv4"]["state"], state, "with {capabilities:?}");
    }
}
