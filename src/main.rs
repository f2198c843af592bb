//! Parses what was typed, runs it, and maps the result to an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any runtime or thread exists.
    if let Some(status) = calivet::host::enter::run_in_if_asked(std::env::args_os()) {
        return status;
    }
    ExitCode::SUCCESS
}
