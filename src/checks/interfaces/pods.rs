//! Pods' ends of the node: are they up, are they whole, is their pod still there?

use std::collections::BTreeSet;

use serde_json::json;

use super::unknown;
use crate::checks::figures::counted;
use crate::checks::network::{Leftovers, Network, first, some, troubled};
use crate::checks::tables::Link;
use crate::checks::{Finding, Level};

pub(super) const LINKS: &str = "interfaces.pod-links";
pub(super) const LEFTOVERS: &str = "interfaces.leftovers";

/// Whether pods' links are up at both ends. A link whose pod is gone is [`leftovers`]' matter.
pub(super) fn links(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(LINKS, reason);
    }
    let gone = match network.leftovers() {
        Leftovers::Known(gone, _) => gone,
        _ => BTreeSet::new(),
    };
    let pods = network.pods();
    let judged: Vec<&Link> = pods.into_iter().filter(|link| !gone.contains(&link.name)).collect();
    if judged.is_empty() {
        return Finding::new(LINKS, Level::Skip, "there is no interface of a pod");
    }
    let names = |is_it: fn(&Link) -> bool| -> Vec<&str> {
        judged.iter().filter(|link| is_it(link)).map(|link| link.name.as_str()).collect()
    };
    let down = names(|link| !link.is_up());
    let here = names(is_here);
    let silent = names(|link| link.is_up() && !link.has_carrier() && !is_here(link));
    let evidence = json!({
        "interfaces": judged.len(), "down": some(&down), "podEndDown": some(&silent), "podEndHere": some(&here),
        "counts": {"down": down.len(), "podEndDown": silent.len(), "podEndHere": here.len()},
    });
    let troubles = [
        (
            down.as_slice(),
            "down",
            "Felix sets a pod's interface up: see who set it down (NetworkManager, a person), then ip link set NAME up",
        ),
        (
            silent.as_slice(),
            "whose end in the pod is down",
            "the pod set its own interface down, or was not set up to its end: delete the pod, so that it is made anew",
        ),
        (
            here.as_slice(),
            "whose other end is still in the host's own network namespace",
            "the CNI plugin was stopped half-way: delete the pod; if the interface stays, ip link delete NAME",
        ),
    ];
    let many = counted(judged.len(), "interface of a pod", "interfaces of pods");
    let well = if judged.len() == 1 { "is up at both ends" } else { "are up at both ends" };
    troubled(LINKS, &many, well, &troubles).evidence(evidence)
}

/// Whether a veth's other end never left.
fn is_here(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth") && link.netnsid.is_none() && link.link_name.is_some()
}

/// Whether each pod's link has its pod.
pub(super) fn leftovers(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(LEFTOVERS, reason);
    }
    match network.leftovers() {
        Leftovers::NotKept(reason) => Finding::new(LEFTOVERS, Level::Skip, reason),
        Leftovers::Unknown(reason) => Finding::new(
            LEFTOVERS,
            Level::Unknown,
            format!("whether each interface has its pod is not known: {reason}"),
        ),
        Leftovers::Known(gone, 0) if gone.is_empty() => {
            Finding::new(LEFTOVERS, Level::Skip, "there is no interface of a pod")
        }
        Leftovers::Known(gone, with) => {
            let gone: Vec<&String> = gone.iter().collect();
            let evidence = json!({"withPod": with, "withoutPod": some(&gone), "counts": {"withoutPod": gone.len()}});
            if gone.is_empty() {
                let summary = counted(with, "interface has its pod", "interfaces have their pod");
                return Finding::new(LEFTOVERS, Level::Ok, summary).evidence(evidence);
            }
            let summary = format!(
                "{} interfaces ({}) have no pod in /var/log/pods, {with} have: they are likely left over",
                gone.len(),
                first(&gone)
            );
            Finding::new(LEFTOVERS, Level::Warn, summary)
                .evidence(evidence)
                .remedy("see that no pod has it: ip route show dev NAME; calicoctl get workloadendpoints -A -o wide")
                .remedy("then ip link delete NAME, and look for leaked addresses: calicoctl ipam check")
        }
    }
}
