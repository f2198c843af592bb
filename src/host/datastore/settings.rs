//! From calicoctl's settings to all that is needed to connect: files are read, a program for credentials is run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::line::Place;
use super::tls::Identity;
use super::{Login, Prepared, Refused, gather, plugin, read_file};
use crate::datastore::health::Kind;
use crate::datastore::kubeconfig::{self, Chosen};
use crate::datastore::settings::DEFAULT_PATH;
use crate::datastore::{Connection, Etcd, Kubernetes, Pem, Secret};
use crate::host::{Outcome, environment};

/// The bound on each file.
const READING: Duration = Duration::from_secs(2);

/// Where distributions keep the authorities that all programs trust: the first that is there counts.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What Kubernetes gives each pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// At most so many endpoints are looked at: a large etcd has seven members.
const MOST_ENDPOINTS: usize = 16;

/// Makes ready by the file at `config` on the host at `root`, or by calivet's own environment.
pub(super) async fn prepare(
    root: &Path,
    config: &Path,
    limit: Duration,
) -> Result<Prepared, Refused> {
    let path = if config.as_os_str().is_empty() { Path::new(DEFAULT_PATH) } else { config };
    let file = gather(root, path, environment::MAX_FILE, READING).await;
    let environment = environment::own();
    let settings = environment::settings(path, &file, &environment);
    let Some(connection) = settings.connection else {
        let why = settings.problems.iter().find(|problem| problem.refused);
        let why = why.map_or("see check environment", |problem| problem.what.as_str());
        return Err(Refused::new(
            Outcome::Failed,
            format!("calicoctl's settings name no datastore: {why}"),
        ));
    };
    let home = environment.get("HOME").map_or("/root", String::as_str);
    let files = Files { root, home: Path::new(home) };
    match connection {
        Connection::Etcd(etcd) => files.etcd(etcd).await,
        Connection::Kubernetes(kubernetes) => files.kubernetes(kubernetes, limit).await,
    }
}

/// Where files are looked for.
struct Files<'a> {
    root: &'a Path,
    home: &'a Path,
}

impl Files<'_> {
    async fn etcd(&self, etcd: Etcd) -> Result<Prepared, Refused> {
        if let Some(domain) = &etcd.discovery_srv {
            return Err(Refused::new(
                Outcome::NotApplicable,
                format!(
                    "etcd's endpoints are in the SRV records of {domain}, which calivet does not look up"
                ),
            ));
        }
        let places = places(&etcd.endpoints)?;
        let is_tls = places.iter().any(|place| place.is_tls);
        let identity = self
            .identity(is_tls, etcd.ca.as_ref(), etcd.certificate.as_ref(), etcd.key.as_ref())
            .await?;
        let client_certificate = identity.client_certificate();
        let user = etcd
            .username
            .clone()
            .or_else(|| client_certificate.as_ref().map(|_| "client certificate".to_owned()));
        let login = match etcd.username.filter(|name| !name.is_empty()) {
            Some(name) => Login::Etcd(name, etcd.password.unwrap_or(Secret(String::new()))),
            None => Login::None,
        };
        Ok(Prepared {
            kind: Kind::Etcd,
            places,
            authorities: given(etcd.ca.as_ref(), &identity),
            identity,
            login,
            user,
            client_certificate,
            group: None,
        })
    }

    async fn kubernetes(
        &self,
        given_settings: Kubernetes,
        limit: Duration,
    ) -> Result<Prepared, Refused> {
        let Chosen { mut connection, server_name, token_file, basic, plugin, unsupported } =
            self.chosen(&given_settings).await?;
        if let Some(what) = unsupported {
            let reason = format!("the kubeconfig asks for {what}: calivet does not do that");
            return Err(Refused::new(Outcome::NotApplicable, reason));
        }
        // What is set beside the kubeconfig counts before it.
        let Kubernetes { api_endpoint, ca, certificate, key, token, .. } = given_settings;
        connection.api_endpoint = api_endpoint.or(connection.api_endpoint);
        connection.ca = ca.or(connection.ca);
        if certificate.is_some() {
            (connection.certificate, connection.key) = (certificate, key);
        }
        connection.token = token.or(connection.token);
        connection.insecure_skip_tls_verify |= given_settings.insecure_skip_tls_verify;
        let mut user = None;
        if connection.token.is_none()
            && let Some(path) = &token_file
        {
            let bytes = self.read(path).await?;
            let token = String::from_utf8_lossy(&bytes).trim().to_owned();
            connection.token = Some(Secret(token));
        }
        if connection.token.is_none()
            && let Some(plugin) = &plugin
        {
            plugin::run(plugin, self.root, limit, &mut connection).await?;
            user = Some(format!("credentials of the program {}", plugin.command));
        }
        let endpoint = connection
            .api_endpoint
            .ok_or_else(|| Refused::new(Outcome::Failed, "the kubeconfig names no server"))?;
        let places = places(&[endpoint])?;
        let is_tls = places.iter().any(|place| place.is_tls);
        let mut identity = self
            .identity(
                is_tls,
                connection.ca.as_ref(),
                connection.certificate.as_ref(),
                connection.key.as_ref(),
            )
            .await?;
        identity.takes_any = connection.insecure_skip_tls_verify;
        identity.server_name = server_name;
        let client_certificate = identity.client_certificate();
        let login = match (connection.token, basic) {
            (Some(Secret(token)), _) => Login::Header(Secret(format!("Bearer {token}"))),
            (None, Some((name, Secret(password)))) => {
                let encoded = STANDARD.encode(format!("{name}:{password}"));
                Login::Header(Secret(format!("Basic {encoded}")))
            }
            (None, None) => Login::None,
        };
        let by = || match (&login, &client_certificate) {
            (Login::Header(_), _) => Some("token".to_owned()),
            (_, Some(_)) => Some("client certificate".to_owned()),
            _ => None,
        };
        Ok(Prepared {
            kind: Kind::Kubernetes,
            places,
            authorities: given(connection.ca.as_ref(), &identity),
            user: user.or_else(by),
            identity,
            login,
            client_certificate,
            group: given_settings.api_group,
        })
    }

    /// What the kubeconfig says, or else what a pod is given.
    async fn chosen(&self, given: &Kubernetes) -> Result<Chosen, Refused> {
        let mut texts: Vec<(PathBuf, String)> = Vec::new();
        if let Some(Secret(text)) = &given.kubeconfig_inline {
            texts.push((PathBuf::from("/kubeconfigInline"), text.clone()));
        } else {
            let mut missing = None;
            for path in &given.kubeconfig {
                match self.read(path).await {
                    Ok(bytes) => texts.push((path.clone(), text(&bytes))),
                    // As kubectl does: of several files, those that are not there do not count.
                    Err(why) if why.outcome == Outcome::Missing => missing = Some(why),
                    Err(why) => return Err(why),
                }
            }
            if let (true, Some(why)) = (texts.is_empty(), missing) {
                return Err(Refused { outcome: Outcome::Failed, ..why });
            }
        }
        if texts.is_empty() && given.api_endpoint.is_none() {
            let own = self.home.join(".kube/config");
            match read_file(self.root, &own, READING).await {
                Ok(bytes) => texts.push((own, text(&bytes))),
                Err(why) if why.outcome == Outcome::Missing => {
                    return self.service_account(&own).await;
                }
                Err(why) => return Err(why),
            }
        }
        if texts.is_empty() {
            return Ok(Chosen::default());
        }
        kubeconfig::choose(&texts, given.context.as_deref())
            .map_err(|why| Refused::new(Outcome::Failed, why))
    }

    /// What the pod is given in which calivet runs: so it is in its own file system, not in the host's.
    async fn service_account(&self, kubeconfig: &Path) -> Result<Chosen, Refused> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(host) = variable("KUBERNETES_SERVICE_HOST") else {
            return Err(Refused::new(
                Outcome::NotApplicable,
                format!(
                    "no datastore is configured: there is neither {DEFAULT_PATH} nor {}, and no variable of the \
                     environment (ETCD_ENDPOINTS, KUBECONFIG) names one",
                    kubeconfig.display()
                ),
            ));
        };
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let read = |name: &str| {
            let path = Path::new(SERVICE_ACCOUNT).join(name);
            async move { read_file(Path::new("/"), &path, READING).await }
        };
        let token = Secret(text(&read("token").await?).trim().to_owned());
        let ca = Pem::Inline(Secret(text(&read("ca.crt").await?)));
        Ok(Chosen {
            connection: Kubernetes {
                api_endpoint: Some(format!("https://{host}:{port}")),
                ca: Some(ca),
                token: Some(token),
                ..Kubernetes::default()
            },
            ..Chosen::default()
        })
    }

    async fn identity(
        &self,
        is_tls: bool,
        ca: Option<&Pem>,
        certificate: Option<&Pem>,
        key: Option<&Pem>,
    ) -> Result<Identity, Refused> {
        if !is_tls {
            return Ok(Identity::default());
        }
        let authorities = match ca {
            Some(ca) => self.pem(ca).await?,
            None => self.system().await,
        };
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Some((self.pem(certificate).await?, self.pem(key).await?))
            }
            _ => None,
        };
        let client = client.as_ref().map(|(certificate, key)| (&certificate[..], &key[..]));
        let identity = Identity::new(&authorities, client)
            .map_err(|why| Refused::new(Outcome::Failed, why))?;
        if ca.is_some() && !identity.has_authorities() {
            return Err(Refused::new(
                Outcome::Failed,
                "what is to hold the authority's certificate holds none in PEM",
            ));
        }
        Ok(identity)
    }

    async fn pem(&self, pem: &Pem) -> Result<Vec<u8>, Refused> {
        match pem {
            Pem::File(path) => self.read(path).await,
            Pem::Inline(Secret(text)) => Ok(text.clone().into_bytes()),
        }
    }

    /// The authorities that all programs on the host trust.
    async fn system(&self) -> Vec<u8> {
        for path in SYSTEM {
            if let Ok(bytes) = read_file(self.root, Path::new(path), READING).await {
                return bytes;
            }
        }
        Vec::new()
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, Refused> {
        // A relative path is relative to the folder in which calicoctl is run.
        let path = if path.is_absolute() {
            path.to_owned()
        } else {
            std::env::current_dir().unwrap_or_default().join(path)
        };
        read_file(self.root, &path, READING).await
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The authorities that were given, not those of the system.
fn given(ca: Option<&Pem>, identity: &Identity) -> Vec<crate::datastore::certificate::Certificate> {
    ca.map(|_| identity.authorities()).unwrap_or_default()
}

fn places(urls: &[String]) -> Result<Vec<Place>, Refused> {
    if urls.is_empty() {
        return Err(Refused::new(Outcome::Failed, "no endpoint is configured"));
    }
    let place = |url: &String| {
        Place::parse(url).map_err(|why| {
            let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
            Refused::new(Outcome::Failed, format!("the endpoint {shown} cannot be used: {why}"))
        })
    };
    urls.iter().take(MOST_ENDPOINTS).map(place).collect()
}
