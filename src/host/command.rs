//! Programs: found where only root could have put them, run by absolute path with a clean environment, and ended
//! with their whole process group when their time is over.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::apart::{self, late, nobody_listens};
use super::beneath;
use super::enter::{self, Place};
use super::program::{self, Absent};
use super::{Outcome, Reading, printable};

/// How long a program that was asked to end may take, and how long what it left behind may hold its output.
const GRACE: Duration = Duration::from_millis(200);

/// How long output is let gather that comes a few bytes at a time, as that of `nft` does: to be woken for each costs
/// both more than the bytes.
const GATHER: Duration = Duration::from_millis(1);

/// As much as a pipe holds by default.
const PIPE: usize = 64 << 10;

/// The most that is kept of stderr.
const MAX_STDERR: usize = 64 << 10;

/// Outcome and reason of a program that was not run, or not to its end.
pub(super) type NotRun = (Outcome, Option<String>);

/// A program and its arguments, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    place: Place,
    /// Absolute, in the file system of `place`.
    path: PathBuf,
    arguments: Vec<String>,
    /// Its environment, where that is not the clean one.
    environment: Option<Vec<(OsString, OsString)>>,
}

/// Finds the program of a command line, split at blanks, on the host at `root`, or, if the host lacks it, in the
/// container of one of the processes `containers`, which are calico-node's.
pub(super) async fn find(
    root: &Path,
    line: &str,
    containers: Vec<u32>,
    limit: Duration,
) -> Result<Program, NotRun> {
    let root = root.to_owned();
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let name = words.next().unwrap_or_default();
    let arguments = words.collect();
    let looking = move || find_now(&root, &name, &containers);
    let (place, path) = apart::answer(limit, looking).await.unwrap_or_else(|| Err(late(limit)))?;
    Ok(Program { place, path, arguments, environment: None })
}

fn find_now(root: &Path, name: &str, containers: &[u32]) -> Result<(Place, PathBuf), NotRun> {
    let top =
        beneath::open_root(root).map_err(|error| super::file::refused("open", root, error))?;
    let mut missing = match program::find(top.as_fd(), name) {
        Ok(path) if root == Path::new("/") => return Ok((Place::Here, path)),
        Ok(path) => return Ok((Place::Root(root.to_owned()), path)),
        Err(Absent::Untrusted(reason)) => return Err((Outcome::Skipped, Some(reason))),
        Err(Absent::Missing(reason)) => reason,
    };
    for &pid in containers {
        match find_in_container(root, name, pid) {
            Ok(found) => return Ok(found),
            Err(reason) => missing = format!("{missing}; {reason}"),
        }
    }
    Err((Outcome::Missing, Some(missing)))
}

fn find_in_container(root: &Path, name: &str, pid: u32) -> Result<(Place, PathBuf), String> {
    let process = enter::open_process(root, pid)?;
    let mounts = enter::fitness(root, pid, process.as_fd())?;
    let inside = beneath::open_process_root(process.as_fd()).map_err(|error| {
        format!("the root of pid {pid} cannot be opened ({})", std::io::Error::from(error))
    })?;
    match program::find(inside.as_fd(), name) {
        Ok(path) => Ok((Place::MountsOf { root: root.to_owned(), pid, mounts }, path)),
        Err(Absent::Missing(_)) => Err(format!("nor in the container of pid {pid}")),
        Err(Absent::Untrusted(reason)) => Err(format!("in the container of pid {pid}: {reason}")),
    }
}

impl Program {
    /// The program at an absolute path of this machine, with an environment of its own.
    pub(super) const fn here(
        path: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        Self { place: Place::Here, path, arguments, environment: Some(environment) }
    }

    /// Where it is, in words.
    fn place(&self) -> String {
        let path = self.path.display();
        match &self.place {
            Place::Here => path.to_string(),
            Place::Root(root) => format!("{path} in {}", root.display()),
            Place::MountsOf { pid, .. } => format!("{path} in the container of pid {pid}"),
        }
    }

    /// Runs it and hands on what it prints, at most `max_bytes` of it. It gets `limit`, not counting the time that
    /// the receiver of `chunks` takes.
    ///
    /// What it says on stderr is not mixed into its output: its first lines become the reason, also of a program
    /// that succeeded. `calivet` is the executable that enters other file systems, if there is one.
    pub(super) async fn run(
        self,
        calivet: Option<PathBuf>,
        limit: Duration,
        max_bytes: u64,
        chunks: mpsc::Sender<Vec<u8>>,
    ) -> Reading {
        let begun = Instant::now();
        let reading = Reading { place: Some(self.place()), ..Reading::begin() };
        let result = self.run_until(calivet, limit, max_bytes, chunks, reading.clone()).await;
        let mut reading =
            result.unwrap_or_else(|(outcome, reason)| Reading { outcome, reason, ..reading });
        reading.duration = begun.elapsed();
        reading
    }

    async fn run_until(
        self,
        calivet: Option<PathBuf>,
        limit: Duration,
        max_bytes: u64,
        chunks: mpsc::Sender<Vec<u8>>,
        mut reading: Reading,
    ) -> Result<Reading, NotRun> {
        let begun = Instant::now();
        let failed = |what: &str, error: std::io::Error| {
            let reason =
                format!("failed to {what} {}: {error}", reading.place.as_deref().unwrap_or(""));
            (Outcome::Failed, Some(reason))
        };
        let elsewhere = self.place != Place::Here;
        let mut command = self.command(calivet)?;
        // Before the program starts, so that its end is not missed.
        let mut children = signal(SignalKind::child()).map_err(|error| failed("watch", error))?;
        // On a thread: an executable on a hung file system would hold up everything else.
        let (group, stdout, stderr) = apart::answer(limit, move || start(&mut command))
            .await
            .ok_or_else(|| late(limit))?
            .map_err(|error| failed("run", error))?;
        let reader = |fd: std::os::fd::OwnedFd| pipe::Receiver::from_owned_fd(fd);
        let mut stdout = Some(reader(stdout.into()).map_err(|error| failed("read from", error))?);
        let mut stderr = Some(reader(stderr.into()).map_err(|error| failed("read from", error))?);

        let mut deadline = begun + limit;
        let mut said = Vec::new();
        let mut chunk = Vec::with_capacity(PIPE);
        let mut complaint = Vec::with_capacity(PIPE);
        // After its end, what others hold open is read as long as something comes.
        let mut idle_since = begun;
        let mut exited = false;
        // Whether little came the last time.
        let mut few = false;
        let mut held = false;
        let outcome = loop {
            exited = exited || group.has_exited();
            if exited && stdout.is_none() && stderr.is_none() {
                break None;
            }
            let until = if exited { deadline.min(idle_since + GRACE) } else { deadline };
            tokio::select! {
                // Output before time: what is there is taken, and endless output is measured where it is taken.
                biased;
                count = read(&mut stdout, &mut chunk, few), if stdout.is_some() => {
                    idle_since = Instant::now();
                    if !count {
                        stdout = None;
                        continue;
                    }
                    let mut piece = std::mem::replace(&mut chunk, Vec::with_capacity(PIPE));
                    few = piece.len() < PIPE / 2;
                    let room = max_bytes - reading.original_bytes;
                    let cut = cut_at_line(&mut piece, room);
                    reading.original_bytes += piece.len() as u64;
                    let sending = Instant::now();
                    let heard = piece.is_empty() || chunks.send(piece).await.is_ok();
                    if !heard {
                        break Some(nobody_listens());
                    }
                    if cut {
                        let note = b"\n[calivet: what follows is left out]\n".to_vec();
                        let _nobody_listens = chunks.send(note).await;
                        let reason = format!("printed more than the {max_bytes} bytes that are kept");
                        break Some((Outcome::Truncated, Some(reason)));
                    }
                    idle_since = Instant::now();
                    deadline += sending.elapsed();
                    if Instant::now() >= deadline {
                        break Some(late(limit));
                    }
                }
                count = read(&mut stderr, &mut complaint, false), if stderr.is_some() => {
                    if !count {
                        stderr = None;
                    }
                    complaint.truncate(MAX_STDERR.saturating_sub(said.len()));
                    said.append(&mut complaint);
                    if Instant::now() >= deadline {
                        break Some(late(limit));
                    }
                }
                _ = children.recv(), if !exited => idle_since = Instant::now(),
                () = chunks.closed() => break Some(nobody_listens()),
                () = sleep_until(until) => {
                    held = exited;
                    break if exited { None } else { Some(late(limit)) };
                }
            }
        };
        let status = group.end(&mut children).await;
        let left = || "it left a process behind that held its output open".to_owned();
        let said = first_lines(&said).or_else(|| held.then(left));
        match (outcome, status) {
            (Some((outcome, reason)), _) => (reading.outcome, reading.reason) = (outcome, reason),
            (None, Some(status)) => {
                reading.exit_status = status.code();
                (reading.outcome, reading.reason) = judge(status, said, elsewhere);
            }
            (None, None) => {
                reading.outcome = Outcome::Failed;
                reading.reason = Some("its exit status was lost".to_owned());
            }
        }
        Ok(reading)
    }

    fn command(&self, calivet: Option<PathBuf>) -> Result<Command, NotRun> {
        let mut command = if self.place == Place::Here {
            Command::new(&self.path)
        } else {
            let calivet = calivet.ok_or_else(|| {
                let reason = "this program cannot run itself again to enter another root";
                (Outcome::Failed, Some(reason.to_owned()))
            })?;
            let mut command = Command::new(calivet);
            command.args(enter::arguments(&self.place, &self.path));
            command
        };
        command
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        match &self.environment {
            None => command.envs([("PATH", program::PATH), ("LC_ALL", "C"), ("LANG", "C")]),
            Some(environment) => {
                command.envs(environment.iter().map(|(name, value)| (name, value)))
            }
        };
        Ok(command)
    }
}

/// Reads what there is into `buffer`, when more has gathered if `later`. `false`: the end, or an error, which a pipe does
/// not have. If the future is dropped, nothing was read.
async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut Vec<u8>, later: bool) -> bool {
    let Some(pipe) = pipe else { return false };
    while pipe.readable().await.is_ok() {
        if later {
            sleep(GATHER).await;
        }
        match pipe.try_read_buf(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.is_ok_and(|count| count > 0),
        }
    }
    false
}

/// Cuts what is more than `room`, after the last whole line if there is one. Whether something was cut.
fn cut_at_line(piece: &mut Vec<u8>, room: u64) -> bool {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let cut = piece.len() > room;
    if cut {
        piece.truncate(room);
        if let Some(newline) = piece.iter().rposition(|&byte| byte == b'\n') {
            piece.truncate(newline + 1);
        }
    }
    cut
}

fn judge(status: ExitStatus, said: Option<String>, elsewhere: bool) -> (Outcome, Option<String>) {
    let refused = |text: &String| {
        ["Operation not permitted", "Permission denied"].iter().any(|words| text.contains(words))
    };
    let failure =
        if said.as_ref().is_some_and(refused) { Outcome::Denied } else { Outcome::Failed };
    match (status.code(), status.signal(), said) {
        // journalctl, of a journal that is damaged; what the others hold is its output.
        (Some(0), _, Some(said)) if said.contains("ignoring file") => (Outcome::Failed, Some(said)),
        (Some(0), _, said) => (Outcome::Ok, said),
        (Some(enter::NOT_RUN), _, Some(said)) if elsewhere && said.starts_with(enter::SAID) => {
            (failure, Some(said[enter::SAID.len()..].to_owned()))
        }
        (Some(code), _, Some(said)) => (failure, Some(format!("exit status {code}: {said}"))),
        (Some(code), _, None) => (failure, Some(format!("exit status {code}"))),
        (None, signal, _) => {
            let signal = signal.unwrap_or(0);
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |it| it.to_string());
            (Outcome::Failed, Some(format!("killed by {name}")))
        }
    }
}

/// The first lines of what a program said on stderr, fit for a sentence.
fn first_lines(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&said[..said.len().min(1000)]);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    (!lines.is_empty()).then(|| printable(&lines.join("; ")).chars().take(300).collect())
}

/// A program that was started, and the process group of which it is the leader.
///
/// The group is known by the leader's number, which is nobody else's until the leader has been waited for: so that
/// is done last.
struct Group {
    leader: std::process::Child,
    reaped: bool,
}

fn start(command: &mut Command) -> std::io::Result<(Group, ChildStdout, ChildStderr)> {
    let mut group = Group { leader: command.spawn()?, reaped: false };
    match (group.leader.stdout.take(), group.leader.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok((group, stdout, stderr)),
        _ => Err(std::io::Error::other("it has no pipes")),
    }
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.leader.id().cast_signed())
    }

    /// Whether the leader has ended. It stays to be waited for.
    fn has_exited(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::Pid(self.pid()), flags) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(_) => return true,
            }
        }
    }

    /// Ends what still runs of the group, at first politely, and waits for the leader. `None`: it cannot be ended
    /// (it sleeps in the kernel), and is left behind.
    async fn end(mut self, children: &mut tokio::signal::unix::Signal) -> Option<ExitStatus> {
        if !self.has_exited() {
            self.signal(Signal::SIGTERM);
            self.wait_for_exit(children).await;
        }
        self.signal(Signal::SIGKILL);
        self.wait_for_exit(children).await;
        let status = self.leader.try_wait().ok().flatten();
        self.reaped = status.is_some();
        status
    }

    async fn wait_for_exit(&self, children: &mut tokio::signal::unix::Signal) {
        let until = Instant::now() + GRACE;
        while !self.has_exited() && timeout_at(until, children.recv()).await.is_ok() {}
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: nothing is left of it.
        let _gone = killpg(self.pid(), signal);
    }
}

impl Drop for Group {
    /// Nobody waits for it any more, for example because the run was ended.
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::SIGKILL);
            let _still_ending = self.leader.try_wait();
        }
    }
}

#[cfg(test)]
mod tests;
