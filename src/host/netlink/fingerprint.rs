//! What a run could change by accident, as counts and sums: enough to see that something differs, and where.
//!
//! ```text
//! {"name":"table 254","count":12,"sum":1311768467463790320}
//! {"name":"ipv4 99","count":1,"sum":81985529216486895}
//! {"name":"net.ipv4.conf.eth0","count":1,"sum":1147797409030816545}
//! ```
//!
//! The sum of what is hashed does not depend on the order in which the kernel tells it. What counts or ages by itself
//! (packets, timers, whether a cable is plugged in) is not in it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use netlink_bindings::{rt_link, rt_neigh, rt_route, rt_rule};
use serde::{Deserialize, Serialize};

use super::attributes::{INET, INET6, Names, attributes, family, number, text};
use super::document::Document;
use super::kernel::{Kernel, Trouble};
use super::nftables;

/// Whose state is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// IPv4 routes, by table.
    Routes,
    /// IPv6 routes, by table.
    Routes6,
    /// Policy rules of both families, by priority.
    Rules,
    /// Links, by name.
    Links,
    /// The settings of each link: what `/proc/sys/net/ipv{4,6}/{conf,neigh}/LINK` says, in two questions and not in
    /// a hundred files a link.
    LinkSettings,
    /// How often the nftables rule set was changed.
    NftGeneration,
}

impl State {
    pub(super) const fn question(self) -> &'static str {
        match self {
            Self::Routes | Self::Routes6 => "RTM_GETROUTE",
            Self::Rules => "RTM_GETRULE",
            Self::Links | Self::LinkSettings => "RTM_GETLINK",
            Self::NftGeneration => "NFT_MSG_GETGEN",
        }
    }
}

/// What is told of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// How many of that name there are; of the rule set, its generation.
    pub count: u64,
    /// A sum that differs if one of them does.
    pub sum: u64,
}

/// The list in the document.
#[derive(Debug, Deserialize)]
struct Rows {
    rows: Vec<Row>,
}

/// The rows of a document. `None`: it is none.
#[must_use]
pub fn parse(document: &[u8]) -> Option<Vec<Row>> {
    serde_json::from_slice::<Rows>(document).ok().map(|document| document.rows)
}

/// Attributes of a route that age: `RTA_CACHEINFO`.
const AGING_ROUTE: &[u16] = &[12];
/// Flags of a route that somebody chose: `RTNH_F_PERVASIVE`, `RTNH_F_ONLINK`. The others follow the device.
const CHOSEN_ROUTE_FLAGS: u32 = 0x2 | 0x4;
/// `RTM_F_CLONED`: what the kernel remembers of a path, and no route.
const CLONED: u32 = 0x200;
/// Attributes of a link that somebody chose: `IFLA_ADDRESS`, `MTU`, `LINK`, `QDISC`, `MASTER`, `TXQLEN`, `IFALIAS`,
/// `PROMISCUITY`.
const CHOSEN_LINK: &[u16] = &[1, 4, 5, 6, 10, 13, 20, 30];
/// `IFF_UP`, `IFF_NOARP`, `IFF_PROMISC`, `IFF_ALLMULTI`.
const CHOSEN_LINK_FLAGS: u32 = 0x1 | 0x80 | 0x100 | 0x200;
/// `IFLA_AF_SPEC`: by family, what a link is set to.
const AF_SPEC: u16 = 26;
/// `IFLA_INET_CONF` and `IFLA_INET6_CONF`: the settings in the kernel's own order.
const CONF: [(u8, u16); 2] = [(INET, 1), (INET6, 2)];
/// `NDTA_PARMS`.
const PARAMETERS: u16 = 6;
/// `NDTPA_IFINDEX`.
const INDEX: u16 = 1;
/// `NDTPA_REFCNT`, `NDTPA_REACHABLE_TIME`: the latter is drawn by lot every few minutes.
const AGING_PARAMETERS: &[u16] = &[2, 3];

/// Counts and sums by name.
#[derive(Debug, Default)]
struct Sums(BTreeMap<String, (u64, u64)>);

impl Sums {
    fn add(&mut self, name: String, value: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let (count, sum) = self.0.entry(name).or_default();
        *count += 1;
        *sum = sum.wrapping_add(hasher.finish());
    }
}

/// Writes `rows`.
pub(super) fn write(
    state: State,
    kernel: &mut Kernel,
    document: &mut Document,
) -> Result<(), Trouble> {
    document.list("rows");
    let mut sums = Sums::default();
    match state {
        State::Routes => routes(INET, kernel, &mut sums)?,
        State::Routes6 => routes(INET6, kernel, &mut sums)?,
        State::Rules => rules(kernel, &mut sums)?,
        State::Links => links(kernel, &mut sums)?,
        State::LinkSettings => link_settings(kernel, &mut sums)?,
        State::NftGeneration => {
            if let Some(generation) = nftables::generation(kernel)? {
                let count = u64::from(generation);
                document.row(&Row { name: "generation".to_owned(), count, sum: count })?;
            }
        }
    }
    for (name, (count, sum)) in sums.0 {
        document.row(&Row { name, count, sum })?;
    }
    Ok(())
}

fn routes(family: u8, kernel: &mut Kernel, sums: &mut Sums) -> Result<(), Trouble> {
    let mut header = rt_route::Rtmsg::new();
    header.rtm_family = family;
    let request = rt_route::Request::new().op_getroute_dump(&header);
    // Of a table there may be a million: no name is made for each.
    let mut tables: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    kernel.ask("RTM_GETROUTE", &request, |(header, route)| {
        if header.rtm_flags & CLONED != 0 {
            return Ok(());
        }
        let mut table = u32::from(header.rtm_table);
        let mut hasher = DefaultHasher::new();
        let facts = [
            header.rtm_dst_len,
            header.rtm_src_len,
            header.rtm_tos,
            header.rtm_protocol,
            header.rtm_scope,
            header.rtm_type,
        ];
        (facts, header.rtm_flags & CHOSEN_ROUTE_FLAGS).hash(&mut hasher);
        for (kind, value) in attributes(route.get_buf()) {
            if kind == TABLE {
                table = number(value).and_then(|table| u32::try_from(table).ok()).unwrap_or(table);
            } else if !AGING_ROUTE.contains(&kind) {
                (kind, value).hash(&mut hasher);
            }
        }
        let (count, sum) = tables.entry(table).or_default();
        *count += 1;
        *sum = sum.wrapping_add(hasher.finish());
        Ok(())
    })?;
    sums.0.extend(tables.into_iter().map(|(table, sum)| (format!("table {table}"), sum)));
    Ok(())
}

/// `RTA_TABLE`.
const TABLE: u16 = 15;
/// `FRA_PRIORITY`.
const PRIORITY: u16 = 6;

fn rules(kernel: &mut Kernel, sums: &mut Sums) -> Result<(), Trouble> {
    for number_of_family in [INET, INET6] {
        let mut header = rt_rule::FibRuleHdr::new();
        header.family = number_of_family;
        let request = rt_rule::Request::new().op_getrule_dump(&header);
        kernel.ask("RTM_GETRULE", &request, |(header, rule)| {
            // A kernel without a family's rules answers with those of others.
            let Some(family) = family(header.family) else { return Ok(()) };
            let attributes: Vec<(u16, &[u8])> = attributes(rule.get_buf()).collect();
            let priority = attributes.iter().find(|(kind, _)| *kind == PRIORITY);
            let priority = priority.and_then(|(_, value)| number(value)).unwrap_or(0);
            let facts = [header.dst_len, header.src_len, header.tos, header.table, header.action];
            sums.add(format!("{family} {priority}"), &(facts, header.flags, attributes));
            Ok(())
        })?;
    }
    Ok(())
}

/// All links, without their counters.
fn each_link(
    kernel: &mut Kernel,
    mut each: impl FnMut(&rt_link::Ifinfomsg, &[u8], String),
) -> Result<(), Trouble> {
    let mut request = rt_link::Request::new().op_getlink_dump(&rt_link::Ifinfomsg::new());
    // RTEXT_FILTER_SKIP_STATS.
    request.encode().push_ext_mask(1 << 3);
    kernel.ask("RTM_GETLINK", &request, |(header, link)| {
        if let Ok(name) = link.get_ifname() {
            each(&header, link.get_buf(), text(name));
        }
        Ok(())
    })
}

fn links(kernel: &mut Kernel, sums: &mut Sums) -> Result<(), Trouble> {
    each_link(kernel, |header, link, name| {
        let chosen = attributes(link).filter(|(kind, _)| CHOSEN_LINK.contains(kind));
        let chosen: Vec<(u16, &[u8])> = chosen.collect();
        let flags = header.ifi_flags & CHOSEN_LINK_FLAGS;
        sums.add(name, &(header.ifi_index, flags, chosen));
    })
}

fn link_settings(kernel: &mut Kernel, sums: &mut Sums) -> Result<(), Trouble> {
    each_link(kernel, |_, link, name| {
        let specific = attributes(link).filter(|(kind, _)| *kind == AF_SPEC);
        for (of, settings) in specific.flat_map(|(_, families)| attributes(families)) {
            for (number, conf) in CONF {
                if of != u16::from(number) {
                    continue;
                }
                for (_, values) in attributes(settings).filter(|(kind, _)| *kind == conf) {
                    let family = family(number).unwrap_or_default();
                    sums.add(format!("net.{family}.conf.{name}"), &values);
                }
            }
        }
    })?;
    let names = Names::read(kernel)?;
    let request = rt_neigh::Request::new();
    let request = request.op_getneightbl_dump(&rt_neigh::Ndtmsg::new());
    kernel.ask("RTM_GETNEIGHTBL", &request, |(header, table)| {
        let Some(family) = family(header.family) else { return Ok(()) };
        for (_, parameters) in attributes(table.get_buf()).filter(|(kind, _)| *kind == PARAMETERS) {
            let index = attributes(parameters).find(|(kind, _)| *kind == INDEX);
            let index = index.and_then(|(_, value)| u32::try_from(number(value)?).ok());
            // Without one, these are the defaults.
            let Some(link) = index.and_then(|index| names.of(index)) else { continue };
            let chosen =
                attributes(parameters).filter(|(kind, _)| !AGING_PARAMETERS.contains(kind));
            let chosen: Vec<(u16, &[u8])> = chosen.collect();
            sums.add(format!("net.{family}.neigh.{link}"), &chosen);
        }
        Ok(())
    })
}
