//! Canaries: hundreds of secrets planted in every place and form, of which no byte may come out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::super::*;
use super::in_chunks;

/// A secret that occurs nowhere else: letters and digits, as tokens are made.
fn canary(number: usize) -> String {
    let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("c4n{number:03}Q{mixed:016x}z")
}

/// Base64 that decodes to the canary and so holds it in 44 characters, as `WireGuard`'s keys do.
fn key(number: usize) -> String {
    STANDARD.encode(format!("{:>32}", canary(number)))
}

/// Places in which a secret stands with what announces it; `@` is the canary, `%` a key of 32 bytes in base64,
/// `$` a hexadecimal key.
const PLACES: &[&str] = &[
    "  password \"@\";\n",
    "protocol bgp Mesh_10_0_0_2 { password \"@\"; }\n",
    "show config \\\"password \\\"@\\\";\\\"\n",
    "users:\n- name: calico\n  user:\n    token: @\n",
    "    password: '@'\n",
    "    client-key-data: @\n",
    "    id-token: \"@\"\n    refresh-token: @\n",
    "etcdPassword: @\n",
    "  etcdKey: |\n    @\n    @\n",
    "k8sAPIToken: @\n",
    "kubeconfigInline: |\n  anything: @\n",
    "{\"k8s_auth_token\":\"@\"}\n",
    "{\"etcd_key\": \"-----BEGIN EC PRIVATE KEY-----\\n%\\n-----END EC PRIVATE KEY-----\"}\n",
    "config=\"{\\\"token\\\":\\\"@\\\"}\"\n",
    "psk=@\n",
    "[wifi-security]\nleap-password=@\nwep-key1=@\n",
    "private-key-password=@\npassword-raw=@\n",
    "[wireguard]\nprivate-key=%\n[wireguard-peer.x]\npreshared-key=%\n",
    "PrivateKey = %\nPresharedKey = %\n",
    "  private key: %\n  preshared key: %\n",
    "%\txTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\t51820\toff\n",
    "-----BEGIN PRIVATE KEY-----\n%\n%\n-----END PRIVATE KEY-----\n",
    "2026-11-23T02:33:26.1Z stderr F -----BEGIN RSA PRIVATE KEY-----\n2026-11-23T02:33:26.1Z stderr F %\n2026-11-23T02:33:26.1Z stderr F -----END RSA PRIVATE KEY-----\n",
    "      -----BEGIN OPENSSH PRIVATE KEY-----\n      %\n      -----END OPENSSH PRIVATE KEY-----\n",
    "etcd_endpoints=https://root:@@10.0.0.1:2379\n",
    "Authorization: Bearer @\n",
    "Proxy-Authorization: Basic @\n",
    "headers=map[Authorization:[Bearer @]]\n",
    "using bearer @ now\n",
    "got eyJhbGciOiJIUzI1NiJ9.eyJ@.@ ok\n",
    "Set-Cookie: session=@; Path=/\n",
    "Cookie: a=1; session=@\n",
    "AWS_SECRET_ACCESS_KEY=@\nAWS_SESSION_TOKEN=@\n",
    "AccountKey=@;EndpointSuffix=x\n",
    "https://x.blob/y?sv=1&sig=@&se=2\n",
    "cloning with ghp_@\n",
    "glpat-@ and xoxb-@\n",
    "HOME=/root\0ETCD_PASSWORD=@\0API_KEY=@\0SERVICE_CREDENTIAL=@\0\n",
    "Environment=\"DB_PASSWORD=@\"\n",
    "etcdctl --password @ --token=@ get /\n",
    "etcdctl --etcd-password=@\n",
    "tool\0--password\0@\0--v\0\n",
    "[\"tool\",\"--token\",\"@\"]\n",
    "  - --token\n  - @\n",
    "curl -u admin:@ https://x\n",
    "- name: SOME_TOKEN\n  value: @\n",
    "\tauth-trunc hmac(sha256) $ 96\n\tenc cbc(aes) $\n",
    "\taead rfc4106(gcm(aes)) $ 128\n",
    " neighbor 10.0.0.1 password @\n",
    "time=x level=info msg=login password=@ user=y\n",
    "token:\n  @\n",
    "secret: \"@\n  @\"\n",
];

/// Fills a place with fresh canaries, from `next` on.
fn plant(place: &str, next: &mut usize, planted: &mut Vec<String>) -> String {
    let mut text = String::new();
    let mut letters = place.chars().peekable();
    while let Some(letter) = letters.next() {
        let secret = match letter {
            // `@@` is a canary and the sign itself.
            '@' if letters.peek() == Some(&'@') => {
                letters.next();
                letters.next_if_eq(&'@');
                text.push_str(&canary(*next));
                planted.push(canary(*next));
                *next += 1;
                text.push('@');
                continue;
            }
            '@' => canary(*next),
            '%' => key(*next),
            '$' => "0x".to_owned() + &hex(canary(*next).as_bytes()),
            other => {
                text.push(other);
                continue;
            }
        };
        *next += 1;
        text.push_str(&secret);
        planted.push(secret);
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[test]
fn two_hundred_canaries_leave_in_no_place_and_no_chunks() {
    let (mut next, mut planted, mut text) = (0, Vec::new(), String::new());
    for round in 0..4 {
        for _ in PLACES {
            // Each place stands alone, after an ordinary line, and in any order.
            text.push_str(
                "2026-11-23 09:17:48.238 [INFO][85386] felix/summary.go 100: an ordinary line\n",
            );
            let place = PLACES[(planted.len() * 7 + round) % PLACES.len()]
                .replace('\0', if round == 3 { "\n" } else { "\0" });
            text.push_str(&plant(&place, &mut next, &mut planted));
        }
        for place in PLACES {
            text.push_str(&plant(place, &mut next, &mut planted));
        }
    }
    assert!(planted.len() >= 200, "{}", planted.len());
    let redactor = Redactor::new(&Secrets::new());
    let whole = redactor.redact(text.clone().into_bytes()).0;
    let shown = String::from_utf8(whole.clone()).unwrap();
    for secret in &planted {
        assert!(text.contains(secret.as_str()));
        assert!(!shown.contains(secret.as_str()), "{secret} in {:?}", line_of(&shown, secret));
        assert!(!shown.contains(&secret[4..20]), "a part of {secret}");
    }
    assert_eq!(shown.matches("an ordinary line").count(), 4 * PLACES.len());
    for size in [1, 7, 65536] {
        assert!(in_chunks(&redactor, text.as_bytes(), size) == whole, "{size}");
    }
}

fn line_of<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(secret))
}

#[test]
fn two_hundred_known_values_leave_in_no_form() {
    let mut secrets = Secrets::new();
    let values: Vec<String> = (0..200)
        .map(|number| match number % 4 {
            0 => canary(number),
            1 => format!("p/{}+&\"é<", canary(number)),
            2 => format!("{}\\ {}", canary(number), canary(number + 500)),
            _ => canary(number)[4..13].to_owned(),
        })
        .collect();
    // As they are found on a node: some in configuration, some as files of their own.
    for (number, value) in values.iter().enumerate() {
        match number % 3 {
            0 => secrets.learn(
                format!("etcdPassword: {}\n", serde_json::to_string(value).unwrap()).as_bytes(),
            ),
            1 => secrets.learn_credential_file(format!("{value}\n").as_bytes()),
            _ => secrets.learn_value(value.as_bytes()),
        }
    }
    assert_eq!(secrets.skipped(), 0);
    let redactor = Redactor::new(&secrets);
    let mut text = String::new();
    for (number, value) in values.iter().enumerate() {
        let json = serde_json::to_string(value).unwrap();
        let nested = serde_json::to_string(&json).unwrap();
        let around =
            |before: usize| format!("{}{value}{}", "<".repeat(before), ">".repeat(number % 5));
        let percent: String = value
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        text += &format!(
            "plain <{value}> json {json} nested {nested} slash {}\n",
            json.replace('/', "\\/")
        );
        text += &format!(
            "url {percent} {}\n",
            percent.to_lowercase().replace(&value.to_lowercase(), value)
        );
        text +=
            &format!("hex {} {}\n", hex(value.as_bytes()), hex(value.as_bytes()).to_uppercase());
        for before in 0..3 {
            text += &format!(
                "b64 {} {}\n",
                STANDARD.encode(around(before)),
                URL_SAFE.encode(around(before))
            );
        }
    }
    let mut outputs = vec![redactor.redact(text.clone().into_bytes()).0];
    outputs.extend([1, 7, 65536].map(|size| in_chunks(&redactor, text.as_bytes(), size)));
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    let shown = String::from_utf8(outputs.swap_remove(0)).unwrap();
    for value in &values {
        let core = if value.len() < 12 {
            value.as_str()
        } else {
            value.trim_start_matches("p/").get(..20).unwrap()
        };
        assert!(!shown.contains(core), "{:?}", line_of(&shown, core));
        assert!(
            !shown.contains(&hex(core.as_bytes()))
                && !shown.contains(&hex(core.as_bytes()).to_uppercase())
        );
        // Whatever is left of base64 holds no whole value: decoding finds none.
        for word in shown.split_whitespace() {
            let decoded = super::super::base64_text(word.as_bytes()).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&decoded).contains(core), "{word}");
        }
    }
    assert_eq!(
        redactor.redact_name(&format!("logs/{}.log", values[0])),
        "logs/[redacted:known-value].log"
    );
}
