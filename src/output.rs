//! The only place that prints.
//!
//! stdout carries the result and nothing else; progress, notes and errors go to stderr. What was read from the
//! node never reaches a terminal raw: see [`printable`].
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the place that prints"
)]

pub mod bundle;
mod conntrack;
pub mod difference;
pub mod explanation;
pub mod findings;
pub mod junit;
mod lines;
pub mod report;
pub mod status;
pub mod summary;
pub mod table;
mod terminal;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::ColorChoice;
use clap::error::ErrorKind;
use serde::Serialize;

use crate::cli::{self, Color, Format, LogLevel, Options};

/// How results, notes and errors are shown.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// How the result is written.
    pub format: Format,
    /// Whether results may be coloured.
    pub color: bool,
    /// Whether nothing but the result is wanted.
    pub quiet: bool,
    /// Columns of the terminal that shows the result; `None`: it goes to a file or a pipe, where a line stays a line.
    pub columns: Option<usize>,
}

impl Output {
    /// As the user wishes, and as the terminal allows.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            format: options.output,
            color: match options.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal::takes_colour(io::stdout().is_terminal()),
            },
            quiet: options.quiet,
            columns: terminal::columns(io::stdout()),
        }
    }

    /// Writes a result to stdout: as it is, but for people at a terminal that knows ASCII only.
    ///
    /// # Errors
    /// stdout cannot be written. A reader that has gone away (`| head`) is no error.
    pub fn print(self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let is_limited =
            self.format.is_for_people() && stdout.is_terminal() && !terminal::takes_unicode();
        let text = if is_limited { terminal::ascii(text) } else { Cow::Borrowed(text) };
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("failed to write to stdout")
            }
            _ => Ok(()),
        }
    }

    /// Copies data to stdout: as they are into a file or a pipe, line by line and [`printable`] to a terminal.
    ///
    /// # Errors
    /// They cannot be read to their end, or stdout cannot be written. A reader that has gone away is no error.
    pub fn pour(self, data: &mut dyn io::Read) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let copied = if stdout.is_terminal() {
            pour_printable(data, &mut stdout)
        } else {
            io::copy(data, &mut stdout).map(drop)
        };
        match copied.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("failed to copy to stdout")
            }
            _ => Ok(()),
        }
    }

    /// A line on stderr for whoever watches; not with `--quiet`.
    pub fn note(self, text: &str) {
        if !self.quiet {
            tell(&format!("{text}\n"));
        }
    }

    /// Asks on stderr, and takes an answer from stdin. Only `y` and `yes` are a yes.
    ///
    /// # Errors
    /// Nobody is there to answer.
    pub fn asks(self, question: &str) -> anyhow::Result<bool> {
        anyhow::ensure!(
            io::stdin().is_terminal(),
            "failed to ask whether to change this host: stdin is not a terminal (--yes does not ask)"
        );
        let _ = write!(io::stderr().lock(), "{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).context("failed to read the answer")?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A spinner on stderr with a message that is changed as work goes on; hidden where nobody watches.
    #[must_use]
    pub fn progress(self) -> indicatif::ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        let spinner = indicatif::ProgressBar::new_spinner();
        if terminal::takes_unicode() {
            return spinner;
        }
        spinner.with_style(indicatif::ProgressStyle::default_spinner().tick_chars("-\\|/ "))
    }
}

/// stdout as a stream, for a bundle that is piped on.
#[must_use]
pub fn stdout() -> impl Write + Send + 'static {
    io::stdout()
}

/// As clap shows the word.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// An error and its causes, on stderr.
pub fn error(error: &anyhow::Error) {
    let style = if colours_stderr() { ERROR } else { Style::new() };
    tell(&format!("{style}error:{style:#} {}\n", printable(&format!("{error:#}"))));
}

/// What is wrong with the command line, on stderr; or the help that was asked for, on stdout. Clap fits help into the
/// terminal, and errors it does not.
pub fn usage(error: &clap::Error) {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody to tell is no reason to fail otherwise.
        let _ = error.print();
        return;
    }
    let text = error.render();
    tell(&if colours_stderr() { text.ansi().to_string() } else { text.to_string() });
}

/// Whether stderr is coloured, by the command line as it was typed: some of what is told is told before it is parsed.
fn colours_stderr() -> bool {
    match cli::color(std::env::args_os()) {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal::takes_colour(io::stderr().is_terminal()),
    }
}

/// Lines on stderr, broken between words where a terminal shows them.
fn tell(text: &str) {
    let text = lines::fill(text, terminal::columns(io::stderr()));
    // Nobody to tell is no reason to stop.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Log lines of this level and above go to stderr.
pub fn log(options: &Options) {
    let level = match (options.log_level, options.verbose) {
        (Some(LogLevel::Error), _) => tracing::Level::ERROR,
        (Some(LogLevel::Warn), _) => tracing::Level::WARN,
        (Some(LogLevel::Info), _) | (None, 1) => tracing::Level::INFO,
        (Some(LogLevel::Debug), _) | (None, 2) => tracing::Level::DEBUG,
        (Some(LogLevel::Trace), _) | (None, 3..) => tracing::Level::TRACE,
        (None, 0) => return,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colours_stderr())
        .with_target(false)
        .with_writer(io::stderr)
        .init();
}

/// A document for scripts: JSON, or YAML with the same fields in the same order.
///
/// # Errors
/// The value cannot be written in that format.
pub fn document(value: &impl Serialize, format: Format) -> anyhow::Result<String> {
    if format == Format::Yaml {
        // Block scalars that begin with a tab cannot be read by libyaml.
        let options = serde_yaml::ser_options! { prefer_block_scalars: false };
        return serde_yaml::to_string_with_options(value, options).context("failed to write YAML");
    }
    let text = serde_json::to_string_pretty(value).context("failed to write JSON")?;
    // JSON escapes the control characters of ASCII, and a terminal obeys others too.
    let mut shown = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character == '\n' || is_harmless(character) {
            shown.push(character);
        } else {
            // All of them are below 0x10000, so that one escape does.
            let _ = write!(shown, "\\u{:04x}", u32::from(character));
        }
    }
    shown.push('\n');
    Ok(shown)
}

/// Whether a terminal only shows a character: see [`printable`].
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with everything replaced that would make a terminal do more than show it: control characters and
/// marks that turn the direction of writing appear as `\x1b` or `\u{202e}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_harmless(character) {
            shown.push(character);
        } else if character.is_ascii() {
            let _ = write!(shown, "\\x{:02x}", u32::from(character));
        } else {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        }
    }
    Cow::Owned(shown)
}

/// Copies text so that a terminal only shows it; of a line that has no end, a piece at a time.
fn pour_printable(data: &mut dyn io::Read, into: &mut impl Write) -> io::Result<()> {
    const PIECE: u64 = 64 << 10;
    let mut data = io::BufReader::new(data);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = data.by_ref().take(PIECE).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        let has_end = line.last() == Some(&b'\n');
        let text = if has_end { &line[..count - 1] } else { &line[..] };
        let mut cells = text.split(|&byte| byte == b'\t').map(String::from_utf8_lossy);
        // A tab does no harm, and tables stand on it.
        write!(into, "{}", printable(&cells.next().unwrap_or_default()))?;
        for cell in cells {
            write!(into, "\t{}", printable(&cell))?;
        }
        if has_end {
            writeln!(into)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_passes() {
        assert_eq!(printable("Mesh_10_0_0_2 – plain"), "Mesh_10_0_0_2 – plain");
        assert_eq!(printable("a\x1b]52;c;x\x07b\r\n"), "a\\x1b]52;c;x\\x07b\\x0d\\x0a");
        assert_eq!(printable("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
    }

    #[test]
    fn what_is_poured_to_a_terminal_keeps_lines_and_tabs_and_nothing_else_it_obeys() {
        let mut shown = Vec::new();
        let raw = b"a\tb\x1b[2J\n\xff\xc2\x9b\r\nno end";
        pour_printable(&mut raw.as_slice(), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "a\tb\\x1b[2J\n\u{fffd}\\u{9b}\\x0d\nno end");
        let mut shown = Vec::new();
        pour_printable(&mut vec![b'x'; 200_000].as_slice(), &mut shown).unwrap();
        assert_eq!(shown.len(), 200_000);
    }

    #[test]
    fn a_document_holds_what_a_terminal_obeys_only_in_escapes() {
        let value = serde_json::json!({"a": "\u{9b}31m\u{7f}\u{202e}\x1b[2J", "b": "é"});
        for format in [Format::Json, Format::Yaml] {
            let text = document(&value, format).unwrap();
            assert!(text.chars().all(|shown| shown == '\n' || !shown.is_control()), "{text:?}");
            // YAML has no escapes in plain scalars: marks of direction stay as they are.
            assert!(format == Format::Yaml || !text.contains('\u{202e}'), "{text:?}");
            let back: serde_json::Value = match format {
                Format::Yaml => serde_yaml::from_str(&text).unwrap(),
                _ => serde_json::from_str(&text).unwrap(),
            };
            assert_eq!(back, value);
        }
    }

    #[test]
    fn yaml_quotes_what_an_older_reader_would_take_for_something_else() {
        let value = serde_json::json!({"a": "no", "b": "1_000", "c": "\tx\ny"});
        let text = document(&value, Format::Yaml).unwrap();
        assert!(text.contains("a: \"no\"") || text.contains("a: 'no'"), "{text}");
        let back: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(back, value);
    }
}
