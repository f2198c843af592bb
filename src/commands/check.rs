//! `calivet check`: what is wrong with this node.

use std::time::Duration;

use anyhow::Context;

use super::{Exit, Misuse, host};
use crate::checks::{self, Asked, CHECKS, Check, Level, Report};
use crate::cli::{self, Format, Options, Subject};
use crate::collectors::{self, Node, Rows};
use crate::fix::{self, Applied, Effect, Step};
use crate::host::{Artifact, Evidence, Host, Tree};
use crate::output::{self, Output, findings};

/// The bound on one question: what a person waits for at a prompt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Judges, and with `--fix` mends and judges again.
pub(super) async fn run(
    options: &Options,
    args: &cli::Check,
    output: Output,
) -> anyhow::Result<Exit> {
    if (args.mending.yes || args.mending.dry_run) && !args.mending.fix {
        // Not left to clap, which does not look for it on both sides of a subject's name.
        return Err(Misuse(
            "--yes and --dry-run say how --fix is to be done, and there is no --fix",
        )
        .into());
    }
    let asked = asked(args);
    let checks: Vec<&Check> = CHECKS
        .iter()
        .filter(|check| args.subject.as_ref().is_none_or(|subject| name(subject) == check.name))
        .collect();
    let host = host(options, TIMEOUT)?;
    let mut report = report(&host, options, &checks, &asked).await;
    let mut is_mended = true;
    if args.mending.fix {
        let (applied, fixed) = mend(&host, &report, &args.mending, output).await?;
        is_mended = fixed;
        if applied.iter().any(|applied| applied.outcome == Effect::Done) {
            // What holds after the change is what counts.
            report = self::report(&host, options, &checks, &asked).await;
        }
        report.changes = Some(applied);
    }
    let text = match output.format {
        Format::Json | Format::Yaml => output::document(&report, output.format)?,
        Format::Table | Format::Wide => findings::render(&report, output),
    };
    output.print(&text)?;
    if matches!(output.format, Format::Table | Format::Wide) {
        for warning in host.warnings() {
            output.note(&format!("note: {}", output::printable(warning)));
        }
    }
    Ok(if is_mended { exit(&report, args.strict) } else { Exit::Unknown })
}

/// Reads what the checks want, once for all, and lets each judge.
async fn report(host: &Host, options: &Options, checks: &[&Check], asked: &Asked) -> Report {
    let mut evidence = host.evidence(collectors::FIRST, &[]).await;
    evidence.extend(host.evidence(&collectors::then(&evidence), &[]).await);
    let node = Node { config: options.config.clone(), ..Node::from_evidence(&evidence) };
    let rows = checks.iter().map(|check| (check.reads)(&node, asked)).collect();
    read(host, rows, &mut evidence).await;
    if let Some(interval) = asked.interval {
        // A bundle holds both looks: the time between them has passed.
        if host.is_live() {
            tokio::time::sleep(interval).await;
        }
        let rows = checks.iter().map(|check| (check.later)(&node, asked)).collect();
        read(host, rows, &mut evidence).await;
    }
    let findings = checks.iter().flat_map(|check| checks::run(check, &evidence, asked)).collect();
    let name = (!node.name.is_empty()).then_some(node.name);
    Report::new(name, host.time(), findings)
}

/// Reads rows of several checks, each once.
async fn read(host: &Host, rows: Vec<Rows>, evidence: &mut Evidence) {
    let mut artifacts: Vec<Artifact> = Vec::new();
    let mut trees: Vec<Tree> = Vec::new();
    for rows in rows {
        for artifact in rows.artifacts {
            if evidence.get(&artifact.path()).is_some() {
                continue;
            }
            match artifacts.iter_mut().find(|known| known.path() == artifact.path()) {
                // The check that waits longest decides; without a limit, it is the host's own.
                Some(known) => {
                    known.max_time =
                        known.max_time.zip(artifact.max_time).map(|(one, other)| one.max(other));
                }
                None => artifacts.push(artifact),
            }
        }
        for tree in rows.trees {
            if !trees.contains(&tree) {
                trees.push(tree);
            }
        }
    }
    evidence.extend(host.evidence(&artifacts, &trees).await);
}

/// Shows what would mend the findings, asks, and does it. `false`: something that was to be mended was not.
async fn mend(
    host: &Host,
    report: &Report,
    args: &cli::Mending,
    output: Output,
) -> anyhow::Result<(Vec<Applied>, bool)> {
    let changes = report.findings.iter().flat_map(|finding| finding.changes.clone()).collect();
    let steps = fix::plan(host, changes).await.context("failed to plan what --fix does")?;
    let is_shown = matches!(output.format, Format::Table | Format::Wide);
    if is_shown {
        output.print(&findings::plan(&steps, output))?;
    }
    let untried = || steps.iter().map(Step::not_tried).collect::<Vec<Applied>>();
    if steps.is_empty() || args.dry_run {
        return Ok((untried(), true));
    }
    if !args.yes && !output.asks("Make these changes?")? {
        return Ok((untried(), false));
    }
    let applied = fix::apply(host, &steps, jiff::Timestamp::now()).await;
    if is_shown {
        output.print(&findings::applied(&applied, output))?;
    }
    let all = applied.iter().all(|applied| applied.outcome == Effect::Done);
    Ok((applied, all))
}

/// What the user asked for, with the defaults of the subjects that were not named.
fn asked(args: &cli::Check) -> Asked {
    let mut asked = Asked { probe: !args.no_probe, ..Asked::default() };
    match &args.subject {
        None | Some(Subject::Bgp | Subject::Datastore | Subject::Environment) => {}
        Some(Subject::Conntrack(conntrack)) => {
            asked.interval = conntrack.interval;
            asked.warn_percent = conntrack.warn;
            asked.fail_percent = conntrack.fail;
            asked.top = conntrack.top.map(usize::from);
            asked.max = conntrack.max;
        }
        Some(Subject::NetworkManager(networkmanager)) => {
            asked.interfaces.clone_from(&networkmanager.interface);
        }
    }
    asked
}

/// The check that a subject is.
const fn name(subject: &Subject) -> &'static str {
    match subject {
        Subject::Bgp => "bgp",
        Subject::Conntrack(_) => "conntrack",
        Subject::Environment => "environment",
        Subject::NetworkManager(_) => "networkmanager",
        Subject::Datastore => "datastore",
    }
}

fn exit(report: &Report, strict: bool) -> Exit {
    let has = |level| report.findings.iter().any(|finding| finding.level == level);
    if has(Level::Fail) || (strict && has(Level::Warn)) {
        Exit::Wrong
    } else if has(Level::Unknown) {
        Exit::Unknown
    } else {
        Exit::Well
    }
}
