//! Texts that look like secrets and are none: they are the diagnosis.

use super::by_format;

#[test]
fn what_is_no_secret_is_kept() {
    for text in [
        // Paths and references.
        "etcdKeyFile: /calico-secrets/etcd-key",
        "    client-key: /etc/kubernetes/pki/apiserver.key",
        "FELIX_TYPHAKEYFILE=/node-certs/tls.key",
        "ETCD_KEY_FILE=/calico-secrets/etcd-key",
        "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/token",
        "GOOGLE_APPLICATION_CREDENTIALS=/etc/gcp/key.json",
        "--token-auth-file=/etc/kubernetes/tokens.csv --password-file /etc/x",
        "private-key=/etc/NetworkManager/certs/wifi.key",
        "tokenPath: /var/run/secrets/kubernetes.io/serviceaccount/token",
        "\"tokenFile\": \"/var/run/secrets/token\"",
        "secretName: calico-bgp-passwords",
        "    secretKeyRef:\n      name: bgp-secrets\n      key: rr-password",
        "  secret:\n    secretName: node-certs\n    defaultMode: 420",
        "wg set wireguard.cali private-key /etc/wireguard/key",
        // Nothing, placeholders and switches.
        "token: \"\"",
        "token: null",
        "password:",
        "{\"password\":\"\",\"token\":null}",
        "token: {{ .Values.token }}",
        "password: ${ETCD_PASSWORD}",
        "\"k8s_auth_token\": \"__SERVICEACCOUNT_TOKEN__\"",
        "password: <redacted>",
        "token: \"********\"",
        "automountServiceAccountToken: true",
        "serviceAccountToken: {expirationSeconds: 3607, path: token}",
        "psk-flags=0\npassword-flags=1\nleap-password-flags=1",
        "key-mgmt=wpa-psk\nauth-alg=open",
        // Words.
        "2017-01-05 09:17:48.238 [INFO][85386] felix/x.go 4: GeneratedToken count=3 token=7",
        "password authentication disabled for user x",
        "Failed password for invalid user admin from 10.0.0.1 port 22 ssh2",
        "the bearer authentication failed: WWW-Authenticate: Bearer realm=\"kubernetes\"",
        "authorization:\n  mode: Webhook",
        "--authorization-mode=Node,RBAC",
        "serviceAccountName: calico-token-reader",
        "secrets \"calico-node-token-x7x2k\" is forbidden",
        "Secret \"kube-system/calico-node-token-x7x2k\" not found",
        "keepalive 60 keyed=1 monkey: banana",
        "authentication cryptographic;",
        "PWD=/root\nOLDPWD=/home/x",
        "docker run --user 1000:1000 image",
        "systemctl status -u calico-node.service:",
        "asia-east1-a Asia/Tokyo",
        "compass=north bypass: true",
        // Versions, OIDs, times, hashes, addresses.
        "calico/node:v3.28.1 BIRD v0.3.3+birdv1.6.8 1.3.6.1.4.1.2021.10.1.3.1",
        "2026-11-23T02:33:26.123456789Z 12:34:56 12:34:56.789",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "docker.io/calico/node@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "link/ether ee:ee:ee:ee:ee:ee brd ff:ff:ff:ff:ff:ff inet6 fe80::ecee:eeff:feee:eeee/64",
        "https://[2001:db8::1]:443/x@y http://10.0.0.1:80/a@b https://10.96.0.1:443/api?x=1",
        "git@github.com:projectcalico/calico.git mail user@example.com",
        // What the bundle is for.
        "-A cali-PREROUTING -m comment --comment \"cali:XFX5xbM8B9qR10JG\" -j MARK --set-xmark 0x10000/0x10000",
        "-A INPUT -m mark --mark 0x40000/0x40000 -m comment --comment \"cali:token-check\"",
        "10.0.0.0/26        via 10.0.0.2 on eth0 [Mesh_10_0_0_2 01:43:31] * (100/0) [AS64512i]",
        "1002-Mesh_10_0_0_2 BGP      master   up     01:43:31    Established   ",
        "ipv4     2 tcp      6 86399 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=43210 dport=179 [ASSURED] mark=0 use=1",
        "net.netfilter.nf_conntrack_max = 262144",
        "src 10.0.0.1 dst 10.0.0.2\n\tproto esp spi 0x00000001 reqid 1 mode tunnel\n\treplay-window 0 flag af-unspec",
        "  public key: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        "wg0\txTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\t(none)\t1.2.3.4:51820\t10.0.0.0/8\t0\t0\t0\toff",
        "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJjYWJj",
        "client-certificate-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJjYWJj",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        "UUID 3f2504e0-4f89-11d3-9a0c-0305e82c3301 projectcalico.org/v3 container=abcdef.0123456789abcdef",
        "tcp_syncookies = 1 TcpExtSyncookiesSent: 0 sk:2a cookie:3 <->",
    ] {
        assert_eq!(by_format(text), text);
        let line = format!("{text}\nand more\n");
        assert_eq!(by_format(&line), line);
    }
}
