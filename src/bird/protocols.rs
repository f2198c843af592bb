//! `show protocols all` (and `show protocols`).
//!
//! BIRD 1.6; the blank in front of a continuation is already taken off, two blanks of indentation stay:
//!
//! ```text
//! 2002-name     proto    table    state  since       info
//! 1002-Node_10_0_0_3 BGP      master   start  01:43:30    Active        Socket: Connection refused
//! 1006-  Description:    Connection to BGP peer
//!    Preference:     100
//!    Routes:         0 imported, 0 exported, 0 preferred
//!    BGP state:          Active
//!      Neighbor address: 10.0.0.3
//!      Neighbor AS:      64512
//!      Connect delay:    1/1
//!      Last error:       Socket: Connection refused
//! ```
//!
//! BIRD 2 and 3 capitalise the heading, write `---` for a protocol without one table, add milliseconds, and put
//! what concerns routes under a channel:
//!
//! ```text
//! 1006-  Description:    Connection to BGP peer
//!    BGP state:          Established
//!      Neighbor capabilities
//!        Multiprotocol
//!          AF announced: ipv4
//!    Channel ipv4
//!      State:          UP
//!      Routes:         8 imported, 4 exported, 8 preferred
//! ```
//!
//! A long name pushes its row to the right, a disabled protocol has no sixth column, and a configured time format
//! may put a blank into `since`: rows are read word by word, never by position, and details by their keys.

use super::reply::Reply;
use super::status::time_of_day;

/// What an answer to `show protocols` or `show protocols all` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocols {
    /// The protocols in BIRD's order.
    pub list: Vec<Protocol>,
    /// Whether the heading is that of BIRD 2 or 3; `None` without a heading.
    pub is_two_or_later: Option<bool>,
    /// Rows that could not be understood.
    pub not_understood: usize,
}

/// One protocol instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, without the quotes that a configuration may put around it.
    pub name: String,
    /// Its kind: `BGP`, `Kernel`, `Static`, ...
    pub proto: String,
    /// Its table; `None` where BIRD writes `---`.
    pub table: Option<String>,
    /// `up`, `start`, `down`, `stop`, `flush`; in BIRD 1.6 also `wait` and `feed`.
    pub state: String,
    /// Since when, as BIRD wrote it, in its time zone and time format.
    pub since: String,
    /// The info column with single blanks between its words; empty for a disabled protocol.
    pub info: String,
    /// Whether details (`all`) follow the row.
    pub has_details: bool,
    /// The description in its configuration.
    pub description: Option<String>,
    /// BGP's own details.
    pub bgp: Option<Bgp>,
    /// The channels; BIRD 1.6 has at most one, without a name.
    pub channels: Vec<Channel>,
}

/// The details of a BGP session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bgp {
    /// `Established`, `Active`, `Idle`, `Connect`, `OpenSent`, `OpenConfirm`, `Passive`, `Close`, `Down`.
    pub state: String,
    /// The neighbour's address, with `%` and the interface if it is link-local.
    pub neighbor_address: Option<String>,
    /// The prefix in which any neighbour is accepted (BIRD 2 and 3, in place of an address).
    pub neighbor_range: Option<String>,
    /// The neighbour's port, where it is not BGP's own (BIRD 3).
    pub neighbor_port: Option<u16>,
    /// The neighbour's AS.
    pub neighbor_as: Option<u32>,
    /// Our AS (BIRD 2 and 3).
    pub local_as: Option<u32>,
    /// The neighbour's router id, once it is known.
    pub neighbor_id: Option<String>,
    /// The neighbour's capabilities in BIRD's words, once they are known.
    pub neighbor_capabilities: Vec<String>,
    /// Flags of the session: `internal multihop AS4`.
    pub session: Option<String>,
    /// Our end of the session.
    pub source_address: Option<String>,
    /// The last error, which stays after the session is up again.
    pub last_error: Option<String>,
    /// Seconds left and the whole: `167/240`.
    pub hold_timer: Option<String>,
    /// Seconds left and the whole.
    pub keepalive_timer: Option<String>,
    /// Seconds left until the next attempt to connect, and the whole.
    pub connect_delay: Option<String>,
    /// Seconds left of the back-off after an error, and the whole.
    pub error_wait: Option<String>,
}

/// A channel: what goes between a protocol and a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// `ipv4`, `ipv6`, ...; empty for the only channel of a BIRD 1.6 protocol.
    pub name: String,
    /// `UP`, `DOWN`, ... (BIRD 2 and 3).
    pub state: Option<String>,
    /// The table (BIRD 2 and 3).
    pub table: Option<String>,
    /// The import filter's name.
    pub input_filter: Option<String>,
    /// The export filter's name.
    pub output_filter: Option<String>,
    /// Numbers of routes; `None` where BIRD gives none, as for a channel that is down.
    pub routes: Option<Routes>,
    /// The limit of routes before filtering.
    pub receive_limit: Option<Limit>,
    /// The limit of imported routes.
    pub import_limit: Option<Limit>,
    /// The limit of exported routes.
    pub export_limit: Option<Limit>,
    /// Graceful restart recovery of this channel: `waiting`, `pending`.
    pub graceful_restart: Option<String>,
}

/// Numbers of routes; a number that BIRD did not give is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routes {
    /// Routes that came from the protocol and passed its import filter.
    pub imported: Option<u64>,
    /// Routes that its import filter rejected and that are kept nevertheless (`import keep filtered`).
    pub filtered: Option<u64>,
    /// Routes that went to the protocol.
    pub exported: Option<u64>,
    /// Imported routes that are the best of their destination.
    pub preferred: Option<u64>,
}

/// A limit of routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limit {
    /// The most routes.
    pub routes: u64,
    /// Whether the limit is reached.
    pub is_hit: bool,
    /// What happens then: `disable`, `block`, `warn`, `restart`.
    pub action: Option<String>,
}

/// The protocols in an answer. Of an answer that is cut off, the last protocol may lack details.
#[must_use]
pub fn parse(reply: &Reply<'_>) -> Protocols {
    let mut protocols = Protocols::default();
    let mut details = None;
    for line in &reply.lines {
        match line.code {
            2002 => {
                protocols.is_two_or_later =
                    Some(line.text.starts_with(|first: char| first.is_ascii_uppercase()));
            }
            1002 => {
                details = None;
                match row(&line.text) {
                    Some(protocol) => {
                        protocols.list.push(protocol);
                        details = Some(Details::default());
                    }
                    None if line.text.trim().is_empty() => {}
                    None => protocols.not_understood += 1,
                }
            }
            1006 => {
                if let (Some(protocol), Some(details)) = (protocols.list.last_mut(), &mut details) {
                    protocol.has_details = true;
                    details.take(protocol, &line.text);
                }
            }
            _ => {}
        }
    }
    protocols
}

/// One row of the table: name, proto, table, state, since (one or two words), info (any number).
fn row(text: &str) -> Option<Protocol> {
    let mut words = text.split_ascii_whitespace();
    let name = unquoted(words.next()?).to_owned();
    let proto = words.next()?.to_owned();
    let table = Some(words.next()?).filter(|table| *table != "---").map(ToOwned::to_owned);
    let state = words.next()?.to_owned();
    let mut since = words.next().unwrap_or_default().to_owned();
    let mut info: Vec<&str> = words.collect();
    if is_date(&since) && info.first().is_some_and(|word| time_of_day(word).is_some()) {
        since.push(' ');
        since.push_str(info.remove(0));
    }
    Some(Protocol { name, proto, table, state, since, info: info.join(" "), ..Protocol::default() })
}

/// Whether a word is a date of any order (`2026-11-23`, `23-11-2026`): BIRD never puts digits and dashes at the
/// start of an info column.
fn is_date(word: &str) -> bool {
    word.contains('-') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn unquoted(name: &str) -> &str {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| name.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(name)
}

/// Where in the details of one protocol a line stands.
#[derive(Debug, Default)]
struct Details {
    /// The indentation of the heading of the tree of capabilities that is being read, and whose it is.
    capabilities: Option<(usize, Capabilities)>,
    /// The limit that was read last, to which an `Action` belongs.
    limit: Option<LimitKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capabilities {
    Local,
    Neighbor,
}

#[derive(Debug, Clone, Copy)]
enum LimitKind {
    Receive,
    Import,
    Export,
}

impl Details {
    /// Takes one line.
    fn take(&mut self, protocol: &mut Protocol, line: &str) {
        let text = line.trim_ascii();
        let indentation = line.len() - line.trim_ascii_start().len();
        if let Some((heading, whose)) = self.capabilities {
            if indentation > heading {
                // Only the capabilities themselves, not their parameters, which stand two blanks deeper.
                if whose == Capabilities::Neighbor
                    && indentation == heading + 2
                    && let Some(bgp) = &mut protocol.bgp
                {
                    bgp.neighbor_capabilities.push(text.to_owned());
                }
                return;
            }
            self.capabilities = None;
        }
        match text.split_once(':') {
            Some((key, value)) => self.pair(protocol, key.trim_ascii_end(), value.trim_ascii()),
            None => match text {
                "Local capabilities" => {
                    self.capabilities = Some((indentation, Capabilities::Local));
                }
                "Neighbor capabilities" => {
                    self.capabilities = Some((indentation, Capabilities::Neighbor));
                }
                _ => {
                    if let Some(name) = text.strip_prefix("Channel ") {
                        let channel = Channel { name: name.to_owned(), ..Channel::default() };
                        protocol.channels.push(channel);
                    }
                }
            },
        }
    }

    /// Takes a key and its value.
    fn pair(&mut self, protocol: &mut Protocol, key: &str, value: &str) {
        let some = || Some(value.to_owned()).filter(|value| !value.is_empty());
        if key == "Description" && protocol.channels.is_empty() {
            protocol.description = some();
            return;
        }
        if key == "BGP state" {
            protocol.bgp = Some(Bgp { state: value.to_owned(), ..Bgp::default() });
            return;
        }
        if let Some(bgp) = &mut protocol.bgp {
            match key {
                "Neighbor address" => bgp.neighbor_address = some(),
                "Neighbor range" => bgp.neighbor_range = some(),
                "Neighbor port" => bgp.neighbor_port = value.parse().ok(),
                "Neighbor AS" => bgp.neighbor_as = value.parse().ok(),
                "Local AS" => bgp.local_as = value.parse().ok(),
                "Neighbor ID" => bgp.neighbor_id = some(),
                "Neighbor caps" => {
                    bgp.neighbor_capabilities =
                        value.split_ascii_whitespace().map(ToOwned::to_owned).collect();
                }
                "Session" => bgp.session = some(),
                "Source address" => bgp.source_address = some(),
                "Last error" => bgp.last_error = some(),
                "Hold timer" => bgp.hold_timer = some(),
                "Keepalive timer" => bgp.keepalive_timer = some(),
                "Connect delay" => bgp.connect_delay = some(),
                "Error wait" => bgp.error_wait = some(),
                _ => {}
            }
        }
        match key {
            "State" => channel(protocol).state = some(),
            "Table" => channel(protocol).table = some(),
            "Input filter" => channel(protocol).input_filter = some(),
            "Output filter" => channel(protocol).output_filter = some(),
            "GR recovery" => channel(protocol).graceful_restart = some(),
            "Routes" => channel(protocol).routes = routes(value),
            "Receive limit" => self.limit(protocol, LimitKind::Receive, value),
            "Import limit" => self.limit(protocol, LimitKind::Import, value),
            "Export limit" => self.limit(protocol, LimitKind::Export, value),
            "Action" => {
                if let Some(kind) = self.limit
                    && let Some(limit) = channel(protocol).limit(kind)
                {
                    limit.action = some();
                }
            }
            _ => {}
        }
    }

    fn limit(&mut self, protocol: &mut Protocol, kind: LimitKind, value: &str) {
        self.limit = Some(kind);
        *channel(protocol).limit(kind) = limit(value);
    }
}

impl Channel {
    const fn limit(&mut self, kind: LimitKind) -> &mut Option<Limit> {
        match kind {
            LimitKind::Receive => &mut self.receive_limit,
            LimitKind::Import => &mut self.import_limit,
            LimitKind::Export => &mut self.export_limit,
        }
    }
}

/// The channel that is being read; BIRD 1.6 names none.
fn channel(protocol: &mut Protocol) -> &mut Channel {
    if protocol.channels.is_empty() {
        protocol.channels.push(Channel::default());
    }
    let last = protocol.channels.len() - 1;
    &mut protocol.channels[last]
}

/// `12 imported, 1 filtered, 34 exported, 100 preferred`.
fn routes(value: &str) -> Option<Routes> {
    let mut routes = Routes::default();
    for part in value.split(", ") {
        let (number, word) = part.split_once(' ')?;
        let number = Some(number.parse().ok()?);
        match word {
            "imported" => routes.imported = number,
            "filtered" => routes.filtered = number,
            "exported" => routes.exported = number,
            "preferred" => routes.preferred = number,
            _ => {}
        }
    }
    Some(routes)
}

/// `5 [HIT]`.
fn limit(value: &str) -> Option<Limit> {
    let mut words = value.split_ascii_whitespace();
    let routes = words.next()?.parse().ok()?;
    Some(Limit { routes, is_hit: words.any(|word| word == "[HIT]"), action: None })
}

#[cfg(test)]
mod tests;
