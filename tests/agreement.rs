//! What is held of each fault that is injected: `check` finds the same live, beneath `--root` and in a bundle, `node status`
//! says of the bundle what it said on the node, and no finding changes but those that must.
//!
//! What moves by itself between two looks is left out by its name, see [`MOVING`] and [`THE_MACHINES`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::namespaces::Namespaces;
use crate::run::run;

const CALIVET: &str = env!("CARGO_BIN_EXE_calivet");

/// Findings (beginnings of ids) that follow this machine's load, disks, clock and log, whatever the node is: other tests change
/// them meanwhile.
const THE_MACHINES: &[&str] = &["conntrack.kernel-log", "datastore.latency", "disk.", "time."];

/// The same of a node whose files are a fake root's.
const THE_MACHINES_INSIDE: &[&str] = &["datastore.latency", "disk.inodes", "disk.space"];

/// What of a finding moves from one look to the next: names, wherever they stand in it. Its summary may tell them, and is left
/// out with them.
const MOVING: &[(&str, &[&str])] = &[
    ("bgp.configuration", &["reconfigured"]),
    ("bgp.graceful-restart", &["waitTimer"]),
    // Each look tries anew to connect, and what became of that is told: how certain the cause is, and what can be done, follow
    // from it.
    (
        "bgp.peer",
        &[
            "bgpState",
            "certainty",
            "info",
            "lastError",
            "look",
            "packets",
            "remedy",
            "since",
            "tcpMd5Unexpected",
        ],
    ),
    ("cni.token", &["now"]),
    // Where the table is full, what calivet asks Felix is dropped, too.
    ("conntrack.drops", &["drop"]),
    ("conntrack.usage", &["count", "percent"]),
    ("datastore.health", &["databaseBytes"]),
    ("datastore.latency", &["milliseconds"]),
    ("datastore.reachable", &["answerMilliseconds", "connectMilliseconds", "tlsMilliseconds"]),
    ("felix.metrics", &["uptimeSeconds"]),
    ("felix.restarts", &["uptimeSeconds"]),
    ("felix.running", &["uptimeSeconds"]),
    ("firewall.lock", &["stillAfterMilliseconds"]),
    ("routes.tunnels", &["received", "sent"]),
    ("time.future", &["aheadSeconds"]),
];

/// calivet in a file system that is `$1`, with the libraries that it is linked with (`$2`) and no other file of this machine's.
/// What it has opened it finds as each process does, below `/proc/self/fd`.
const INSIDE: &str = r#"set -e
root=$1 libraries=$2 calivet=$3
shift 3
put() { mkdir -p "$root${2%/*}"; : >>"$root$2"; mount --bind "$1" "$root$2"; }
for library in $libraries; do put "$library" "$library"; done
put "$calivet" /tmp/calivet
mkdir -p "$root/tmp/proc" "$root/proc/self"
mount --bind /proc "$root/tmp/proc"
ln -sfn /tmp/proc/self/fd "$root/proc/self/fd"
exec chroot "$root" /tmp/calivet "$@""#;

/// A node, and the ways in which calivet looks at it.
pub(crate) struct Views<'a> {
    /// Its network and what else is not files; `None`: this machine's.
    namespaces: Option<&'a Namespaces>,
    /// Its file system, where that is not the one of the namespaces.
    folder: Option<&'a Path>,
    /// Options of every command.
    options: &'a [&'a str],
    /// The checks that are asked; none: all.
    only: &'a [&'a str],
    /// Findings (beginnings of ids) that are this machine's, whatever the node is.
    the_machines: &'a [&'a str],
    /// Where the bundle is written.
    written: TempDir,
}

impl<'a> Views<'a> {
    /// A node that the namespaces are.
    pub(crate) fn of(namespaces: &'a Namespaces) -> Self {
        Self {
            namespaces: Some(namespaces),
            folder: None,
            options: &[],
            only: &[],
            the_machines: THE_MACHINES,
            written: TempDir::with_prefix("calivet-views-").unwrap(),
        }
    }

    /// A node whose network is that of the namespaces and whose files are those of a folder: live, that is a file system that
    /// calivet runs in.
    pub(crate) fn inside(namespaces: &'a Namespaces, folder: &'a Path) -> Self {
        let the_machines = THE_MACHINES_INSIDE;
        Self { folder: Some(folder), the_machines, ..Self::of(namespaces) }
    }

    /// The same with this machine's network, of which other tests make use: only these checks are asked. `None`, and why, where
    /// nobody may change the file system that they are in.
    pub(crate) fn here(folder: &'a Path, only: &'a [&'a str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: it takes root to run calivet inside of another file system");
            return None;
        }
        Some(Self {
            namespaces: None,
            folder: Some(folder),
            options: &[],
            only,
            the_machines: THE_MACHINES_INSIDE,
            written: TempDir::with_prefix("calivet-views-").unwrap(),
        })
    }

    /// The same, with these options of every command.
    pub(crate) fn with(self, options: &'a [&'a str]) -> Self {
        Self { options, ..self }
    }

    /// The same, of which nothing is this machine's: that has been seen to.
    pub(crate) fn on_its_own(self) -> Self {
        Self { the_machines: &[], ..self }
    }

    /// A program on the node, which gets nothing of the environment of whoever runs the tests.
    fn command(&self, program: &str) -> Command {
        let mut command = match self.namespaces {
            Some(namespaces) => namespaces.command(program),
            None => Command::new(program),
        };
        command.env_clear().env("HOME", "/nonexistent");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn live(&self) -> Command {
        let Some(folder) = self.folder else { return self.command(CALIVET) };
        let mut command = self.command("unshare");
        command.args(["--mount", "sh", "-c", INSIDE, "sh"]);
        command.arg(folder).arg(&*LIBRARIES).arg(CALIVET);
        command
    }

    /// Where the node's file system is, beneath `--root`.
    fn root(&self) -> &Path {
        self.folder.unwrap_or(Path::new("/proc/1/root"))
    }

    /// The bundle that was made last.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.written.path().join("bundle.tar.gz")
    }

    /// What all checks find live, if the other ways to look find the same; else what differs. Where something changed between
    /// two of the looks, as on a busy machine it may, the next time they agree; a disagreement stays.
    pub(crate) fn report(&self) -> Result<Value, String> {
        for _ in 0..2 {
            match self.look() {
                Ok(report) => return Ok(report),
                Err(differ) => eprintln!("looked at again: {differ}"),
            }
        }
        self.look()
    }

    fn look(&self) -> Result<Value, String> {
        let check = |command: &mut Command| {
            command.args(self.options).args(["check", "-o", "json"]);
            if !self.only.is_empty() {
                command.arg("--only").arg(self.only.join(","));
            }
            run(command).json()
        };
        let live = check(&mut self.live());
        let root = self.root();
        let beneath = check(self.command(CALIVET).arg("--root").arg(root));
        let mut diags = self.live();
        diags.args(self.options).args(["node", "diags", "-q", "--output-file", "-"]);
        let ended = diags.stdout(File::create(self.bundle()).unwrap()).status().unwrap();
        assert!(ended.code().is_some_and(|code| code <= 1), "{ended}");
        let kept = run(Command::new("tar")
            .arg("-C")
            .arg(self.written.path())
            .arg("-xzf")
            .arg(self.bundle())
            .args(["diagnostics/findings.json", "diagnostics/status.json"]));
        assert_eq!((kept.status, kept.stderr.as_str()), (0, ""));
        let kept =
            |name| fs::read_to_string(self.written.path().join("diagnostics").join(name)).unwrap();
        let said: Value = serde_json::from_str(&kept("findings.json")).unwrap();

        let mut differ = Vec::new();
        for (words, name) in
            [(&["check"][..], "findings.json"), (&["node", "status"], "status.json")]
        {
            // By whom it is read tells nothing: not on the node, and not as it was called there.
            let from = run(Command::new(CALIVET)
                .args(words)
                .args(["-o", "json", "--from"])
                .arg(self.bundle()));
            if from.stdout != kept(name) {
                differ.push(format!("{words:?} --from is not {name}: {}", from.stdout));
            }
        }
        let here = self.settled(&live);
        for (view, seen) in [("--root", &beneath), ("--from", &said)] {
            let there = self.settled(seen);
            for (here, there) in here.iter().zip(&there) {
                let place = format!("{view}: {}", here["id"]);
                differences(&place, here, there, &mut differ);
            }
            if here.len() != there.len() {
                differ.push(format!("{view} has {} findings, not {}", there.len(), here.len()));
            }
        }
        if differ.is_empty() { Ok(live) } else { Err(differ.join("\n")) }
    }

    /// Its findings without what moves.
    fn settled(&self, report: &Value) -> Vec<Value> {
        let findings = report["findings"].as_array().unwrap().iter();
        let mut findings: Vec<Value> =
            findings.filter(|it| self.is_the_nodes(it)).cloned().collect();
        for finding in &mut findings {
            let id = finding["id"].clone();
            for (_, facts) in MOVING.iter().filter(|(moving, _)| id == *moving) {
                if still(finding, facts) {
                    finding["summary"].take();
                }
            }
            relative(finding, self.root().to_str().unwrap());
        }
        findings
    }

    /// Whether it tells of the node, and not of this machine.
    fn is_the_nodes(&self, finding: &Value) -> bool {
        let [id, check] = ["id", "check"].map(|name| finding[name].as_str().unwrap());
        let is_the_machines = self.the_machines.iter().any(|start| id.starts_with(start));
        !is_the_machines && (self.only.is_empty() || self.only.contains(&check))
    }

    /// The levels of all findings by id, without those that are the machine's.
    pub(crate) fn levels(&self, report: &Value) -> Levels {
        let mut levels = Levels::new();
        let findings = report["findings"].as_array().unwrap().iter();
        for finding in findings.filter(|it| self.is_the_nodes(it)) {
            let [id, level] = ["id", "level"].map(|name| finding[name].as_str().unwrap());
            levels.entry(id.to_owned()).or_default().insert(level.to_owned());
        }
        levels
    }
}

/// Takes what has these names out of a document; whether there was any.
fn still(document: &mut Value, facts: &[&str]) -> bool {
    match document {
        Value::Object(object) => {
            let mut has = false;
            for (name, value) in object {
                if facts.contains(&name.as_str()) && !value.is_null() {
                    value.take();
                    has = true;
                } else {
                    has |= still(value, facts);
                }
            }
            has
        }
        Value::Array(array) => {
            array.iter_mut().filter_map(|value| still(value, facts).then_some(())).count() > 0
        }
        _ => false,
    }
}

/// Where two documents differ.
fn differences(place: &str, here: &Value, there: &Value, differ: &mut Vec<String>) {
    match (here, there) {
        (Value::Object(here), Value::Object(there)) if here.keys().eq(there.keys()) => {
            for ((name, here), there) in here.iter().zip(there.values()) {
                differences(&format!("{place}/{name}"), here, there, differ);
            }
        }
        (Value::Array(here), Value::Array(there)) if here.len() == there.len() => {
            for (index, (here, there)) in here.iter().zip(there).enumerate() {
                differences(&format!("{place}/{index}"), here, there, differ);
            }
        }
        _ if here != there => differ.push(format!("{place}: {there}; live: {here}")),
        _ => {}
    }
}

/// Reasons name the file that was opened, which is beneath the root.
fn relative(value: &mut Value, root: &str) {
    match value {
        Value::Object(object) => object.values_mut().for_each(|value| relative(value, root)),
        Value::Array(array) => array.iter_mut().for_each(|value| relative(value, root)),
        Value::String(text) if text.contains(root) => *text = text.replace(root, ""),
        _ => {}
    }
}

/// The levels of all findings, by id.
pub(crate) type Levels = BTreeMap<String, BTreeSet<String>>;

/// The findings whose levels are others than before: `id level level`.
pub(crate) fn changes(before: &Levels, after: &Levels) -> BTreeSet<String> {
    let ids: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = ids.into_iter().filter(|id| before.get(*id) != after.get(*id));
    let line = |id: &String| {
        let levels = after.get(id).into_iter().flatten().map(String::as_str);
        std::iter::once(id.as_str()).chain(levels).collect::<Vec<_>>().join(" ")
    };
    changed.map(line).collect()
}

/// The files that calivet is linked with.
static LIBRARIES: LazyLock<String> = LazyLock::new(|| {
    let ldd = run(Command::new("ldd").arg(CALIVET)).stdout;
    ldd.split_ascii_whitespace().filter(|word| word.starts_with('/')).collect::<Vec<_>>().join(" ")
});
