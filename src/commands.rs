//! One file a command: host -> work -> output.

mod bundle;
mod check;
mod completions;
mod confinement;
mod explain;
mod man;
mod node_diags;
mod node_status;
mod pseudonyms;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::cli::{Cli, Command, Format, Node, Options};
use crate::host::Host;
use crate::output::Output;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is wrong and nothing stayed unknown.
    Well,
    /// Something is wrong, or a bundle is not whole.
    Wrong,
    /// The command line is wrong.
    Usage,
    /// It could not be done or known.
    Unknown,
    /// A signal ended the run early; its number.
    Interrupted(u8),
}

impl Exit {
    /// The exit status of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Wrong => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            // As a shell tells of a process that a signal has ended.
            Self::Interrupted(signal) => 128 + signal,
        }
    }
}

/// Options that parse one by one but make no sense together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(Cow<'static, str>);

impl Misuse {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

/// How a run ended that could not be done.
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<Misuse>() { Exit::Usage } else { Exit::Unknown }
}

/// Runs what was typed.
///
/// # Errors
/// It could not be done at all.
pub fn run(cli: &Cli) -> anyhow::Result<Exit> {
    // Before there is a thread, which would not be.
    confinement::begin(cli);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let output = Output::new(&cli.options);
    let is_check = matches!(cli.command, Command::Check(_) | Command::Node(Node::CheckSystem(_)));
    if matches!(output.format, Format::Short | Format::Junit) && !is_check {
        return Err(Misuse::new("short and junit are formats of `check` only").into());
    }
    let result = runtime.block_on(async {
        match &cli.command {
            Command::Bundle(command) => bundle::run(&cli.options, command, output).await,
            Command::Explain(args) => explain::run(args, output),
            Command::Completions(args) => completions::run(args, output),
            Command::Man(args) => man::run(args, output),
            Command::Check(args) => Box::pin(check::run(&cli.options, args, output)).await,
            Command::Node(Node::Status(args)) => node_status::run(&cli.options, args, output).await,
            Command::Node(Node::CheckSystem(args)) => {
                Box::pin(check::system(&cli.options, args, output)).await
            }
            Command::Node(Node::Diags(args)) => {
                has_root(&cli.options)?;
                Box::pin(node_diags::run(&cli.options, args, output)).await
            }
        }
    });
    // A thread that hangs in the kernel (a dead file server) must not hold up the end.
    runtime.shutdown_background();
    result
}

/// The bundle that `--from` names, or this machine.
fn host(options: &Options, timeout: Duration) -> anyhow::Result<Host> {
    if let Some(bundle) = &options.from {
        return Ok(Host::bundle(bundle)?);
    }
    has_root(options)?;
    Ok(Host::live(&options.root, options.timeout.unwrap_or(timeout)))
}

/// Whether there is the folder that `--root` names: a mistyped one would else be a host without anything.
fn has_root(options: &Options) -> Result<(), Misuse> {
    if options.root == Path::new("/") || options.root.is_dir() {
        return Ok(());
    }
    let root = options.root.display();
    Err(Misuse::new(format!("there is no folder {root} that can be looked into (--root)")))
}
