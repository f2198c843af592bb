//! `node status` for people: calicoctl's output to the byte wherever calicoctl would show the same facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};

use super::lines::hanging;
use super::table::{self, Cells, Row};
use super::{Output, printable};
use crate::bird::status::GracefulRestart;
use crate::host::Family;
use crate::status::{FamilyStatus, NodeStatus, Peer, PeerType, State};

const HEADING: [&str; 5] = ["Peer address", "Peer type", "State", "Since", "Info"];
const WIDE_HEADING: [&str; 14] = [
    "Peer address",
    "Peer type",
    "State",
    "Since",
    "Info",
    "Name",
    "AS",
    "Source address",
    "Uptime",
    "Imported",
    "Exported",
    "Preferred",
    "Hold/keepalive",
    "Last error",
];

/// The default output.
#[must_use]
pub fn table(status: &NodeStatus, output: Output) -> String {
    render(status, |family| {
        let rows: Vec<Row> = family.peers.iter().map(|peer| row(peer, output)).collect();
        table::render(&HEADING, &rows, Cells::Broken, output.columns)
    })
}

/// `-o wide`: every column, each peer on one line.
#[must_use]
pub fn wide(status: &NodeStatus, output: Output) -> String {
    let mut text =
        format!("Node {} at {}\n", or_unknown(status.node.as_deref()), seconds(status.time));
    let felix = &status.agents.felix;
    let health = [("live", felix.live), ("ready", felix.ready)].map(|(word, is)| match is {
        Some(true) => word.to_owned(),
        Some(false) => format!("not {word}"),
        None => format!("{word}: not known"),
    });
    let _ = match (felix.presence.running, felix.presence.pid) {
        (Some(true), Some(pid)) => writeln!(text, "Felix: pid {pid}, {}", health.join(", ")),
        (Some(true), None) => writeln!(text, "Felix: {}", health.join(", ")),
        _ => Ok(()),
    };
    text += &render(status, |family| {
        let rows: Vec<Row> =
            family.peers.iter().map(|peer| wide_row(peer, status.time, output)).collect();
        table::render(&WIDE_HEADING, &rows, Cells::Whole, output.columns)
    });
    for (family, label) in [(&status.bgp.ipv4, "IPv4"), (&status.bgp.ipv6, "IPv6")] {
        let Some(version) = &family.version else { continue };
        let daemon = format!(
            "{label}: BIRD {}, router ID {}, started {}, reconfigured {}",
            printable(version),
            or_unknown(family.router_id.as_deref()),
            family.boot_time.map_or_else(|| "unknown".to_owned(), seconds),
            family.reconfiguration_time.map_or_else(|| "unknown".to_owned(), seconds),
        );
        let _ = writeln!(text, "{}", hanging(&daemon, 0, 6, output.columns));
    }
    text
}

/// One drawing of `--watch`: the screen is cleared on a terminal, and a peer that changed says what it was.
#[must_use]
pub fn watch(
    status: &NodeStatus,
    before: Option<&BTreeMap<String, String>>,
    output: Output,
    every: u64,
) -> String {
    let clear = if output.columns.is_some() { "\x1b[H\x1b[2J" } else { "" };
    let mut text = format!(
        "{clear}Every {every}s: node {} at {}\n\n",
        or_unknown(status.node.as_deref()),
        seconds(status.time)
    );
    text += &render(status, |family| {
        let rows = family.peers.iter().map(|peer| {
            let mut row = row(peer, output);
            let was = before.map(|states| states.get(&peer.name));
            let now = format!("{} {}", peer.state, peer.info);
            let mark = match was {
                None => return row,
                Some(Some(was)) if *was == now => return row,
                Some(Some(was)) => format!("was: {}", printable(was.trim())),
                Some(None) => "new".to_owned(),
            };
            if let Some(info) = row.0.last_mut() {
                *info = format!("{info} ({mark})");
            }
            if output.color {
                row.1 = row.1.bold();
            }
            row
        });
        table::render(&HEADING, &rows.collect::<Vec<Row>>(), Cells::Whole, output.columns)
    });
    text
}

/// What the default output has no place for, a line each, for stderr: what could not be seen, and what is wrong
/// beside the peers.
#[must_use]
pub fn notes(status: &NodeStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(reason) = &status.agents.felix.reason {
        notes.push(format!("Felix: {}", printable(reason)));
    }
    for (family, label) in [(&status.bgp.ipv4, "IPv4"), (&status.bgp.ipv6, "IPv6")] {
        if let Some(restart) = &family.graceful_restart {
            notes.push(format!(
                "{label}: graceful restart in progress ({}): until it ends, BIRD gives the kernel no route",
                restart_progress(restart)
            ));
        }
    }
    notes
}

fn render(status: &NodeStatus, peers: impl Fn(&FamilyStatus) -> String) -> String {
    let felix = &status.agents.felix;
    let mut text = match felix.presence.running {
        Some(true) => "Calico process is running.\n".to_owned(),
        Some(false) => "Calico process is not running.\n".to_owned(),
        None => format!(
            "Whether the Calico process is running is not known: {}\n",
            or_unknown(felix.reason.as_deref())
        ),
    };
    let families = [(Family::Ipv4, &status.bgp.ipv4), (Family::Ipv6, &status.bgp.ipv6)];
    let is_absent =
        |family: &FamilyStatus| matches!(family.state, Some(State::NotRunning | State::Disabled));
    if families.iter().all(|(_, family)| is_absent(family)) {
        text += "\nThe BGP backend process (BIRD) is not running.\n";
        if status.bgp.ipv4.state == Some(State::Disabled) {
            let _ = writeln!(text, "{}", or_unknown(status.bgp.ipv4.error.as_deref()));
        }
        return text + "\n";
    }
    for (family, found) in families {
        let version = if family == Family::Ipv4 { "4" } else { "6" };
        if is_absent(found) {
            let daemon = family.daemon();
            let _ = writeln!(text, "\nINFO: BIRDv{version} process: '{daemon}' is not running.");
            continue;
        }
        let _ = writeln!(text, "\nIPv{version} BGP status");
        if let Some(error) = &found.error {
            let _ = writeln!(text, "Error querying BIRD: {}", printable(error));
        }
        if !found.peers.is_empty() {
            text += &peers(found);
        } else if found.error.is_none() {
            let _ = writeln!(text, "No IPv{version} peers found.");
        }
    }
    text + "\n"
}

fn row(peer: &Peer, output: Output) -> Row {
    let cells = [
        or_dash(peer.address.as_deref()),
        peer_type(peer.kind).to_owned(),
        printable(&peer.state).into_owned(),
        printable(&peer.since).into_owned(),
        printable(&peer.info).into_owned(),
    ];
    (cells.to_vec(), style(peer, output))
}

fn wide_row(peer: &Peer, now: Timestamp, output: Output) -> Row {
    let (mut cells, style) = row(peer, output);
    let number =
        |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let uptime = peer.since_time.filter(|_| peer.established).map(|since| age(now, since));
    let timers = peer
        .hold_timer
        .as_ref()
        .map(|hold| format!("{hold} {}", peer.keepalive_timer.as_deref().unwrap_or("-")));
    cells.extend([
        printable(&peer.name).into_owned(),
        number(peer.remote_as.map(u64::from)),
        or_dash(peer.source_address.as_deref()),
        or_dash(uptime.as_deref()),
        number(peer.routes.as_ref().and_then(|routes| routes.imported)),
        number(peer.routes.as_ref().and_then(|routes| routes.exported)),
        number(peer.routes.as_ref().and_then(|routes| routes.preferred)),
        or_dash(timers.as_deref()),
        or_dash(peer.last_error.as_deref()),
    ]);
    (cells, style)
}

/// How far BIRD is from the end of its graceful restart.
fn restart_progress(restart: &GracefulRestart) -> String {
    let waiting = restart.waiting_for.map(|number| format!("waiting for {number} protocols"));
    let timer = restart.wait_timer.as_ref().map(|timer| format!("wait timer {}", printable(timer)));
    [waiting, timer].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// In calicoctl's words where it has them.
const fn peer_type(kind: PeerType) -> &'static str {
    match kind {
        PeerType::Mesh => "node-to-node mesh",
        PeerType::Node => "node specific",
        PeerType::Global => "global",
        PeerType::LocalWorkload => "local workload",
        PeerType::Other => "other",
    }
}

/// What is not established is what the eye looks for: on a ground of its own, it can be read on white and on black.
fn style(peer: &Peer, output: Output) -> Style {
    if output.color && !peer.established {
        let letters = AnsiColor::BrightWhite;
        Style::new().fg_color(Some(letters.into())).bg_color(Some(AnsiColor::Red.into()))
    } else {
        Style::new()
    }
}

fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| printable(text).into_owned())
}

fn or_unknown(text: Option<&str>) -> String {
    text.map_or_else(|| "unknown".to_owned(), |text| printable(text).into_owned())
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// How long ago, such as `3h12m5s`.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    SpanPrinter::new()
        .designator(Designator::Compact)
        .spacing(Spacing::None)
        .duration_to_string(&jiff::SignedDuration::from_secs(seconds))
}
