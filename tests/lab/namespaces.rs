//! A machine of the lab's own: private mount, network, process and host name namespaces.
//!
//! Nothing of it has a name outside. Its first process is a shell that reads what to do from a pipe; when the
//! pipe closes, because the lab is dropped or because the test was killed, the shell ends, the kernel ends every
//! process in the namespace with it, and the network goes with the last of them. So nothing is left behind, and
//! no process that the lab did not start can be hit.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sched::{CloneFlags, setns};

/// The namespaces and their first process.
pub(crate) struct Namespaces {
    holder: Child,
    /// The shell's ends of the pipes; `None` once they are closed.
    shell: Mutex<Option<Shell>>,
    /// The shell, as this process counts.
    pid: u32,
}

struct Shell {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// Ends the output of each script; nothing that the lab runs prints it.
const END: &str = "--calivet-lab-end--";

impl Namespaces {
    /// Makes the namespaces, or says why that cannot be done here.
    pub(crate) fn new() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("it takes root to make network namespaces".to_owned());
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
            .args(["bash", "--norc", "-s"])
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare cannot be run: {error}"))?;
        let shell = Shell {
            stdin: holder.stdin.take().unwrap(),
            stdout: BufReader::new(holder.stdout.take().unwrap()),
        };
        let mut namespaces = Self { holder, shell: Mutex::new(Some(shell)), pid: 0 };
        // /proc is still that of the outer namespace, so it knows the shell, which is the parent of what runs
        // the script, by the number that we know it by.
        namespaces.pid = namespaces
            .try_run("read -r own name state parent rest </proc/self/stat; echo \"$parent\"")
            .map_err(|error| format!("namespaces cannot be made here: {error}"))?
            .trim()
            .parse()
            .map_err(|error| format!("the first process is not to be found: {error}"))?;
        namespaces
            .try_run(
                "mount -t proc proc /proc\n\
                 mount -t tmpfs -o mode=0755 tmpfs /run\n\
                 [[ -L /var/run ]] || mount --bind /run /var/run\n\
                 hostname node-1\n\
                 ip link set lo up",
            )
            .map_err(|error| format!("namespaces cannot be furnished here: {error}"))?;
        Ok(namespaces)
    }

    /// The namespaces, where they can be made and these programs are there. Otherwise the test says why it is skipped,
    /// unless the environment asks for a lab (`CALIVET_TEST_LAB=required`): then it fails.
    #[track_caller]
    pub(crate) fn with(programs: &[&str]) -> Option<Self> {
        let made = Self::new().and_then(|namespaces| {
            for program in programs {
                if !namespaces.run(&format!("command -v {program} || true")).contains('/') {
                    return Err(format!("there is no {program}: tests/run installs it"));
                }
            }
            Ok(namespaces)
        });
        match made {
            Ok(namespaces) => Some(namespaces),
            Err(reason) => {
                let required = std::env::var("CALIVET_TEST_LAB");
                assert_ne!(required.as_deref(), Ok("required"), "no lab: {reason}");
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                // What `eprintln` prints is shown only when a test fails.
                let _ = writeln!(std::io::stderr(), "{test}: skipped: {reason}");
                None
            }
        }
    }

    /// Has links that are made from now on do without IPv6: link-local addresses come in their own time, and their routes with
    /// them, so that two looks would differ.
    #[track_caller]
    pub(crate) fn without_ipv6(&self) {
        self.run(
            "for which in all default; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6; done",
        );
    }

    /// Lays memory over folders: what is written there goes with the namespaces, and nothing of the machine is.
    #[track_caller]
    pub(crate) fn layer(&self, folders: &[&str]) {
        for (index, folder) in folders.iter().enumerate() {
            self.run(&format!(
                "mkdir -p /run/layers/{index}/upper /run/layers/{index}/work\n\
                 mount -t overlay overlay -o lowerdir={folder},upperdir=/run/layers/{index}/upper,\
                 workdir=/run/layers/{index}/work {folder}"
            ));
        }
    }

    /// Runs a bash script to its end and gives what it printed. What it leaves in the background lives as long
    /// as the lab.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        match self.try_run(script) {
            Ok(printed) => printed,
            Err(error) => panic!("the lab's script failed: {error}\n{script}"),
        }
    }

    fn try_run(&self, script: &str) -> Result<String, String> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shell) = shell.as_mut() else { return Err("the lab is closed".to_owned()) };
        let text = format!("( set -e\n{script}\n) 2>&1 </dev/null; echo \"{END} $?\"\n");
        shell.stdin.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        let mut printed = String::new();
        loop {
            let start = printed.len();
            if shell.stdout.read_line(&mut printed).map_err(|error| error.to_string())? == 0 {
                return Err(format!("the shell ended: {printed}"));
            }
            let Some(at) = printed[start..].find(END) else { continue };
            let status = printed[start + at + END.len()..].trim().to_owned();
            printed.truncate(start + at);
            return if status == "0" {
                Ok(printed)
            } else {
                Err(format!("status {status}: {printed}"))
            };
        }
    }

    /// A command that runs `program` inside, in the current folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.pid))
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--", "env"])
            // Entering a mount namespace leaves one at its root.
            .arg(format!("--chdir={}", std::env::current_dir().unwrap().display()))
            .arg(program);
        command
    }

    /// The first process inside, as this process counts.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Moves the calling thread, and no other, into the network namespace.
    pub(crate) fn enter_network(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.pid)).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Closing the pipe ends the shell, and that ends all the others. Never a panic here: this also runs
        // while one unwinds.
        drop(self.shell.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.holder.wait();
    }
}
