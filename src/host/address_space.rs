//! How glibc divides what the threads of this process allocate.
//!
//! glibc gives each thread an arena (up to eight for each core), reserves 64 MiB of addresses for it (`HEAP_MAX_SIZE`),
//! and keeps for it what its threads have freed. Threads that share one can have what another has freed; how many there
//! are can be said only when a process begins (glibc's manual, "Memory Allocation Tunables").

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::execve;

use super::memory;

const VARIABLE: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.arena_max";

/// Arenas of a run that holds much on many threads. On a node of 110 pods and 90 MB of logs, `node diags` takes 43 to 50 MiB
/// with two and 54 to 66 MiB with as many as glibc likes, and no more time.
const FEW: u8 = 2;

/// Where there is a bound on addresses (`ulimit -v`, `RLIMIT_AS`) or a control group with little memory, begins this
/// process anew with one arena: a dozen would take all that a bound leaves, and then nothing can be allocated at all.
/// `holds_much`: with few, wherever it is. Returns where that is not needed, is done already, or cannot be had.
pub fn spare(holds_much: bool) {
    let is_bound = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
        || memory::is_little();
    let arenas = match (is_bound, holds_much) {
        (true, _) => 1,
        (false, true) => FEW,
        (false, false) => return,
    };
    let tunables = std::env::var_os(VARIABLE).unwrap_or_default().into_string();
    let Ok(mut tunables) = tunables else { return };
    if tunables.contains(TUNABLE) {
        return;
    }
    if !tunables.is_empty() {
        tunables.push(':');
    }
    tunables = format!("{tunables}{TUNABLE}={arenas}");
    let Ok(program) = std::env::current_exe() else { return };
    let text = |text: OsString| CString::new(text.into_vec()).ok();
    let arguments: Option<Vec<CString>> = std::env::args_os().map(text).collect();
    let others = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
    let environment: Option<Vec<CString>> = others
        .chain([(VARIABLE.into(), tunables.into())])
        .map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            text(variable)
        })
        .collect();
    if let (Some(program), Some(arguments), Some(environment)) =
        (text(program.into_os_string()), arguments, environment)
    {
        // It returns only if it failed: then it goes on as it is.
        let _ = execve(&program, &arguments, &environment);
    }
}
