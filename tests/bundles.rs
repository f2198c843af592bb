//! A bundle is a host: `calivet` says of it what it said on the node.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_bird::{Connection, FakeBird, Recorded, abandoned};
use crate::formats::is_calico_node_status;
use crate::lab::peers::Family;
use crate::lab::{Daemons, Lab};
use crate::root::Root;
use crate::run::{Run, run};

/// A bundle in its three shapes: the archive, the folder it was unpacked into, and `diagnostics` in that.
struct Bundle {
    folder: TempDir,
}

impl Bundle {
    /// Has `diags` (a run of `calivet` up to its global options) write a bundle, and unpacks it.
    #[track_caller]
    fn of(diags: &mut Command) -> Self {
        let bundle = Self { folder: TempDir::new().unwrap() };
        let written = run(diags
            .args(["node", "diags", "--timeout", "2s", "-q", "--output-file"])
            .arg(bundle.archive()));
        assert!(written.status <= 1, "{written:?}");
        let unpacked = run(Command::new("tar")
            .arg("-xzf")
            .arg(bundle.archive())
            .arg("-C")
            .arg(bundle.folder.path()));
        assert_eq!((unpacked.status, unpacked.stderr.as_str()), (0, ""));
        bundle
    }

    fn of_root(root: &Root) -> Self {
        Self::of(calivet().arg("--root").arg(root.path()))
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("bundle.tar.gz")
    }

    fn shapes(&self) -> [PathBuf; 3] {
        [self.archive(), self.folder.path().to_owned(), self.folder.path().join("diagnostics")]
    }

    fn stored(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("diagnostics").join(name)).unwrap()
    }

    /// The three shapes give `status.json` and `findings.json` to the byte, and the same as each other in every other
    /// format.
    #[track_caller]
    fn is_the_host_itself(&self) -> Value {
        let stored = self.stored("status.json");
        for shape in self.shapes() {
            let read = from(&shape, &["-o", "json"]);
            assert_eq!(read.stdout, stored, "{}", shape.display());
            assert_eq!(read.stderr, "", "{}", shape.display());
            let check = run(calivet().arg("--from").arg(&shape).args(["check", "-o", "json"]));
            let told = self.stored("findings.json");
            let findings = |text: &str| -> Vec<Value> {
                let document: Value = serde_json::from_str(text).unwrap();
                document["findings"].as_array().unwrap().clone()
            };
            for (said, told) in findings(&check.stdout).iter().zip(&findings(&told)) {
                assert_eq!(said, told, "{}", shape.display());
            }
            assert!(check.stdout == told, "{}", shape.display());
        }
        let status: Value = serde_json::from_str(&stored).unwrap();
        let yaml: Value =
            serde_yaml::from_str(&from(&self.archive(), &["-o", "yaml"]).stdout).unwrap();
        assert_eq!(yaml, status);
        for options in [&[][..], &["-o", "wide"], &["--resource"], &["--resource", "-o", "json"]] {
            let [archive, above, folder] = self.shapes().map(|shape| {
                let read = from(&shape, options);
                (read.status, read.stdout, read.stderr)
            });
            assert!(
                above == archive && folder == archive,
                "{options:?}: {archive:?} {above:?} {folder:?}"
            );
            assert!((archive.0 != 2) && !archive.1.is_empty(), "{options:?}: {archive:?}");
        }
        is_calico_node_status(&from(&self.archive(), &["--resource", "-o", "json"]).json());
        status
    }
}

fn calivet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_calivet"))
}

fn from(bundle: &Path, options: &[&str]) -> Run {
    run(calivet().arg("--from").arg(bundle).args(["node", "status"]).args(options))
}

/// Routes of every kind for BIRD to learn from the kernel.
fn add_routes(lab: &Lab) {
    lab.run(
        "ip route add unreachable 10.91.0.0/16\nip route add prohibit 10.92.0.0/16\n\
         ip route add blackhole 10.93.0.0/16\n\
         ip route add 10.94.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3",
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while ["10.91.", "10.92.", "10.93.", "10.94."]
        .iter()
        .any(|route| !lab.ask(Family::Ipv4, "show route").contains(route))
    {
        assert!(std::time::Instant::now() < deadline, "BIRD did not learn the routes");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[track_caller]
fn has_routes_of_every_kind(resource: &Value) {
    let routes = resource["status"]["routes"]["routesV4"].as_array().unwrap();
    let rows = |destination: &str| -> Vec<String> {
        let rows = routes.iter().filter(|route| route["destination"] == destination);
        rows.map(|route| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let source = &route["learnedFrom"]["sourceType"];
            [&route["gateway"], &route["interface"], source].map(text).join(" ")
        })
        .collect()
    };
    assert_eq!(rows("10.91.0.0/16"), ["N/A unreachable Kernel"]);
    assert_eq!(rows("10.92.0.0/16"), ["N/A prohibited Kernel"]);
    assert_eq!(rows("10.93.0.0/16"), ["N/A blackhole Kernel"]);
    assert_eq!(rows("10.94.0.0/16"), ["10.0.0.2 node0 Kernel", "10.0.0.3 node0 Kernel"]);
    assert_eq!(rows("192.168.0.0/26"), ["N/A blackhole Static"]);
    assert_eq!(rows("192.168.2.0/26"), ["10.0.0.2 node0 NodeMesh"]);
    assert_eq!(rows("192.168.9.0/26"), ["10.0.0.9 node0 BGPPeer"]);
    let gaps = resource["metadata"]["annotations"]["calivet/not-expressible"].as_str().unwrap();
    assert!(gaps.contains("routes of local workloads, left out: 3"), "{gaps}");
}

/// What is the same as long as no peer changes: the default output and the resource, but for its time.
fn unmoving(status: impl Fn(&[&str]) -> Run) -> (String, Value) {
    let mut resource = status(&["--resource", "-o", "json"]).json();
    resource["status"]["lastUpdated"] = json!("2026-11-23T02:33:26Z");
    (status(&[]).stdout, resource)
}

fn a_bundle_of_a_lab_is_the_lab_itself(lab: &Lab) {
    add_routes(lab);
    let live = || unmoving(|options| run(lab.calivet().args(["node", "status"]).args(options)));
    // A peer that BIRD tries to reach changes its state now and then: the bundle must catch the node as it was
    // just before or just after, once in a while.
    let mut seen = None;
    for _ in 0..30 {
        let before = live();
        let bundle = Bundle::of(&mut lab.calivet());
        let after = live();
        let status = bundle.is_the_host_itself();
        assert_eq!(status["bgp"]["ipv4"]["state"], "ready", "{status:#}");
        assert_eq!(from(&bundle.archive(), &[]).status, 1, "there are peers that are down");
        let read = unmoving(|options| from(&bundle.archive(), options));
        has_routes_of_every_kind(&read.1);
        is_calico_node_status(&before.1);
        if read == before || read == after {
            return;
        }
        seen = Some((read, before, after));
    }
    panic!("the bundle was never as the node was: {seen:#?}");
}

#[test]
fn a_bundle_of_bird_1_is_the_host_itself() {
    let Some(lab) = Lab::start(Daemons::Bird1) else { return };
    a_bundle_of_a_lab_is_the_lab_itself(&lab);
}

#[test]
fn a_bundle_of_bird_2_is_the_host_itself_and_a_peer_that_changes_is_marked() {
    let Some(lab) = Lab::start(Daemons::Bird2) else { return };
    a_bundle_of_a_lab_is_the_lab_itself(&lab);
    a_peer_that_changes_between_two_drawings_is_marked(&lab);
}

fn a_peer_that_changes_between_two_drawings_is_marked(lab: &Lab) {
    let mut watch = lab.calivet();
    watch.args(["node", "status", "--watch", "2", "--times", "2"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut drawings = std::io::BufReader::new(watch.stdout.take().unwrap());
    // A drawing is written as a whole.
    let mut first = String::new();
    std::io::BufRead::read_line(&mut drawings, &mut first).unwrap();
    assert!(first.starts_with("Every 2s: node node-1 at "), "{first}");
    lab.ask(Family::Ipv4, "disable Mesh_10_0_0_2");
    let mut rest = String::new();
    drawings.read_to_string(&mut rest).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(1));
    let (first, second) = rest.split_once("Every 2s: ").unwrap();
    assert!(!first.contains("(was: ") && !first.contains("(new)"), "{first}");
    let marked: Vec<&str> = second.lines().filter(|line| line.contains("(was: ")).collect();
    let row = marked
        .iter()
        .find(|line| line.starts_with("| 10.0.0.2 "))
        .unwrap_or_else(|| panic!("{second}"));
    assert!(row.contains("| down ") && row.contains("(was: up Established)"), "{row}");
}

const BIRD: &str = "/var/run/calico/bird.ctl";
const BIRD6: &str = "/var/run/calico/bird6.ctl";

/// A node on which everything is well: Felix serves its health, and each BIRD has one peer.
fn well() -> Root {
    let felix = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = felix.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in felix.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    let environment = format!(
        "FELIX_HEALTHENABLED=true\0FELIX_HEALTHPORT={port}\0CALICO_NETWORKING_BACKEND=bird\0IP=autodetect\0IP6=autodetect\0"
    );
    let root = Root::new()
        .process(1, &["/sbin/init"])
        .calico_node()
        .file("/proc/412/environ", environment)
        .file("/var/lib/calico/nodename", "node-1");
    for (socket, recorded) in [(BIRD, "1.6.8"), (BIRD6, "1.6.8-bird6")] {
        FakeBird::listen(&root.at(socket), move |connection| {
            connection.answer(
                |question| only_first_peer(question, Recorded(recorded)),
                Recorded(recorded),
            );
        });
    }
    root
}

/// The answer without the peers behind the first.
fn only_first_peer(question: &str, recorded: Recorded) -> Option<Vec<u8>> {
    if question != "show protocols all" {
        return None;
    }
    let text = String::from_utf8(recorded.answer(question)).unwrap();
    let blocks: Vec<&str> = text.split("\n \n").collect();
    let first = blocks.iter().position(|block| block.contains(" BGP ")).unwrap();
    Some((blocks[..=first].join("\n \n") + "\n \n0000 \n").into_bytes())
}

#[test]
fn a_well_node_is_well_in_its_bundle() {
    let root = well();
    let live = run(calivet().arg("--root").arg(root.path()).args(["node", "status"]));
    assert_eq!((live.status, live.stderr.as_str()), (0, ""), "{live:?}");
    let bundle = Bundle::of_root(&root);
    let status = bundle.is_the_host_itself();
    assert_eq!(status["agents"]["felix"]["ready"], true);
    let read = from(&bundle.archive(), &[]);
    assert_eq!((read.status, read.stdout, read.stderr), (0, live.stdout, String::new()));
}

/// Puts what is to be found at the socket of a root.
type Make<'a> = &'a dyn Fn(&Root);

#[test]
fn a_bundle_of_a_bird_in_trouble_tells_the_same_trouble() {
    let silent: fn(&mut Connection) = Connection::wait_for_the_end;
    let half: fn(&mut Connection) = |connection| {
        connection.greet();
        connection.hear();
        connection.say("1000-BIRD 1.6.8\n");
    };
    let troubles: [(&str, Make); 5] = [
        ("timedOut", &|root| drop(FakeBird::listen(&root.at(BIRD), silent))),
        ("cutOff", &|root| drop(FakeBird::listen(&root.at(BIRD), half))),
        ("garbled", &|root| {
            drop(FakeBird::listen(&root.at(BIRD), |connection| assert!(connection.say("hello\n"))));
        }),
        ("refused", &|root| abandoned(&root.at(BIRD))),
        ("absent", &|_| ()),
    ];
    for (trouble, make) in troubles {
        let root = Root::new().process(1, &["/sbin/init"]).calico_node();
        FakeBird::recorded(&root.at(BIRD6), Recorded("1.6.8-bird6"));
        make(&root);
        let status = Bundle::of_root(&root).is_the_host_itself();
        assert_eq!(status["bgp"]["ipv4"]["trouble"], trouble, "{status:#}");
        assert_eq!(status["bgp"]["ipv6"]["peers"].as_array().unwrap().len(), 4, "{trouble}");
    }
}

#[test]
fn a_bundle_of_a_host_without_calico_is_the_host_itself() {
    let root = Root::new().process(1, &["/sbin/init"]);
    let bundle = Bundle::of_root(&root);
    let status = bundle.is_the_host_itself();
    assert_eq!(status["agents"]["felix"]["running"], false);
    assert_eq!(status["bgp"]["ipv4"]["state"], "notRunning");
    let live = run(calivet().arg("--root").arg(root.path()).args(["node", "status"]));
    let read = from(&bundle.archive(), &[]);
    assert_eq!((read.status, read.stdout), (live.status, live.stdout));
}

/// All that a status claims.
fn claims(status: &Value) -> Vec<Value> {
    let [bgp, agents] = ["bgp", "agents"].map(|key| &status[key]);
    let mut claims = vec![status["node"].clone()];
    for family in ["ipv4", "ipv6"] {
        claims.extend(
            ["state", "version", "established", "notEstablished"]
                .map(|key| bgp[family][key].clone()),
        );
    }
    claims.extend(["running", "live", "ready"].map(|key| agents["felix"][key].clone()));
    claims.extend(["bird", "bird6", "confd"].map(|key| agents[key]["running"].clone()));
    claims
}

#[test]
fn of_a_bundle_that_is_cut_what_is_not_there_is_not_known() {
    let bundle = Bundle::of_root(&well());
    let whole = claims(&from(&bundle.archive(), &["-o", "json"]).json());
    let bytes = fs::read(bundle.archive()).unwrap();
    let cut = bundle.folder.path().join("cut.tar.gz");
    let mut unknown = 0;
    for part in 1..16 {
        fs::write(&cut, &bytes[..bytes.len() * part / 16]).unwrap();
        let read = from(&cut, &["-o", "json"]);
        if read.status == 3 && read.stdout.is_empty() {
            assert!(read.stderr.starts_with("error: "), "{read:?}");
            continue;
        }
        let found = claims(&read.json());
        for (found, whole) in found.iter().zip(&whole) {
            assert!(found.is_null() || found == whole, "{part}: {found} is not {whole}");
        }
        if found != whole {
            assert_eq!(read.status, 3, "{part}: {read:?}");
            unknown += 1;
        }
        let table = from(&cut, &[]);
        assert!(table.stderr.contains("note: the bundle's end is missing"), "{part}: {table:?}");
    }
    assert!(unknown > 0, "no cut took anything away");
}

#[test]
fn of_an_archive_of_calicoctls_nothing_is_claimed() {
    let folder = TempDir::new().unwrap();
    let diagnostics = folder.path().join("diagnostics");
    fs::create_dir_all(diagnostics.join("logs")).unwrap();
    for (name, text) in [
        ("date", "Mon Nov 23 02:33:26 UTC 2026\n"),
        ("hostname", "node-1\n"),
        ("ipv4_route", "default via 172.18.0.1 dev eth0\n"),
        ("logs/bird.log", "bird: Started\n"),
    ] {
        fs::write(diagnostics.join(name), text).unwrap();
    }
    let archive = folder.path().join("diags.tar.gz");
    let packed = run(Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("diagnostics"));
    assert_eq!(packed.status, 0, "{packed:?}");
    for shape in [archive.as_path(), folder.path(), &diagnostics] {
        let read = from(shape, &["-o", "json"]);
        assert_eq!(read.status, 3, "{read:?}");
        let status = read.json();
        for claim in &claims(&status)[1..] {
            assert_eq!(claim, &Value::Null, "{status:#}");
        }
        assert_eq!(status["bgp"]["ipv4"]["peers"], json!([]));
        assert!(
            status["bgp"]["ipv4"]["error"].is_string()
                && status["agents"]["felix"]["reason"].is_string()
        );
        let table = from(shape, &[]);
        assert_eq!(table.status, 3);
        assert!(
            !table.stdout.contains("is running") || table.stdout.contains("is not known"),
            "{table:?}"
        );
        assert!(!table.stdout.contains("peers found"), "{table:?}");
        assert!(table.stderr.contains("note: the bundle has no manifest"), "{table:?}");
    }
}
