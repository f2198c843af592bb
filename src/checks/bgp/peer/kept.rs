//! A session that stands.

use serde_json::json;

use super::{ID, about, unacknowledged};
use crate::bird::configuration::PORT;
use crate::checks::bgp::facts::Facts;
use crate::checks::figures::counted;
use crate::checks::{Finding, Level};
use crate::host::Family;
use crate::status::Peer;

/// A finding for a peer whose session is established.
pub(super) fn established(facts: &Facts<'_>, family: Family, peer: &Peer) -> Finding {
    let address = peer.address.as_deref().unwrap_or(&peer.name);
    let exported = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
    let imported = |number: Option<u64>| {
        number.map_or("? routes".to_owned(), |number| counted(number, "route", "routes"))
    };
    let routes = peer.routes.map_or_else(
        || "numbers of routes unknown".to_owned(),
        |routes| {
            format!(
                "{} imported, {} exported",
                imported(routes.imported),
                exported(routes.exported)
            )
        },
    );
    let base =
        json!({"name": peer.name, "address": peer.address, "cause": null, "certainty": null});
    let port = peer.port.unwrap_or(PORT);
    if let Some(socket) = unacknowledged::of_standing(facts, family, peer, port) {
        let (bytes, times) = (socket.send_queue, socket.retransmits.unwrap_or_default());
        let summary = format!(
            "{address} ({}) is established, but likely path-mtu: {bytes} bytes wait to be acknowledged and were sent again \
             {times} times, while the peer is heard: large packets do not arrive",
            peer.name
        );
        let mut finding = Finding::new(ID, Level::Warn, summary)
            .evidence(base)
            .evidence(json!({
                "cause": "path-mtu", "certainty": "likely", "sendQueue": bytes, "retransmits": times,
            }))
            .evidence(about(peer));
        finding.remedy.extend(unacknowledged::remedies(address));
        return finding;
    }
    let level = match peer.routes.and_then(|routes| routes.imported) {
        Some(0) => Level::Info,
        _ => Level::Ok,
    };
    let summary = format!("{address} ({}) is established, {routes}", peer.name);
    Finding::new(ID, level, summary).evidence(base).evidence(about(peer))
}
