//! A real `NetworkManager` on a bus of its own, in namespaces of its own.
//!
//! `/etc`, `/run`, `/var/lib` and `/usr/lib` are the machine's with a layer of memory above, which goes with the
//! namespaces: nothing is installed and nothing of the machine is written. `/sys` is read-only, so that
//! `NetworkManager` does not wait for udev.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::bus;
use super::namespaces::Namespaces;

/// A machine with `NetworkManager`, which does not run yet.
pub(crate) struct Machine {
    namespaces: Namespaces,
}

/// How long `NetworkManager` may take to show its devices.
const PATIENCE: Duration = Duration::from_secs(30);

/// Folders that get a layer of memory.
const LAYERED: [&str; 3] = ["/etc", "/var/lib", "/usr/lib"];

impl Machine {
    /// A machine with a system bus. `None` where there can be none: why is said on standard error, unless the
    /// environment asks for it, then it is a failure.
    pub(crate) fn start() -> Option<Self> {
        let made = package().and_then(|package| Ok((package, Namespaces::new()?)));
        let (package, namespaces) = match made {
            Ok(made) => made,
            Err(reason) => {
                assert_ne!(
                    env::var("CALIVET_TEST_LAB").as_deref(),
                    Ok("required"),
                    "no NetworkManager: {reason}"
                );
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                let _ = writeln!(std::io::stderr(), "{test}: skipped: {reason}");
                return None;
            }
        };
        namespaces.layer(&LAYERED);
        let package = package.display();
        namespaces.run(&format!(
            "mount -t sysfs -o ro sysfs /sys\n\
             cp -r --no-preserve=ownership '{package}'/usr/lib/*-linux-gnu /usr/lib/\n\
             cp '{package}/usr/sbin/NetworkManager' /usr/lib/calivet-test-nm\n\
             rm -rf /etc/NetworkManager /var/lib/NetworkManager /usr/lib/NetworkManager\n\
             rm -rf /etc/network /etc/systemd/network\n\
             mkdir -p /etc/NetworkManager/conf.d /usr/lib/NetworkManager/conf.d /var/lib/NetworkManager\n"
        ));
        bus::start(&namespaces);
        Some(Self { namespaces })
    }

    /// Has the bus deny whoever asks `NetworkManager` anything.
    pub(crate) fn deny(&self) {
        let denied =
            r#"<deny send_destination="org.freedesktop.NetworkManager"/></policy></busconfig>"#;
        self.write(
            "/run/bus.conf",
            bus::CONFIGURATION.replace("</policy></busconfig>", denied).as_bytes(),
        );
        self.run(
            "gdbus call --system --dest org.freedesktop.DBus --object-path /org/freedesktop/DBus \
             --method org.freedesktop.DBus.ReloadConfig",
        );
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Runs a bash script on the machine and gives what it printed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        self.namespaces.run(script)
    }

    /// A program, run on the machine as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.namespaces.command(program)
    }

    /// Its file system, as the test sees it.
    pub(crate) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.namespaces.pid()))
    }

    /// Where a file of the machine lies, as the test sees it.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Writes a file of the machine.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a symbolic link on the machine.
    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Takes all of `NetworkManager`'s configuration and state away.
    pub(crate) fn clear(&self) {
        for folder in [
            "/etc/NetworkManager",
            "/usr/lib/NetworkManager",
            "/run/NetworkManager",
            "/var/lib/NetworkManager",
            "/etc/network",
        ] {
            let folder = self.at(folder);
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
        }
        fs::create_dir_all(self.at("/etc/NetworkManager/conf.d")).unwrap();
        fs::create_dir_all(self.at("/var/lib/NetworkManager")).unwrap();
    }

    /// What `NetworkManager --print-config` prints, or how it refuses.
    pub(crate) fn print_config(&self) -> Result<Vec<u8>, String> {
        let status = self.run(
            "/usr/lib/calivet-test-nm --print-config >/run/printed 2>/run/refused && echo ok || echo refused",
        );
        if status.trim() == "ok" {
            Ok(fs::read(self.at("/run/printed")).unwrap())
        } else {
            Err(String::from_utf8_lossy(&fs::read(self.at("/run/refused")).unwrap()).into_owned())
        }
    }

    /// Starts `NetworkManager`; the one before is ended, and what it kept is gone.
    pub(crate) fn restart(&self) {
        self.stop();
        self.run(
            "/usr/lib/calivet-test-nm --no-daemon --log-level=INFO \
                  >/run/nm.log 2>&1 &\necho $! >/run/nm.pid",
        );
    }

    /// Ends `NetworkManager` at once, so that it neither tidies up nor remembers.
    pub(crate) fn stop(&self) {
        self.run(
            "[[ -f /run/nm.pid ]] || exit 0\npid=$(cat /run/nm.pid)\nkill -KILL \"$pid\" 2>/dev/null || true\n\
             while kill -0 \"$pid\" 2>/dev/null; do sleep 0.01; done\nrm -f /run/nm.pid",
        );
    }

    /// Whether `NetworkManager` manages each device, once it knows all of `names`.
    #[track_caller]
    pub(crate) fn managed(&self, names: &[&str]) -> BTreeMap<String, bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let devices = self.devices();
            if names.iter().all(|name| devices.contains_key(*name)) {
                return devices;
            }
            assert!(
                Instant::now() < deadline,
                "NetworkManager does not show {names:?}, only {devices:?}\n{}",
                self.run("tail -n 20 /run/nm.log || true")
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The devices that `NetworkManager` shows: its own words, asked with a program that is not calivet.
    fn devices(&self) -> BTreeMap<String, bool> {
        let text = self.run(
            "gdbus call --system --dest org.freedesktop.NetworkManager --object-path /org/freedesktop \
             --method org.freedesktop.DBus.ObjectManager.GetManagedObjects 2>&1 || true",
        );
        let mut devices = BTreeMap::new();
        for object in text.split("/org/freedesktop/NetworkManager/Devices/").skip(1) {
            let Some((_, name)) = object.split_once("'Interface': <'") else { continue };
            let Some((name, _)) = name.split_once('\'') else { continue };
            let Some((_, managed)) = object.split_once("'Managed': <") else { continue };
            devices.insert(name.to_owned(), managed.starts_with("true"));
        }
        devices
    }
}

/// The folder into which tests/run has unpacked `NetworkManager`.
fn package() -> Result<PathBuf, String> {
    let folder = env::var_os("CALIVET_TEST_NETWORKMANAGER")
        .ok_or("CALIVET_TEST_NETWORKMANAGER is not set (tests/run sets it)")?;
    let folder = Path::new(&folder).canonicalize().map_err(|error| error.to_string())?;
    if folder.join("usr/sbin/NetworkManager").is_file() {
        Ok(folder)
    } else {
        Err(format!("there is no NetworkManager in {}", folder.display()))
    }
}
