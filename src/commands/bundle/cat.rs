//! `calivet bundle cat`: one item of a bundle, as it is.

use std::io::Read;
use std::ops::ControlFlow;

use anyhow::{Context, anyhow};

use super::{Exit, fnmatch};
use crate::archive::FOLDER;
use crate::archive::reader::{Contents, Ending};
use crate::bundle::inventory::Inventory;
use crate::cli;
use crate::host::bundle::{self, Bundle, Look};
use crate::output::{Output, printable};

/// What a bundle holds twice: the last counts.
const WRITTEN_TWICE: [&str; 2] = ["manifest.json", "summary.txt"];
/// The most that is kept of these until the last is known.
const MAX_DOCUMENT: u64 = 64 << 20;
/// The most paths that are named.
const MAX_NAMED: usize = 20;

/// Writes an item to stdout.
pub(super) fn run(args: &cli::BundleCat, output: Output) -> anyhow::Result<Exit> {
    let wanted = args.path.strip_prefix(FOLDER).unwrap_or(&args.path);
    // A path of the host's is kept beneath `host/`.
    let wanted = match wanted.strip_prefix('/') {
        Some(path) => format!("host/{path}"),
        None => wanted.to_owned(),
    };
    let (mut printed, mut last) = (None, None);
    let contents = bundle::walk(&args.file, &mut |member, data| {
        if member.path != wanted {
            return ControlFlow::Continue(());
        }
        if WRITTEN_TWICE.contains(&wanted.as_str()) {
            let mut bytes = Vec::new();
            let read = data.take(MAX_DOCUMENT).read_to_end(&mut bytes);
            // A last one that is cut does not replace a first that is whole.
            if read.is_ok() || last.is_none() {
                last = Some(bytes);
            }
            return ControlFlow::Continue(());
        }
        printed = Some(output.pour(data));
        ControlFlow::Break(())
    })?;
    match (printed, last) {
        (Some(printed), _) => {
            printed.with_context(|| format!("failed to read {wanted} from the bundle"))?;
            Ok(if is_trusted(&contents) { Exit::Well } else { Exit::Unknown })
        }
        (None, Some(bytes)) => output.pour(&mut bytes.as_slice()).map(|()| Exit::Well),
        (None, None) => Err(absent(args, &wanted)?),
    }
}

/// Whether what was read is what the archive holds, as far as that is known where it was left.
fn is_trusted(contents: &Contents) -> bool {
    matches!(contents.ending, Ending::Whole | Ending::Left)
}

/// Why there is no such item, and what is like it.
fn absent(args: &cli::BundleCat, wanted: &str) -> anyhow::Result<anyhow::Error> {
    let inventory = Inventory::of(Bundle::look(&args.file, Look::Index)?);
    let rows = inventory.rows();
    let said = rows.iter().find(|row| row.path == wanted);
    if let Some(row) = said {
        let outcome = row.outcome.map_or_else(String::new, |outcome| format!("{outcome}: "));
        let reason = row.reason.as_deref().unwrap_or("no reason is known");
        return Ok(anyhow!("the bundle holds nothing of {wanted}: {outcome}{reason}"));
    }
    let there = || rows.iter().filter(|row| row.bytes.is_some()).map(|row| row.path.as_str());
    let matching: Vec<&str> = there().filter(|path| fnmatch::matches(wanted, path)).collect();
    if !matching.is_empty() {
        let named = named(&matching);
        return Ok(anyhow!("one path is wanted, and {wanted} is {}: {named}", matching.len()));
    }
    let folder = format!("{}/", wanted.trim_end_matches('/'));
    let beneath: Vec<&str> = there().filter(|path| path.starts_with(&folder)).collect();
    if !beneath.is_empty() {
        return Ok(anyhow!("{folder} is a folder; in it are {}", named(&beneath)));
    }
    let alike = likest(wanted, there());
    let cut = inventory.warnings().iter().find(|warning| warning.contains("end is missing"));
    let cut = cut.map(|cut| format!(" ({cut})")).unwrap_or_default();
    Ok(match alike.as_slice() {
        [] => anyhow!("the bundle does not hold {wanted}{cut}: `calivet bundle list` lists all"),
        alike => anyhow!("the bundle does not hold {wanted}{cut}; like it are {}", named(alike)),
    })
}

fn named(paths: &[&str]) -> String {
    let shown: Vec<_> = paths.iter().take(MAX_NAMED).map(|path| printable(path)).collect();
    match paths.len().saturating_sub(MAX_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The paths whose last component is the same or like the wanted one's.
fn likest<'a>(wanted: &str, paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    /// Below this likeness (Jaro and Winkler's, 0 to 1) it is a guess.
    const LIKE: f64 = 0.85;
    /// The most paths, and bytes of a name, that are compared.
    const COMPARED: usize = 20_000;
    const NAME: usize = 255;
    let name = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let last = wanted.rsplit('/').next().unwrap_or(wanted).to_owned();
    let mut alike: Vec<(f64, &str)> = paths
        .take(COMPARED)
        .filter(|path| name(path).len() <= NAME && last.len() <= NAME)
        .map(|path| (strsim::jaro_winkler(&last, name(path)), path))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    alike.into_iter().take(5).map(|(_, path)| path).collect()
}
