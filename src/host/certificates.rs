//! The certificates that Calico and the kubelet use: files that may hold a key too are read, and what is kept of them
//! is what their certificates say to anybody.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::stat::fstat;

use super::file::{open_to_read, refused};
use super::{Outcome, Reading, apart, beneath};
use crate::certificates::{self, Held, Role, User, Value};
use crate::datastore::{Connection, Pem, settings::Settings};
use crate::processes::Process;

/// The most that is read of one file: the lists of all public authorities take some 250 KiB.
const MAX_FILE: u64 = 1 << 20;

/// A file, and what is expected in it.
#[derive(Debug, Clone)]
struct Place {
    user: User,
    role: Role,
    /// As it is told.
    path: String,
    /// The setting that names it; without one, it is told of only if it is there.
    setting: Option<String>,
    form: Form,
    /// The process in whose file system it is.
    container: Option<u32>,
}

#[derive(Debug, Clone)]
enum Form {
    Pem,
    Kubeconfig,
    /// A text that was read already.
    Text(String),
    /// The same of a kubeconfig.
    KubeconfigText(String),
}

const KUBELET: User = User::Kubelet;
const CNI: User = User::Cni;
const NODE: User = User::CalicoNode;

/// Files of the host's.
const FILES: &[(User, Role, &str, bool)] = &[
    (KUBELET, Role::Client, "/var/lib/kubelet/pki/kubelet-client-current.pem", false),
    (KUBELET, Role::Client, "/etc/kubernetes/kubelet.conf", true),
    (KUBELET, Role::Client, "/var/lib/kubelet/kubeconfig", true),
    (KUBELET, Role::Client, "/var/lib/rancher/k3s/agent/client-kubelet.crt", false),
    (KUBELET, Role::Client, "/var/lib/rancher/rke2/agent/client-kubelet.crt", false),
    (KUBELET, Role::Client, "/var/snap/microk8s/current/certs/kubelet.crt", false),
    (CNI, Role::Client, "/etc/cni/net.d/calico-kubeconfig", true),
    (CNI, Role::Client, "/etc/cni/net.d/calico-tls/etcd-cert", false),
    (CNI, Role::Authority, "/etc/cni/net.d/calico-tls/etcd-ca", false),
];

/// Variables of calico-node's that name files in its container.
const VARIABLES: &[(&str, Role)] = &[
    ("FELIX_TYPHACERTFILE", Role::Client),
    ("FELIX_TYPHACAFILE", Role::Authority),
    ("FELIX_ETCDCERTFILE", Role::Client),
    ("FELIX_ETCDCAFILE", Role::Authority),
    ("ETCD_CERT_FILE", Role::Client),
    ("ETCD_CA_CERT_FILE", Role::Authority),
];

/// Where they are where no variable says so: by the operator, by the manifests.
const CONTAINED: &[(&str, Role)] = &[
    ("/node-certs/tls.crt", Role::Client),
    ("/calico-secrets/etcd-cert", Role::Client),
    ("/calico-secrets/etcd-ca", Role::Authority),
    ("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", Role::Authority),
];

/// What certificates are used on the host at `root`, by calico-node's process and by calicoctl's settings from the file
/// `config`.
pub(super) async fn look(
    root: &Path,
    felix: Option<&Process>,
    settings: &Settings,
    config: &Path,
    limit: Duration,
) -> Reading {
    let begun = Instant::now();
    let mut reading = Reading::begin();
    let mut places = of_host();
    places.extend(felix.into_iter().flat_map(of_calico_node));
    places.extend(of_calicoctl(settings, config));
    let mut held = Vec::new();
    let mut seen = BTreeSet::new();
    // A kubeconfig may name files, and they name no others.
    for _ in 0..2 {
        places.retain(|place| {
            let inline = matches!(place.form, Form::Text(_) | Form::KubeconfigText(_));
            inline || seen.insert((place.user, place.path.clone(), place.container))
        });
        let left = limit.saturating_sub(begun.elapsed());
        let looks = std::mem::take(&mut places).into_iter().map(|place| {
            let root = root.to_owned();
            async move {
                let told = place.clone();
                apart::glance(left, move || read(&root, &place)).await.unwrap_or_else(|| {
                    let (outcome, reason) = apart::late(limit);
                    (vec![told.held(outcome, reason)], Vec::new())
                })
            }
        });
        for (found, more) in join_all(looks).await {
            held.extend(found);
            places.extend(more);
        }
    }
    certificates::keep_what_matters(&mut held);
    // Numbers and texts are always JSON.
    reading.bytes = serde_json::to_vec_pretty(&held).unwrap_or_default();
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

fn of_host() -> Vec<Place> {
    let place = |&(user, role, path, is_kubeconfig): &(User, Role, &str, bool)| Place {
        user,
        role,
        path: path.to_owned(),
        setting: None,
        form: if is_kubeconfig { Form::Kubeconfig } else { Form::Pem },
        container: None,
    };
    FILES.iter().map(place).collect()
}

fn of_calico_node(felix: &Process) -> Vec<Place> {
    let place = |path: &str, setting: Option<&str>, role| Place {
        user: NODE,
        role,
        path: path.to_owned(),
        setting: setting.map(ToOwned::to_owned),
        form: Form::Pem,
        container: Some(felix.pid),
    };
    let named = VARIABLES.iter().filter_map(|(variable, role)| {
        let path = felix.variable(variable).filter(|path| path.starts_with('/'))?;
        Some(place(path, Some(variable), *role))
    });
    let usual = CONTAINED.iter().map(|(path, role)| place(path, None, *role));
    named.chain(usual).collect()
}

fn of_calicoctl(settings: &Settings, config: &Path) -> Vec<Place> {
    let place = |setting: &str, role, form: Form, path: &Path| Place {
        user: User::Calicoctl,
        role,
        path: path.display().to_string(),
        setting: Some(setting.to_owned()),
        form,
        container: None,
    };
    let pem = |setting: &str, role, pem: &Option<Pem>| {
        Some(match pem.as_ref()? {
            Pem::File(path) => place(setting, role, Form::Pem, path),
            Pem::Inline(text) => place(setting, role, Form::Text(text.0.clone()), config),
        })
    };
    match &settings.connection {
        Some(Connection::Etcd(etcd)) => [
            pem("etcdCertFile", Role::Client, &etcd.certificate),
            pem("etcdCACertFile", Role::Authority, &etcd.ca),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Some(Connection::Kubernetes(kubernetes)) => {
            let kubeconfig =
                |path: &PathBuf| place("kubeconfig", Role::Client, Form::Kubeconfig, path);
            let inline = kubernetes.kubeconfig_inline.iter().map(|text| {
                let form = Form::KubeconfigText(text.0.clone());
                place("kubeconfigInline", Role::Client, form, config)
            });
            let pems = [
                pem("k8sCertFile", Role::Client, &kubernetes.certificate),
                pem("k8sCAFile", Role::Authority, &kubernetes.ca),
            ];
            let files = kubernetes.kubeconfig.iter().map(kubeconfig);
            files.chain(inline).chain(pems.into_iter().flatten()).collect()
        }
        None => Vec::new(),
    }
}

impl Place {
    fn held(&self, outcome: Outcome, reason: Option<String>) -> Held {
        Held {
            user: self.user,
            role: self.role,
            path: self.path.clone(),
            setting: self.setting.clone(),
            container: self.container.is_some(),
            outcome,
            reason,
            held: 0,
            certificates: Vec::new(),
        }
    }

    /// What this PEM holds.
    fn pem(&self, text: &str) -> Held {
        let (found, wrong) = certificates::from_pem(text);
        let mut held = self.held(Outcome::Ok, None);
        if found.is_empty() {
            held.outcome = Outcome::Failed;
            held.reason = Some("there is no certificate in it".to_owned());
        } else if wrong > 0 {
            held.reason = Some(format!("{wrong} certificates in it cannot be understood"));
        }
        held.held = found.len() as u64;
        held.certificates = found;
        held
    }

    /// What a kubeconfig holds, and which files it names.
    fn kubeconfig(&self, text: &str) -> (Vec<Held>, Vec<Self>) {
        let Some(members) = certificates::of_kubeconfig(text) else {
            let reason = "it is no kubeconfig".to_owned();
            return (vec![self.held(Outcome::Failed, Some(reason))], Vec::new());
        };
        let (mut held, mut named) = (Vec::new(), Vec::new());
        for member in members {
            let place = Self {
                role: member.role,
                setting: Some(member.name),
                form: Form::Pem,
                ..self.clone()
            };
            match member.value {
                Value::Inline(data) => {
                    held.push(place.pem(&Value::pem(&data).unwrap_or_default()));
                }
                Value::File(path) => {
                    let folder = Path::new(&self.path).parent().unwrap_or(Path::new("/"));
                    let path = folder.join(path).display().to_string();
                    named.push(Self { path, ..place });
                }
            }
        }
        (held, named)
    }
}

fn read(root: &Path, place: &Place) -> (Vec<Held>, Vec<Place>) {
    match &place.form {
        Form::Text(text) => (vec![place.pem(text)], Vec::new()),
        Form::KubeconfigText(text) => place.kubeconfig(text),
        Form::Pem | Form::Kubeconfig => match read_file(root, place) {
            // What no setting names need not be there.
            Err((Outcome::Missing, _)) if place.setting.is_none() => (Vec::new(), Vec::new()),
            Err((outcome, reason)) => (vec![place.held(outcome, reason)], Vec::new()),
            Ok(text) if matches!(place.form, Form::Kubeconfig) => place.kubeconfig(&text),
            Ok(text) => (vec![place.pem(&text)], Vec::new()),
        },
    }
}

fn read_file(root: &Path, place: &Place) -> Result<String, (Outcome, Option<String>)> {
    // A setting may name a path that is relative to where calicoctl is run.
    let named = PathBuf::from(&place.path);
    let path = match place.container {
        Some(pid) => PathBuf::from(format!("/proc/{pid}/root{}", place.path)),
        None => std::path::absolute(&named).unwrap_or(named),
    };
    let shown = Path::new(&place.path);
    let at = beneath::open_on_host(root, &path).map_err(|errno| refused("open", shown, errno))?;
    let stat = fstat(&at).map_err(|errno| refused("open", shown, errno))?;
    if let Some(refusal) = beneath::refusal(&stat) {
        return Err((Outcome::NotApplicable, Some(refusal.to_owned())));
    }
    let file = open_to_read(&at).map_err(|errno| refused("open", shown, errno))?;
    let mut bytes = Vec::new();
    if let Err(error) = file.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        let reason = format!("failed to read {}: {error}", shown.display());
        return Err((Outcome::Failed, Some(reason)));
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err((Outcome::Truncated, Some("it is longer than 1 MiB".to_owned())));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
