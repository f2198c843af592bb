//! A real etcd on loopback, with a folder and ports of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificates::{Authority, Pair};

/// A running etcd, until it is dropped.
pub(crate) struct Etcd {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
    scheme: &'static str,
    options: Vec<String>,
}

/// The folder of etcd's programs; `None`: it was not unpacked, and the tests say that they are skipped.
pub(crate) fn programs() -> Option<PathBuf> {
    let folder = std::env::var_os("CALIVET_TEST_ETCD").map(PathBuf::from);
    if folder.is_none() {
        assert!(
            std::env::var_os("CALIVET_TEST_LAB").is_none(),
            "there is to be a lab, and CALIVET_TEST_ETCD names no etcd: tests/run unpacks one"
        );
        eprintln!("skipped: CALIVET_TEST_ETCD names no etcd: tests/run unpacks one");
    }
    folder
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Etcd {
    /// An etcd without TLS on loopback.
    pub(crate) fn plain() -> Option<Self> {
        Self::start("http", &[], &[])
    }

    /// An etcd that shows `server` and takes clients of the authority only.
    pub(crate) fn tls(authority: &Authority, server: &Pair, client: &Pair) -> Option<Self> {
        let ca = authority.certificate().display().to_string();
        let shown = |path: &PathBuf| path.display().to_string();
        let own = vec![
            format!("--cert-file={}", shown(&server.certificate)),
            format!("--key-file={}", shown(&server.key)),
            format!("--trusted-ca-file={ca}"),
            "--client-cert-auth".to_owned(),
        ];
        let options = vec![
            format!("--cacert={ca}"),
            format!("--cert={}", shown(&client.certificate)),
            format!("--key={}", shown(&client.key)),
            // Its certificate may be over: that is what is to be found.
            "--insecure-skip-tls-verify".to_owned(),
        ];
        Self::start("https", &own, &options)
    }

    fn start(scheme: &'static str, own: &[String], options: &[String]) -> Option<Self> {
        let programs = programs()?;
        let started = Instant::now();
        loop {
            let mut etcd = Self::begin(&programs, scheme, own, options);
            match etcd.comes_up() {
                Ok(()) => return Some(etcd),
                // Somebody else took the port in between.
                Err(log) if log.contains("address already in use") => (),
                Err(log) => panic!("etcd ended: {log}"),
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no port stays free");
        }
    }

    fn begin(programs: &Path, scheme: &'static str, own: &[String], options: &[String]) -> Self {
        let folder = TempDir::with_prefix("calivet-etcd-").unwrap();
        let (port, peers) = (port(), port());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(programs.join("etcd"))
            .args(own)
            .arg(format!("--data-dir={}", folder.path().join("data").display()))
            .arg(format!("--listen-client-urls={scheme}://127.0.0.1:{port}"))
            .arg(format!("--advertise-client-urls={scheme}://127.0.0.1:{port}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peers}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"))
            .arg(format!("--initial-cluster=default=http://127.0.0.1:{peers}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder, port, scheme, options: options.to_vec() }
    }

    /// Waits until it answers; its log, if it ends before.
    fn comes_up(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let has_ended = self.child.try_wait().unwrap().is_some();
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            if has_ended {
                return Err(log);
            }
            if self.ctl(&["get", "/x"]).0 {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "etcd does not come up: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// etcdctl's success, and what it said.
    fn ctl(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(programs().unwrap().join("etcdctl"))
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.url()))
            .arg("--command-timeout=10s")
            .args(&self.options)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) {
        let (done, said) = self.ctl(arguments);
        assert!(done, "etcdctl {arguments:?}: {said}");
    }

    /// Puts a resource where Calico keeps it.
    pub(crate) fn put(&self, plural: &str, name: &str, spec: &Value) {
        let resource =
            json!({"apiVersion": "projectcalico.org/v3", "metadata": {"name": name}, "spec": spec});
        let key = format!("/calico/resources/v3/projectcalico.org/{plural}/{name}");
        self.run(&["put", &key, &resource.to_string()]);
    }

    /// Puts what a small cluster has.
    pub(crate) fn fill(&self) {
        let address = |address: &str| json!({"bgp": {"ipv4Address": address}});
        self.put("nodes", "node-1", &address("10.0.0.1/24"));
        self.put("nodes", "node-2", &address("10.0.0.2/24"));
        self.put(
            "bgpconfigurations",
            "default",
            &json!({"nodeToNodeMeshEnabled": true, "asNumber": 64512}),
        );
        self.put(
            "ippools",
            "default-ipv4-ippool",
            &json!({"cidr": "10.244.0.0/16", "vxlanMode": "Always"}),
        );
        self.put("felixconfigurations", "default", &json!({"logSeverityScreen": "Debug"}));
        self.put(
            "clusterinformations",
            "default",
            &json!({"calicoVersion": "v3.30.1", "clusterType": "typha"}),
        );
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that takes connections and never says a word, until it is dropped.
pub(crate) struct Silent {
    _listener: TcpListener,
    pub(crate) port: u16,
}

impl Silent {
    pub(crate) fn start() -> Self {
        // The kernel takes the connections; nobody accepts them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { _listener: listener, port }
    }
}

/// Passes bytes on to another port of loopback, and each answer only after a while.
pub(crate) fn slowly(port: u16, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                use std::io::{Read, Write};
                let (mut server, mut client) = (server, client);
                let mut bytes = [0; 16 << 10];
                while let Ok(count @ 1..) = server.read(&mut bytes) {
                    std::thread::sleep(pause);
                    if client.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    own
}
