use super::*;

/// The names that are found in a text at each word that may begin a value, with what they name.
fn found(text: &str) -> Vec<(Kind, String)> {
    let bytes = text.as_bytes();
    let begins = |&at: &usize| is_word(bytes[at]) && (at == 0 || !is_word(bytes[at - 1]));
    let places = (0..bytes.len()).filter(begins).filter(|&at| may_begin(bytes, at));
    let fields = places.filter_map(|at| Some(names(bytes, at, before(bytes, at)?)));
    let parts = fields.flatten();
    parts.map(|part| (part.kind, text[part.place].to_owned())).collect()
}

#[track_caller]
fn finds(text: &str, expected: &[(Kind, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
    assert_eq!(found(text), expected, "{text}");
}

#[test]
fn each_field_is_found_by_its_name_in_every_way_in_which_it_is_written() {
    for &(name, field) in FIELDS {
        let name = String::from_utf8(name.to_vec()).unwrap();
        for name in [name.clone(), name.to_uppercase()] {
            for text in [
                format!("{name}=moria"),
                format!("x {name}=\"moria"),
                format!("{{{name}:\"moria"),
                format!("({name}: moria"),
                format!("\"{name}\": \"moria"),
                format!("\\\"{name}\\\":\\\"moria"),
            ] {
                let at = text.len() - "moria".len();
                assert!(may_begin(text.as_bytes(), at), "{text}");
                assert_eq!(before(text.as_bytes(), at), Some(field), "{text}");
            }
            assert_eq!(before(format!("x{name}=moria").as_bytes(), name.len() + 2), None, "{name}");
        }
    }
}

#[test]
fn the_lines_of_felix_name_nodes_pods_and_namespaces() {
    use Kind::{Domain, Namespace, Node, Pod};
    finds(
        "WorkloadEndpoint(node=moria, orchestrator=k8s, workload=shop/web-5, name=eth0)",
        &[(Node, "moria"), (Namespace, "shop"), (Pod, "web-5")],
    );
    finds(
        "id=proto.WorkloadEndpointID{OrchestratorId:\"k8s\", WorkloadId:\"shop/web-5\", EndpointId:\"eth0\"}",
        &[(Namespace, "shop"), (Pod, "web-5")],
    );
    finds(
        "id:<orchestrator_id:\"k8s\" workload_id:\"shop/web-5\" >",
        &[(Namespace, "shop"), (Pod, "web-5")],
    );
    finds(
        "HostIP(hostname=moria) HostConfig(node=moria,name=IpInIpTunnelAddr) Node(name=moria)",
        &[(Node, "moria"), (Node, "moria"), (Node, "moria")],
    );
    finds(
        "HostMetadataUpdate hostname:\"moria.corp.example.org\" ipv4_addr:\"10.0.0.7\"",
        &[(Node, "moria"), (Domain, "corp.example.org")],
    );
    finds("Looking up existing affinities for host host=\"moria\"", &[(Node, "moria")]);
}

#[test]
fn the_lines_of_the_cni_plugin_the_kubelet_and_containerd_do_too() {
    use Kind::{Namespace, Node, Pod};
    finds(
        "ContainerID=\"0a1b\" Namespace=\"shop\" Pod=\"web-5\" WorkloadEndpoint=\"moria--7-k8s-web--5-eth0\"",
        &[(Namespace, "shop"), (Pod, "web-5"), (Node, "moria--7"), (Pod, "web--5")],
    );
    finds(
        "EndpointIDs=&utils.WEPIdentifiers{Namespace:\"shop\", WEPName:\"moria-k8s-web-eth0\", \
         WorkloadEndpointIdentifiers:names.WorkloadEndpointIdentifiers{Node:\"moria\", Orchestrator:\"k8s\", \
         Endpoint:\"eth0\", Workload:\"\", Pod:\"web\"}}",
        &[(Namespace, "shop"), (Node, "moria"), (Pod, "web"), (Node, "moria"), (Pod, "web")],
    );
    finds(
        "\"SyncLoop (PLEG)\" pod=\"shop/web-5\" event={\"ID\":\"0a1b\",\"Type\":\"ContainerDied\"}",
        &[(Namespace, "shop"), (Pod, "web-5")],
    );
    finds("{\"nodeName\":\"moria\",\"podName\": \"web-5\"}", &[(Node, "moria"), (Pod, "web-5")]);
    finds(
        r#"{"log":"{\"node\":\"moria\",\"namespace\":\"shop\"}"#,
        &[(Node, "moria"), (Namespace, "shop")],
    );
    finds(
        "RunPodSandbox for &PodSandboxMetadata{Name:web-5,Uid:0a1b,Namespace:shop,Attempt:0,}",
        &[(Pod, "web-5"), (Namespace, "shop")],
    );
    finds(
        "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-5;IgnoreUnknown=1",
        &[(Namespace, "shop"), (Pod, "web-5")],
    );
    finds("kubelet --hostname-override=moria --node-ip=10.0.0.7", &[(Node, "moria")]);
    finds("failed to get host: moria.", &[(Node, "moria")]);
}

#[test]
fn the_paths_of_the_kubelet_do_too() {
    use Kind::{Namespace, Pod};
    finds(
        "open /var/log/pods/shop_web-5_0a1b2c3d-0000-4000-8000-0123456789ab/web/0.log: no such file",
        &[(Namespace, "shop"), (Pod, "web-5")],
    );
    finds(
        "/var/log/containers/web-5_shop_web-0123456789abcdef.log",
        &[(Pod, "web-5"), (Namespace, "shop")],
    );
    finds("/var/log/pods/readme.txt /var/log/pods/a_b", &[]);
}

#[test]
fn what_is_no_name_is_left_alone() {
    for text in [
        "node=1 node=true-ish? host=10s pod=1m30s node=0xc000abc host=v1.2.3 host=3.4.5",
        "pod=0a1b2c3d-1111-4000-8000-0123456789ab",
        "node=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "node=Node host=Get pod=%s node=${NODE} host=func(x) pod=a_b",
        "host=https://example.org/x",
        "host=\"kubernetes.default.svc.cluster.local\" host=typha.calico-system.svc",
        "namespace=\"k8s.io\"",
        "localhost=moria anode=moria innode:\"moria\" workloads=web-5",
        "WorkloadEndpoint=\"moria\" WorkloadEndpoint=\"a-b-c-d\" wep=moria-k8s-web",
        "node = moria, node moria, host moria",
        "name=moria Name:\"moria\" name:moria",
        "node=- node=... node= node=\"\" pod=/ pod=shop/ pod=/web",
        "at 12:34:56 node:12:34",
    ] {
        let found = found(text);
        let is_known = |(_, name): &(Kind, String)| name == "true-ish";
        assert!(found.iter().all(is_known), "{text}: {found:?}");
    }
}

#[test]
fn a_pod_of_every_cluster_is_known_by_what_kubernetes_adds_to_its_name() {
    let ends = |text: &str, workload: &str| system_pod(text.as_bytes(), 0, workload);
    assert_eq!(ends("calico-node-x7k2p ", "calico-node"), Some(17));
    assert_eq!(ends("coredns-558bd4d5db-bcdfg,", "coredns"), Some(24));
    for (text, workload) in [
        ("calico-node", "calico-node"),
        ("calico-node-agent", "calico-node"),
        ("calico-node-x7k2p-y", "calico-node"),
        ("calico-node-x7k2pq", "calico-node"),
        ("coredns-autoscaler", "coredns"),
        ("kube-proxy-config", "kube-proxy"),
        ("calico-node-x7k2p_kube", "calico-node"),
    ] {
        assert_eq!(ends(text, workload), None, "{text}");
    }
}
