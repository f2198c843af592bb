//! The man pages: what `clap_mangen` makes of a command, and the sections that a tree of commands does not have.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use crate::checks::{CHECKS, Check, explained};
use crate::cli;

/// A path, a variable or a status, and what it is.
type Row = (&'static str, &'static str);

/// The page of the command that these words lead to (`["check", "bgp"]`; without any, that of `calivet`). `None`: there is
/// no such command.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is no number of seconds.
pub fn of(words: &[String]) -> anyhow::Result<Option<String>> {
    let tree = tree();
    let (mut command, mut parent) = (&tree, None);
    for word in words {
        let Some(below) = command.find_subcommand(word) else { return Ok(None) };
        (command, parent) = (below, Some(command));
    }
    page(command, parent).map(Some)
}

/// All pages by the names of their files, those of the programs that kubectl runs among them.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is no number of seconds.
pub fn all() -> anyhow::Result<BTreeMap<String, String>> {
    let tree = tree();
    let mut pages = BTreeMap::new();
    add(&tree, None, &mut pages)?;
    for (program, page) in
        [("kubectl-calivet", "calivet"), ("kubectl_complete-calivet", "calivet-completions")]
    {
        pages.insert(format!("{program}.1"), format!(".so man1/{page}.1\n"));
    }
    Ok(pages)
}

/// The commands, with the names that their pages have.
fn tree() -> Command {
    let mut tree = cli::tree(None).name("calivet").disable_help_subcommand(true);
    tree.build();
    tree
}

/// Adds the page of a command, and those of the commands beneath it.
fn add(
    command: &Command,
    parent: Option<&Command>,
    pages: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let page = page(command, parent)?;
    pages.insert(format!("{}.1", name(command)), page);
    for below in command.get_subcommands() {
        add(below, Some(command), pages)?;
    }
    Ok(())
}

/// As in `man calivet-node-status`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, parent: Option<&Command>) -> anyhow::Result<String> {
    let name = name(command);
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, notes) = apart(&after);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    // One page has the options of every command; the others would be half of them.
    let shown =
        command.clone().override_usage(usage).subcommand_help_heading("COMMANDS").mut_args(|arg| {
            if parent.is_some() && of_every_command(&arg) { arg.hide(true) } else { arg }
        });
    let man = Man::new(shown)
        .title(name.to_uppercase())
        .source(concat!("calivet ", env!("CARGO_PKG_VERSION")))
        .date(date()?)
        .manual("Calico node diagnostics");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    let check = CHECKS.iter().find(|check| name == format!("calivet-check-{}", check.name));
    if let Some(check) = check {
        describe(check, &notes).to_writer(&mut text)?;
        findings(check).to_writer(&mut text)?;
    } else {
        man.render_description_section(&mut text)?;
        let mut roff = Roff::new();
        if !notes.is_empty() {
            roff.control("PP", []);
        }
        paragraphs(&mut roff, &notes);
        roff.to_writer(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    if parent.is_some() {
        if !command.get_arguments().any(|arg| !of_every_command(arg) && !arg.is_hide_set()) {
            let mut roff = Roff::new();
            roff.control("SH", ["OPTIONS"]);
            roff.to_writer(&mut text)?;
        }
        elsewhere(command).to_writer(&mut text)?;
    }
    section("EXIT STATUS", &statuses(name)).to_writer(&mut text)?;
    section("ENVIRONMENT", &variables(name)).to_writer(&mut text)?;
    section("FILES", &files(name)).to_writer(&mut text)?;
    if !examples.is_empty() {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]);
        as_it_is(&mut roff, examples.iter().map(String::as_str));
        roff.to_writer(&mut text)?;
    }
    see_also(command, parent).to_writer(&mut text)?;
    Ok(finished(&String::from_utf8(text)?))
}

/// Whether an argument is one that every command has.
fn of_every_command(arg: &Arg) -> bool {
    arg.get_help_heading().is_some() || ["help", "version"].contains(&arg.get_id().as_str())
}

/// What stands after the options in the help: the lines of its examples, and the rest. The statuses have a section of
/// their own in a man page.
fn apart(after: &str) -> (Vec<String>, Vec<String>) {
    let (mut examples, mut notes) = (Vec::new(), Vec::new());
    for block in after.split("\n\n").filter(|block| !block.is_empty()) {
        match block.split_once('\n') {
            Some(("Exit status:", _)) => {}
            Some(("Examples:" | "Example:", lines)) => {
                examples.extend(lines.lines().map(|line| line.trim_start().to_owned()));
            }
            _ => notes.push(block.to_owned()),
        }
    }
    (examples, notes)
}

/// What a check rests on: what its chapter of the documentation says before its first finding.
fn describe(check: &Check, notes: &[String]) -> Roff {
    let chapter = explained::section(check.name).unwrap_or_default();
    let about = chapter.split("\n### ").next().unwrap_or_default();
    let blocks = about.split("\n\n").skip(1).map(plain).chain(notes.iter().cloned());
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &blocks.filter(|block| !block.is_empty()).collect::<Vec<_>>());
    roff
}

fn paragraphs(roff: &mut Roff, blocks: &[String]) {
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        // A block with lines that are indented is a list, and stays as it is.
        if block.contains("\n  ") {
            as_it_is(roff, block.lines());
        } else {
            for line in block.lines() {
                roff.text([roman(line)]);
            }
        }
    }
}

fn as_it_is<'a>(roff: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

/// The names of the options that the page of all commands tells.
fn elsewhere(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("PP", []);
    let mut line =
        vec![roman("Options of every command, told in "), bold("calivet"), roman("(1): ")];
    let options = command.get_arguments().filter(|arg| arg.get_help_heading().is_some());
    for (index, long) in options.filter_map(Arg::get_long).enumerate() {
        line.push(roman(if index > 0 { ", " } else { "" }));
        line.push(bold(format!("--{long}")));
    }
    line.push(roman("."));
    roff.text(line);
    roff
}

/// Markdown without its links.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown.trim();
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, after)) = link.split_once("](") else { break };
        text.push_str(before);
        text.push_str(label);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.replace('*', "")
}

fn findings(check: &Check) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["FINDINGS"]);
    roff.text([
        roman("Each with the sentence that is true when it passes; "),
        bold("calivet explain"),
        roman(" "),
    ]);
    roff.text([italic("ID"), roman(" tells more.")]);
    for kind in check.finds {
        roff.control("TP", []);
        roff.text([bold(kind.id)]);
        roff.text([roman(kind.passes)]);
    }
    roff
}

fn section(title: &str, rows: &[Row]) -> Roff {
    let mut roff = Roff::new();
    if rows.is_empty() {
        return roff;
    }
    roff.control("SH", [title]);
    for (what, meaning) in rows {
        roff.control("TP", []);
        roff.text([bold(*what)]);
        roff.text([roman(*meaning)]);
    }
    roff
}

/// Whether a command looks at a node, or at what was collected there.
fn asks_a_node(name: &str) -> bool {
    !["calivet-bundle", "calivet-explain", "calivet-completions", "calivet-man"]
        .iter()
        .any(|other| name.starts_with(other))
}

fn statuses(name: &str) -> Vec<Row> {
    const USAGE: Row = ("2", "The command line is wrong.");
    if ["calivet-explain", "calivet-completions", "calivet-man"].contains(&name) {
        return vec![("0", "Done."), USAGE, ("3", "stdout could not be written.")];
    }
    let well = match name {
        "calivet-bundle-diff" => ("0", "Done, whether or not something differs."),
        "calivet-node-diags" => ("0", "The bundle is written and whole."),
        _ if name.starts_with("calivet-bundle") => ("0", "Done."),
        _ => ("0", "Done, and nothing is wrong. Warnings are allowed, unless --strict is given."),
    };
    let wrong = match name {
        "calivet-node-diags" => {
            Some(("1", "The bundle is written and is not whole: something could not be read."))
        }
        "calivet-bundle-redact" => {
            Some(("1", "The old bundle is not whole; the new one has what could be read."))
        }
        _ if name.starts_with("calivet-bundle") => None,
        "calivet-node-status" => Some((
            "1",
            "A BGP peer is not established, BIRD does not answer, or Felix is not running or not ready.",
        )),
        _ => Some(("1", "Done, and something is wrong.")),
    };
    let unknown = match name {
        "calivet-bundle-verify" => {
            "A file is not the one that the manifest lists, or the bundle cannot be read."
        }
        _ if name.starts_with("calivet-bundle") => {
            "There is no such bundle or item, or the result could not be written."
        }
        "calivet-node-diags" => "No bundle could be written.",
        _ => {
            "It could not be done or known: no permission, no such bundle; nothing failed, but something stayed unknown."
        }
    };
    let mut rows = vec![well];
    rows.extend(wrong);
    rows.extend([USAGE, ("3", unknown)]);
    if name == "calivet-node-diags" {
        rows.push((
            "130, 143, 129",
            "Ended by Ctrl-C, SIGTERM or SIGHUP; the bundle is valid and says so.",
        ));
    }
    rows
}

fn variables(name: &str) -> Vec<Row> {
    let mut rows = vec![
        ("NO_COLOR, CLICOLOR=0, TERM=dumb", "No colour, unless --color always is given."),
        ("CLICOLOR_FORCE", "Colour also into a pipe, unless --color never is given."),
        ("LC_ALL, LC_CTYPE, LANG", "Where these name no UTF-8, progress is shown in ASCII."),
    ];
    let reads_settings = [
        "calivet",
        "calivet-node-diags",
        "calivet-check",
        "calivet-check-datastore",
        "calivet-check-environment",
        "calivet-check-bgp",
    ];
    if reads_settings.contains(&name) {
        rows.push((
            "DATASTORE_TYPE, ETCD_ENDPOINTS, KUBECONFIG, ...",
            "How the datastore is reached (all variables of calicoctl's), where there is no configuration file; each is also read with CALICO_ before its name. \
             sudo keeps them with -E.",
        ));
    }
    rows
}

fn files(name: &str) -> Vec<Row> {
    if !asks_a_node(name) {
        return Vec::new();
    }
    let all = [
        (
            "/etc/calico/calicoctl.cfg",
            "Connection settings for the datastore, as calicoctl reads them.",
        ),
        ("/var/run/calico/bird.ctl, bird6.ctl", "BIRD's control sockets."),
        ("/var/log/calico, /var/log/pods", "Calico's logs."),
        ("/etc/cni/net.d", "The configuration of the CNI plugin."),
        (
            "/etc/NetworkManager/conf.d",
            "What NetworkManager leaves alone; check networkmanager --fix writes calico.conf there.",
        ),
        (
            "/etc/sysctl.d",
            "Settings of the kernel after a reboot; --fix of check conntrack and check sysctl writes there.",
        ),
        (
            "diags-YYYYMMDD_HHMMSS.tar.gz",
            "The bundle, in the current folder; its owner alone may read it.",
        ),
    ];
    let wanted: &[usize] = match name {
        "calivet" => &[0, 1, 2, 3, 4, 5, 6],
        "calivet-node-diags" => &[0, 1, 2, 3, 6],
        "calivet-node-status" => &[1],
        "calivet-check" => &[0, 1, 2, 3, 4, 5],
        "calivet-check-bgp" => &[0, 1],
        "calivet-check-datastore" | "calivet-check-environment" => &[0],
        "calivet-check-cni" => &[3],
        "calivet-check-networkmanager" => &[4],
        "calivet-check-conntrack" | "calivet-check-sysctl" => &[5],
        "calivet-check-felix" | "calivet-check-logs" => &[2],
        _ => &[],
    };
    wanted.iter().filter_map(|index| all.get(*index).copied()).collect()
}

fn see_also(command: &Command, parent: Option<&Command>) -> Roff {
    let mut pages: Vec<&str> = parent.map(name).into_iter().collect();
    pages.extend(command.get_subcommands().map(name));
    if name(command).starts_with("calivet-check") {
        pages.push("calivet-explain");
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(page), roman("(1)")]);
    }
    roff.text(line);
    roff
}

/// The day of the build, or of `SOURCE_DATE_EPOCH`, so that a build can be repeated to the byte.
fn date() -> anyhow::Result<String> {
    let now = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds
            .parse()
            .map_err(anyhow::Error::from)
            .and_then(|seconds| Ok(jiff::Timestamp::from_second(seconds)?))
            .context("failed to read the day of the build from SOURCE_DATE_EPOCH")?,
        Err(_) => jiff::Timestamp::now(),
    };
    Ok(now.strftime("%Y-%m-%d").to_string())
}

/// The page as it is read best: ragged to the right and without broken words, and what the help has between backticks in
/// bold. Each part brings a preamble and some blank lines that a page needs once, or not at all.
fn finished(roff: &str) -> String {
    const PREAMBLE: [&str; 2] = [".ie \\n(.g .ds Aq \\(aq", ".el .ds Aq '"];
    let mut text = PREAMBLE.join("\n") + "\n";
    let lines = roff.lines().filter(|line| !PREAMBLE.contains(line) && !line.is_empty());
    for (line, next) in lines.clone().zip(lines.skip(1).chain([""])) {
        if line == ".br" && next == ".br" {
            continue;
        }
        if line == ".RS 14" {
            text.push_str(".RS");
        } else if line.matches('`').count() % 2 == 1 {
            text.push_str(line.trim_end());
        } else {
            for (index, part) in line.trim_end().split('`').enumerate() {
                text.push_str(match index {
                    0 => "",
                    odd if odd % 2 == 1 => "\\fB",
                    _ => "\\fR",
                });
                text.push_str(part);
            }
        }
        text.push('\n');
        if line.starts_with(".TH ") {
            text.push_str(".nh\n.ad l\n");
        }
    }
    text
}
