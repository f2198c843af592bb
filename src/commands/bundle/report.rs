//! `calivet bundle report`: a bundle as one page to look at.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::Exit;
use super::diff::look;
use crate::archive;
use crate::bundle::manifest::Manifest;
use crate::cli;
use crate::host::Host;
use crate::host::bundle::Bundle;
use crate::logs;
use crate::output::report::{self, Link, Page};
use crate::output::{self, Output};

/// Writes the page and says where it is.
pub(super) async fn run(args: &cli::BundleReport, output: Output) -> anyhow::Result<Exit> {
    let (host, report, status) = look(&args.file).await?;
    let bundle = Host::as_bundle(&host).context("only of a bundle a report can be made")?;
    let manifest = bundle.manifest_json().and_then(|text| Manifest::parse(text).ok());
    let links = links(bundle);
    let logs = logs::Summary::parse(&bundle.at(logs::PATH).bytes);
    let page = Page {
        status: &status,
        report: &report,
        manifest: manifest.as_ref(),
        links: links.as_deref(),
        logs: logs.as_ref(),
    };
    let page = report::render(&page);
    if args.output_file.as_deref() == Some(Path::new("-")) {
        output.print(&page)?;
        return Ok(Exit::Well);
    }
    let path = args.output_file.clone().unwrap_or_else(|| beside(&args.file));
    archive::Output::create(&path, args.force)?.document(page.as_bytes())?;
    let shown = path.display().to_string();
    output.print(&if output.quiet {
        format!("{}\n", output::printable(&shown))
    } else {
        format!("Report saved to {}\n", output::printable(&shown))
    })?;
    for warning in bundle.warnings() {
        output.note(&format!("note: {}", output::printable(warning)));
    }
    Ok(Exit::Well)
}

/// The bundle's name with another ending.
fn beside(bundle: &Path) -> PathBuf {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".tar.gz").or_else(|| name.strip_suffix(".tgz")).unwrap_or(&name);
    bundle.with_file_name(format!("{stem}.html"))
}

/// The node's links; one that is not of a known form costs itself alone.
fn links(bundle: &Bundle) -> Option<Vec<Link>> {
    let mut document: Value =
        serde_json::from_slice(&bundle.at("network/links.json").bytes).ok()?;
    let Value::Array(rows) = document.get_mut("links")?.take() else { return None };
    Some(rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_stands_beside_its_bundle() {
        for (bundle, page) in [
            ("/x/diags-1.tar.gz", "/x/diags-1.html"),
            ("diags.tgz", "diags.html"),
            ("/x/unpacked", "/x/unpacked.html"),
        ] {
            assert_eq!(beside(Path::new(bundle)), Path::new(page));
        }
    }
}
