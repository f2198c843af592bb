//! Does the node forward packets, and will it go on?

use serde_json::json;

use super::{Facts, IPV4, IPV6, Lack, tomorrow};
use crate::checks::dataplane::{self, Use};
use crate::checks::settings::{Persisted, Tomorrow};
use crate::checks::{Finding, Level};
use crate::fix::Change;

/// Both names of the setting.
const IPV4_KEYS: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"];
const IPV6_KEYS: [&str; 1] = ["net/ipv6/conf/all/forwarding"];

/// What is judged of a family.
struct Family {
    id: &'static str,
    name: &'static str,
    keys: &'static [&'static str],
    /// As sysctl(8) names it.
    setting: &'static str,
}

pub(super) fn ipv4(facts: &Facts) -> Finding {
    let family =
        Family { id: IPV4, name: "IPv4", keys: &IPV4_KEYS, setting: "net.ipv4.ip_forward" };
    let is_left = facts
        .dataplane
        .variable("FELIX_IPFORWARDING")
        .is_some_and(|value| value.eq_ignore_ascii_case("disabled"));
    if is_left {
        let summary = "FELIX_IPFORWARDING is Disabled: Felix leaves forwarding alone";
        return Finding::new(IPV4, Level::Skip, summary);
    }
    let mut finding = judge(facts, &family);
    let deaf = deaf_links(facts);
    finding = finding.evidence(json!({"linksWithout": deaf}));
    if !deaf.is_empty() && finding.level == Level::Ok {
        finding.level = Level::Fail;
        finding.summary = format!(
            "IPv4 is forwarded, but not what comes in over {}: forwarding is 0 on it",
            deaf.join(", ")
        );
        for link in deaf {
            finding = finding.remedy(format!("sudo sysctl -w net/ipv4/conf/{link}/forwarding=1"));
        }
    }
    let is_zero = facts.known(IPV4_KEYS[0]) == Some(0);
    if matches!(finding.level, Level::Fail | Level::Warn) && facts.has_felix() {
        finding = fix(facts, finding, is_zero);
    }
    finding
}

pub(super) fn ipv6(facts: &Facts) -> Finding {
    let family = Family {
        id: IPV6,
        name: "IPv6",
        keys: &IPV6_KEYS,
        setting: "net.ipv6.conf.all.forwarding",
    };
    match uses_ipv6(&facts.dataplane) {
        Use::Used(_) => judge(facts, &family),
        Use::Unused(why) => Finding::new(IPV6, Level::Skip, format!("no pod has IPv6 here: {why}")),
        Use::Open => {
            let why = facts.dataplane.unread.as_deref().unwrap_or_default();
            Finding::new(
                IPV6,
                Level::Unknown,
                format!("whether pods have IPv6 is not known: {why}"),
            )
        }
    }
}

/// Whether pods have IPv6.
fn uses_ipv6(dataplane: &dataplane::Facts) -> Use {
    let device = dataplane
        .links
        .iter()
        .find(|link| matches!(link.name(), "vxlan-v6.calico" | "wg-v6.cali") && link.is_up());
    let address = dataplane.variable("IP6").filter(|value| !value.is_empty() && *value != "none");
    match (device, address) {
        (Some(link), _) => Use::Used(format!("{} is up", link.name())),
        (None, Some(value)) => Use::Used(format!("IP6 is {value}")),
        (None, None) if dataplane.unread.is_some() => Use::Open,
        (None, None) if !dataplane.has_felix => Use::Unused("no Felix runs".to_owned()),
        (None, None) => Use::Unused("calico-node was given no IPv6 address".to_owned()),
    }
}

fn judge(facts: &Facts, family: &Family) -> Finding {
    let Family { id, name, keys, setting } = *family;
    let after = facts.boot.of(keys);
    let now = facts.setting(keys[0]);
    let evidence = json!({
        "now": now.as_ref().ok(),
        "afterReboot": tomorrow(&after),
    });
    let finding =
        |level, summary: String| Finding::new(id, level, summary).evidence(evidence.clone());
    let by_felix = "Felix sets it to 1 when it starts, and never again";
    match now {
        Err(Lack::Missing) => {
            finding(Level::Fail, format!("the kernel has no {name}: there is no {setting}"))
        }
        Err(Lack::Unread(why)) => finding(Level::Unknown, why),
        Ok(0) if facts.has_felix() => {
            let after = match &after {
                Tomorrow::Written { value: 0, place } => format!("; {place} sets it to 0"),
                _ => String::new(),
            };
            finding(
                Level::Fail,
                format!("{name} is not forwarded: {setting} is 0{after}; {by_felix}"),
            )
            .remedy(format!("sudo sysctl -w {setting}=1"))
        }
        Ok(0) => match &facts.dataplane.unread {
            Some(why) => finding(Level::Unknown, format!("{setting} is 0; {by_felix}, and {why}")),
            None => {
                finding(Level::Info, format!("{setting} is 0; {by_felix}, and no Felix runs here"))
            }
        },
        Ok(_) => match after {
            Tomorrow::Written { value: 0, place } if facts.has_felix() => finding(
                Level::Warn,
                format!(
                    "{name} is forwarded until settings are applied again: {place} sets {setting} to 0; {by_felix}"
                ),
            )
            .remedy(format!("set {setting} = 1 in {place}, or take the line out")),
            Tomorrow::Written { value, place } => {
                finding(Level::Ok, format!("{name} is forwarded; at boot {place} sets {value}"))
            }
            Tomorrow::Nothing => finding(
                Level::Ok,
                format!("{name} is forwarded; no file sets it at boot, and {by_felix}"),
            ),
            Tomorrow::Unknown(why) => {
                finding(Level::Unknown, format!("{name} is forwarded; after a boot: {why}"))
            }
        },
    }
}

/// Links of the node's own from which nothing is forwarded.
fn deaf_links<'a>(facts: &'a Facts) -> Vec<&'a str> {
    let links = facts.dataplane.links.iter();
    let deaf = links.filter(|link| {
        link.is_up()
            && link.ipv4.get("forwarding") == Some(&0)
            && (is_tunnel(link.name()) || facts.is_uplink(link))
    });
    deaf.map(dataplane::Link::name).take(20).collect()
}

/// Whether a link is a tunnel of Felix's.
pub(super) fn is_tunnel(name: &str) -> bool {
    matches!(name, "vxlan.calico" | "vxlan-v6.calico" | "tunl0" | "wireguard.cali" | "wg-v6.cali")
}

/// What `--fix` does: forwarding now, and by a file that wins at boot.
fn fix(facts: &Facts, mut finding: Finding, is_zero: bool) -> Finding {
    const SETTING: Persisted = Persisted {
        keys: &IPV4_KEYS,
        key: "net.ipv4.ip_forward",
        stem: "calivet-forwarding",
        comment: "# The node forwards the packets of its pods (calivet check sysctl --fix).",
    };
    if is_zero {
        let (key, value) = (SETTING.key.to_owned(), "1".to_owned());
        finding = finding.change(Change::Sysctl { key, value });
    }
    if !matches!(facts.boot.of(SETTING.keys), Tomorrow::Written { value: 1, .. }) {
        match facts.boot.winner(&SETTING, 1) {
            Some((change, _)) => finding = finding.change(change),
            None => {
                finding =
                    finding.remedy("no file of calivet's can win: mend the one that sets it to 0");
            }
        }
    }
    if !finding.changes.is_empty() {
        finding = finding.remedy(
            "sudo calivet check sysctl --fix    sets it now, and in a file that wins at boot",
        );
    }
    finding
}
