//! Are there two sets of rules, in both back ends?

use serde_json::json;

use super::{BACKEND, Facts, Form, Owner, form, owner, unread};
use crate::checks::{Finding, Level};

/// In which back ends are the chains of Calico, kube-proxy and the kubelet?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let count = |wanted: Owner, in_form: Form| {
        let chains = facts.rules.chains.iter();
        chains.filter(|chain| owner(chain) == wanted && form(chain) == in_form).count()
    };
    let forms = [Form::Legacy, Form::Compatible, Form::Native];
    let counts = |wanted| {
        let counted = forms.map(|it| (it.words().to_owned(), count(wanted, it).into()));
        serde_json::Value::Object(counted.into_iter().collect())
    };
    // Only iptables-nft makes it, never the table of nftables.
    let hint = facts.rules.chains.iter().find(|chain| chain.name == "KUBE-IPTABLES-HINT").map(form);
    let evidence = json!({
        "calico": counts(Owner::Calico),
        "kubeProxy": counts(Owner::KubeProxy),
        "kubeletHint": hint.map(Form::words),
        "unknown": facts.unknown,
    });
    let finding =
        |level, summary: String| Finding::new(BACKEND, level, summary).evidence(evidence.clone());
    for (who, wanted, found) in [
        ("Calico's", Owner::Calico, &facts.calico),
        ("kube-proxy's", Owner::KubeProxy, &facts.proxy),
    ] {
        if let [first, second, ..] = &found[..] {
            let summary = format!(
                "{who} chains are in both {} ({}) and {} ({}): packets pass both sets of rules, and one of them is old",
                first.words(),
                count(wanted, *first),
                second.words(),
                count(wanted, *second)
            );
            return finding(Level::Fail, summary)
                .remedy(format!(
                    "tell which is in use: Felix's log (`iptables backend`), FELIX_IPTABLESBACKEND, FELIX_NFTABLESMODE; counters that grow: {}-save -c", "iptables-legacy"
                ))
                .remedy("set iptablesBackend (Legacy or NFT) in FelixConfiguration, so that it is not guessed")
                .remedy("drain the node and reboot it: the rules that nobody renews are gone then");
        }
    }
    let pair = (facts.calico.first().copied(), facts.proxy.first().copied());
    if let (Some(calico), Some(proxy)) = pair
        && calico != proxy
        && calico != Form::Native
        && proxy != Form::Native
    {
        return finding(
            Level::Warn,
            format!("Calico uses {} and kube-proxy {}: packets pass both, in an order that neither knows", calico.words(), proxy.words()),
        )
        .remedy(format!("calicoctl patch felixconfiguration default -p '{{\"spec\":{{\"iptablesBackend\":\"{}\"}}}}'", backend(proxy)));
    }
    if let (Some(calico), Some(hint)) = (pair.0, hint)
        && calico != hint
        && calico != Form::Native
    {
        return finding(
            Level::Warn,
            format!("Calico uses {}, and the kubelet's hint says {}", calico.words(), hint.words()),
        )
        .remedy(format!(
            "set iptablesBackend to {} in FelixConfiguration, and restart calico-node",
            backend(hint)
        ));
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    let part = |who: &str, form: Option<Form>| {
        form.map(|form| format!("{who} chains are in {}", form.words()))
    };
    let parts: Vec<String> =
        [part("Calico's", pair.0), part("kube-proxy's", pair.1)].into_iter().flatten().collect();
    if parts.is_empty() {
        return finding(Level::Skip, "neither Calico nor kube-proxy has chains here".to_owned());
    }
    finding(Level::Ok, parts.join(", "))
}

const fn backend(form: Form) -> &'static str {
    match form {
        Form::Legacy => "Legacy",
        Form::Compatible | Form::Native => "NFT",
    }
}
