//! `calivet bundle diff`: what changed on a node between two bundles.

use std::path::Path;

use super::Exit;
use crate::bundle::diff::{Side, diff};
use crate::checks::Report;
use crate::cli;
use crate::commands::{check, node_status};
use crate::host::Host;
use crate::host::bundle::Bundle;
use crate::output::{self, Output};
use crate::status::{self, NodeStatus};

/// Shows what differs. That something differs is no failure.
pub(super) async fn run(args: &cli::BundleDiff, output: Output) -> anyhow::Result<Exit> {
    let (old, old_report, old_status) = look(&args.before).await?;
    let (new, new_report, new_status) = look(&args.after).await?;
    let side = |host, report, status| Some(Side { bundle: Host::as_bundle(host)?, report, status });
    let sides = side(&old, &old_report, &old_status).zip(side(&new, &new_report, &new_status));
    let Some((before, after)) = sides else { anyhow::bail!("only bundles can be compared") };
    let diff = diff(&before, &after);
    output.print(&if output.format.is_document() {
        output::document(&diff, output.format)?
    } else {
        output::difference::render(&diff, output)
    })?;
    Ok(Exit::Well)
}

/// Reads a bundle once, and lets today's checks judge it.
pub(super) async fn look(path: &Path) -> anyhow::Result<(Host, Report, NodeStatus)> {
    let host = Host::of(Bundle::open(path)?);
    let report = check::all(&host).await;
    let evidence = node_status::evidence(&host, false).await;
    let status = status::node_status(host.time(), &evidence);
    Ok((host, report, status))
}
