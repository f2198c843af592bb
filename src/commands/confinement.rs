//! Which commands only read files, and which files: they are confined to these before they begin.

use std::path::{Path, PathBuf};

use crate::cli::{Bundle, Cli, Command, Node, Subject};
use crate::host::confine;

/// Confines a command that asks no machine, as far as this kernel can.
pub(super) fn begin(cli: &Cli) {
    let Some(Files { read, write }) = files(cli) else { return };
    let confined = confine::to_files(&read, &write);
    tracing::debug!(?confined, ?read, ?write, "confined to files");
}

/// What is read, and folders in which is written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

impl Files {
    fn read<const N: usize>(paths: [&Path; N]) -> Self {
        Self { read: paths.map(Path::to_owned).to_vec(), write: Vec::new() }
    }

    /// What is written is a file in a folder, and another beside it until it is whole.
    fn written(mut self, file: &Path) -> Self {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        self.write.push(folder.unwrap_or(Path::new(".")).to_owned());
        self
    }
}

/// The files of a command that only reads files.
fn files(cli: &Cli) -> Option<Files> {
    match &cli.command {
        Command::Bundle(command) => Some(of_bundle(command)),
        Command::Explain(_) | Command::Completions(_) | Command::Man(_) => Some(Files::default()),
        Command::Check(args) => {
            let mut files = Files::read([cli.options.from.as_deref()?]);
            files.read.extend(args.suppressions.clone());
            if let Some(Subject::System(system)) = &args.subject {
                files.read.extend(system.kernel_config.clone());
            }
            Some(files)
        }
        Command::Node(Node::Status(_)) => Some(Files::read([cli.options.from.as_deref()?])),
        Command::Node(Node::CheckSystem(args)) => {
            let mut files = Files::read([cli.options.from.as_deref()?]);
            files.read.extend(args.kernel_config.clone());
            Some(files)
        }
        Command::Node(Node::Diags(_)) => None,
    }
}

fn of_bundle(command: &Bundle) -> Files {
    match command {
        Bundle::Show(args) | Bundle::Verify(args) => Files::read([&args.file]),
        Bundle::List(args) => Files::read([&args.file]),
        Bundle::Cat(args) => Files::read([&args.file]),
        Bundle::Diff(args) => Files::read([&args.before, &args.after]),
        Bundle::Report(args) => {
            let files = Files::read([&args.file]);
            match args.output_file.as_deref() {
                Some(page) if page == Path::new("-") => files,
                Some(page) => files.written(page),
                // It goes beside the bundle.
                None => files.written(&args.file),
            }
        }
        Bundle::Redact(args) => {
            let files = Files::read([&args.old]).written(&args.new);
            match &args.obfuscation_key {
                Some(key) => files.written(key),
                None => files,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn of(line: &str) -> Option<Files> {
        files(&Cli::parse_from(line.split(' ')))
    }

    fn paths(files: &[&str]) -> Vec<PathBuf> {
        files.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_command_that_asks_this_machine_is_not_confined_to_files() {
        for line in [
            "calivet check",
            "calivet node status",
            "calivet node diags",
            "calivet check bgp --root /host",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_command_that_reads_a_bundle_reads_that_and_what_else_is_named() {
        for (line, read, write) in [
            (
                "calivet check --from a.tar.gz --suppressions s.yaml",
                &["a.tar.gz", "s.yaml"][..],
                &[][..],
            ),
            ("calivet check system -f k --from a.tar.gz", &["a.tar.gz", "k"], &[]),
            ("calivet node status --from a", &["a"], &[]),
            ("calivet bundle diff a b", &["a", "b"], &[]),
            ("calivet bundle report x/a", &["x/a"], &["x"]),
            ("calivet bundle report x/a --output-file page", &["x/a"], &["."]),
            ("calivet bundle report x/a --output-file -", &["x/a"], &[]),
            (
                "calivet bundle redact a /tmp/b --obfuscate --obfuscation-key k/key",
                &["a"],
                &["/tmp", "k"],
            ),
            ("calivet explain", &[], &[]),
        ] {
            let expected = Files { read: paths(read), write: paths(write) };
            assert_eq!(of(line), Some(expected), "{line}");
        }
    }
}
