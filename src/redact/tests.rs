//! What is cut and what is kept, rule by rule; [`canaries`] and hostile texts are beside.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test builds its texts in the way that reads best"
)]

use super::*;

mod canaries;
mod hostile;
mod kept;

/// Redacts with the rules by format alone.
fn by_format(text: &str) -> String {
    let (redacted, _) = Redactor::new(&Secrets::new()).redact(text.as_bytes().to_vec());
    String::from_utf8(redacted).unwrap()
}

/// Redacts with the rules by format, in chunks of `size` bytes.
pub(super) fn in_chunks(redactor: &Redactor, text: &[u8], size: usize) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut redacted = Vec::new();
    for chunk in text.chunks(size) {
        redacted.extend(stream.push(chunk.to_vec()));
    }
    redacted.extend(stream.finish().0);
    redacted
}

/// Each row: a text with `«secret»` marked, and the rule. The rule's marker must take the place of the secret and
/// nothing else may change. `«"secret"»`-like rows, where the marker gets quotation marks, are written out.
#[track_caller]
fn assert_cut(rows: &[(&str, &str)]) {
    for (rule, row) in rows {
        let text = row.replace(['«', '»'], "");
        let mut expected = (*row).to_owned();
        while let (Some(from), Some(to)) = (expected.find('«'), expected.find('»')) {
            expected.replace_range(from..to + '»'.len_utf8(), &format!("[redacted:{rule}]"));
        }
        assert_eq!(by_format(&text), expected);
        assert_eq!(by_format(&(text + "\nnext line\n")), expected + "\nnext line\n");
    }
}

#[test]
fn passwords_of_routing_daemons_are_cut() {
    assert_cut(&[
        ("router-password", r#"  password "«b1rd S3cret»";"#),
        ("router-password", r#"  password "«b1rd»" { id 1; algorithm hmac sha256; };"#),
        (
            "router-password",
            r#"protocol bgp Mesh from bgp_template { password "«a»"; neighbor 10.0.0.2 as 64512; }"#,
        ),
        ("router-password", r#"{"bird.cfg": "  password \"«x y»\";\n  multihop;"}"#),
        ("router-password", r#"keys { key { id 1; secret "«abc»"; } }"#),
        ("router-password", "  password «hex:00112233445566778899aabbccddeeff»;"),
        ("router-password", " neighbor 10.0.0.9 password «frr-pass»"),
        ("router-password", "    auth_pass «1111»"),
    ]);
}

#[test]
fn values_are_cut_by_their_name() {
    assert_cut(&[
        ("named-value", r#"{"token": "«abc.def»", "server": "https://10.96.0.1"}"#),
        ("named-value", r#"{"password":"«a\"b\\»","x":1}"#),
        ("named-value", r#"{"k8s_auth_token": "«abc»"}"#),
        ("named-value", r#""config": "{\"token\":\"«ab\\\"c»\",\"mtu\":1440}","#),
        ("named-value", r#""deep": "\"{\\\"password\\\":\\\"«abc»\\\"}\"""#),
        ("named-value", "    client-key-data: \"«LS0tabc=»\""),
        ("named-value", "  etcdPassword: '«it''s»' # comment"),
        ("named-value", "- secretKey: \"«a»\""),
        ("named-value", "psk=«my wifi pass phrase»"),
        ("named-value", "wep-key0=«abcde»"),
        ("named-value", "private-key-password=«x y»"),
        ("named-value", "pin=«1234»"),
        ("named-value", "802-11-wireless-security.psk:\"«abc»\""),
        ("named-value", "PrivateKey = «yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»"),
        ("named-value", "  private key: \"«yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\""),
        ("named-value", "  PresharedKey=«/AnzTF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmkx=»"),
        ("named-value", "ETCD_PASSWORD=«a b c»"),
        ("named-value", "export K8S_API_TOKEN=«abc»"),
        ("named-value", "Environment=\"AWS_SECRET_ACCESS_KEY=«a b»\" \"HOME=/root\""),
        ("named-value", "Environment=FOO=1 DB_PASSWORD=«a/b» BAR=2"),
        ("named-value", "PATH=/bin\0ETCD_PASSWORD=«a b»\0PWD=/root\0SSH_KEY=«k»\0HOME=/root"),
        ("named-value", "level=info msg=\"login\" token=«abc» user=x"),
        ("named-value", "Server=x;Password=«abc»;Database=y"),
        ("named-value", "DefaultEndpointsProtocol=https;AccountKey=«ab+/c==»;EndpointSuffix=x"),
        ("named-value", "https://h/cb?access_token=«abc»&x=1"),
        ("named-value", "  --token=«abc» --v=2"),
        ("named-value", "/bin/kubelet\0--token=«abc»\0--v=2\0"),
        ("named-value", "{\"auths\":{\"r.io\":{\"auth\":\"«dXNlcjpodW50ZXIy»\"}}}"),
        (
            "named-value",
            "{\"name\":\"ETCD_PASSWORD\",\"value\":\"«x»\"},{\"name\":\"B\",\"value\":\"y\"}",
        ),
        ("named-value", "  - name: ETCD_PASSWORD\n    value: \"«x»\"\n  - name: B\n    value: y"),
        ("named-value", "{\n  \"key\": \"DB_TOKEN\",\n  \"value\": \"«x»\"\n}"),
        ("named-value", "net.ipv4.tcp_fastopen_key = «0123-4567-89ab-cdef»"),
        ("named-value", "token := \"«x»\"; secret => '«y»'"),
        ("named-value", "kubeconfigInline: \"«apiVersion: v1\\nkind: Config\\n»\""),
    ]);
}

#[test]
fn a_bare_scalar_becomes_a_string() {
    for (text, expected) in [
        ("token: abc", "token: \"[redacted:named-value]\""),
        ("  - password: my pass  ", "  - password: \"[redacted:named-value]\"  "),
        ("{password: abc, user: x}", "{password: \"[redacted:named-value]\", user: x}"),
        ("{\"password\": 12345}", "{\"password\": \"[redacted:named-value]\"}"),
        (r#"{"a":"{\"pass\":123}"}"#, r#"{"a":"{\"pass\":\"[redacted:named-value]\"}"}"#),
        // Not inside a string, where it would end the string.
        (r#"msg="got token: abc""#, r#"msg="got token: [redacted:named-value]""#),
    ] {
        assert_eq!(by_format(text), expected);
    }
}

#[test]
fn yaml_and_json_stay_readable() {
    let yaml = "apiVersion: v1\nusers:\n- name: calico\n  user:\n    token: abc\n    password: |\n      p1\n      p2\n    \
                client-key-data: >-\n      LS0\n\n      abc\n    id-token: 'x'\n    extra: {secret: s, n: 1}\n";
    let value: serde_json::Value = serde_yaml::from_str(&by_format(yaml)).unwrap();
    let user = &value["users"][0]["user"];
    for key in ["token", "password", "client-key-data", "id-token"] {
        assert_eq!(user[key].as_str().map(str::trim_end), Some("[redacted:named-value]"), "{key}");
    }
    assert_eq!(user["extra"]["secret"], "[redacted:named-value]");
    let json = r#"{"a":"{\"token\":\"x\\\"y\"}","b":{"password":1,"auth":"dTpwYXNz"},"c":["--token","x"]}"#;
    let value: serde_json::Value = serde_json::from_str(&by_format(json)).unwrap();
    let inner: serde_json::Value = serde_json::from_str(value["a"].as_str().unwrap()).unwrap();
    assert_eq!(inner["token"], "[redacted:named-value]");
    assert_eq!(value["c"][1], "[redacted:option]");
}

#[test]
fn values_on_the_lines_below_are_cut() {
    for (text, expected) in [
        (
            "a:\n  password: |-\n    line 1\n\n     line 2\n  b: 1\n",
            "a:\n  password: |-\n    [redacted:named-value]\n\n  b: 1\n",
        ),
        ("token:\n  abc\nb: 1\n", "token:\n  \"[redacted:named-value]\"\nb: 1\n"),
        ("token: abc\n  def\nb: 1\n", "token: \"[redacted:named-value]\"\nb: 1\n"),
        ("token: \"abc\n  def\\\n  ghi\"\nb: 1\n", "token: \"[redacted:named-value]\n  \"\nb: 1\n"),
        ("secret:\n  secretName: x\n", "secret:\n  secretName: x\n"),
        ("token: abc\n  at: 1 2\n", "token: \"[redacted:named-value]\"\n  at: 1 2\n"),
        (
            "kubeconfigInline: |\n  apiVersion: v1\n  users:\n  - name: x\nspec: {}\n",
            "kubeconfigInline: |\n  [redacted:named-value]\nspec: {}\n",
        ),
    ] {
        assert_eq!(by_format(text), expected);
    }
}

#[test]
fn a_value_that_is_never_closed_hides_no_secret_below_it() {
    for below in [
        "  password \"s3cr3t\";",
        "  authentication \"s3cr3t\";",
        "  url \"https://root:s3cr3t@h\" x",
        "  \"Bearer s3cr3t-and-more\"",
        "  run \"--password\" s3cr3t",
        "  \"token\": \"s3cr3t\"",
    ] {
        let text = format!("{{\n\"password\":\"x\n{below}\nuptime: 3\n");
        let redacted = by_format(&text);
        assert!(!redacted.contains("s3cr3t"), "{redacted}");
        assert!(redacted.contains("uptime: 3"), "{redacted}");
    }
}

#[test]
fn arguments_of_options_are_cut() {
    assert_cut(&[
        ("option", "curl --password «abc» https://x"),
        ("option", "etcdctl --etcd-password '«a b»' get /"),
        ("option", "tool -token «abc»"),
        ("option", r#"["tool","--token","«abc»","--v","2"]"#),
        ("option", r#"{"args":"[\"--password\", \"«abc»\"]"}"#),
        ("option", "tool\0--password\0«a b»\0--v\0"),
        ("option", "  - --token\n  - «abc»\n  - --v"),
        ("option", "  \"--token\",\n  \"«abc»\",\n  \"--v\""),
        ("user-password", "curl -u admin:«abc» https://x"),
        ("user-password", "curl --proxy-user 'admin:«abc»' https://x"),
        ("user-password", r#"["curl","-u","admin:«abc»"]"#),
    ]);
}

#[test]
fn headers_and_tokens_are_cut() {
    assert_cut(&[
        ("authorization", "Authorization: Basic «dXNlcjpwYXNz»"),
        ("authorization", "> Proxy-Authorization: Bearer «abc»"),
        ("authorization", r#"headers={"Authorization":["Bearer «a.b-c»"]}"#),
        ("authorization", "map[Authorization:[Bearer «abc»] Accept:[*/*]]"),
        ("authorization", "authorization: «a8f5f167f44f4964e6c998dee827110c»"),
        ("authorization", "Authorization: Digest «username=\"u\", response=\"r\"»"),
        ("bearer", "sent Bearer «abcd1234efgh» to server"),
        ("jwt", "got «eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x» end"),
        ("cookie", "Set-Cookie: sid=«abc123»; Path=/; HttpOnly"),
        ("cookie", "Cookie: «a=b; c=d»"),
        ("url-password", "etcd_endpoints: https://root:«p@ss»@10.0.0.1:2379,https://10.0.0.2:2379"),
        ("url-password", "HTTPS_PROXY=http://u:«p%40s»@proxy:3128"),
        ("url-password", "redis://:«abc»@host/0"),
        ("cloud-credential", "id «AKIAIOSFODNN7EXAMPLE» used"),
        ("cloud-credential", "https://b/x?sv=2020&sig=«abcDEF%2Bghi%3Djkl»&se=1"),
        (
            "service-token",
            "git clone https://«ghp_abcdefghijklmnopqrstuvwxyz0123456789»@github.com/x",
        ),
        ("service-token", "«glpat-abcdefghij0123456789» «xoxb-1234567890-abc»"),
        (
            "cni-cache",
            r#"{"kind":"cniCacheV1","containerId":"3f69","config":"«eyJuYW1lIjoiazhzIn0=»","ifName":"eth0"}"#,
        ),
        (
            "bootstrap-token",
            "kubeadm join --discovery-token-ca x, bootstrap token (id) «abcdef.0123456789abcdef»",
        ),
        (
            "wireguard-key",
            "«yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\txTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\t51820\toff",
        ),
        (
            "wireguard-key",
            "wg0\txTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\t«yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»\t1.2.3.4:51820\t10.0.0.0/8\t0\t0\t0\toff",
        ),
        ("xfrm-key", "\tauth-trunc hmac(sha256) «0x0123456789abcdef» 96"),
        ("xfrm-key", "\tenc cbc(aes) «0x0123456789abcdef»"),
        ("xfrm-key", "\taead rfc4106(gcm(aes)) «0x0123456789abcdef0123» 128"),
    ]);
}

#[test]
fn private_keys_are_cut_in_every_frame() {
    let body = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY5PuoAoGCCqGSM49\nAwEHoUQDQgAEPR3tU2Fta9ktY+6P9G0cWO+0kETA6SFs38GecTyudlHz6xvCdz8q\nEKTcWGeh\n";
    let key = format!("-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n");
    let certificate = format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
    let marker = "[redacted:private-key]";
    assert_eq!(by_format(&format!("{certificate}{key}x\n")), format!("{certificate}{marker}\nx\n"));
    assert_eq!(by_format(&key.replace('\n', "\r\n")), format!("{marker}\r\n"));
    let json = format!("{{\"a\":\"{}\",\"b\":1}}", key.replace('\n', "\\n"));
    assert_eq!(by_format(&json), format!("{{\"a\":\"{marker}\\n\",\"b\":1}}"));
    let indented: String = key.lines().map(|line| format!("    {line}\n")).collect();
    assert_eq!(
        by_format(&format!("tls.crt: |\n{indented}b: 1\n")),
        format!("tls.crt: |\n    {marker}\nb: 1\n")
    );
    // A log's stamp before each line, and another writer between.
    let stamp = "2026-11-23T02:33:26.123456789Z stderr F ";
    let mut logged: Vec<String> = key.lines().map(|line| format!("{stamp}{line}\n")).collect();
    logged.insert(2, format!("{stamp}felix/table.go 1011: an ordinary line\n"));
    let expected = format!(
        "{stamp}{marker}\n{stamp}\n{stamp}felix/table.go 1011: an ordinary line\n{stamp}\n{stamp}\n{stamp}\n"
    );
    assert_eq!(by_format(&logged.concat()), expected);
    // Docker's JSON log.
    let docker: String = key
        .lines()
        .map(|line| format!("{{\"log\":\"{line}\\n\",\"stream\":\"stderr\"}}\n"))
        .collect();
    let redacted = by_format(&docker);
    assert!(body.lines().all(|line| !redacted.contains(line)), "{redacted}");
    // Cut off in the middle: what is no body stays.
    let cut_off = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}felix is ready\n");
    assert_eq!(by_format(&cut_off), format!("{marker}\nfelix is ready\n"));
}

#[test]
fn base64_of_a_private_key_is_cut_and_of_a_certificate_is_not() {
    use base64::engine::general_purpose::STANDARD;
    let key = STANDARD.encode(
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n",
    );
    let certificate = STANDARD
        .encode("-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA\n-----END CERTIFICATE-----\n");
    assert_eq!(
        by_format(&format!("data: {key}, {certificate}")),
        format!("data: [redacted:encoded-private-key], {certificate}")
    );
    let wrapped: Vec<&str> =
        key.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    assert_eq!(
        by_format(&(wrapped.join("\n") + "\nend.\n")),
        "[redacted:encoded-private-key]\nend.\n"
    );
}

#[test]
fn what_was_redacted_is_not_redacted_again() {
    let text = "token: abc\n{\"password\":\"x\"}\nAuthorization: Bearer abc\npassword \"x\";\nhttps://u:p@h\n";
    let once = by_format(text);
    assert_eq!(by_format(&once), once);
}

#[test]
fn counts_are_per_rule_and_never_twice_for_one_secret() {
    let text =
        "Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln\ntoken: a\ntoken: b\n";
    let mut secrets = Secrets::new();
    secrets.learn(text.as_bytes());
    let (_, counts) = Redactor::new(&secrets).redact(text.as_bytes().to_vec());
    let counts: Vec<_> = counts.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
    assert_eq!(counts, [("authorization", 1), ("named-value", 2)]);
}

#[test]
fn known_values_are_cut_wherever_and_however_they_stand() {
    let mut secrets = Secrets::new();
    secrets.learn(b"etcdPassword: tr0ub/4d&r\n");
    let redactor = Redactor::new(&secrets);
    for (text, expected) in [
        ("saw tr0ub/4d&r here", "saw [redacted:known-value] here"),
        ("http://x/tr0ub%2F4d%26r", "http://x/[redacted:known-value]"),
        ("http://x/tr0ub%2f4d&r", "http://x/[redacted:known-value]"),
        (r#"{"a":"tr0ub\/4d&r"}"#, r#"{"a":"[redacted:known-value]"}"#),
        ("{\"a\":\"tr0ub/4d\\u0026r\"}", "{\"a\":\"[redacted:known-value]\"}"),
        ("hex 74723075622f34642672.", "hex [redacted:known-value]."),
        ("HEX 74723075622F34642672.", "HEX [redacted:known-value]."),
    ] {
        let (redacted, _) = redactor.redact(text.as_bytes().to_vec());
        assert_eq!(String::from_utf8(redacted).unwrap(), expected);
        let mut stream = redactor.stream_values_only();
        let mut redacted = stream.push(text.as_bytes().to_vec());
        redacted.extend(stream.finish().0);
        assert_eq!(String::from_utf8(redacted).unwrap(), expected);
    }
    assert_eq!(redactor.redact_name("logs/tr0ub/4d&r.log"), "logs/[redacted:known-value].log");
}

#[test]
fn values_only_leaves_what_it_does_not_know() {
    let mut stream = Redactor::new(&Secrets::new()).stream_values_only();
    let mut redacted = stream.push(b"password: abc\n".to_vec());
    let (rest, counts) = stream.finish();
    redacted.extend(rest);
    assert_eq!((redacted.as_slice(), counts.len()), (&b"password: abc\n"[..], 0));
}
