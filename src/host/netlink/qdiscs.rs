//! Queueing disciplines with their counters.
//!
//! ```text
//! {"dev":"eth0","index":2,"kind":"fq_codel","handle":"0:","parent":"root","offloaded":false,"bytes":5880,"packets":70,
//!  "drops":0,"overlimits":0,"requeues":0,"backlog_bytes":0,"queue_packets":0}
//! ```

use netlink_bindings::tc::{self, Attrs, TcaStatsAttrs, Tcmsg};
use serde::Serialize;

use super::attributes::{Names, text};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
struct Qdisc<'a> {
    dev: Option<&'a str>,
    index: i32,
    kind: Option<String>,
    handle: String,
    parent: String,
    offloaded: Option<bool>,
    bytes: Option<u64>,
    packets: Option<u64>,
    drops: Option<u32>,
    overlimits: Option<u32>,
    requeues: Option<u32>,
    backlog_bytes: Option<u32>,
    queue_packets: Option<u32>,
}

/// Writes `qdiscs`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("qdiscs");
    let request = tc::Request::new().op_getqdisc_dump(&Tcmsg::new());
    kernel.ask("RTM_GETQDISC", &request, |(header, attributes)| {
        document.row(&row(&header, attributes, &names))
    })
}

fn row<'a>(header: &Tcmsg, attributes: tc::IterableAttrs<'_>, names: &'a Names) -> Qdisc<'a> {
    let mut qdisc = Qdisc {
        dev: u32::try_from(header.ifindex).ok().and_then(|index| names.of(index)),
        index: header.ifindex,
        kind: None,
        handle: handle(header.handle),
        parent: handle(header.parent),
        offloaded: None,
        bytes: None,
        packets: None,
        drops: None,
        overlimits: None,
        requeues: None,
        backlog_bytes: None,
        queue_packets: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            Attrs::Kind(kind) => qdisc.kind = Some(text(kind)),
            Attrs::HwOffload(on) => qdisc.offloaded = Some(on != 0),
            Attrs::Stats2(statistics) => {
                for statistic in statistics.flatten() {
                    match statistic {
                        TcaStatsAttrs::Basic(basic) => {
                            qdisc.bytes = Some(basic.bytes);
                            // TCA_STATS_PKT64 follows where 32 bits do not hold it.
                            qdisc.packets = Some(basic.packets.into());
                        }
                        TcaStatsAttrs::Pkt64(packets) => qdisc.packets = Some(packets),
                        TcaStatsAttrs::Queue(queue) => {
                            qdisc.drops = Some(queue.drops);
                            qdisc.overlimits = Some(queue.overlimits);
                            qdisc.requeues = Some(queue.requeues);
                            qdisc.backlog_bytes = Some(queue.backlog);
                            qdisc.queue_packets = Some(queue.qlen);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    qdisc
}

/// As `tc` writes it: `8001:`, `1:2`, `root`, `ingress`.
fn handle(number: u32) -> String {
    match (number, number >> 16, number & 0xffff) {
        (u32::MAX, ..) => "root".to_owned(),
        (0xffff_fff1, ..) => "ingress".to_owned(),
        (0, ..) => "none".to_owned(),
        (_, major, 0) => format!("{major:x}:"),
        (_, 0, minor) => format!(":{minor:x}"),
        (_, major, minor) => format!("{major:x}:{minor:x}"),
    }
}
