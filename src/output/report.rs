//! A bundle as one page to look at: `calivet bundle report`.
//!
//! The page is one file without scripts and without links to anywhere, so that it can be mailed, attached and opened
//! on any machine; its own policy (`Content-Security-Policy`) forbids both, too. What the node said is text in it and
//! never markup: `maud` escapes all that is not written here.

mod network;
mod timeline;

use std::collections::BTreeMap;

use bytesize::ByteSize;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::printable;
use crate::bundle::manifest::Manifest;
use crate::checks::{CHECKS, Finding, Level, Report};
use crate::host::{Collected, Outcome};
use crate::logs;
use crate::status::{FamilyStatus, NodeStatus, Peer};

pub use network::Link;

/// How the page looks, on paper, in light and in dark, on a wide screen and on a telephone.
const STYLE: &str = include_str!("report/style.css");

/// The most items of one list.
const MOST: usize = 200;

/// So many peers that are established are shown unfolded.
const FEW: usize = 12;

/// What the page shows.
#[derive(Debug)]
pub struct Page<'a> {
    /// The node's BGP peers and agents.
    pub status: &'a NodeStatus,
    /// What the checks find.
    pub report: &'a Report,
    /// What is in the bundle; `None` where it has no manifest.
    pub manifest: Option<&'a Manifest>,
    /// The node's links; `None` where they are not known.
    pub links: Option<&'a [Link]>,
    /// What was counted in the logs; `None` where that is not known.
    pub logs: Option<&'a logs::Summary>,
}

/// The whole page.
#[must_use]
pub fn render(page: &Page<'_>) -> String {
    let node = page.report.node.as_deref().unwrap_or("a node without a name");
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="referrer" content="no-referrer";
                title { "calivet: " (shown(node)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(page, node))
                main {
                    (findings(page.report))
                    (section("peers", "BGP peers", &peers(page.status)))
                    (section("network", "The node's network", &network::picture(page.links, page.status)))
                    (section("conntrack", "Connection tracking", &conntrack(page.report)))
                    (section("logs", "Errors in the logs", &timeline::timeline(page.logs)))
                    (section("missing", "What is missing from the bundle", &missing(page.manifest)))
                }
                footer {
                    "Made by calivet " (env!("CARGO_PKG_VERSION")) " from a diagnostics bundle. "
                    code { "calivet explain ID" } " tells more of a finding."
                }
            }
        }
    };
    markup.into_string()
}

/// Text of the node's: what would turn the direction of writing or is no character is shown as an escape.
fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    printable(text)
}

fn section(id: &str, heading: &str, body: &Markup) -> Markup {
    html! { section id=(id) { h2 { (heading) } (body) } }
}

fn head(page: &Page<'_>, node: &str) -> Markup {
    let summary = page.report.summary;
    let verdict = if summary.fail > 0 {
        "Something is wrong."
    } else if summary.unknown > 0 {
        "Nothing failed, and something could not be known."
    } else if summary.warn > 0 {
        "Nothing failed, and there are warnings."
    } else {
        "Nothing is wrong."
    };
    html! {
        header {
            h1 { (shown(node)) }
            p class="when" {
                (format!("{:.0}", page.report.time))
                @if let Some(manifest) = page.manifest {
                    ", by " (shown(&manifest.tool.name)) " " (shown(&manifest.tool.version))
                    @if manifest.interrupted { ", interrupted" }
                    @else if !manifest.complete { ", not whole" }
                }
            }
            p class="verdict" { (verdict) }
            p class="counts" {
                @for (count, level) in summary.counts() {
                    @if count > 0 { span class={ "badge " (level.name()) } { (count) " " (level.name()) } " " }
                }
            }
        }
    }
}

/// What is not well stands open, the worst first; the rest is there for who unfolds it.
fn findings(report: &Report) -> Markup {
    let of = |level: Level| report.findings.iter().filter(move |finding| finding.level == level);
    let open = [Level::Fail, Level::Unknown, Level::Warn];
    let folded = [Level::Info, Level::Ok, Level::Skip];
    html! {
        section id="findings" {
            h2 { "Findings" }
            @if !open.iter().any(|level| of(*level).next().is_some()) {
                p { "Nothing is wrong, as far as was looked." }
            }
            @for level in open { @for finding in of(level).take(MOST) { (card(finding)) } }
            @for level in folded {
                @let count = of(level).count();
                @if count > 0 {
                    details {
                        summary { (count) " " (level.name()) }
                        div class="scroll" { table {
                            @for finding in of(level).take(MOST) {
                                tr { td { code { (finding.id) } } td { (shown(&finding.summary)) } }
                            }
                        } }
                        @if count > MOST { p { "and " (count - MOST) " more" } }
                    }
                }
            }
        }
    }
}

fn card(finding: &Finding) -> Markup {
    let about = CHECKS.iter().find(|check| check.name == finding.check).map(|check| check.about);
    html! {
        article class=(finding.level.name()) {
            h3 title=[about] {
                span class={ "badge " (finding.level.name()) } { (finding.level.name()) }
                " " code { (finding.id) }
            }
            p { (shown(&finding.summary)) }
            @if let Some(accepted) = &finding.suppressed {
                p { "Accepted until " (accepted.until) ": " (shown(&accepted.reason)) }
            }
            @if !finding.remedy.is_empty() {
                pre { @for line in &finding.remedy { (shown(line)) "\n" } }
            }
            @if !finding.evidence.is_empty() {
                details {
                    summary { "evidence" }
                    div class="scroll" { table {
                        @for (name, value) in &finding.evidence {
                            tr { td { (shown(name)) } td { code { (shown(&value_text(value))) } } }
                        }
                    } }
                }
            }
        }
    }
}

fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn peers(status: &NodeStatus) -> Markup {
    let families = [("IPv4", &status.bgp.ipv4), ("IPv6", &status.bgp.ipv6)];
    html! {
        @for (name, family) in families {
            h3 { (name) }
            (family_peers(family))
        }
    }
}

fn family_peers(family: &FamilyStatus) -> Markup {
    let row = |peer: &Peer| {
        let number = |of: fn(&crate::status::PeerRoutes) -> Option<u64>| {
            peer.routes.as_ref().and_then(of).map_or_else(|| "-".to_owned(), |n| n.to_string())
        };
        html! {
            tr class=[(!peer.established).then_some("fail")] {
                td { (shown(peer.address.as_deref().unwrap_or("-"))) }
                td { (shown(&peer.name)) }
                td { (shown(&peer.state)) }
                td { (shown(&peer.since)) }
                td { (shown(&peer.info)) }
                td { (peer.remote_as.map_or_else(|| "-".to_owned(), |number| number.to_string())) }
                td { (number(|routes| routes.imported)) " / " (number(|routes| routes.exported)) }
            }
        }
    };
    let table = |peers: &[&Peer]| {
        html! {
            div class="scroll" { table class="peers" {
                thead { tr {
                    th { "address" } th { "name" } th { "state" } th { "since" } th { "info" } th { "AS" }
                    th { "routes in / out" }
                } }
                tbody { @for peer in peers.iter().take(MOST) { (row(peer)) } }
            } }
            @if peers.len() > MOST { p { "and " (peers.len() - MOST) " more" } }
        }
    };
    let (up, down): (Vec<&Peer>, Vec<&Peer>) =
        family.peers.iter().partition(|peer| peer.established);
    html! {
        @if let Some(error) = &family.error { p class="trouble" { (shown(error)) } }
        @if family.peers.is_empty() {
            @if family.error.is_none() { p { "No peers." } }
        } @else {
            @if !down.is_empty() { (table(&down)) }
            @if up.len() > FEW {
                details { summary { (up.len()) " peers are established" } (table(&up)) }
            } @else if !up.is_empty() {
                (table(&up))
            }
        }
    }
}

/// How full the table is, as a gauge.
fn conntrack(report: &Report) -> Markup {
    let Some(usage) = report.findings.iter().find(|finding| finding.id == "conntrack.usage") else {
        return html! { p { "Not looked at." } };
    };
    let percent = usage.evidence.get("percent").and_then(Value::as_f64);
    html! {
        @if let Some(percent) = percent {
            svg class="gauge" viewBox="0 0 400 24" role="img" aria-label={ (format!("{percent:.1}")) " % in use" } {
                rect class="track" width="400" height="24" rx="4" {}
                rect class={ "fill " (usage.level.name()) } width=(format!("{:.1}", percent.clamp(0.0, 100.0) * 4.0)) height="24" rx="4" {}
            }
        }
        p { (shown(&usage.summary)) }
        @for finding in report.findings.iter().filter(|it| it.check == "conntrack" && it.id != usage.id) {
            @if matches!(finding.level, Level::Warn | Level::Fail | Level::Unknown) {
                p { span class={ "badge " (finding.level.name()) } { (finding.level.name()) } " " (shown(&finding.summary)) }
            }
        }
    }
}

/// What could not be read whole, what is not there, and what was cut out.
fn missing(manifest: Option<&Manifest>) -> Markup {
    let Some(manifest) = manifest else {
        return html! { p class="trouble" { "The bundle has no manifest: what is missing is not known." } };
    };
    let troubled: Vec<&Collected> =
        manifest.items.iter().filter(|item| item.outcome.is_trouble()).collect();
    let of = |wanted: &[Outcome]| {
        manifest.items.iter().filter(|item| wanted.contains(&item.outcome)).collect::<Vec<_>>()
    };
    let absent = of(&[Outcome::Missing, Outcome::NotApplicable]);
    let skipped = of(&[Outcome::Skipped]);
    let bytes = manifest.items.iter().map(|item| item.bytes).sum();
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for (rule, count) in manifest.items.iter().flat_map(|item| &item.redactions) {
        *rules.entry(rule).or_default() += count;
    }
    html! {
        p { (manifest.items.len()) " items, " (ByteSize(bytes)) "." }
        @if troubled.is_empty() { p { "Everything that was found was read whole." } }
        @else { (items(&troubled)) }
        @for (what, list) in [("this host does not have", &absent), ("were left out on purpose", &skipped)] {
            @if !list.is_empty() {
                details { summary { (list.len()) " items " (what) } (items(list)) }
            }
        }
        @if rules.is_empty() { p { "No secret was found." } }
        @else {
            details {
                summary { (rules.values().sum::<u64>()) " secrets were cut out" }
                div class="scroll" { table { @for (rule, count) in rules { tr { td { (count) } td { (shown(rule)) } } } } }
            }
        }
    }
}

fn items(list: &[&Collected]) -> Markup {
    html! {
        div class="scroll" { table {
            @for item in list.iter().take(MOST) {
                tr {
                    td { code { (shown(&item.path)) } }
                    td { (item.outcome) }
                    td { (shown(item.reason.as_deref().unwrap_or("-"))) }
                }
            }
        } }
        @if list.len() > MOST { p { "and " (list.len() - MOST) " more" } }
    }
}

#[cfg(test)]
mod tests;
