//! What BIRD says: one daemon's answers become the status of one family, or of both.

use std::collections::HashSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::agents::{self, Agents};
use super::clock::Clock;
use super::peer::Peer;
use super::{Answers, Intent};
use crate::bird::protocols;
use crate::bird::reply::{self, Reply, Trouble};
use crate::bird::status::{self, GracefulRestart, Moment};
use crate::host::{Evidence, Family, Outcome, Reading};

/// What BIRD says, by family.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bgp {
    /// IPv4.
    pub ipv4: FamilyStatus,
    /// IPv6.
    pub ipv6: FamilyStatus,
}

/// What BIRD says of one family.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyStatus {
    /// Whose view this is: `bird`, `bird6`; BIRD 2 and 3 are one daemon, `bird`, for both families.
    pub daemon: &'static str,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
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
    answer.clock =
        asked.and_then(|asked| Clock::new(answer.status.server_time.as_ref()?.civil?, asked));
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
        .map(|protocol| Peer::new(protocol, answer.clock.as_ref()))
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
    let serves_both =
        |answer: &Answer| answer.spoke && answer.major.is_some_and(|major| major >= 2);
    let is_alone = !ipv6.asked || matches!(ipv6.trouble, Some(Trouble::Absent | Trouble::Refused));
    let has_no_other = is_alone && agents.bird6.presence.running != Some(true);
    let is_shared = serves_both(&ipv4) && (has_no_other || is_same(&ipv4.status, &ipv6.status));
    let foreign = if serves_both(&ipv4) { split(&mut ipv4.peers, true) } else { Vec::new() };
    let returned = if serves_both(&ipv6) { split(&mut ipv6.peers, false) } else { Vec::new() };
    add(&mut ipv4.peers, returned);
    add(&mut ipv6.peers, foreign);
    let peers = std::mem::take(&mut ipv6.peers);
    let (answer, process, daemon) = if is_shared {
        (&ipv4, &agents.bird, Family::Ipv4.daemon())
    } else {
        (&ipv6, &agents.bird6, Family::Ipv6.daemon())
    };
    let second = FamilyStatus { daemon, ..family(answer, process, intent, Family::Ipv6) };
    let first = family(&ipv4, &agents.bird, intent, Family::Ipv4);
    Bgp {
        ipv6: second.with_peers(peers, answer.is_whole),
        ipv4: first.with_peers(ipv4.peers, ipv4.is_whole),
    }
}

/// Whether two sockets are one daemon's, as where one is a link to the other.
fn is_same(one: &status::Status, other: &status::Status) -> bool {
    let identity = |status: &status::Status| (status.version.clone(), status.last_reboot.clone());
    one.last_reboot.is_some() && identity(one) == identity(other)
}

/// Takes out the peers of the other family.
fn split(peers: &mut Vec<Peer>, is_ipv6: bool) -> Vec<Peer> {
    let (other, own) = std::mem::take(peers).into_iter().partition(|peer| peer.is_ipv6 == is_ipv6);
    *peers = own;
    other
}

/// Adds peers that are not there yet: both sockets may be the same daemon's.
fn add(peers: &mut Vec<Peer>, mut more: Vec<Peer>) {
    let known: HashSet<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    more.retain(|peer| !known.contains(peer.name.as_str()));
    peers.extend(more);
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
    let has_process = daemon.presence.pid.is_some();
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
        && let (Some(pid), Some("T" | "t")) =
            (daemon.presence.pid, daemon.presence.process_state.as_deref())
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
        daemon: family.daemon(),
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
