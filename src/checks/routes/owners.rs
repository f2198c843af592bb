//! Whose routes are whose: BIRD's and Felix's in `main`, and Felix's own tables.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::json;

use super::facts::Facts;
use crate::checks::network::{LOCAL, MAIN, PROTO_BIRD, PROTO_FELIX, first, is_calicos, some};
use crate::checks::tables::Type;
use crate::checks::{Finding, Level};
use crate::prefix::Prefix;

pub(super) const OWNERS: &str = "routes.owners";
pub(super) const TABLES: &str = "routes.tables";

/// Felix's `routeTableRanges`, where nothing else is asked for.
const FELIX_TABLES: std::ops::RangeInclusive<u32> = 1..=250;
/// Routes that the kernel itself makes for addresses.
const PROTO_KERNEL: u8 = 2;

/// Whether BIRD and Felix both have a route to one destination: since 3.33 either may program them.
pub(super) fn owners(facts: &Facts<'_>) -> Finding {
    let calicos = || facts.main().filter(|route| is_calicos(route));
    let count = calicos().count();
    if count == 0 {
        return Finding::new(OWNERS, Level::Skip, "there is no route of BIRD's or Felix's");
    }
    let felix: HashSet<Prefix> = calicos()
        .filter(|route| route.protocol == PROTO_FELIX)
        .map(|route| route.destination)
        .collect();
    let both: BTreeSet<Prefix> = calicos()
        .filter(|route| route.protocol == PROTO_BIRD && felix.contains(&route.destination))
        .map(|route| route.destination)
        .collect();
    let both: Vec<String> = both.iter().map(ToString::to_string).collect();
    let by_felix = calicos().filter(|route| route.protocol == PROTO_FELIX).count();
    let evidence = json!({
        "bird": count - by_felix, "felix": by_felix, "both": some(&both), "counts": {"both": both.len()},
    });
    if both.is_empty() {
        let summary = format!("each of {count} routes is BIRD's or Felix's, none is both's");
        return Finding::new(OWNERS, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "BIRD and Felix both have a route to {} destinations ({})",
        both.len(),
        first(&both)
    );
    Finding::new(OWNERS, Level::Fail, summary).evidence(evidence).remedy(
        "let one of them program cluster routes: programClusterRoutes in FelixConfiguration and BGPConfiguration must be \
         complementary",
    )
}

/// What one table holds.
#[derive(Debug, Default)]
struct Held {
    routes: usize,
    felix: usize,
    /// Neither Felix's nor the kernel's.
    others: usize,
}

/// How many tables there are, and whether others put routes into those of Felix.
pub(super) fn tables(facts: &Facts<'_>) -> Finding {
    let mut tables: BTreeMap<u32, Held> = BTreeMap::new();
    for route in facts.routes.iter().filter(|route| route.r#type != Type::Other) {
        let held = tables.entry(route.table).or_default();
        held.routes += 1;
        held.felix += usize::from(route.protocol == PROTO_FELIX);
        held.others += usize::from(!matches!(route.protocol, PROTO_FELIX | PROTO_KERNEL));
    }
    if facts.local > 0 {
        tables.insert(LOCAL, Held { routes: facts.local, ..Held::default() });
    }
    let shared: Vec<u32> = tables
        .iter()
        .filter(|(table, held)| FELIX_TABLES.contains(table) && held.felix > 0 && held.others > 0)
        .map(|(table, _)| *table)
        .collect();
    let shown: Vec<_> = tables
        .iter()
        .map(|(table, held)| json!({"table": table, "routes": held.routes, "felix": held.felix}))
        .collect();
    let own = |table: &&u32| !matches!(**table, MAIN | LOCAL);
    let evidence = json!({
        "tables": some(&shown), "shared": some(&shared),
        "counts": {"tables": tables.len(), "beside": tables.keys().filter(own).count()},
    });
    if shared.is_empty() {
        let all: usize = tables.values().map(|held| held.routes).sum();
        let summary = format!("{all} routes in {} tables", tables.len());
        return Finding::new(TABLES, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!("others have put routes into tables of Felix's: {}", first(&shared));
    Finding::new(TABLES, Level::Warn, summary)
        .evidence(evidence)
        .remedy("give Felix other tables (routeTableRanges in FelixConfiguration), or the other program: ip route show table N")
}
