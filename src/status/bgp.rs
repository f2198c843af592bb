//! What BIRD says: one daemon's answers become the status of one family, or of both.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::Serialize;

use super::agents::{self, Agents};
use super::clock::{self, Clock};
use super::{Answers, Intent};
use crate::bird::protocols::{self, Channel, Limit, Protocol};
use crate::bird::reply::{self, Reply, Trouble};
use crate::bird::status::{self, GracefulRestart, Moment};
use crate::host::{Evidence, Family, Outcome, Reading};

/// What BIRD says, by family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bgp {
    /// IPv4.
    pub ipv4: FamilyStatus,
    /// IPv6.
    pub ipv6: FamilyStatus,
}

/// What BIRD says of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyStatus {
    /// How the daemon stands; `null` if it was not asked.
    pub state: Option<State>,
    /// What kind of trouble there was in asking.
    pub trouble: Option<Trouble>,
    /// What went wrong and where: every place that was tried, and what is missing of the answers.
    pub error: Option<String>,
    /// Whether the node is configured to run a daemon for this family; `null` if that is not known.
    pub expected: Option<bool>,
    /// The daemon's version, as it names it.
    pub version: Option<String>,
    /// The daemon's router id.
    pub router_id: Option<String>,
    /// What the daemon says of itself: `Daemon is up and running`, `Reconfiguration in progress`.
    pub daemon_state: Option<String>,
    /// When the daemon started; BIRD's own text beside it.
    pub boot_time: Option<Timestamp>,
    /// BIRD's text.
    pub last_reboot: Option<String>,
    /// When the daemon last took a configuration; BIRD's own text beside it.
    pub reconfiguration_time: Option<Timestamp>,
    /// BIRD's text.
    pub last_reconfiguration: Option<String>,
    /// Graceful restart recovery, while it goes on.
    pub graceful_restart: Option<GracefulRestart>,
    /// How many peers are established; `null` if not all peers are known.
    pub established: Option<usize>,
    /// How many are not; `null` if not all peers are known.
    pub not_established: Option<usize>,
    /// The peers in BIRD's order. If there is trouble, those that are known.
    pub peers: Vec<Peer>,
}

/// How a family's daemon stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It answers.
    Ready,
    /// There is none.
    NotRunning,
    /// It does not answer, or not to the end: [`FamilyStatus::trouble`].
    Unreachable,
    /// This node's backend runs none.
    Disabled,
}

/// A BGP peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The name of BIRD's protocol.
    pub name: String,
    /// The neighbour's address, as BIRD says, else as the name says.
    pub address: Option<String>,
    /// The neighbour's port, where it is not BGP's own.
    pub port: Option<u16>,
    /// Why it is a peer.
    #[serde(rename = "type")]
    pub kind: PeerType,
    /// The protocol's state.
    pub state: String,
    /// Since when, as BIRD wrote it.
    pub since: String,
    /// Since when; `null` if BIRD's text does not tell the moment.
    pub since_time: Option<Timestamp>,
    /// BIRD's info column; empty for a disabled peer.
    pub info: String,
    /// BGP's own state.
    pub bgp_state: Option<String>,
    /// Whether the session is up.
    pub established: bool,
    /// BIRD's last error, which stays after the session is up again.
    pub last_error: Option<String>,
    /// The neighbour's AS.
    pub remote_as: Option<u32>,
    /// Our AS; BIRD 1.6 does not tell it.
    pub local_as: Option<u32>,
    /// The neighbour's router id.
    pub neighbor_id: Option<String>,
    /// Our address in the session.
    pub source_address: Option<String>,
    /// Flags of the session.
    pub session: Option<String>,
    /// Numbers of routes over all channels; `null` if they are not known.
    pub routes: Option<PeerRoutes>,
    /// The limit of imported routes.
    pub import_limit: Option<ImportLimit>,
    /// Seconds left and the whole of them: `167/240`.
    pub hold_timer: Option<String>,
    /// Likewise.
    pub keepalive_timer: Option<String>,
    /// Likewise, until the next attempt to connect.
    pub connect_delay: Option<String>,
    /// Likewise, of the back-off after an error.
    pub error_wait: Option<String>,
    /// Whether its neighbour is an IPv6 one.
    #[serde(skip)]
    is_ipv6: bool,
}

/// Why a peer is one, by the name that confd gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PeerType {
    /// `Mesh_`.
    #[serde(rename = "node-to-node mesh")]
    Mesh,
    /// `Node_`: a BGPPeer for this node.
    #[serde(rename = "node specific")]
    Node,
    /// `Global_`: a BGPPeer for all nodes.
    #[serde(rename = "global")]
    Global,
    /// `Local_Workload_`: a workload of this node.
    #[serde(rename = "local workload")]
    LocalWorkload,
    /// Not named by Calico.
    #[serde(rename = "other")]
    Other,
}

/// Numbers of routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerRoutes {
    /// Routes that came from the peer and passed the import filter.
    pub imported: Option<u64>,
    /// Routes that the import filter rejected and that are kept; `null` where they are not.
    pub filtered: Option<u64>,
    /// Routes that went to the peer.
    pub exported: Option<u64>,
    /// Imported routes that are the best of their destination.
    pub preferred: Option<u64>,
}

/// A limit of imported routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportLimit {
    /// The most routes.
    pub routes: u64,
    /// Whether it is reached.
    pub hit: bool,
    /// What happens then.
    pub action: Option<String>,
}

/// What one daemon answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Whether any question was put to it.
    asked: bool,
    /// The trouble that outweighs.
    trouble: Option<Trouble>,
    /// What is missing, and why.
    errors: Vec<String>,
    /// Whether all peers are known.
    is_whole: bool,
    status: status::Status,
    clock: Option<Clock>,
    peers: Vec<Peer>,
    /// BIRD's major version; without its status as far as the form of its tables tells (2 for 2 and 3).
    pub(super) major: Option<u32>,
    /// The socket that answered.
    pub(super) socket: Option<String>,
    /// Whether anything came that is BIRD's.
    spoke: bool,
}

impl Answer {
    /// Whether the daemon said anything at all.
    pub(super) const fn answers(&self) -> bool {
        self.spoke
    }
}

/// Reads what the daemon for `family` answered.
pub(super) fn ask(evidence: &Evidence, family: Family) -> Answer {
    let paths = Answers::of(family);
    let status = examine(evidence.get(paths.status), "show status");
    let protocols = examine(evidence.get(paths.protocols), "show protocols all");
    let mut answer = Answer {
        asked: status.asked || protocols.asked,
        trouble: outweighing(status.trouble, protocols.trouble),
        is_whole: protocols.asked && protocols.trouble.is_none(),
        socket: protocols.place.or(status.place),
        spoke: status.spoke || protocols.spoke,
        status: status::parse(&status.reply),
        ..Answer::default()
    };
    answer.errors.extend(status.error);
    answer.errors.extend(protocols.error);
    answer.errors.dedup();
    let asked = evidence.get(paths.status).map(|reading| reading.started);
    answer.clock = asked.and_then(|asked| Clock::new(answer.status.server_time.as_ref()?.civil?, asked));
    let parsed = protocols::parse(&protocols.reply);
    if parsed.not_understood > 0 {
        let number = parsed.not_understood;
        answer.errors.push(format!("{number} rows of `show protocols all` were not understood"));
        answer.is_whole = false;
    }
    let by_table = parsed.is_two_or_later.map(|is_two| if is_two { 2 } else { 1 });
    answer.major = answer.status.major.or(by_table);
    answer.peers = parsed
        .list
        .into_iter()
        .filter(|protocol| protocol.proto == "BGP")
        .map(|protocol| peer(protocol, answer.clock.as_ref()))
        .collect();
    answer
}

/// The trouble that says more; of two, that of the first question, which was there first.
fn outweighing(first: Option<Trouble>, second: Option<Trouble>) -> Option<Trouble> {
    let says_more = |trouble: &Trouble| *trouble != Trouble::Failed;
    first.filter(says_more).or(second.filter(says_more)).or(first).or(second)
}

/// One reading of an answer.
struct Examined<'a> {
    reply: Reply<'a>,
    asked: bool,
    trouble: Option<Trouble>,
    error: Option<String>,
    place: Option<String>,
    spoke: bool,
}

/// Whether a reading holds a whole answer, and if not, why.
fn examine<'a>(reading: Option<&'a Reading>, question: &str) -> Examined<'a> {
    let reply = reply::parse(reading.map_or(b"", |reading| &reading.bytes));
    let mut examined = Examined {
        spoke: reply.welcome.is_some() || !reply.lines.is_empty() || reply.end.is_some(),
        reply,
        asked: true,
        trouble: None,
        error: None,
        place: reading.and_then(|reading| reading.place.clone()),
    };
    let Some(reading) = reading else {
        examined.asked = false;
        examined.error = Some(format!("`{question}` was not asked"));
        return examined;
    };
    let reason = reading.reason.as_deref();
    examined.trouble = match reading.outcome {
        Outcome::Ok => {
            let refusal = examined.reply.refusal();
            let (trouble, error) = if examined.reply.is_garbage() {
                (Trouble::Garbled, format!("the answer to `{question}` is not BIRD's"))
            } else if !examined.reply.is_whole() {
                (Trouble::CutOff, format!("the answer to `{question}` is cut off"))
            } else if let Some(refusal) = refusal {
                (Trouble::Failed, format!("BIRD answered `{question}` by `{refusal}`"))
            } else {
                return examined;
            };
            examined.error = Some(error);
            Some(trouble)
        }
        Outcome::Skipped | Outcome::NotApplicable | Outcome::Interrupted => {
            examined.asked = false;
            None
        }
        outcome => Some(reason.and_then(Trouble::of).unwrap_or(match outcome {
            Outcome::Missing => Trouble::Absent,
            Outcome::Denied => Trouble::Denied,
            Outcome::Timeout => Trouble::TimedOut,
            Outcome::Truncated => Trouble::CutOff,
            _ => Trouble::Failed,
        })),
    };
    if examined.error.is_none() {
        let why = reason.unwrap_or("no reason was given");
        // That there is half an answer is said, where the reason alone would not.
        let half = if examined.spoke && !examined.reply.is_whole() {
            format!("; the answer to `{question}` is cut off")
        } else {
            String::new()
        };
        examined.error = Some(format!("{why}{half}"));
    }
    examined
}

/// Makes the two families of what two daemons answered. BIRD 2 and 3 answer for both families at once.
pub(super) fn judge(answers: [Answer; 2], agents: &Agents, intent: &Intent) -> Bgp {
    let [mut ipv4, mut ipv6] = answers;
    let serves_both = |answer: &Answer| answer.spoke && answer.major.is_some_and(|major| major >= 2);
    let is_alone = !ipv6.asked || matches!(ipv6.trouble, Some(Trouble::Absent | Trouble::Refused));
    let is_shared = serves_both(&ipv4) && is_alone && agents.bird6.running != Some(true);
    let foreign = if serves_both(&ipv4) { split(&mut ipv4.peers, true) } else { Vec::new() };
    let returned = if serves_both(&ipv6) { split(&mut ipv6.peers, false) } else { Vec::new() };
    add(&mut ipv4.peers, returned);
    add(&mut ipv6.peers, foreign);
    let peers = std::mem::take(&mut ipv6.peers);
    let (answer, daemon) =
        if is_shared { (&ipv4, &agents.bird) } else { (&ipv6, &agents.bird6) };
    Bgp {
        ipv6: family(answer, daemon, intent, Family::Ipv6).with_peers(peers, answer.is_whole),
        ipv4: family(&ipv4, &agents.bird, intent, Family::Ipv4)
            .with_peers(ipv4.peers, ipv4.is_whole),
    }
}

/// Takes out the peers of the other family.
fn split(peers: &mut Vec<Peer>, is_ipv6: bool) -> Vec<Peer> {
    let (other, own) = std::mem::take(peers).into_iter().partition(|peer| peer.is_ipv6 == is_ipv6);
    *peers = own;
    other
}

/// Adds peers that are not there yet: both sockets may be the same daemon's.
fn add(peers: &mut Vec<Peer>, more: Vec<Peer>) {
    for peer in more {
        if peers.iter().all(|known| known.name != peer.name) {
            peers.push(peer);
        }
    }
}

impl FamilyStatus {
    /// The status with its peers, which are counted if they are all.
    fn with_peers(mut self, peers: Vec<Peer>, is_whole: bool) -> Self {
        // Without a daemon there are no peers, and that is all of them.
        if is_whole || matches!(self.state, Some(State::NotRunning | State::Disabled)) {
            let established = peers.iter().filter(|peer| peer.established).count();
            self.established = Some(established);
            self.not_established = Some(peers.len() - established);
        }
        self.peers = peers;
        self
    }
}

/// The family's status but for its peers.
fn family(
    answer: &Answer,
    daemon: &agents::Daemon,
    intent: &Intent,
    family: Family,
) -> FamilyStatus {
    let has_process = daemon.pid.is_some();
    let state = match answer.trouble {
        Some(Trouble::Absent | Trouble::Refused) if intent.is_without_bird() && !has_process => {
            Some(State::Disabled)
        }
        Some(Trouble::Absent) if !has_process => Some(State::NotRunning),
        Some(_) => Some(State::Unreachable),
        None if answer.spoke => Some(State::Ready),
        None => None,
    };
    let mut errors = answer.errors.clone();
    if state == Some(State::Unreachable)
        && let (Some(pid), Some("T" | "t")) = (daemon.pid, daemon.process_state.as_deref())
    {
        errors.push(format!("process {pid} is stopped (state T)"));
    }
    let bird = &answer.status;
    let absolute = |moment: &Option<Moment>| {
        let local = moment.as_ref()?.civil?;
        answer.clock.as_ref()?.absolute(local)
    };
    let text = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.text.clone());
    FamilyStatus {
        state,
        trouble: answer.trouble,
        error: (!errors.is_empty()).then(|| errors.join("; ")),
        expected: intent.expects(family),
        version: bird.version.clone(),
        router_id: bird.router_id.clone(),
        daemon_state: bird.state.clone(),
        boot_time: absolute(&bird.last_reboot),
        last_reboot: text(&bird.last_reboot),
        reconfiguration_time: absolute(&bird.last_reconfiguration),
        last_reconfiguration: text(&bird.last_reconfiguration),
        graceful_restart: bird.graceful_restart.clone(),
        established: None,
        not_established: None,
        peers: Vec::new(),
    }
}

/// A peer of BIRD's protocol.
fn peer(protocol: Protocol, clock: Option<&Clock>) -> Peer {
    let (kind, rest) = peer_type(&protocol.name);
    let (encoded, port) = split_port(rest);
    let routes = routes(&protocol);
    let import_limit = protocol
        .channels
        .iter()
        .find_map(|channel| channel.import_limit.as_ref())
        .map(|Limit { routes, is_hit, action }| ImportLimit {
            routes: *routes,
            hit: *is_hit,
            action: action.clone(),
        });
    let bgp = protocol.bgp.unwrap_or_default();
    let bgp_state = Some(bgp.state)
        .filter(|state| !state.is_empty())
        .or_else(|| protocol.info.split(' ').next().filter(|word| is_bgp_state(word)).map(Into::into));
    let address = bgp.neighbor_address.or_else(|| decode(encoded));
    let is_ipv6 =
        address.as_ref().or(bgp.neighbor_range.as_ref()).is_some_and(|text| text.contains(':'));
    let since_time = clock::epoch(&protocol.since)
        .or_else(|| clock.and_then(|clock| clock.since(&protocol.since)));
    Peer {
        address,
        port: bgp.neighbor_port.or(port),
        kind,
        since_time,
        established: bgp_state.as_deref() == Some("Established") && protocol.state == "up",
        bgp_state,
        last_error: bgp.last_error,
        remote_as: bgp.neighbor_as,
        local_as: bgp.local_as,
        neighbor_id: bgp.neighbor_id,
        source_address: bgp.source_address,
        session: bgp.session,
        routes,
        import_limit,
        hold_timer: bgp.hold_timer,
        keepalive_timer: bgp.keepalive_timer,
        connect_delay: bgp.connect_delay,
        error_wait: bgp.error_wait,
        is_ipv6,
        name: protocol.name,
        state: protocol.state,
        since: protocol.since,
        info: protocol.info,
    }
}

/// Whether a word of the info column is a state of BGP's and not the class of an error.
fn is_bgp_state(word: &str) -> bool {
    matches!(
        word,
        "Idle"
            | "Connect"
            | "Active"
            | "OpenSent"
            | "OpenConfirm"
            | "Established"
            | "Close"
            | "Passive"
            | "Down"
    )
}

/// The routes of all channels. BIRD gives no numbers for what is down, and there it has no routes: `down` comes
/// only after `flush`.
fn routes(protocol: &Protocol) -> Option<PeerRoutes> {
    let none = protocols::Routes {
        imported: Some(0),
        filtered: None,
        exported: Some(0),
        preferred: Some(0),
    };
    let is_down = |channel: &Channel| {
        protocol.state == "down" || channel.state.as_deref() == Some("DOWN")
    };
    let mut sum: Option<PeerRoutes> = None;
    for channel in &protocol.channels {
        let routes = channel.routes.or_else(|| is_down(channel).then_some(none))?;
        let plus = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => a.checked_add(b),
            (a, b) => a.or(b),
        };
        let so_far = sum.unwrap_or_default();
        sum = Some(PeerRoutes {
            imported: plus(so_far.imported, routes.imported),
            filtered: plus(so_far.filtered, routes.filtered),
            exported: plus(so_far.exported, routes.exported),
            preferred: plus(so_far.preferred, routes.preferred),
        });
    }
    sum
}

/// A peer's type and what follows it in the name.
fn peer_type(name: &str) -> (PeerType, &str) {
    [
        ("Mesh_", PeerType::Mesh),
        ("Node_", PeerType::Node),
        ("Global_", PeerType::Global),
        ("Local_Workload_", PeerType::LocalWorkload),
    ]
    .into_iter()
    .find_map(|(prefix, kind)| Some((kind, name.strip_prefix(prefix)?)))
    .unwrap_or((PeerType::Other, ""))
}

/// Takes `_port_1790` off a name.
fn split_port(name: &str) -> (&str, Option<u16>) {
    name.rsplit_once("_port_")
        .and_then(|(address, port)| Some((address, Some(port.parse().ok()?))))
        .unwrap_or((name, None))
}

/// The address that confd wrote with underscores.
fn decode(encoded: &str) -> Option<String> {
    let dotted = encoded.replace('_', ".").parse::<Ipv4Addr>().map(|address| address.to_string());
    let colons = || encoded.replace('_', ":").parse::<Ipv6Addr>().map(|address| address.to_string());
    dotted.or_else(|_| colons()).ok()
}
