use super::*;

fn argv(line: &str) -> Vec<String> {
    line.split(' ').map(ToOwned::to_owned).collect()
}

#[test]
fn without_settings_it_sets_its_defaults() {
    let settings = from_arguments(&argv("kube-proxy --hostname-override=node-1")).unwrap();
    assert_eq!(settings, Conntrack::default());
    assert_eq!(settings.limit(2), Some(131_072));
    assert_eq!(settings.limit(4), Some(131_072));
    assert_eq!(settings.limit(32), Some(1_048_576));
}

#[test]
fn flags_are_read_in_each_of_their_forms_and_the_last_counts() {
    let line = "kube-proxy --conntrack-max-per-core=1 -conntrack-max-per-core 1000 --conntrack-min=5000 \
                --conntrack-tcp-timeout-established=24h0m0s --conntrack-tcp-timeout-close-wait 0 \
                --conntrack-udp-timeout=30s --conntrack-udp-timeout-stream=1m30s";
    let expected = Conntrack {
        max_per_core: 1000,
        min: 5000,
        tcp_established: Some(86_400),
        tcp_close_wait: None,
        udp: Some(30),
        udp_stream: Some(90),
    };
    assert_eq!(from_arguments(&argv(line)).unwrap(), expected);
    assert_eq!(expected.limit(8), Some(8000));
}

#[test]
fn zero_for_each_cpu_leaves_the_limit_alone_whatever_the_minimum_is() {
    let line = "kube-proxy --conntrack-max-per-core=0 --conntrack-min=500000";
    assert_eq!(from_arguments(&argv(line)).unwrap().limit(8), None);
}

#[test]
fn a_configuration_is_read_in_both_of_its_versions() {
    let old = "kind: KubeProxyConfiguration\nconntrack:\n  maxPerCore: 65536\n  min: null\n  \
               tcpCloseWaitTimeout: 0s\n  tcpEstablishedTimeout: 2h0m0s\nmode: iptables\n";
    let settings = from_config(old).unwrap();
    assert_eq!((settings.max_per_core, settings.min), (65_536, 131_072));
    assert_eq!((settings.tcp_established, settings.tcp_close_wait), (Some(7200), None));
    let new = "linux:\n  conntrack:\n    maxPerCore: 0\n    udpTimeout: 10s\n";
    let settings = from_config(new).unwrap();
    assert_eq!((settings.limit(8), settings.udp), (None, Some(10)));
    assert_eq!(from_config("mode: ipvs\n").unwrap(), Conntrack::default());
    assert_eq!(from_config("conntrack:\n").unwrap(), Conntrack::default());
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_a_default() {
    assert!(from_arguments(&argv("kube-proxy --conntrack-min=many")).is_err());
    assert!(from_arguments(&argv("kube-proxy --conntrack-udp-timeout=soon")).is_err());
    assert!(from_arguments(&argv("kube-proxy --conntrack-udp-timeout=-5s")).is_err());
    assert!(from_config("conntrack:\n  maxPerCore: many\n").is_err());
    assert!(from_config("conntrack: [").is_err());
}

#[test]
fn only_a_process_of_the_hosts_root_is_kube_proxy() {
    let process = |pid, line: &str| Process {
        pid,
        argv: argv(line),
        host_root: true,
        state: "S".to_owned(),
        start_time: 100 - u64::from(pid),
        ..Process::default()
    };
    let table = [
        Process { host_root: false, ..process(1, "kube-proxy") },
        Process { state: "Z".to_owned(), ..process(2, "kube-proxy") },
        process(3, "grep kube-proxy"),
        process(4, "/usr/local/bin/kube-proxy --config=/x"),
        process(5, "kube-proxy"),
    ];
    assert_eq!(find(&table).unwrap().pid, 5);
    assert_eq!(find(&table[..3]), None);
    assert_eq!(find(&[process(6, "hyperkube kube-proxy")]).unwrap().pid, 6);
}

#[test]
fn the_path_of_the_configuration_is_that_of_the_flag() {
    assert_eq!(config_path(&argv("kube-proxy --config=/a --config /b")), Some("/b"));
    assert_eq!(config_path(&argv("kube-proxy --config-sync-period=1m")), None);
    assert_eq!(config_path(&argv("--config=/a")), None);
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text: String, argv: Vec<String>) {
        let _ = (from_config(&text), from_arguments(&argv), config_path(&argv));
    }
}
