//! Calico's and Kubernetes' configuration: kubeconfigs, calicoctl.cfg, CNI, kube-proxy, Felix.
#![no_main]

use std::collections::BTreeMap;

use calivet::datastore::{environment, kubeconfig, settings, url};
use calivet::{certificates, cni, felix, kube_proxy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes).into_owned();
    // As they are read, they have no more.
    if bytes.len() > 64 << 10 {
        return;
    }
    let files = [("/root/.kube/config".into(), text.clone())];
    let _ = kubeconfig::choose(&files, None);
    let _ = kubeconfig::choose(&files, Some("default"));
    let _ = certificates::of_kubeconfig(&text);
    let _ = cni::credentials::users(&text);
    let none = BTreeMap::new();
    let found = settings::settings(&settings::File::Text(text.clone()), &none);
    let again = settings::settings(&settings::File::Text(text.clone()), &none);
    assert_eq!(found.effective, again.effective);
    let _ = environment::files(&found, Some("/root"));
    let variables: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let _ = settings::settings(&settings::File::Absent, &variables);
    let _ = environment::shown(&variables);
    let _ = url::parse(&text);
    let _ = url::shown(&text);
    let _ = kube_proxy::from_config(&text);
    let argv: Vec<String> = text.lines().map(str::to_owned).collect();
    let _ = (kube_proxy::from_arguments(&argv), kube_proxy::config_path(&argv));
    let _ = cni::Network::parse(bytes);
    let mut settings = felix::settings::Settings::default();
    settings.file(&text);
    settings.environment(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let _ = settings.datastore(bytes, "node-1");
    let _ = (settings.get("bpfenabled"), settings.truth("bpfenabled"));
});
