//! The other documents and tables that a bundle holds or the host gives.
#![no_main]

use calivet::bgp::{looks, message};
use calivet::datastore::{certificate, health, resources};
use calivet::{
    bpf_maps, certificates, clock, cni_cache, conntrack, felix, filesystems, kernel,
    networkmanager, processes, workloads,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = message::parse(bytes);
    let _ = message::is_enough(bytes);
    let _ = looks::Looks::parse(bytes);
    let _ = certificate::Certificate::parse(bytes);
    let _ = certificates::parse(bytes);
    let _ = certificates::from_pem(&text);
    let _ = health::Health::parse(bytes);
    if let Some(found) = resources::List::parse(bytes) {
        let _ = (found.nodes(), found.bgp_configurations(), found.bgp_peers(), found.ip_pools());
    }
    let _ = (bpf_maps::sizes(bytes), bpf_maps::used(&text));
    let _ = (
        clock::Clock::parse(bytes),
        clock::kernel_synchronised(&text),
        clock::Tracking::parse(&text),
    );
    let _ = cni_cache::pod(bytes);
    let _ = (conntrack::Statistics::from_netlink(bytes), conntrack::Statistics::from_proc(&text));
    let _ = conntrack::entry_bytes(&text);
    let _ = felix::parse(bytes);
    let metrics = felix::metrics::Metrics::parse(bytes);
    let _ = metrics.sum("felix_int_dataplane_failures");
    let _ = (filesystems::FileSystems::parse(bytes), filesystems::mounts(&text));
    let _ = (kernel::Release::parse(&text), kernel::Config::read(bytes), kernel::mounts(&text));
    let _ =
        (kernel::available(&text), kernel::lockdown(&text), kernel::capabilities(&text, "CapEff"));
    let _ = networkmanager::live::parse(bytes);
    if let Ok(processes) = processes::parse(bytes) {
        let _ = processes::find(&processes);
        let _ = processes::time_keepers(&processes).count();
    }
    let _ = workloads::pods(&text);
});
