//! Are Calico's chains there, called, and called before those of others? And does what Calico accepts get through?

use serde_json::{Value, json};

use super::{CHAINS, FORWARD, Facts, Form, ORDER, Owner, form, managers, others, owner, unread};
use crate::checks::{Finding, Level};
use crate::packet_filter::{Act, Chain, Rule};

/// The most rows of a list in evidence.
const SHOWN: usize = 20;

/// A base chain of the table `filter` in which Calico has its own, or should.
struct Hook<'a> {
    base: &'a Chain,
    /// The name of Calico's chain for it.
    calico: String,
    /// Where it is called, counted from 1; `None`: nowhere.
    position: Option<usize>,
}

/// The base chains of iptables beside whose rules Calico's stand, or of Calico's own table.
fn hooks<'a>(facts: &'a Facts<'_>) -> Vec<Hook<'a>> {
    let mut hooks = Vec::new();
    for base in &facts.rules.chains {
        let calico = match (form(base), base.table.as_str(), base.name.as_str()) {
            (Form::Legacy | Form::Compatible, "filter", "INPUT" | "FORWARD" | "OUTPUT") => {
                format!("cali-{}", base.name)
            }
            (Form::Native, "calico", "filter-INPUT" | "filter-FORWARD" | "filter-OUTPUT") => {
                base.name.replacen("filter-", "filter-cali-", 1)
            }
            _ => continue,
        };
        let is_call = |rule: &Rule| matches!(&rule.act, Act::Call(name) if *name == calico);
        let position = base.rules.iter().position(is_call).map(|index| index + 1);
        if position.is_some() || facts.rules.called(base, &calico).is_some() {
            hooks.push(Hook { base, calico, position });
        }
    }
    hooks
}

/// Who is here and removes Calico's chains at times: for the middle of a sentence, and what has them leave it.
fn flushed(facts: &Facts<'_>) -> (String, Vec<&'static str>) {
    let managers = managers::present(&facts.rules);
    let flushing = managers.iter().filter_map(|manager| manager.flushes);
    flushing.map(|(told, remedy)| (format!(" ({told})"), remedy)).unzip()
}

/// Are Calico's chains there, and called?
pub(super) fn chains(facts: &Facts<'_>) -> Finding {
    if facts.calico.is_empty() && facts.unknown.is_empty() && facts.felix == Some(true) {
        let (flushed, remedies) = flushed(facts);
        let finding = Finding::new(CHAINS, Level::Fail, format!("Felix runs, and none of its chains are there{flushed}: no policy is in force, and what it would accept is not"))
            .remedy("calivet check felix    # is it ready, and which errors does it log?")
            .remedy("kubectl -n kube-system delete pod CALICO-NODE-POD    # it writes all of them anew when it starts; what was flushed, Felix puts back within iptablesRefreshInterval (180 s)");
        let finding = remedies.into_iter().fold(finding, Finding::remedy);
        return finding.evidence(json!({"uncalled": [], "podsWithoutChains": []}));
    }
    if let Some(finding) = facts.without_calico(CHAINS) {
        return finding;
    }
    let hooks = hooks(facts);
    let uncalled: Vec<&Hook<'_>> = hooks.iter().filter(|hook| hook.position.is_none()).collect();
    let names: std::collections::HashSet<&str> = facts
        .rules
        .chains
        .iter()
        .map(|chain| chain.name.strip_prefix("filter-").unwrap_or(&chain.name))
        .collect();
    let without: Vec<&String> = match &facts.pods {
        // In eBPF mode the pods' policy is in programs.
        Some(pods) if !facts.is_bpf => pods
            .iter()
            .filter(|pod| {
                ["cali-tw-", "cali-fw-"]
                    .iter()
                    .any(|prefix| !names.contains(format!("{prefix}{pod}").as_str()))
            })
            .collect(),
        _ => Vec::new(),
    };
    let pods = facts.pods.as_ref().map(Vec::len);
    let evidence = json!({
        "uncalled": uncalled.iter().map(|hook| json!({
            "chain": hook.calico, "from": hook.base.name, "place": hook.base.place(),
        })).collect::<Vec<Value>>(),
        "pods": pods,
        "podsWithoutChains": without.iter().take(SHOWN).collect::<Vec<_>>(),
    });
    let finding =
        |level, summary: String| Finding::new(CHAINS, level, summary).evidence(evidence.clone());
    if let [hook, ..] = &uncalled[..] {
        let more = match uncalled.len() {
            1 => String::new(),
            count => format!(", and {} more like it", count - 1),
        };
        let (flushed, remedies) = flushed(facts);
        let found = finding(
            Level::Fail,
            format!("{} is there and {} does not call it ({}){more}{flushed}: no packet comes to Calico's rules", hook.calico, hook.base.name, hook.base.place()),
        )
        .remedy(hook.base.command())
        .remedy("who flushed it will do so again (firewalld or iptables.service restarted, a script with `iptables -F`)")
        .remedy("Felix puts it back within iptablesRefreshInterval (180 s), or at once when calico-node is restarted");
        return remedies.into_iter().fold(found, Finding::remedy);
    }
    if !without.is_empty() {
        let first = without.first().map_or("", |pod| pod.as_str());
        return finding(
            Level::Warn,
            format!("{} of {} pods' links have no chains of Felix's, {first} first: what they send and are sent is dropped. For a pod that is just being made that is so for a moment", without.len(), pods.unwrap_or(0)),
        )
        .remedy(format!("ip -d link show {first}; calicoctl get workloadendpoints -a | grep {first}    # does Felix know it?"))
        .remedy("calivet check felix");
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    if facts.is_bpf {
        return finding(
            Level::Ok,
            format!("Calico's {} hooks are called; pods' policy is in eBPF programs", hooks.len()),
        );
    }
    match pods {
        None => finding(
            Level::Unknown,
            "Calico's chains are called; the links of pods could not be read".to_owned(),
        ),
        Some(pods) => finding(
            Level::Ok,
            format!(
                "Calico's {} hooks are called, and each of {pods} pods' links has its chains",
                hooks.len()
            ),
        ),
    }
}

/// A rule that stands before Calico's.
struct Before<'a> {
    position: usize,
    rule: &'a Rule,
    level: Level,
}

/// How bad it is that a rule stands before Calico's.
fn badness(facts: &Facts<'_>, base: &Chain, rule: &Rule) -> Level {
    let decides =
        |rule: &Rule| matches!(rule.act, Act::Accept | Act::Drop | Act::Reject | Act::Map);
    if rule.comment.as_ref().is_some_and(|comment| comment.starts_with("cali:")) {
        return Level::Ok;
    }
    match &rule.act {
        Act::Accept | Act::Drop | Act::Reject | Act::Return if !rule.is_conditional => Level::Fail,
        Act::Accept | Act::Drop | Act::Reject | Act::Return | Act::Map => Level::Warn,
        Act::Call(name) => match facts.rules.called(base, name) {
            // They belong to the same cluster, and each knows of the other.
            Some(chain) if matches!(owner(chain), Owner::KubeProxy | Owner::Kubelet) => Level::Ok,
            Some(chain) if !rule.is_conditional && ends_all(chain) => Level::Fail,
            Some(chain) if facts.rules.any(chain, decides) => Level::Warn,
            _ => Level::Ok,
        },
        Act::Other => Level::Ok,
    }
}

/// Whether no packet gets past a chain: none of its rules before lets one go back, and one is for all.
fn ends_all(chain: &Chain) -> bool {
    let rules = chain.rules.iter();
    let mut way = rules.skip_while(|rule| {
        let is_for_all =
            !rule.is_conditional && matches!(rule.act, Act::Accept | Act::Drop | Act::Reject);
        rule.act != Act::Return && !is_for_all
    });
    way.next().is_some_and(|rule| matches!(rule.act, Act::Drop | Act::Reject))
}

/// What a rule does, in the words of iptables.
fn words(rule: &Rule) -> String {
    let what = match &rule.act {
        Act::Accept => "ACCEPT",
        Act::Drop => "DROP",
        Act::Reject => "REJECT",
        Act::Return => "RETURN",
        Act::Call(name) => name,
        Act::Map => "a map of verdicts",
        Act::Other => "no verdict",
    };
    match &rule.comment {
        Some(comment) if !comment.starts_with("cali:") => format!("{what} (\"{comment}\")"),
        _ => what.to_owned(),
    }
}

/// Are Calico's rules asked before those of others?
pub(super) fn order(facts: &Facts<'_>) -> Finding {
    if let Some(finding) = facts.without_calico(ORDER) {
        return finding;
    }
    let mut rows = Vec::new();
    let mut worst: Option<(&Chain, String, usize, Vec<Before<'_>>, Level)> = None;
    for hook in hooks(facts) {
        let Some(position) = hook.position else { continue };
        let before = hook.base.rules.iter().take(position - 1).enumerate();
        let before: Vec<Before<'_>> = before
            .map(|(index, rule)| {
                let level = badness(facts, hook.base, rule);
                Before { position: index + 1, rule, level }
            })
            .collect();
        let shown = before.iter().take(SHOWN).map(|before| {
            json!({"position": before.position, "does": words(before.rule), "conditional": before.rule.is_conditional, "level": before.level})
        });
        rows.push(json!({
            "chain": hook.base.name, "place": hook.base.place(), "hook": hook.base.hook,
            "priority": hook.base.priority, "calico": hook.calico, "position": position,
            "before": shown.collect::<Vec<Value>>(),
        }));
        let level = before.iter().map(|before| before.level).max().unwrap_or(Level::Ok);
        if level > Level::Ok && worst.as_ref().is_none_or(|(.., known)| level > *known) {
            worst = Some((hook.base, hook.calico, position, before, level));
        }
    }
    let evidence = json!({ "hooks": rows });
    let finding =
        |level, summary: String| Finding::new(ORDER, level, summary).evidence(evidence.clone());
    if let Some((base, calico, position, before, level)) = worst {
        let what = before.iter().filter(|before| before.level > Level::Ok);
        let mut what: Vec<String> =
            what.map(|before| format!("{} at {}", words(before.rule), before.position)).collect();
        if what.len() > 4 {
            let more = what.len() - 4;
            what.truncate(4);
            what.push(format!("{more} more"));
        }
        let harm = if level == Level::Fail {
            "no packet gets past it"
        } else {
            "what they decide, Calico's policy is not asked about"
        };
        let finding = finding(
            level,
            format!(
                "{calico} is at position {position} of {} ({}), behind {}: {harm}",
                base.name,
                base.place(),
                what.join(", ")
            ),
        );
        let before = base.rules.get(..position - 1).unwrap_or_default();
        let managers = managers::called(&facts.rules, base, before);
        let finding =
            managers.iter().fold(finding, |finding, manager| finding.remedy(manager.gives_way));
        return finding
            .remedy(base.command())
            .remedy("Felix puts its rules first again within iptablesRefreshInterval (180 s), if chainInsertMode is Insert (the default), and at once when it starts: kubectl -n kube-system delete pod CALICO-NODE-POD");
    }
    if rows.is_empty() {
        return finding(
            Level::Unknown,
            "no base chain calls Calico's: see firewall.chains".to_owned(),
        );
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    finding(
        Level::Ok,
        format!("nothing that decides stands before Calico's rules in {} chains", rows.len()),
    )
}

/// Does what Calico accepts get through?
pub(super) fn forward(facts: &Facts<'_>) -> Finding {
    if let Some(finding) = facts.without_calico(FORWARD) {
        return finding;
    }
    let families: Vec<&str> = facts
        .rules
        .chains
        .iter()
        .filter(|chain| owner(chain) == Owner::Calico)
        .map(|chain| chain.family.as_str())
        .collect();
    let mut rows = Vec::new();
    let mut wrong: Option<(String, &Chain)> = None;
    for base in facts.rules.chains.iter().filter(|chain| {
        chain.table == "filter"
            && chain.name == "FORWARD"
            && families.contains(&chain.family.as_str())
    }) {
        let is_calico = |rule: &Rule| {
            rule.act == Act::Accept
                && rule.comment.as_ref().is_some_and(|comment| comment.starts_with("cali:"))
        };
        // Felix's rule for what policy has accepted: of late at the end of FORWARD, long ago in its own chain.
        let accept = base.rules.iter().position(is_calico).or_else(|| {
            let own = facts.rules.called(base, "cali-FORWARD")?;
            own.rules.iter().find(|rule| is_calico(rule))?;
            base.rules.iter().position(|rule| rule.act == Act::Call(own.name.clone()))
        });
        let stop = base.rules.iter().position(|rule| {
            !rule.is_conditional
                && match &rule.act {
                    Act::Drop | Act::Reject => true,
                    Act::Call(name) => facts
                        .rules
                        .called(base, name)
                        .is_some_and(|chain| owner(chain) == Owner::Other && ends_all(chain)),
                    _ => false,
                }
        });
        let place = base.place();
        let number = |index: Option<usize>| index.map(|index| index + 1);
        rows.push(json!({
            "place": place, "policy": if base.drops { "drop" } else { "accept" },
            "calicoAccepts": number(accept), "stopsAll": number(stop),
        }));
        let why = match (stop, accept) {
            (Some(stop), Some(accept)) if stop > accept => None,
            // A rule before it accepts them without Calico's mark, as a zone of firewalld that trusts them.
            (Some(_), _) if others::lets_pass(facts, base) => None,
            (Some(stop), accept) => {
                let does = base.rules.get(stop).map(words).unwrap_or_default();
                let accept = number(accept)
                    .map_or("Calico has no rule there that accepts".to_owned(), |at| {
                        format!("Calico accepts at {at}")
                    });
                Some(format!(
                    "rule {} of FORWARD ({place}) stops every packet ({does}), and {accept}",
                    stop + 1
                ))
            }
            (None, None) if base.drops => Some(format!(
                "the policy of FORWARD ({place}) is DROP, and Calico has no rule there that accepts"
            )),
            _ => None,
        };
        if wrong.is_none() {
            wrong = why.map(|why| (why, base));
        }
    }
    let evidence = json!({ "chains": rows });
    let finding =
        |level, summary: String| Finding::new(FORWARD, level, summary).evidence(evidence.clone());
    if let Some((why, base)) = wrong {
        let managers = managers::called(&facts.rules, base, &base.rules);
        let names = managers
            .iter()
            .fold(String::new(), |names, manager| names + "; " + manager.name + " has rules there");
        let found = finding(
            Level::Fail,
            format!("{why}{names}: what pods send to others and are sent is lost"),
        );
        let found = found.remedy(base.command());
        let lines = managers.iter().flat_map(|manager| manager.lets_pass);
        let found = lines.fold(found, |found, line| found.remedy(*line));
        let found = if managers.is_empty() {
            found.remedy("where a service set it (Docker, iptables.service): stop the service, or have it accept (`iptables -P FORWARD ACCEPT`; for iptables.service take the REJECT out of /etc/sysconfig/iptables)")
        } else {
            found
        };
        return found
            .remedy("where iptablesFilterAllowAction is Return: set it to Accept, or the rules behind Calico's decide");
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    let dropping = rows.iter().filter(|row| row["policy"] == "drop").count();
    finding(
        Level::Ok,
        match dropping {
            0 => "FORWARD accepts what no rule decides, and nothing stops a packet before Calico's rules".to_owned(),
            _ => "the policy of FORWARD is DROP, and Calico accepts before that what its policy allows".to_owned(),
        },
    )
}
