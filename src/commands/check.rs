//! `calivet check`: what is wrong with this node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{Exit, Misuse, host};
use crate::checks::suppressions::{self, Suppression};
use crate::checks::{self, Asked, CHECKS, Check, Finding, Report};
use crate::cli::{self, FailOn, Format, Options, Subject};
use crate::collectors::{self, Node, Rows};
use crate::fix::{self, Applied, Effect, Step};
use crate::host::{Artifact, Evidence, Host, Outcome, Tree};
use crate::kernel;
use crate::output::{self, Output, findings};

/// The bound on one question: what a person waits for at a prompt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The bound on one verdict, which is computed from what has been read: milliseconds, if nothing is wrong with it.
const JUDGING: Duration = Duration::from_secs(10);
/// How many verdicts are computed at once.
const AT_ONCE: usize = 4;
/// The time between two looks of `--wait`.
const AGAIN: Duration = Duration::from_secs(2);
/// The most that is read of a file of suppressions.
const SUPPRESSIONS_BYTES: u64 = 1 << 20;
/// The most that is read of a kernel's configuration: those of distributions have 300 KB.
const CONFIG_BYTES: u64 = 4 << 20;

/// Judges, and with `--fix` mends and judges again.
pub(super) async fn run(
    options: &Options,
    args: &cli::Check,
    output: Output,
) -> anyhow::Result<Exit> {
    if (args.mending.yes || args.mending.dry_run) && !args.mending.fix {
        // Not left to clap, which does not look for it on both sides of a subject's name.
        return Err(Misuse::new(
            "--yes and --dry-run say how --fix is to be done, and there is no --fix",
        )
        .into());
    }
    let wanted = Wanted {
        checks: chosen(args)?,
        asked: asked(options, args).await?,
        suppressions: match &args.suppressions {
            Some(file) => read_suppressions(file).await?,
            None => Vec::new(),
        },
    };
    let until = args.wait.map(|wait| Instant::now() + wait);
    let (mut host, mut report, mut over);
    loop {
        // A live host remembers what it has looked for: each look is a new one.
        host = self::host(options, TIMEOUT)?;
        (report, over) = wanted.report(&host).await;
        let is_well = exit(&report, args) == Exit::Well;
        match until {
            Some(until) if !is_well && Instant::now() + AGAIN <= until => {
                output.note(&findings::waiting(&report));
                tokio::time::sleep(AGAIN).await;
            }
            _ => break,
        }
    }
    let mut is_mended = true;
    if args.mending.fix {
        let (applied, fixed) = mend(&host, &report, &args.mending, output).await?;
        is_mended = fixed;
        if applied.iter().any(|applied| applied.outcome == Effect::Done) {
            // What holds after the change is what counts.
            (report, over) = wanted.report(&host).await;
        }
        report.changes = Some(applied);
    }
    let text = match output.format {
        Format::Json | Format::Yaml => output::document(&report, output.format)?,
        Format::Junit => output::junit::render(&report)?,
        Format::Table | Format::Wide | Format::Short => {
            findings::render(&report, wanted.checks.len() > 1, output)
        }
    };
    output.print(&text)?;
    if output.format.is_for_people() {
        for warning in host.warnings().iter().chain(&over) {
            output.note(&format!("note: {}", output::printable(warning)));
        }
    }
    Ok(if is_mended { exit(&report, args) } else { Exit::Unknown })
}

/// The checks that the user wants, in the order of the table.
fn chosen(args: &cli::Check) -> anyhow::Result<Vec<&'static Check>> {
    if args.subject.is_some() && !(args.only.is_empty() && args.skip.is_empty()) {
        return Err(
            Misuse::new("a subject is one check: --only and --skip choose among all").into()
        );
    }
    let names = |list: &[String], name| list.iter().any(|given| given == name);
    let is_chosen = |check: &&Check| match &args.subject {
        Some(subject) => name(subject) == check.name,
        None if args.only.is_empty() => !names(&args.skip, check.name),
        None => names(&args.only, check.name),
    };
    Ok(CHECKS.iter().filter(is_chosen).collect())
}

/// `node checksystem`: the check alone, as `check system` has it.
pub(super) async fn system(
    options: &Options,
    args: &cli::System,
    output: Output,
) -> anyhow::Result<Exit> {
    let args = cli::Check::of(Subject::System(args.clone()));
    run(options, &args, output).await
}

/// The findings that the user knows and accepts.
async fn read_suppressions(file: &Path) -> anyhow::Result<Vec<Suppression>> {
    let bytes = read_own(file, SUPPRESSIONS_BYTES).await.context("failed to read suppressions")?;
    suppressions::parse(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("{} is no file of suppressions", file.display()))
}

/// Reads a file that is the user's, whatever host is looked at. An error names the file.
async fn read_own(file: &Path, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let path = std::path::absolute(file)?;
    let artifact = Artifact::file_at(path.display().to_string()).at_most(max_bytes);
    let reading = Host::live(Path::new("/"), TIMEOUT).read(&artifact).await;
    if reading.outcome != Outcome::Ok {
        let reason = reading.reason.unwrap_or_else(|| reading.outcome.to_string());
        return Err(anyhow::anyhow!(reason));
    }
    Ok(reading.bytes)
}

/// What is to be found out.
struct Wanted {
    checks: Vec<&'static Check>,
    asked: Asked,
    suppressions: Vec<Suppression>,
}

impl Wanted {
    /// Reads what the checks want, once for all, and lets each judge. Beside the report: what is to be said of
    /// suppressions.
    async fn report(&self, host: &Host) -> (Report, Vec<String>) {
        let Self { checks, asked, suppressions } = self;
        let (name, evidence) = gather(host, checks, asked).await;
        let mut findings = judge(checks, evidence, asked, AT_ONCE).await;
        let over = suppressions::apply(suppressions, &mut findings, host.time());
        (Report::new(name, host.time(), findings), over)
    }
}

/// What all checks make of a host by default.
pub(super) async fn all(host: &Host) -> Report {
    let checks = CHECKS.iter().collect();
    let wanted = Wanted { checks, asked: Asked::default(), suppressions: Vec::new() };
    wanted.report(host).await.0
}

/// Lets the checks judge, so many at once: one that fails or hangs is unknown and spoils no other. Each that judges
/// takes a thread and the memory of what it parses.
pub(super) async fn judge(
    checks: &[&'static Check],
    evidence: Evidence,
    asked: &Asked,
    at_once: usize,
) -> Vec<Finding> {
    let evidence = Arc::new(evidence);
    let judged = checks.iter().map(|&check| {
        let (evidence, asked) = (Arc::clone(&evidence), asked.clone());
        let verdict = tokio::task::spawn_blocking(move || checks::run(check, &evidence, &asked));
        async move {
            let in_time = tokio::time::timeout(JUDGING, verdict).await;
            in_time.ok().and_then(Result::ok).unwrap_or_else(|| {
                let summary = format!("no verdict within {JUDGING:?}: a fault of calivet's own");
                checks::unknown(check, &summary)
            })
        }
    });
    let judged = stream::iter(judged).buffered(at_once).collect::<Vec<_>>().await;
    judged.into_iter().flatten().collect()
}

/// The node's name, and what the checks want to know, each piece read once for all.
async fn gather(host: &Host, checks: &[&Check], asked: &Asked) -> (Option<String>, Evidence) {
    let mut evidence = Evidence::default();
    let mut long = Vec::new();
    if let Some(rows) = asked.top_rows() {
        // To read a table of connections takes longer than all else together: it is begun as soon as it is known whether
        // the kernel may be asked.
        evidence = host.evidence(collectors::MODULES, &[]).await;
        evidence.extend(host.evidence(&collectors::then(&evidence), &[]).await);
        let node = Node::from_evidence(&evidence);
        long = collectors::conntrack::counters(&node, Some(rows));
    }
    let (read_long, (node, evidence)) = tokio::join!(host.evidence(&long, &[]), async {
        let first = unread(collectors::FIRST, &evidence);
        evidence.extend(host.evidence(&first, &[]).await);
        let then = unread(&collectors::then(&evidence), &evidence);
        evidence.extend(host.evidence(&then, &[]).await);
        let node = Node { config: asked.config.clone(), ..Node::from_evidence(&evidence) };
        let mut rows: Vec<Rows> = checks.iter().map(|check| (check.reads)(&node, asked)).collect();
        for rows in &mut rows {
            rows.artifacts.retain(|row| !long.contains(row));
        }
        read(host, rows, &mut evidence).await;
        (node, evidence)
    });
    let mut evidence = evidence;
    evidence.extend(read_long);
    if let Some(interval) = asked.interval {
        // A bundle holds both looks: the time between them has passed.
        if host.is_live() {
            tokio::time::sleep(interval).await;
        }
        let rows = checks.iter().map(|check| (check.later)(&node, asked)).collect();
        read(host, rows, &mut evidence).await;
    }
    ((!node.name.is_empty()).then_some(node.name), evidence)
}

/// The rows that are not in the evidence yet.
fn unread(rows: &[Artifact], evidence: &Evidence) -> Vec<Artifact> {
    rows.iter().filter(|row| evidence.get(&row.path()).is_none()).cloned().collect()
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
    let is_shown = output.format.is_for_people();
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
async fn asked(options: &Options, args: &cli::Check) -> anyhow::Result<Asked> {
    let mut asked =
        Asked { probe: !args.no_probe, config: options.config.clone(), ..Asked::default() };
    match &args.subject {
        Some(Subject::System(system)) => {
            if let Some(file) = &system.kernel_config {
                let shown = file.display();
                let bytes = read_own(file, CONFIG_BYTES)
                    .await
                    .context("failed to read the kernel's configuration")?;
                let is_one = kernel::Config::read(&bytes).is_some();
                anyhow::ensure!(is_one, "{shown} is no configuration of a kernel");
                asked.kernel_config = Some(Arc::new((bytes, shown.to_string())));
            }
        }
        Some(Subject::Conntrack(conntrack)) => {
            asked.interval = conntrack.interval;
            asked.warn_percent = conntrack.warn;
            asked.fail_percent = conntrack.fail;
            asked.top = conntrack.top.map(usize::from);
            asked.max = conntrack.max;
        }
        Some(Subject::Routes(routes)) => asked.interval = routes.interval,
        Some(Subject::NetworkManager(networkmanager)) => {
            asked.interfaces.clone_from(&networkmanager.interface);
        }
        // The others have no options of their own.
        _ => {}
    }
    Ok(asked)
}

/// The check that a subject is.
const fn name(subject: &Subject) -> &'static str {
    match subject {
        Subject::Time => "time",
        Subject::Disk => "disk",
        Subject::Certificates => "certificates",
        Subject::System(_) => "system",
        Subject::Sysctl => "sysctl",
        Subject::Interfaces => "interfaces",
        Subject::Routes(_) => "routes",
        Subject::Felix => "felix",
        Subject::Bgp => "bgp",
        Subject::Firewall => "firewall",
        Subject::Cni => "cni",
        Subject::Conntrack(_) => "conntrack",
        Subject::Datastore => "datastore",
        Subject::Environment => "environment",
        Subject::NetworkManager(_) => "networkmanager",
        Subject::Logs => "logs",
    }
}

fn exit(report: &Report, args: &cli::Check) -> Exit {
    let is_strict = args.strict || args.fail_on == FailOn::Warn;
    let summary = report.summary;
    if summary.fail > 0 || (is_strict && summary.warn > 0) {
        Exit::Wrong
    } else if summary.unknown > 0 {
        Exit::Unknown
    } else {
        Exit::Well
    }
}
