//! Does kube-proxy work in a mode that suits Felix's?

use serde_json::json;

use super::{Facts, Form, Owner, PROXY, kube_proxy_runs, owner, unread};
use crate::checks::{Finding, Level};

/// In which mode is kube-proxy, and what is Felix's?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let runs = kube_proxy_runs(facts);
    let chains = facts.rules.chains.iter().filter(|chain| owner(chain) == Owner::KubeProxy).count();
    let cleanup = facts.settings.truth("BPFKubeProxyIptablesCleanupEnabled");
    let evidence = json!({
        "running": runs,
        "forms": facts.proxy.iter().map(|form| form.words()).collect::<Vec<_>>(),
        "chains": chains,
        "felixBpf": facts.is_bpf,
        "felixForms": facts.calico.iter().map(|form| form.words()).collect::<Vec<_>>(),
        "bpfKubeProxyIptablesCleanupEnabled": cleanup,
    });
    let finding =
        |level, summary: String| Finding::new(PROXY, level, summary).evidence(evidence.clone());
    if facts.is_bpf {
        return match runs {
            Some(true) if cleanup == Some(false) => finding(
                Level::Info,
                "kube-proxy runs beside Felix's eBPF mode; Felix leaves its rules alone, and they cost time".to_owned(),
            ),
            Some(true) => finding(
                Level::Fail,
                "kube-proxy runs, and Felix is in eBPF mode: Felix removes its rules again and again, and both want port 10256".to_owned(),
            )
            .remedy("kubectl patch ds -n kube-system kube-proxy -p '{\"spec\":{\"template\":{\"spec\":{\"nodeSelector\":{\"non-calico\":\"true\"}}}}}'")
            .remedy("where it cannot be stopped: calicoctl patch felixconfiguration default -p '{\"spec\":{\"bpfKubeProxyIptablesCleanupEnabled\":false}}'"),
            _ if !facts.unknown.is_empty() => finding(Level::Unknown, unread(&facts.unknown)),
            Some(false) if chains > 0 => finding(
                Level::Info,
                format!("kube-proxy does not run, and {chains} of its chains are left: packets that the host sends still pass them"),
            ),
            Some(false) => finding(Level::Ok, "Felix is in eBPF mode, and kube-proxy does not run".to_owned()),
            None => finding(Level::Unknown, "the processes could not be read".to_owned()),
        };
    }
    let is_native = |forms: &[Form]| forms.contains(&Form::Native);
    if !facts.calico.is_empty() && !facts.proxy.is_empty() {
        match (is_native(&facts.calico), is_native(&facts.proxy)) {
            (true, false) => return finding(
                Level::Warn,
                "Felix is in nftables mode and kube-proxy uses iptables: that is not supported, Services may fail".to_owned(),
            )
            .remedy("set kube-proxy's mode to nftables, or nftablesMode to Disabled in FelixConfiguration"),
            (false, true) => return finding(
                Level::Warn,
                "kube-proxy is in nftables mode and Felix uses iptables: that is not supported".to_owned(),
            )
            .remedy("calicoctl patch felixconfiguration default -p '{\"spec\":{\"nftablesMode\":\"Enabled\"}}'"),
            _ => {}
        }
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    match (runs, facts.proxy.first()) {
        (_, Some(form)) => {
            finding(Level::Ok, format!("kube-proxy's rules are in {}", form.words()))
        }
        (Some(true), None) => finding(
            Level::Ok,
            "kube-proxy runs and has no chains of its own: IPVS, or it has not begun".to_owned(),
        ),
        (Some(false), None) => finding(
            Level::Skip,
            "kube-proxy does not run, and none of its rules are there".to_owned(),
        ),
        (None, None) => finding(Level::Unknown, "the processes could not be read".to_owned()),
    }
}
