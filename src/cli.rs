//! What a user may type. The doc comments here are the help text; there is no logic.

mod bundle;
mod check;
mod id;
mod node;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use crate::checks::CHECKS;
use crate::collectors::COLLECTORS;

pub use bundle::*;
pub use check::*;
pub use node::*;

/// Vet a Calico node: BGP status, and a diagnostics bundle that is safe to share
#[derive(Debug, Parser)]
#[command(name = "calivet", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  sudo -E calivet check -o short  what is wrong with this node, what mends it
  sudo calivet node status        which BGP peers are up, and why others are not
  sudo -E calivet node diags      all that a support engineer needs
  calivet explain bgp.peer        what a finding means

Exit status:
  0  done, and nothing is wrong
  1  done, and something is wrong: a peer is not established, an agent is
     down, a bundle is not whole
  2  the command line is wrong
  3  it could not be done or known: no permission, no such bundle, nothing
     could be written")]
pub struct Cli {
    /// Options that every command knows.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Options {
    /// `table` and `wide` for people, `json` and `yaml` for scripts (`check`: also `short` and `junit`); stdout
    /// carries nothing else
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,

    /// Read a bundle (file or unpacked folder) in place of this host
    #[arg(long, global = true, value_name = "BUNDLE", value_hint = ValueHint::AnyPath)]
    pub from: Option<PathBuf>,

    /// The host's file system is at DIR (`/host` in a pod)
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        value_hint = ValueHint::DirPath,
        conflicts_with = "from"
    )]
    pub root: PathBuf,

    /// Connection settings for the datastore, as calicoctl reads them
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/calico/calicoctl.cfg",
        value_hint = ValueHint::FilePath
    )]
    pub config: PathBuf,

    /// Bound on any one question put to the host, such as `5s` [default: 10s; in `node diags` 60s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,

    /// Say nothing but the result
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    pub quiet: bool,

    /// Tell on stderr what is done (-vv: in detail)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Tell on stderr messages of this level and above
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        conflicts_with = "verbose"
    )]
    pub log_level: Option<LogLevel>,

    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// How the result is written to stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people who want it all.
    Wide,
    /// `check` only: what is not well.
    Short,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// `check` only: JUnit's XML, as continuous integration reads it.
    Junit,
}

impl Format {
    /// Whether it is one document for scripts, with the fields of a schema.
    #[must_use]
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }

    /// Whether people read it.
    #[must_use]
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide | Self::Short)
    }
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Also into a pipe.
    Always,
    /// Not even on a terminal.
    Never,
}

/// From which level on messages are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what fails.
    Error,
    /// And what is odd.
    Warn,
    /// And what is done.
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// This node: its status, a diagnostics bundle
    #[command(subcommand)]
    Node(Node),
    /// What is wrong with this node: every check, or one subject in depth
    Check(Check),
    /// Bundles: what one holds, whether it is whole, what changed between two
    #[command(subcommand)]
    Bundle(Bundle),
    /// What a finding means, why it matters, how it is proved and mended; without ID, the list of all
    Explain(Explain),
    /// Write what completes calivet's words in a shell to stdout
    Completions(Completions),
    /// Write the man page of a command to stdout
    Man(Man),
}

/// `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet explain bgp.peer         what a finding of `check bgp` means
  calivet explain conntrack        all of a subject
  calivet explain                  the ids of all findings")]
pub struct Explain {
    /// The id of a finding, such as `conntrack.usage`, or a check
    #[arg(value_parser = id::FindingOrCheck, hide_possible_values = true)]
    pub id: Option<String>,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
The packages install them. By hand, for one user:
  calivet completions bash >~/.local/share/bash-completion/completions/calivet
  calivet completions fish >~/.config/fish/completions/calivet.fish
  calivet completions zsh >DIR/_calivet      where DIR is in $fpath

Example:
  source <(calivet completions bash)         for this shell only")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
The packages install them, one a command: man calivet-check-bgp.

Examples:
  calivet man | man -l -             calivet itself
  calivet man check bgp | man -l -   one of its commands")]
pub struct Man {
    /// The words of the command, such as `check bgp` [default: calivet itself]
    #[arg(value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// Shells that complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// With or without the package bash-completion.
    Bash,
    /// From 3 on.
    Fish,
    /// By compinit.
    Zsh,
}

/// The tree of all commands, under the name by which the program was called: kubectl runs `kubectl-calivet` for
/// `kubectl calivet`, and that is what its help should say.
#[must_use]
pub fn tree(program: Option<&OsStr>) -> clap::Command {
    let called = program.map(Path::new).and_then(Path::file_name);
    let is_plugin = called.is_some_and(|name| name == "kubectl-calivet");
    Cli::command().bin_name(if is_plugin { "kubectl calivet" } else { "calivet" })
}

/// When help and errors of the command line are coloured: clap writes them before it has come to `--color`.
#[must_use]
pub fn color(arguments: impl IntoIterator<Item = OsString>) -> ColorChoice {
    let mut arguments = arguments.into_iter().take_while(|argument| argument != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(argument) = arguments.next() {
        let when = match argument.to_str().and_then(|argument| argument.strip_prefix("--color")) {
            Some("") => arguments.next().and_then(|when| when.into_string().ok()),
            Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
            None => None,
        };
        match when.as_deref() {
            Some("auto") => choice = ColorChoice::Auto,
            Some("always") => choice = ColorChoice::Always,
            Some("never") => choice = ColorChoice::Never,
            _ => {}
        }
    }
    choice
}

/// The collectors by name, with what each is.
fn collectors() -> PossibleValuesParser {
    COLLECTORS
        .iter()
        .map(|collector| PossibleValue::new(collector.name).help(collector.about))
        .collect::<Vec<_>>()
        .into()
}

/// The checks by name, with what each looks at.
fn checks() -> PossibleValuesParser {
    CHECKS
        .iter()
        .map(|check| PossibleValue::new(check.name).help(check.about))
        .collect::<Vec<_>>()
        .into()
}

/// The name of an interface, as the kernel takes one: 1 to 15 bytes, no slash and no blank (`dev_valid_name`).
fn interface(text: &str) -> Result<String, String> {
    let is_odd = |character: char| character == '/' || character.is_whitespace();
    if text.is_empty() || text.len() > 15 || text.contains(is_odd) {
        return Err("an interface's name has 1 to 15 bytes, no slash and no blank".to_owned());
    }
    Ok(text.to_owned())
}

/// A span of time such as `10s`, `2h 30m`, `1d`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = match text.parse() {
        Ok(span) => span,
        // jiff's durations end at hours, for a day is not always 24 of them; here it is.
        Err(_) => match text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
            Some(days) => jiff::SignedDuration::from_hours(24 * i64::from(days)),
            None => return Err("a number with a unit is wanted, such as 5s, 2h 30m, 1d".to_owned()),
        },
    };
    match Duration::try_from(span) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be longer than nothing".to_owned()),
    }
}

/// A size such as `64MiB`, `500kB`, `1G`.
fn size(text: &str) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() >= 4096 => Ok(size),
        Ok(_) => Err("must be at least 4 KiB".to_owned()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_subjects_are_listed_in_the_order_in_which_they_are_looked_at() {
        let tree = Cli::command();
        let check = tree.find_subcommand("check").unwrap();
        let listed: Vec<&str> = check.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(listed, CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_command_shows_how_it_is_used() {
        let mut wrong = Vec::new();
        let mut left = vec![Cli::command()];
        while let Some(command) = left.pop() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if !command.has_subcommands() && !after.contains("Example") {
                wrong.push(command.get_name().to_owned());
            }
            left.extend(command.get_subcommands().cloned());
        }
        assert!(wrong.is_empty(), "{wrong:?} have no examples");
    }

    #[test]
    fn colour_is_known_before_the_command_line_is_read() {
        let of = |line: &str| color(line.split(' ').map(OsString::from));
        assert_eq!(of("calivet check --color never --help"), ColorChoice::Never);
        assert_eq!(of("calivet --color=always nod"), ColorChoice::Always);
        for line in ["calivet --help", "calivet --colour never", "calivet -- --color never"] {
            assert_eq!(of(line), ColorChoice::Auto, "{line}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2h30m"), Ok(Duration::from_secs(9000)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "10", "-5s", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("64MiB").map(|size| size.as_u64()), Ok(64 << 20));
        assert_eq!(size("1G").map(|size| size.as_u64()), Ok(1_000_000_000));
        for wrong in ["", "x", "-1", "12"] {
            assert!(size(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
