//! Offload features of uplinks and tunnels, under the kernel's names for them.
//!
//! ```text
//! {"dev":"vxlan.calico","index":7,"features":{"tx-checksum-ip-generic":true,...},"fixed":["netns-local",...],
//!  "wanted":["tx-checksum-ip-generic",...]}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use netlink_bindings::ethtool::{self, Features, IterableBitset};
use netlink_bindings::rt_link::{self, Ifinfomsg};
use nix::errno::Errno;
use serde::Serialize;

use super::attributes::text;
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
struct Row<'a> {
    dev: &'a str,
    index: u32,
    features: BTreeMap<String, bool>,
    fixed: Vec<String>,
    wanted: Vec<String>,
}

/// The most links that are asked: a pod's veth has nothing to say that the others have not.
const LINKS: usize = 256;

/// `ETHTOOL_MSG_FEATURES_GET`.
const FEATURES_GET: u8 = 11;

/// Writes `features`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let mut links = Vec::new();
    let mut left_out = 0usize;
    let mut request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
    request.encode().push_ext_mask(1 << 3);
    kernel.ask("RTM_GETLINK", &request, |(header, link)| {
        let Ok(name) = link.get_ifname() else { return Ok(()) };
        let kind = link.get_linkinfo().and_then(|info| info.get_kind());
        // A node may itself be a container whose uplink is a veth, so that not all of them are pods'.
        let is_pod = kind.is_ok_and(|kind| kind == c"veth") && name.to_bytes().starts_with(b"cali");
        match u32::try_from(header.ifi_index) {
            Ok(index) if !is_pod && links.len() < LINKS => links.push((index, text(name))),
            _ => left_out += 1,
        }
        Ok(())
    })?;
    document.fact("links_left_out", &left_out);
    document.list("features");
    for (index, name) in links {
        let mut request = ethtool::Request::new().op_features_get_do();
        // The bindings (0.3.5) count only every other command and would ask for the rings.
        request.header_mut().cmd = FEATURES_GET;
        request.encode().nested_header().push_dev_index(index);
        let asked = kernel.ask("ETHTOOL_MSG_FEATURES_GET", &request, |attributes| {
            document.row(&row(index, &name, attributes))
        });
        match asked {
            // It is gone meanwhile, or its driver has none.
            Err(Trouble::Refused(_, Errno::ENODEV | Errno::EOPNOTSUPP)) => {}
            other => other?,
        }
    }
    Ok(())
}

fn row<'a>(index: u32, dev: &'a str, attributes: ethtool::IterableFeatures<'_>) -> Row<'a> {
    let mut changeable = BTreeSet::new();
    let mut all = BTreeSet::new();
    let (mut active, mut wanted, mut never) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for attribute in attributes.flatten() {
        match attribute {
            // The only list that also names what is not set.
            Features::Hw(bits) => (all, changeable) = names(bits),
            Features::Active(bits) => active = names(bits).1,
            Features::Wanted(bits) => wanted = names(bits).1,
            Features::Nochange(bits) => never = names(bits).1,
            Features::Header(_) => {}
        }
    }
    let fixed =
        all.iter().filter(|name| !changeable.contains(*name) || never.contains(*name)).cloned();
    Row {
        dev,
        index,
        fixed: fixed.collect(),
        features: all
            .into_iter()
            .map(|name| {
                let is_active = active.contains(&name);
                (name, is_active)
            })
            .collect(),
        wanted: wanted.into_iter().collect(),
    }
}

/// The names in a list of bits, and those of them that are set. Without a mask, only those that are set are named.
fn names(bits: IterableBitset<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
    let has_mask = bits.get_nomask().is_err();
    let (mut all, mut set) = (BTreeSet::new(), BTreeSet::new());
    let Ok(list) = bits.get_bits() else { return (all, set) };
    for bit in list.get_bit() {
        let Ok(name) = bit.get_name() else { continue };
        let name = text(name);
        // A bit that this kernel has left free.
        if name.is_empty() {
            continue;
        }
        if !has_mask || bit.get_value().is_ok() {
            set.insert(name.clone());
        }
        all.insert(name);
    }
    (all, set)
}
