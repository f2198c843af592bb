//! A small API server: recorded answers of the Kubernetes API over real TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::certificates::{Authority, Pair};

/// A running API server, until it is dropped.
pub(crate) struct ApiServer {
    pub(crate) port: u16,
    over: Arc<AtomicBool>,
    /// The first line and the header `Authorization` of each request.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

/// Whom it lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lets {
    /// Who shows the token `the-right-token`.
    Token,
    /// Who shows a certificate of the authority.
    Certificate,
    /// Everybody, but only to nodes.
    NodesOnly,
    /// Everybody, to Calico's own API (`projectcalico.org/v3`) in place of the custom resources behind it.
    OwnGroup,
    /// Nobody for now: 503.
    Nobody,
    /// Everybody, who then waits for ever.
    Hangs,
}

impl ApiServer {
    pub(crate) fn start(authority: &Authority, server: &Pair, lets: Lets) -> Self {
        let config = Arc::new(config(authority, server));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ended, log) = (Arc::clone(&over), Arc::clone(&asked));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (config, log) = (Arc::clone(&config), Arc::clone(&log));
                std::thread::spawn(move || serve(client, config, lets, &log));
            }
        });
        Self { port, over, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn config(authority: &Authority, server: &Pair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = |path: &Path| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&authority.certificate()));
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            certificates(&server.certificate),
            PrivateKeyDer::from_pem_file(&server.key).unwrap(),
        )
        .unwrap()
}

fn serve(client: TcpStream, config: Arc<ServerConfig>, lets: Lets, log: &Mutex<Vec<String>>) {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), client);
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => request.push(byte[0]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).unwrap();
        let first = request.lines().next().unwrap();
        let shown = request.lines().find_map(|line| line.strip_prefix("authorization: "));
        log.lock().unwrap().push(format!("{first} {}", shown.unwrap_or("-")));
        if lets == Lets::Hangs {
            std::thread::sleep(Duration::from_secs(15));
            return;
        }
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let has_certificate = stream.conn.peer_certificates().is_some();
        let is_in = match lets {
            Lets::Token => shown == Some("Bearer the-right-token"),
            Lets::Certificate => has_certificate,
            _ => true,
        };
        let (status, body) = match (lets, is_in) {
            (Lets::Nobody, _) => (503, status(503, "etcdserver: request timed out")),
            (_, false) => (401, status(401, "Unauthorized")),
            _ => answer(&path, lets),
        };
        let body = body.to_string();
        let written = write!(
            stream,
            "HTTP/1.1 {status} Test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if written.and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
}

/// As a 1.31 answers, in two pages of nodes.
fn answer(path: &str, lets: Lets) -> (u16, Value) {
    const GROUPS: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];
    if lets == Lets::OwnGroup {
        if path.contains(GROUPS[1]) {
            return (404, status(404, "the server could not find the requested resource"));
        }
        // It has the same resources by another name.
        let (code, body) = answer(&path.replace(GROUPS[0], GROUPS[1]), Lets::Token);
        let text = body.to_string().replace(GROUPS[1], GROUPS[0]);
        return (code, serde_json::from_str(&text).unwrap());
    }
    let (resource, query) = path.split_once('?').unwrap_or((path, ""));
    if lets == Lets::NodesOnly && resource.starts_with("/apis/crd.projectcalico.org/") {
        let plural = resource.rsplit('/').next().unwrap();
        let message = format!(
            "{plural}.crd.projectcalico.org is forbidden: User \"system:node:node-1\" cannot list resource \"{plural}\" in API \
             group \"crd.projectcalico.org\" at the cluster scope"
        );
        return (403, status(403, &message));
    }
    let node = |name: &str, address: &str| {
        json!({
            "metadata": {
                "name": name, "labels": {"kubernetes.io/os": "linux"},
                "annotations": {"projectcalico.org/IPv4Address": format!("{address}/24"), "kubeadm.alpha.kubernetes.io/x": "secretish"},
                "managedFields": [{"manager": "kubelet"}],
            },
            "spec": {"podCIDRs": ["10.244.0.0/24"], "providerID": "cloud://1"},
            "status": {"addresses": [{"type": "InternalIP", "address": address}], "images": [{"sizeBytes": 1}]},
        })
    };
    let list = |items: Value| json!({"kind": "List", "metadata": {}, "items": items});
    let body = match resource {
        "/version" => json!({"major": "1", "minor": "31", "gitVersion": "v1.31.2"}),
        "/apis" => json!({"kind": "APIGroupList", "groups": [
            {"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]},
            {"name": "crd.projectcalico.org", "versions": [{"groupVersion": "crd.projectcalico.org/v1", "version": "v1"}]},
        ]}),
        "/api/v1/nodes" if query.contains("continue=next%3D1") => {
            list(json!([node("node-2", "10.0.0.2")]))
        }
        "/api/v1/nodes" => {
            json!({"metadata": {"continue": "next=1"}, "items": [node("node-1", "10.0.0.1")]})
        }
        "/apis/crd.projectcalico.org/v1/ippools" => list(
            json!([{"metadata": {"name": "default"}, "spec": {"cidr": "10.244.0.0/16", "vxlanMode": "Always"}}]),
        ),
        "/apis/crd.projectcalico.org/v1/clusterinformations" => {
            list(json!([{"metadata": {"name": "default"}, "spec": {"calicoVersion": "v3.30.1"}}]))
        }
        _ if resource.starts_with("/apis/crd.projectcalico.org/v1/") => list(json!([])),
        _ => return (404, status(404, "the server could not find the requested resource")),
    };
    (200, body)
}
