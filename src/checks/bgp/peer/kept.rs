//! A session that stands.

use serde_json::json;

use super::{ID, about};
use crate::checks::bgp::facts::Facts;
use crate::checks::bgp::kernel::is_same;
use crate::checks::{Finding, Level};
use crate::status::Peer;

/// More than a message of BGP's own needs, so that routes wait: an UPDATE of many routes fills a packet.
const WAITING: u32 = 1000;

/// A finding for a peer whose session is established.
pub(super) fn established(facts: &Facts<'_>, peer: &Peer) -> Finding {
    let address = peer.address.as_deref().unwrap_or(&peer.name);
    let count = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
    let routes = peer.routes.map_or_else(
        || "numbers of routes unknown".to_owned(),
        |routes| {
            format!(
                "{} routes imported, {} exported",
                count(routes.imported),
                count(routes.exported)
            )
        },
    );
    let base =
        json!({"name": peer.name, "address": peer.address, "cause": null, "certainty": null});
    // What is sent and never acknowledged, and a session that was lost to its hold timer before: small packets arrive.
    let waiting = facts.sockets.iter().flatten().find(|socket| {
        let port = peer.port.unwrap_or(crate::bird::configuration::PORT);
        socket.state == "established"
            && (socket.remote_port == port || socket.local_port == port)
            && is_same(&socket.remote, address)
            && socket.send_queue >= WAITING
    });
    let expired = peer.last_error.as_deref().filter(|error| error.contains("Hold timer expired"));
    if let (Some(socket), Some(error)) = (waiting, expired) {
        let summary = format!(
            "{address} ({}) is established, but likely path-mtu: {} bytes wait to be acknowledged, and the session was lost \
             before ({error}): large packets do not arrive",
            peer.name, socket.send_queue
        );
        return Finding::new(ID, Level::Warn, summary)
            .evidence(base)
            .evidence(json!({"cause": "path-mtu", "certainty": "likely", "sendQueue": socket.send_queue}))
            .evidence(about(peer))
            .remedy(format!("find the largest packet that passes: ping -M do -s 1472 {address}, and smaller"))
            .remedy("give the links of the path the same MTU, or let ICMP \"fragmentation needed\" pass");
    }
    let level = match peer.routes.and_then(|routes| routes.imported) {
        Some(0) => Level::Info,
        _ => Level::Ok,
    };
    let summary = format!("{address} ({}) is established, {routes}", peer.name);
    Finding::new(ID, level, summary).evidence(base).evidence(about(peer))
}
