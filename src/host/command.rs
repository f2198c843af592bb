//! Programs of a host, run within bounds.
//!
//! A program is found by its bare name in folders that only root can change and run by its absolute path, without
//! calivet's environment, without a shell, in a process group of its own. When its time is over the whole group
//! is killed, and its pipes are abandoned even if somebody holds them open.
#![allow(clippy::disallowed_methods, reason = "this is a part of the door to the machine")]

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Outcome, Reading, confine};
use crate::processes::Process;

/// How much of what a program says on stderr is kept.
const MAX_STDERR: usize = 64 << 10;
/// How much of it a reason quotes.
const MAX_QUOTED: usize = 300;
/// The time between asking a process group to end and ending it, and that for which a pipe is read after its
/// program has ended.
const GRACE: Duration = Duration::from_millis(200);

/// Runs the first of the alternatives (between ` | `) whose program the host has, or else calico-node's container,
/// if `felix`, its process, may be trusted with that.
pub(super) async fn run(
    root: &Path,
    felix: Option<&Process>,
    argv: &str,
    limit: Duration,
    max_bytes: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> Reading {
    let alternatives: Vec<Vec<&str>> = argv
        .split(" | ")
        .map(|argv| argv.split_ascii_whitespace().collect::<Vec<&str>>())
        .filter(|argv| !argv.is_empty())
        .collect();
    let names: Vec<&str> = alternatives.iter().map(|argv| argv[0]).collect();
    for argv in &alternatives {
        let Some(program) = confine::find(root, argv[0]) else { continue };
        let (file, arguments) = if root == Path::new("/") {
            (program.clone().into(), argv[1..].iter().map(OsString::from).collect())
        } else {
            (OsString::from("/proc/self/exe"), confine::in_root(root, argv))
        };
        return child(&file, &arguments, program, limit, max_bytes, chunks).await;
    }
    let absent = format!("no such program on this host: {}", names.join(", "));
    let Some(felix) = felix else { return Reading::failed(Outcome::Missing, absent) };
    if let Err(reason) = confine::is_as_powerful_as_host(root, felix.pid) {
        let reason = format!("{absent}; none is run from Calico's container: {reason}");
        return Reading::failed(Outcome::Missing, reason);
    }
    for argv in &alternatives {
        let arguments = confine::in_container(felix.pid, felix.start_time, argv);
        let place = format!("{} in the container of process {}", argv[0], felix.pid);
        let file = OsString::from("/proc/self/exe");
        let reading = child(&file, &arguments, place, limit, max_bytes, chunks).await;
        if reading.exit_status != Some(confine::NO_SUCH_PROGRAM) {
            return reading;
        }
    }
    Reading::failed(
        Outcome::Missing,
        format!("{absent}, nor in the container of process {}", felix.pid),
    )
}

async fn child(
    file: &OsString,
    arguments: &[OsString],
    place: String,
    limit: Duration,
    max_bytes: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> Reading {
    let mut reading = Reading::begin();
    let begun = Instant::now();
    let spawned = Command::new(file)
        .args(arguments)
        .env_clear()
        .envs([("PATH", confine::PATH), ("LC_ALL", "C"), ("LANG", "C"), ("TZ", "UTC")])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let outcome = match error.kind() {
                std::io::ErrorKind::PermissionDenied => Outcome::Denied,
                _ => Outcome::Failed,
            };
            let reason = format!("failed to run {place}: {error}");
            return Reading { place: Some(place), ..Reading::failed(outcome, reason) };
        }
    };
    let mut group = Group::of(child);
    let (mut sent, mut stderr) = (0, Vec::new());
    let end = {
        let follow = group.follow(max_bytes, chunks, &mut sent, &mut stderr);
        timeout_at(begun + limit, follow).await
    };
    match end {
        Err(_) => {
            group.end().await;
            reading.outcome = Outcome::Timeout;
            reading.reason = Some(format!("did not end within {limit:?}: it was killed"));
        }
        Ok(End::Full) => {
            group.end().await;
            reading.outcome = Outcome::Truncated;
            reading.reason = Some(format!("only the first {max_bytes} bytes are kept"));
        }
        Ok(End::Lost(error)) => {
            group.end().await;
            reading.outcome = Outcome::Failed;
            reading.reason = Some(format!("failed to follow {place}: {error}"));
        }
        Ok(End::Exited { status, is_whole }) => {
            if !is_whole {
                group.end().await;
            }
            tell(&mut reading, status, is_whole, &stderr);
        }
    }
    reading.original_bytes = sent;
    reading.place = Some(place);
    reading.duration = begun.elapsed();
    reading
}

/// What an exit status and the words on stderr say of a run.
fn tell(reading: &mut Reading, status: ExitStatus, is_whole: bool, stderr: &[u8]) {
    use std::os::unix::process::ExitStatusExt;

    let said = quote(stderr);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    reading.exit_status = status.code();
    match (status.code(), status.signal()) {
        (Some(0), _) if is_whole => return,
        (Some(0), _) => {
            reading.reason = Some(format!(
                "it left a process behind that holds its output open; what came until then is kept{said}"
            ));
        }
        (Some(code), _) => reading.reason = Some(format!("exit status {code}{said}")),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal)
                .map_or_else(|_| signal.to_string(), |name| name.to_string());
            reading.reason = Some(format!("it was ended by signal {name}{said}"));
        }
        (None, None) => reading.reason = Some(format!("it ended in an unknown way{said}")),
    }
    reading.outcome = Outcome::Failed;
}

/// The beginning of what a program said, in one line that a terminal shows and does not obey.
fn quote(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line: String = lines.join("; ").chars().take(MAX_QUOTED).collect();
    crate::archive::escape(line.as_bytes())
}

/// How a program ended.
enum End {
    Exited { status: ExitStatus, is_whole: bool },
    Full,
    Lost(std::io::Error),
}

/// A program and all that it started, as far as they stayed in its process group. Ended when dropped.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let leader = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        Self { child, leader }
    }

    /// Passes on what the program writes until it has ended and its output is closed.
    async fn follow(
        &mut self,
        max_bytes: u64,
        chunks: &mpsc::Sender<Vec<u8>>,
        sent: &mut u64,
        stderr: &mut Vec<u8>,
    ) -> End {
        let (Some(out), Some(err)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return End::Lost(std::io::ErrorKind::BrokenPipe.into());
        };
        let output = async {
            let passed = pass_on(out, max_bytes, chunks, sent).await;
            passed.map(|is_full| if is_full { Err(End::Full) } else { Ok(()) })
        };
        let words = keep(err, stderr);
        tokio::pin!(output, words);
        let mut status = None;
        let mut output_ended = false;
        let mut words_ended = false;
        loop {
            if let (Some(status), true, true) = (status, output_ended, words_ended) {
                self.leader = None;
                return End::Exited { status, is_whole: true };
            }
            let abandoned = async {
                // Who still holds the pipes when the program has ended may hold them for ever.
                if status.is_some() {
                    tokio::time::sleep(GRACE).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                result = &mut output, if !output_ended => match result {
                    Ok(Ok(())) => output_ended = true,
                    Ok(Err(end)) => return end,
                    Err(error) => return End::Lost(error),
                },
                () = &mut words, if !words_ended => words_ended = true,
                exited = self.child.wait(), if status.is_none() => match exited {
                    Ok(exited) => status = Some(exited),
                    Err(error) => return End::Lost(error),
                },
                () = abandoned => {
                    if let Some(status) = status {
                        return End::Exited { status, is_whole: output_ended };
                    }
                }
            }
        }
    }

    /// Asks the group to end, and ends it.
    async fn end(&mut self) {
        if let Some(leader) = self.leader {
            // A group that is gone already is what is wanted.
            let _ = killpg(leader, Signal::SIGTERM);
            let _ = timeout(GRACE, self.child.wait()).await;
            let _ = killpg(leader, Signal::SIGKILL);
            let _ = timeout(GRACE, self.child.wait()).await;
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Sends on what is read, up to a bound; whether that was reached.
async fn pass_on(
    mut pipe: impl AsyncRead + Unpin,
    max_bytes: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
    sent: &mut u64,
) -> std::io::Result<bool> {
    let mut chunk = Vec::new();
    loop {
        let room = usize::try_from((max_bytes - *sent).min(256 << 10)).unwrap_or(usize::MAX);
        if room == 0 {
            return Ok(pipe.read(&mut [0]).await? > 0);
        }
        chunk.reserve(room);
        if (&mut pipe).take(room as u64).read_buf(&mut chunk).await? == 0 {
            return Ok(false);
        }
        *sent += chunk.len() as u64;
        if chunks.send(std::mem::take(&mut chunk)).await.is_err() {
            return Err(std::io::Error::other("nobody wants the rest"));
        }
    }
}

/// Keeps the beginning of what is read, and reads the rest so that its writer is not held up.
async fn keep(mut pipe: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let room = MAX_STDERR.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..length.min(room)]);
    }
}
