//! A bundle from a stranger: as gzip, and as the tar in it, so that no checksum stands in the way.
#![no_main]

use std::io::Write;
use std::ops::ControlFlow;

use calivet::archive::reader::{Limits, read_gzip};
use calivet::bundle::inventory::Inventory;
use calivet::host::Host;
use calivet::host::bundle::{Bundle, Look};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 64 << 20, entries: 10_000, path: 4096 };

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let gzip = match kind % 2 {
        0 => bytes.to_vec(),
        _ => gzip(bytes),
    };
    let mut taken = 0;
    let contents = read_gzip(&gzip[..], LIMITS, &mut |member, data| {
        assert!(!member.path.starts_with('/') && !member.path.split('/').any(|part| part == ".."));
        assert!(!member.path.chars().any(char::is_control));
        let mut all = Vec::new();
        let _ = data.read_to_end(&mut all);
        taken += all.len() as u64;
        ControlFlow::Continue(())
    });
    assert!(taken <= LIMITS.bytes);
    assert!(contents.refused.len() <= 100);
    let Ok(mut file) = tempfile::NamedTempFile::new_in("/dev/shm") else { return };
    if file.write_all(&gzip).is_err() {
        return;
    }
    for look in [Look::Index, Look::Digests] {
        if let Ok(bundle) = Bundle::look(file.path(), look) {
            let inventory = Inventory::of(bundle);
            let _ = (inventory.overview("x"), inventory.rows(), inventory.verify("x"));
        }
    }
    let Ok(host) = Host::bundle(file.path()) else { return };
    let _ = (host.time(), host.warnings());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let evidence = runtime.block_on(host.evidence(calivet::collectors::FIRST, &[]));
    let _ = calivet::collectors::Node::from_evidence(&evidence);
    let _ = calivet::status::node_status(host.time(), &evidence);
});

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}
