//! How many addresses are left in this node's blocks.
//!
//! IPAM gives a node whole blocks, of which its pods get single addresses. Where a block is full the node takes another one
//! from the pool, and where the pool has none, an address of another node's block. The last leaves a trace here: a pod
//! whose address lies in a block that is routed elsewhere.

use std::collections::HashSet;

use serde_json::json;

use super::facts::Facts;
use crate::checks::figures::counted;
use crate::checks::network::{TUNNELS, first, is_block, is_calicos, some};
use crate::checks::tables::{self, Type};
use crate::checks::{Finding, Level};
use crate::prefix::Prefix;

pub(super) const ID: &str = "routes.addresses";

/// A finding for each family of which this node has blocks, or one that it has none.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let findings: Vec<Finding> =
        [false, true].into_iter().filter_map(|is_ipv6| family(facts, is_ipv6)).collect();
    if findings.is_empty() {
        return vec![Finding::new(ID, Level::Skip, "this node has no block in the kernel's table")];
    }
    findings
}

fn family(facts: &Facts<'_>, is_ipv6: bool) -> Option<Finding> {
    let blocks: HashSet<Prefix> = facts
        .main()
        .filter(|route| route.r#type == Type::Dropped && is_calicos(route))
        .map(|route| route.destination)
        .filter(|block| block.is_ipv6() == is_ipv6 && is_block(*block) && !block.is_single())
        .collect();
    if blocks.is_empty() {
        return None;
    }
    let lengths: HashSet<u8> = blocks.iter().map(|block| block.length()).collect();
    let is_own =
        |address: Prefix| lengths.iter().any(|length| blocks.contains(&address.widened(*length)));
    // Tunnels have an address of a block, too.
    let tunnels = facts.network.addresses.iter().flatten().filter_map(|row| {
        let name = row.dev.as_deref()?;
        TUNNELS.iter().find(|tunnel| tunnel.name == name)?;
        tables::address(row.address.as_deref()?).map(Prefix::of)
    });
    let pods: HashSet<Prefix> = facts.to_pods().map(|(route, _)| route.destination).collect();
    let used: HashSet<Prefix> =
        pods.iter().copied().chain(tunnels).filter(|address| is_own(*address)).collect();
    let full = if is_ipv6 { 128 } else { 32 };
    let all: u64 = blocks.iter().map(|block| 1 << (full - block.length()).min(63)).sum();
    let others: HashSet<Prefix> = facts
        .to_nodes()
        .map(|route| route.destination)
        .filter(|block| block.is_ipv6() == is_ipv6 && !block.is_single())
        .collect();
    let lengths: HashSet<u8> = others.iter().map(|block| block.length()).collect();
    let is_others =
        |address: Prefix| lengths.iter().any(|length| others.contains(&address.widened(*length)));
    let mut borrowed: Vec<Prefix> = pods
        .into_iter()
        .filter(|address| address.is_ipv6() == is_ipv6 && !is_own(*address) && is_others(*address))
        .collect();
    borrowed.sort_unstable();
    let borrowed: Vec<String> = borrowed.iter().map(ToString::to_string).collect();
    let left = all.saturating_sub(used.len() as u64);
    let name = if is_ipv6 { "IPv6" } else { "IPv4" };
    let finding = |level, summary: String| {
        Finding::new(ID, level, summary).evidence(json!({
            "family": name.to_ascii_lowercase(), "blocks": blocks.len(), "addresses": all, "used": used.len(),
            "ofOthers": some(&borrowed), "counts": {"ofOthers": borrowed.len()},
        }))
    };
    let blocks = counted(blocks.len(), "block", "blocks");
    let pools = "calicoctl ipam show --show-blocks; calicoctl ipam check says which addresses are leaked, calicoctl ipam release frees them";
    Some(if left > 0 {
        finding(
            Level::Ok,
            format!("of {all} {name} addresses of this node's {blocks}, {} are in use", used.len()),
        )
    } else if borrowed.is_empty() {
        finding(
            Level::Info,
            format!(
                "all {all} {name} addresses of this node's {blocks} are in use: the next pod takes another block, if the pool has one"
            ),
        )
        .remedy(format!("see whether the pool has free blocks: {pools}"))
    } else {
        finding(
            Level::Warn,
            format!(
                "all {all} {name} addresses of this node's {blocks} are in use, and {} of its pods have one of another node's \
                 block ({}): likely the pool has no free block left",
                borrowed.len(),
                first(&borrowed)
            ),
        )
        .evidence(json!({"certainty": "likely"}))
        .remedy(format!("see whether the pool is full: {pools}"))
        .remedy("make the pool larger or add one; a node takes at most maxBlocksPerHost blocks (IPAMConfig)")
    })
}
