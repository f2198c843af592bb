//! Which configuration does the container runtime take, and what is there beside Calico's?

use serde_json::{Value, json};

use super::{CONFIGURATION, Facts, File, OTHERS};
use crate::checks::{Finding, Level};
use crate::host::Outcome;

/// What Calico's installer puts values in the place of (`cni-plugin/pkg/install`).
const PLACEHOLDERS: &[&str] = &[
    "__CNI_MTU__",
    "__ETCD_",
    "__KUBECONFIG_FILE",
    "__KUBERNETES_",
    "__SERVICEACCOUNT_TOKEN__",
    "__LOG_LEVEL__",
];

/// Is Calico's configuration the first, and valid?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let folder = facts.folder;
    let evidence = json!({
        "folder": folder,
        "files": facts.files.iter().map(|file| json!({
            "name": file.name,
            "network": file.network.as_ref().ok().map(|network| &network.name),
            "plugins": file.network.as_ref().ok().map(|network| network.programs().collect::<Vec<_>>()),
            "problem": file.network.as_ref().err(),
        })).collect::<Vec<Value>>(),
    });
    let finding = |level, summary: String| {
        Finding::new(CONFIGURATION, level, summary).evidence(evidence.clone())
    };
    let Some(position) = facts.files.iter().position(File::is_calicos) else {
        return absent(facts, finding);
    };
    let (before, from) = facts.files.split_at(position);
    let Some(file) = from.first() else { return absent(facts, finding) };
    let path = format!("{folder}/{}", file.name);
    if file.reading.outcome != Outcome::Ok {
        return finding(
            Level::Unknown,
            format!("{path} is not known: {}", super::reason(file.reading)),
        );
    }
    if let Err(why) = &file.network {
        return finding(Level::Fail, format!("{path}: {why}: the runtime makes no pods"))
            .remedy(format!("python3 -m json.tool {path}"))
            .remedy("restart calico-node: its container install-cni writes the file anew");
    }
    let text = file.reading.text();
    if let Some(placeholder) = PLACEHOLDERS.iter().find(|placeholder| text.contains(**placeholder))
    {
        return finding(
            Level::Fail,
            format!(
                "{path} still holds {placeholder}..., in whose place the installer puts a value"
            ),
        )
        .remedy("kubectl -n kube-system logs CALICO-NODE-POD -c install-cni");
    }
    if let Some(first) = before.first() {
        let is_multus = first.network.as_ref().is_ok_and(|network| {
            network.plugins.iter().any(|plugin| plugin.program.starts_with("multus"))
        });
        if is_multus {
            return finding(
                Level::Info,
                format!(
                    "the runtime takes {} first: Multus, which hands pods on to what it is told to",
                    first.name
                ),
            );
        }
        return finding(
            Level::Fail,
            format!(
                "the runtime takes {}, which comes before Calico's {} by the bytes of its name",
                first.words(),
                file.name
            ),
        )
        .remedy(format!(
            "mv {folder}/{} /root/    # if that network is not wanted; its pods must be made anew",
            first.name
        ))
        .remedy("then delete the pods that have addresses of the other network");
    }
    if let Some(why) = &facts.unknown {
        return finding(Level::Unknown, why.clone());
    }
    finding(Level::Ok, format!("{path} is the first and valid"))
}

/// What is said where Calico has no configuration.
fn absent(facts: &Facts<'_>, finding: impl Fn(Level, String) -> Finding) -> Finding {
    let folder = facts.folder;
    if let Some(why) = &facts.unknown {
        return finding(Level::Unknown, why.clone());
    }
    let there = match facts.files.first() {
        Some(first) => format!("the runtime takes {}", first.words()),
        None => "there is none at all".to_owned(),
    };
    match facts.felix {
        Some(true) if facts.makes_network => finding(
            Level::Fail,
            format!("{folder} has no configuration of Calico's, and {there}: pods get no network of Calico's"),
        )
        .remedy("kubectl -n kube-system logs CALICO-NODE-POD -c install-cni    # it writes the file")
        .remedy("where the runtime reads another folder (`conf_dir` in /etc/containerd/config.toml), set CNI_NET_DIR for install-cni"),
        Some(true) => finding(
            Level::Skip,
            format!("Calico does policy only here (its networking backend is none), and {there}"),
        ),
        Some(false) => finding(
            Level::Skip,
            format!("{folder} has no configuration of Calico's, and Felix does not run"),
        ),
        None => finding(
            Level::Unknown,
            format!("{folder} has no configuration of Calico's, and whether Felix runs is not known"),
        ),
    }
}

/// Links that other networks make, and whose.
const LINKS: &[(&str, &str)] = &[
    ("antrea-gw0", "Antrea"),
    ("cilium_host", "Cilium"),
    ("cilium_net", "Cilium"),
    ("cilium_vxlan", "Cilium"),
    ("cni0", "the bridge plugin, or flannel"),
    ("flannel.1", "flannel"),
    ("flannel-v6.1", "flannel"),
    ("kube-bridge", "kube-router"),
    ("ovn-k8s-mp0", "OVN-Kubernetes"),
    ("weave", "Weave"),
];

/// Has another network left anything behind?
pub(super) fn others(facts: &Facts<'_>) -> Finding {
    if facts.calico().is_none() {
        return facts.without(OTHERS);
    }
    let others: Vec<&File<'_>> =
        facts.files.iter().filter(|file| !file.is_calicos() && !file.is_loopback()).collect();
    let links = facts.links.iter().flatten();
    let left: Vec<(&str, &str)> = links
        .filter_map(|link| LINKS.iter().find(|(name, _)| *name == link.name).copied())
        // Where another makes the network, its links are in use.
        .filter(|_| facts.makes_network)
        .collect();
    let evidence = json!({
        "files": others.iter().map(|file| file.name).collect::<Vec<_>>(),
        "links": left.iter().map(|(name, whose)| json!({"name": name, "of": whose})).collect::<Vec<Value>>(),
    });
    let finding =
        |level, summary: String| Finding::new(OTHERS, level, summary).evidence(evidence.clone());
    let files: Vec<String> = others.iter().map(|file| file.words()).collect();
    if let [(name, whose), ..] = &left[..] {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        return finding(
            Level::Warn,
            format!("links of another network are there: {} (of {whose}); their routes and rules may take Calico's traffic", names.join(", ")),
        )
        .remedy(format!("ip route show dev {name}; ip -d link show {name}"))
        .remedy(format!("ip link delete {name}    # once no pod uses it; or reboot the node when its other plugin is removed"));
    }
    if !files.is_empty() {
        return finding(
            Level::Info,
            format!("configurations of other networks are there, which the runtime takes when Calico's is gone: {}", files.join("; ")),
        )
        .remedy(format!("mv {}/{{{}}} /root/    # if they are not wanted", facts.folder, evidence["files"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")).unwrap_or_default()));
    }
    if let Some(why) = &facts.unknown {
        return finding(Level::Unknown, why.clone());
    }
    if facts.links.is_none() {
        return finding(Level::Unknown, "the links could not be read".to_owned());
    }
    finding(Level::Ok, "no other network has a configuration or a link here".to_owned())
}
