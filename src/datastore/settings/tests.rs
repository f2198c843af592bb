use proptest::prelude::*;

use super::*;
use crate::datastore::{Etcd, Pem, Secret};

const HEAD: &str = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n";

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn of_file(spec: &str) -> Settings {
    settings(&File::Text(format!("{HEAD}{spec}")), &BTreeMap::new())
}

fn of_environment(variables: &[(&str, &str)]) -> Settings {
    settings(&File::Absent, &environment(variables))
}

/// `setting=shown@origin`, in one line.
fn effective_of(settings: &Settings) -> String {
    let rows = settings.effective.iter().map(|row| {
        let origin = match (&row.variable, row.line) {
            (Some(variable), _) => variable.clone(),
            (None, Some(line)) => line.to_string(),
            (None, None) => "default".to_owned(),
        };
        format!("{}={}@{origin}", row.setting, row.shown)
    });
    rows.collect::<Vec<_>>().join(" ")
}

fn problems_of(settings: &Settings) -> Vec<String> {
    let line = |problem: &Problem| problem.line.map_or(String::new(), |line| format!("{line}: "));
    settings.problems.iter().map(|problem| format!("{}{}", line(problem), problem.what)).collect()
}

#[test]
fn the_effective_settings_are_calicoctls() {
    for (spec, expected) in [
        ("", "datastoreType=kubernetes@default"),
        (
            "  datastoreType: kubernetes\n  kubeconfig: /k\n",
            "datastoreType=kubernetes@5 kubeconfig=/k@6",
        ),
        (
            "  etcdEndpoints: https://u:p@a:1,http://b:2\n",
            "datastoreType=etcdv3@default etcdEndpoints=https://[secret]@a:1,http://b:2@5",
        ),
        (
            "  etcdDiscoverySrv: example.org\n",
            "datastoreType=kubernetes@default etcdDiscoverySrv=example.org@5",
        ),
        ("  EtcdEndPoints: http://a\n", "datastoreType=etcdv3@default etcdEndpoints=http://a@5"),
        (
            "  etcdPassword: 1234\n  k8sAPIToken: true\n",
            "datastoreType=kubernetes@default etcdPassword=[secret]@5 k8sAPIToken=[secret]@6",
        ),
        (
            "  kubeconfig:\n  usePodCIDR: yes\n",
            "datastoreType=kubernetes@default usePodCIDR=true@6",
        ),
        (
            "  kubeconfig: /a\n---\nnonsense: [\n",
            "datastoreType=kubernetes@default kubeconfig=/a@5",
        ),
        ("  k8sClientQPS: 50\n", "datastoreType=kubernetes@default k8sClientQPS=50@5"),
    ] {
        let settings = of_file(spec);
        assert_eq!(effective_of(&settings), expected, "{spec}");
        assert_eq!(problems_of(&settings), Vec::<String>::new(), "{spec}");
        assert_eq!(settings.origin, Origin::File);
    }
    let json = r#"{"apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig", "spec": {"kubeconfig": "/k"}}"#;
    let settings = settings(&File::Text(json.to_owned()), &BTreeMap::new());
    assert_eq!(effective_of(&settings), "datastoreType=kubernetes@default kubeconfig=/k@1");
}

#[test]
fn the_environment_is_read_as_calicoctl_reads_it() {
    for (variables, expected) in [
        (&[][..], "datastoreType=kubernetes@default"),
        (
            &[("DATASTORE_TYPE", "etcdv3"), ("ETCD_ENDPOINTS", "http://a")],
            "datastoreType=etcdv3@DATASTORE_TYPE etcdEndpoints=http://a@ETCD_ENDPOINTS",
        ),
        (
            &[("ETCD_ENDPOINTS", "http://a"), ("CALICO_ETCD_ENDPOINTS", "http://b")],
            "datastoreType=etcdv3@default etcdEndpoints=http://b@CALICO_ETCD_ENDPOINTS",
        ),
        // An empty one wins, too.
        (
            &[("ETCD_ENDPOINTS", "http://a"), ("CALICO_ETCD_ENDPOINTS", "")],
            "datastoreType=kubernetes@default",
        ),
        (
            &[("KUBECONFIG", "/k"), ("K8S_INSECURE_SKIP_TLS_VERIFY", "T")],
            "datastoreType=kubernetes@default kubeconfig=/k@KUBECONFIG k8sInsecureSkipTLSVerify=true@K8S_INSECURE_SKIP_TLS_VERIFY",
        ),
        (
            &[("CALICO_K8SAPITOKEN", "t")],
            "datastoreType=kubernetes@default k8sAPIToken=[secret]@CALICO_K8SAPITOKEN",
        ),
    ] {
        let settings = of_environment(variables);
        assert_eq!(effective_of(&settings), expected);
        assert_eq!(problems_of(&settings), Vec::<String>::new());
        assert_eq!(settings.origin, Origin::Environment);
        assert!(settings.connection.is_some());
    }
}

#[test]
fn a_file_means_that_the_environment_is_ignored_whole() {
    let set = environment(&[
        ("ETCD_ENDPOINTS", "http://a"),
        ("CALICO_KUBECONFIG", "/k"),
        ("ETCD_USERNAME", ""),
    ]);
    let of_both = settings(&File::Text(format!("{HEAD}  kubeconfig: /f\n")), &set);
    assert_eq!(effective_of(&of_both), "datastoreType=kubernetes@default kubeconfig=/f@5");
    assert_eq!(of_both.ignored, ["ETCD_ENDPOINTS", "CALICO_KUBECONFIG"]);
    for file in [File::Missing, File::Unreadable("permission denied".to_owned())] {
        let settings = settings(&file, &set);
        assert_eq!(settings.connection, None, "{file:?}");
        assert_eq!(settings.ignored.len(), 2);
        assert!(settings.problems[0].refused);
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    for (spec, expected) in [
        ("  etcdEndpoint: http://a\n", "5: unknown key spec.etcdEndpoint"),
        (
            "  etcd_endpoints: http://a\n",
            "5: unknown key spec.etcd_endpoints: spec.etcdEndpoints is meant",
        ),
        ("  kubeconfig: [a]\n", "5: spec.kubeconfig: it must be a text"),
        (
            "  usePodCIDR: \"true\"\n",
            "5: spec.usePodCIDR: it must be true or false, without quotation marks",
        ),
        ("  k8sClientQPS: many\n", "5: spec.k8sClientQPS: it must be a number"),
        ("  datastoreType: etcd\n", "5: spec.datastoreType is neither kubernetes nor etcdv3"),
        ("  datastoreType: etcdv3\n", "5: the datastore is etcd, and no endpoint of it is named"),
        ("  kubeconfig: /a\nkubeconfig: /b\n", "6: unknown key kubeconfig: it belongs below spec"),
        ("  kubeconfig: /a\n  kubeconfig: /b\n", "6: the key kubeconfig stands twice"),
        (
            "  etcdEndpoints: http://a\n  etcdDiscoverySrv: b\n",
            "6: etcdEndpoints and etcdDiscoverySrv are both set",
        ),
        (
            "  etcdEndpoints: http://a\n  etcdCACert: x\n  etcdCACertFile: /x\n",
            "6: etcdCACert and etcdCACertFile are both set: certificates stand in the file or beside it",
        ),
        (
            "  etcdEndpoints: http://a\n  etcdCertFile: /x\n",
            "6: etcdCertFile is set and etcdKeyFile is not: both or neither",
        ),
    ] {
        let settings = of_file(spec);
        assert_eq!(problems_of(&settings), [expected], "{spec}");
        assert_eq!(settings.connection, None, "{spec}");
    }
    let several = of_file("  a: 1\n  b: 2\n");
    assert_eq!(problems_of(&several), ["5: unknown key spec.a", "6: unknown key spec.b"]);
    for (text, expected) in [
        ("", "apiVersion is missing: it must be projectcalico.org/v3"),
        (
            "apiVersion: v1\nkind: CalicoAPIConfig\n",
            "1: apiVersion is v1: it must be projectcalico.org/v3",
        ),
        (
            "apiVersion: projectcalico.org/v3\nkind: calicoApiConfig\n",
            "2: kind is calicoApiConfig: it must be CalicoAPIConfig",
        ),
        ("apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: [1]\n", "3"),
    ] {
        let settings = settings(&File::Text(text.to_owned()), &BTreeMap::new());
        assert!(
            problems_of(&settings)[0].starts_with(expected),
            "{text}: {:?}",
            problems_of(&settings)
        );
        assert_eq!(settings.connection, None);
    }
}

#[test]
fn mistakes_that_calicoctl_lets_pass_do_not_keep_from_connecting() {
    let user = of_file("  etcdEndpoints: http://a\n  etcdUsername: u\n");
    assert_eq!(
        problems_of(&user),
        ["6: etcdUsername is set and etcdPassword is not: calicoctl uses neither"]
    );
    let Some(Connection::Etcd(etcd)) = user.connection else { panic!("no etcd") };
    assert_eq!(etcd.username, None);
    let token = of_environment(&[("K8S_API_TOKEN", "s3cr3t")]);
    assert_eq!(
        problems_of(&token),
        ["calicoctl does not read K8S_API_TOKEN, but CALICO_K8SAPITOKEN"]
    );
    assert!(token.connection.is_some());
    let switch = of_environment(&[("USE_POD_CIDR", "on")]);
    assert_eq!(problems_of(&switch), ["USE_POD_CIDR must be true or false"]);
    assert_eq!(switch.connection, None);
}

#[test]
fn a_connection_holds_what_the_clients_need() {
    let etcd = of_file(
        "  etcdEndpoints: https://a:1,https://b:2\n  etcdUsername: u\n  etcdPassword: p\n  etcdCACertFile: /ca\n  etcdCertFile: /c\n  etcdKeyFile: /k\n",
    );
    let file = |path: &str| Some(Pem::File(PathBuf::from(path)));
    let expected = Etcd {
        endpoints: vec!["https://a:1".to_owned(), "https://b:2".to_owned()],
        discovery_srv: None,
        username: Some("u".to_owned()),
        password: Some(Secret("p".to_owned())),
        ca: file("/ca"),
        certificate: file("/c"),
        key: file("/k"),
    };
    assert_eq!(etcd.connection, Some(Connection::Etcd(expected)));
    let named: Vec<(&str, bool)> =
        etcd.files.iter().map(|file| (file.setting, file.credential)).collect();
    assert_eq!(named, [("etcdKeyFile", true), ("etcdCertFile", false), ("etcdCACertFile", false)]);

    let inline = of_file("  etcdEndpoints: https://a\n  etcdCACert: |\n    -----BEGIN\n    x\n");
    let Some(Connection::Etcd(inline)) = inline.connection else { panic!("no etcd") };
    assert_eq!(inline.ca, Some(Pem::Inline(Secret("-----BEGIN\nx\n".to_owned()))));

    let kubernetes = of_environment(&[("KUBECONFIG", "/a:/b::/a"), ("K8S_CA_FILE", "/ca")]);
    let Some(Connection::Kubernetes(kubernetes)) = kubernetes.connection else {
        panic!("no Kubernetes")
    };
    assert_eq!(kubernetes.kubeconfig, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(kubernetes.ca, file("/ca"));
}

/// Passwords stand where they belong, and where a slip of the hand puts them.
#[test]
fn no_secret_is_told() {
    let secret = "h0rse-Battery9";
    for spec in [
        "  etcdPassword: SECRET\n",
        "  etcdPassword: \"SECRET\n",
        "  etcdPassword: *SECRET\n",
        "  etcdPassword: &SECRET\n  etcdUsername: *SECRET2\n",
        "  etcdPassword: !SECRET x\n",
        "  etcdPassword: @SECRET\n",
        "  etcdPassword: x: SECRET\n",
        "  etcdPassword: [SECRET\n",
        "  etcdPassword: {SECRET: SECRET}\n",
        "  etcdPassword:\n    SECRET\n   SECRET\n",
        "  etcdPassword\n  SECRET\n",
        "  SECRET!: etcdPassword\n",
        "  usePodCIDR: SECRET\n",
        "  k8sClientQPS: SECRET\n",
        "  datastoreType: SECRET\n",
        "  etcdEndpoints: https://u:SECRET@h,https://SECRET:SECRET@h/path\n",
        "  etcdEndpoints: https://u:SECRET,SECRET@h\n",
        "  etcdKey: |\n    SECRET\n\tSECRET\n",
        "  kubeconfigInline: |\n    token: SECRET\n",
        "\tk8sAPIToken: SECRET\n",
        "  k8sAPIToken: SECRET\n  k8sAPIToken: SECRET\n",
    ] {
        let settings = of_file(&spec.replace("SECRET", secret));
        let told = format!("{settings:?}");
        let connection = format!("{:?}", settings.connection);
        // Endpoints are kept as they are, to be connected to.
        let told = told.replace(&connection, "");
        assert!(!told.contains("h0rse") && !told.contains("Battery"), "{spec}: {told}");
    }
    let told = format!(
        "{:?}",
        of_environment(&[
            ("ETCD_PASSWORD", secret),
            ("USE_POD_CIDR", secret),
            ("K8S_API_TOKEN", secret),
            ("DATASTORE_TYPE", secret)
        ])
        .problems
    );
    assert!(!told.contains(secret), "{told}");
}

proptest! {
    #[test]
    fn any_text_and_any_values_are_survived(spec in "([ -~\n]|  etcdEndpoints: |\n  etcdKey: |[{]|---\n){0,60}", value in "\\PC{0,40}") {
        let file = File::Text(format!("{HEAD}{spec}"));
        let _ = settings(&file, &BTreeMap::new());
        let all = variables::all().map(|(name, _)| (name, value.clone())).collect();
        let _ = settings(&File::Absent, &all);
    }
}
