//! What a kubeconfig says of the way to the API server: kubectl's rules, by the `kube` crate.
//!
//! ```yaml
//! current-context: node
//! contexts: [{name: node, context: {cluster: here, user: calico-node}}]
//! clusters: [{name: here, cluster: {server: https://10.96.0.1:443, certificate-authority-data: LS0t...}}]
//! users: [{name: calico-node, user: {token: ...}}]
//! ```

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, ExecConfig, Kubeconfig};

use super::{Kubernetes, Pem, Secret};

/// The cluster and the user of one context.
#[derive(Debug, Default)]
pub struct Chosen {
    /// As [`Kubernetes`] has it.
    pub connection: Kubernetes,
    /// The name by which the server's certificate is checked, in place of the URL's.
    pub server_name: Option<String>,
    /// The file that holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// A user's name and password.
    pub basic: Option<(String, Secret)>,
    /// The program that gives the credentials.
    pub plugin: Option<Plugin>,
    /// What it asks for and is not done.
    pub unsupported: Option<&'static str>,
}

/// A program that gives credentials (`client.authentication.k8s.io`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugin {
    /// Its name, or its path.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(String, String)>,
    /// `KUBERNETES_EXEC_INFO`: what it is told.
    pub told: String,
}

/// What the files say together, the first one first: of the same name, the first one counts.
///
/// # Errors
/// They cannot be understood, or have no such context; in words that hold nothing of the files but names.
pub fn choose(files: &[(PathBuf, String)], context: Option<&str>) -> Result<Chosen, String> {
    let mut merged = Kubeconfig::default();
    for (path, text) in files {
        // The parser's own words would show the line that it did not understand, and so perhaps a token.
        let mut parsed = Kubeconfig::from_yaml(text)
            .map_err(|_| format!("{} is no kubeconfig", path.display()))?;
        absolute(&mut parsed, path.parent().unwrap_or(Path::new("/")));
        merged = merged.merge(parsed).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let name = context.or(merged.current_context.as_deref()).filter(|name| !name.is_empty());
    let name = name.ok_or("the kubeconfig has no current context")?;
    let context = merged.contexts.iter().find(|named| named.name == name);
    let context = context
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| format!("the kubeconfig has no context {name}"))?;
    let cluster = merged.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| format!("the kubeconfig has no cluster {}", context.cluster))?;
    let user = match &context.user {
        None => AuthInfo::default(),
        Some(name) => {
            let user = merged.auth_infos.iter().find(|named| &named.name == name);
            user.and_then(|named| named.auth_info.clone()).unwrap_or_default()
        }
    };
    let mut chosen = of_user(&user)?;
    let connection = &mut chosen.connection;
    connection.api_endpoint.clone_from(&cluster.server);
    connection.ca = pem(
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
        "certificate-authority-data",
    )?;
    connection.insecure_skip_tls_verify = cluster.insecure_skip_tls_verify.unwrap_or(false);
    chosen.server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    if cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()) {
        chosen.unsupported = Some("a proxy (proxy-url)");
    }
    if let Some(plugin) = &mut chosen.plugin
        && user.exec.as_ref().is_some_and(|exec| exec.provide_cluster_info)
    {
        let mut info: serde_json::Value = serde_json::from_str(&plugin.told).unwrap_or_default();
        info["spec"]["cluster"] = serde_json::json!({
            "server": cluster.server, "certificate-authority-data": cluster.certificate_authority_data,
            "insecure-skip-tls-verify": connection.insecure_skip_tls_verify,
            "tls-server-name": cluster.tls_server_name,
        });
        plugin.told = info.to_string();
    }
    Ok(chosen)
}

/// Makes paths absolute that are relative to the file's folder, as kubectl does.
fn absolute(config: &mut Kubeconfig, folder: &Path) {
    let join = |path: &mut Option<String>| {
        if let Some(path) = path.as_mut().filter(|path| !path.is_empty()) {
            *path = folder.join(path.as_str()).to_string_lossy().into_owned();
        }
    };
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        join(&mut cluster.certificate_authority);
    }
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        join(&mut user.client_certificate);
        join(&mut user.client_key);
        join(&mut user.token_file);
        // A bare name is looked for where programs are.
        if let Some(exec) = &mut user.exec
            && exec.command.as_ref().is_some_and(|command| command.contains('/'))
        {
            join(&mut exec.command);
        }
    }
}

fn of_user(user: &AuthInfo) -> Result<Chosen, String> {
    // The crate hides what is secret from all but a writer of kubeconfigs.
    let told = serde_json::to_value(user).map_err(|error| error.to_string())?;
    let text = |field: &str| told[field].as_str().filter(|text| !text.is_empty());
    let connection = Kubernetes {
        certificate: pem(
            text("client-certificate-data"),
            text("client-certificate"),
            "client-certificate-data",
        )?,
        key: pem(text("client-key-data"), text("client-key"), "client-key-data")?,
        token: text("token").map(|token| Secret(token.to_owned())),
        ..Kubernetes::default()
    };
    let basic = text("username")
        .map(|name| (name.to_owned(), Secret(text("password").unwrap_or_default().to_owned())));
    let mut unsupported = None;
    if user.auth_provider.is_some() {
        unsupported = Some("an auth-provider, which Kubernetes itself has given up (1.26)");
    } else if text("as").is_some() || text("as-uid").is_some() {
        unsupported = Some("to act as another user (as)");
    }
    Ok(Chosen {
        // A token in the file counts, and what a program would give does not (client-go).
        token_file: text("tokenFile").map(PathBuf::from),
        plugin: user.exec.as_ref().map(plugin).transpose()?,
        connection,
        basic,
        unsupported,
        server_name: None,
    })
}

fn plugin(exec: &ExecConfig) -> Result<Plugin, String> {
    let command = exec.command.clone().filter(|command| !command.is_empty());
    let environment = exec.env.iter().flatten();
    let environment = environment
        .filter_map(|pair| Some((pair.get("name")?.clone(), pair.get("value")?.clone())));
    let version = exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
    let told = serde_json::json!({
        "apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false},
    });
    Ok(Plugin {
        command: command.ok_or("the kubeconfig has an exec without a command")?,
        arguments: exec.args.clone().unwrap_or_default(),
        environment: environment.collect(),
        told: told.to_string(),
    })
}

/// What is in the file itself counts before what it names.
fn pem(data: Option<&str>, path: Option<&str>, field: &str) -> Result<Option<Pem>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let bytes = STANDARD
            .decode(data.trim())
            .map_err(|_| format!("{field} in the kubeconfig is not base64"))?;
        return Ok(Some(Pem::Inline(Secret(String::from_utf8_lossy(&bytes).into_owned()))));
    }
    Ok(path.filter(|path| !path.is_empty()).map(|path| Pem::File(path.into())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: &str = "
current-context: node
contexts:
- {name: node, context: {cluster: here, user: calico-node}}
- {name: cloud, context: {cluster: here, user: cloud}}
- {name: lost, context: {cluster: there, user: calico-node}}
clusters:
- {name: here, cluster: {server: 'https://10.96.0.1:443', certificate-authority: pki/ca.crt, tls-server-name: kubernetes}}
users:
- {name: calico-node, user: {token: t0ken, client-certificate-data: aGVsbG8=}}
- name: cloud
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./bin/login, args: [token], env: [{name: A, value: b}],
      provideClusterInfo: true}
";

    fn chosen(context: Option<&str>) -> Result<Chosen, String> {
        choose(&[("/root/.kube/config".into(), NODE.to_owned())], context)
    }

    #[test]
    fn paths_are_relative_to_the_file_and_the_current_context_counts() {
        let chosen = chosen(None).unwrap();
        let connection = chosen.connection;
        assert_eq!(connection.api_endpoint.as_deref(), Some("https://10.96.0.1:443"));
        assert_eq!(connection.ca, Some(Pem::File("/root/.kube/pki/ca.crt".into())));
        assert_eq!(connection.token, Some(Secret("t0ken".to_owned())));
        assert_eq!(connection.certificate, Some(Pem::Inline(Secret("hello".to_owned()))));
        assert_eq!(chosen.server_name.as_deref(), Some("kubernetes"));
    }

    #[test]
    fn a_program_is_told_of_the_cluster_if_it_wants_to_be() {
        let plugin = chosen(Some("cloud")).unwrap().plugin.unwrap();
        assert_eq!(
            (plugin.command.as_str(), plugin.arguments),
            ("/root/.kube/./bin/login", vec!["token".to_owned()])
        );
        assert_eq!(plugin.environment, [("A".to_owned(), "b".to_owned())]);
        assert!(
            plugin.told.contains("v1beta1") && plugin.told.contains("10.96.0.1"),
            "{}",
            plugin.told
        );
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is() {
        assert_eq!(chosen(Some("lost")).unwrap_err(), "the kubeconfig has no cluster there");
        assert_eq!(chosen(Some("x")).unwrap_err(), "the kubeconfig has no context x");
        let broken = [("/k".into(), "users: [{name: a, user: {token: t0ken".to_owned())];
        assert_eq!(choose(&broken, None).unwrap_err(), "/k is no kubeconfig");
    }

    #[test]
    fn of_two_files_the_first_counts() {
        let first = "clusters:\n- {name: here, cluster: {server: 'https://first'}}\n".to_owned();
        let files = [("/a".into(), first), ("/root/.kube/config".into(), NODE.to_owned())];
        let chosen = choose(&files, None).unwrap();
        assert_eq!(chosen.connection.api_endpoint.as_deref(), Some("https://first"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(cut in 0..NODE.len(), text in "\\PC{0,40}") {
            let half = NODE.get(..cut).unwrap_or_default();
            let _ = choose(&[("/k".into(), format!("{half}{text}"))], None);
        }
    }
}
