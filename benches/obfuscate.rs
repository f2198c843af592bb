//! How fast logs are redacted and obfuscated, best of a few rounds, against the text being copied:
//! `cargo run --release --example obfuscate`.
#![allow(clippy::print_stdout, reason = "it says what it measured")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use calivet::obfuscate::{Key, Names, Obfuscator};
use calivet::redact::{Redactor, Secrets};

const ROUNDS: u32 = 5;
const CHUNK: usize = 256 << 10;

fn main() {
    let log = log();
    let mut names = Names::default();
    names.learn_node("node-1.corp.example.com");
    names.learn_pod_folder("shop_web-7d4b9c6f5-x2x7p_0a1b2c3d-0000-4000-8000-0123456789ab");
    names.learn_pod_folder("kube-system_calico-node-x7k2p_0a1b2c3d-0000-4000-8000-0123456789ac");
    let obfuscator = Obfuscator::new(Key::new(&[1; 32]), &names);
    let copied = best(|| log.as_bytes().chunks(CHUNK).map(|chunk| chunk.to_vec().len()).sum());
    let redactor = Redactor::new(&Secrets::default());
    let redacted = best(|| {
        let mut stream = redactor.stream().of("logs/x");
        let chunks = log.as_bytes().chunks(CHUNK);
        let bytes: usize = chunks.map(|chunk| stream.push(chunk.to_vec()).len()).sum();
        bytes + stream.finish().0.len()
    });
    let obfuscated = best(|| {
        let mut stream = obfuscator.stream("logs/x");
        let chunks = log.as_bytes().chunks(CHUNK);
        let bytes: usize = chunks.map(|chunk| stream.push(chunk.to_vec()).len()).sum();
        bytes + stream.finish().0.len()
    });
    let speed = |time: Duration| log.len() as u128 / time.as_micros().max(1);
    println!("{} MB of logs", log.len() / 1_000_000);
    println!("  redacted:   {:6} MB/s", speed(redacted));
    println!("  obfuscated: {:6} MB/s", speed(obfuscated));
    println!("  copied:     {:6} MB/s", speed(copied));
}

/// The shortest time that `work` takes.
fn best(mut work: impl FnMut() -> usize) -> Duration {
    let round = |_| {
        let begun = Instant::now();
        std::hint::black_box(work());
        begun.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

/// Lines as Felix, confd and a container runtime write them.
fn log() -> String {
    let mut log = String::new();
    for number in 0_u32..400_000 {
        let _ = match number % 4 {
            0 => writeln!(
                log,
                "2026-11-23 02:33:{:02}.{:03} [INFO][412] felix/int_dataplane.go 1836: Received *proto.WorkloadEndpointUpdate update from calculation graph msg=id:{{orchestrator_id:\"k8s\" workload_id:\"shop/web-7d4b9c6f5-x2x7p\" endpoint_id:\"eth0\"}} endpoint:{{state:\"active\" name:\"cali{:011x}\" profile_ids:\"kns.shop\" ipv4_nets:\"10.65.{}.{}/32\"}}",
                number % 60,
                number % 1000,
                number % 110,
                number % 200,
                number % 250
            ),
            1 => writeln!(
                log,
                "2026-11-23 02:33:{:02}.{:03} [DEBUG][412] felix/route_table.go 1023: Syncing interface routes ifaceName=\"cali{:011x}\" ifaceRegex=\"^cali.*\" ipVersion=0x4 tableIndex=254",
                number % 60,
                number % 1000,
                number % 110
            ),
            2 => writeln!(
                log,
                "2026-11-23 02:33:{:02}.{:03} [INFO][412] felix/summary.go 100: Summarising 12 dataplane reconciliation loops over 1m3.2s: avg=12ms longest=81ms (resync-ipsets-v4,resync-filter-v4,resync-nat-v4)",
                number % 60,
                number % 1000
            ),
            _ => writeln!(
                log,
                "2026-11-23T02:33:{:02}.123456789Z stdout F bird: Mesh_10_0_0_{}: State changed to feed",
                number % 60,
                number % 250
            ),
        };
    }
    log
}
