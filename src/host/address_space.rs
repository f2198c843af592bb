//! A bound on the addresses of this process (`ulimit -v`, `RLIMIT_AS`), or a control group with little memory.
//!
//! glibc reserves 64 MiB of addresses for what each thread allocates (`HEAP_MAX_SIZE`), whether they are used or not. A
//! dozen threads would take all that a bound leaves, and then nothing can be allocated at all. With one arena for all
//! threads (glibc's manual, "Memory Allocation Tunables") they take what they use. So they do of memory: what one thread has
//! freed, another can have.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::execve;

use super::memory;

const VARIABLE: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.arena_max";

/// Where there is such a bound, begins this process anew with one arena; it can be set only from the start. Returns where
/// that is not needed, is done already, or cannot be had.
pub fn spare() {
    let is_bound = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
        || memory::is_little();
    let tunables = std::env::var_os(VARIABLE).unwrap_or_default().into_string();
    let (true, Ok(mut tunables)) = (is_bound, tunables) else { return };
    if tunables.contains(TUNABLE) {
        return;
    }
    if !tunables.is_empty() {
        tunables.push(':');
    }
    tunables.push_str(TUNABLE);
    tunables.push_str("=1");
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
