//! `calivet node status`: BGP peers and Calico agents of this node.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use super::{Exit, host};
use crate::cli::{self, Format, Options};
use crate::collectors::{self, Node};
use crate::host::{Evidence, Host};
use crate::output::{self, Output};
use crate::status::{self, NodeStatus, Verdict};

/// The bound on one question: what a person waits for at a prompt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Shows the status once, or again and again.
pub(super) async fn run(
    options: &Options,
    args: &cli::NodeStatus,
    output: Output,
) -> anyhow::Result<Exit> {
    let Some(seconds) = args.watch else {
        let host = host(options, TIMEOUT)?;
        let evidence = evidence(&host, args.resource).await;
        let status = status::node_status(host.time(), &evidence);
        output.print(&render(args, output, &status, &evidence)?)?;
        // A document holds all this itself.
        let is_shown = output.format.is_for_people() && !args.resource;
        let notes = host.warnings().iter().cloned().chain(output::status::notes(&status));
        for note in notes.filter(|_| is_shown) {
            output.note(&format!("note: {}", output::printable(&note)));
        }
        return Ok(exit(status::verdict(&status)));
    };
    let mut before = None;
    for drawing in 0.. {
        let host = host(options, TIMEOUT)?;
        let evidence = evidence(&host, false).await;
        let status = status::node_status(host.time(), &evidence);
        let text = if output.format.is_document() {
            render(args, output, &status, &evidence)?
        } else {
            output::status::watch(&status, before.as_ref(), output, seconds)
        };
        output.print(&text)?;
        let exit = exit(status::verdict(&status));
        before = Some(states(&status));
        if args.times.is_some_and(|times| drawing + 1 >= times) {
            return Ok(exit);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(exit),
        }
    }
    Ok(Exit::Well)
}

/// Reads what the status rests on, all at once.
pub(super) async fn evidence(host: &Host, with_routes: bool) -> Evidence {
    let mut rows = collectors::status();
    if with_routes {
        rows.extend(collectors::routes());
    }
    let (mut evidence, others) = tokio::join!(felix(host), host.evidence(&rows, &[]));
    evidence.extend(others);
    evidence
}

/// Reads what is known of the agents, and Felix's health. Where Felix serves it is in its environment, and nearly
/// always where it does by default: there it is asked at once, and what it said counts only if it is there.
async fn felix(host: &Host) -> Evidence {
    let usual = collectors::health(&Node::default());
    let mut agents = pin!(host.evidence(const { &[collectors::AGENTS] }, &[]));
    let mut asked = pin!(host.evidence(&usual, &[]));
    let mut said = None;
    let mut evidence = loop {
        tokio::select! {
            agents = &mut agents => break agents,
            early = &mut asked, if said.is_none() => said = Some(early),
        }
    };
    let health = collectors::health(&Node::from_evidence(&evidence));
    evidence.extend(match said {
        _ if health != usual => host.evidence(&health, &[]).await,
        Some(said) => said,
        None => asked.await,
    });
    evidence
}

fn render(
    args: &cli::NodeStatus,
    output: Output,
    status: &NodeStatus,
    evidence: &Evidence,
) -> anyhow::Result<String> {
    match output.format {
        format if args.resource => {
            // kubectl shows a resource as YAML unless asked for JSON.
            let format = if format == Format::Json { Format::Json } else { Format::Yaml };
            output::document(&status::resource(status, evidence), format)
        }
        Format::Json | Format::Yaml => output::document(status, output.format),
        Format::Wide => Ok(output::status::wide(status, output)),
        _ => Ok(output::status::table(status, output)),
    }
}

/// What each peer was doing, to mark what changes.
fn states(status: &NodeStatus) -> BTreeMap<String, String> {
    let peers = [&status.bgp.ipv4, &status.bgp.ipv6].into_iter().flat_map(|family| &family.peers);
    peers.map(|peer| (peer.name.clone(), format!("{} {}", peer.state, peer.info))).collect()
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Well => Exit::Well,
        Verdict::Wrong => Exit::Wrong,
        Verdict::Unknown => Exit::Unknown,
    }
}
