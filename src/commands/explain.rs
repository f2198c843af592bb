//! `calivet explain`: what a finding means, why it matters, how it is proved and mended. It asks no host.

use super::{Exit, Misuse};
use crate::checks::CHECKS;
use crate::checks::explained::{self, Explanation, Explanations};
use crate::cli::{self, Format};
use crate::output::{self, Output};

/// Explains one finding or all of a check; without an id, lists them all.
pub(super) fn run(args: &cli::Explain, output: Output) -> anyhow::Result<Exit> {
    let all = || {
        CHECKS.iter().flat_map(|check| check.finds.iter().map(move |kind| (check.name, kind))).map(
            |(check, kind)| Explanation {
                id: kind.id,
                check,
                passes: kind.passes,
                text: explained::section(kind.id).unwrap_or_default(),
            },
        )
    };
    let wanted: Vec<Explanation> = match args.id.as_deref() {
        None => all().collect(),
        Some(id) => all().filter(|it| it.id == id || it.check == id).collect(),
    };
    if let (true, Some(id)) = (wanted.is_empty(), &args.id) {
        return Err(Misuse::new(unknown(id)).into());
    }
    let text = match (output.format, &args.id) {
        (Format::Json | Format::Yaml, _) => {
            let document = Explanations { schema_version: 1, explanations: wanted };
            output::document(&document, output.format)?
        }
        (_, None) => {
            let rows = wanted.iter().map(|it| (it.id, it.passes)).collect::<Vec<_>>();
            output::explanation::list(&rows, output)
        }
        (_, Some(id)) => {
            output::explanation::markdown(explained::section(id).unwrap_or_default(), output)
        }
    };
    output.print(&text)?;
    Ok(Exit::Well)
}

/// What is said of an id that nothing has: the one that is most like it, if any is.
fn unknown(id: &str) -> String {
    /// Below this likeness (Jaro and Winkler's, 0 to 1) it is a guess.
    const LIKE: f64 = 0.8;
    let ids = CHECKS.iter().flat_map(|check| check.finds.iter().map(|kind| kind.id));
    let names = CHECKS.iter().map(|check| check.name);
    let likest = ids
        .chain(names)
        .map(|known| (strsim::jaro_winkler(id, known), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness >= LIKE);
    let hint = match likest {
        Some((_, known)) => format!("did you mean {known}?"),
        None => "`calivet explain` lists all".to_owned(),
    };
    format!("no check finds {id}: {hint}")
}
