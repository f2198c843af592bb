//! No secret comes out, whatever stands around it and however the text is cut into chunks.
//!
//! ```text
//! input: | seed u8 | place u8 | sizes of chunks: 4 bytes | what stands around |
//! ```
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calivet::redact::{Redactor, Secrets};
use libfuzzer_sys::fuzz_target;

/// Lines in which a secret (`@`) stands with what announces it.
const PLACES: [&str; 16] = [
    "  password \"@\";\n",
    "    token: @\n",
    "{\"k8s_auth_token\":\"@\"}\n",
    "etcd_endpoints=https://root:@#10.0.0.1:2379\n",
    "Authorization: Bearer @\n",
    "psk=@\n",
    "wep-key1=@\n",
    "AWS_SECRET_ACCESS_KEY=@\n",
    "etcdctl --password @ --token=@ get /\n",
    " neighbor 10.0.0.1 password @\n",
    "    client-key-data: @\n",
    "etcdPassword: @\n",
    "Environment=\"DB_PASSWORD=@\"\n",
    "Cookie: session=@\n",
    "    password: '@'\n",
    "curl -u admin:@ https://x\n",
];

fuzz_target!(|bytes: &[u8]| {
    let Some(([seed, place, sizes @ ..], around)) = bytes.split_first_chunk::<6>() else { return };
    let secret = secret(*seed);
    // What surrounds it is not to hold it too, where nothing announces it.
    if contains(around, secret.as_bytes()) {
        return;
    }
    let middle = around.len() / 2;
    let (before, after) = around.split_at(middle);

    // By value, in each form, with anything at all around.
    let mut secrets = Secrets::new();
    secrets.learn_value(secret.as_bytes());
    assert_eq!(secrets.len(), 1);
    let knowing = Redactor::new(&secrets);
    for form in [secret.clone(), STANDARD.encode(&secret), hex(secret.as_bytes())] {
        let text = [before, form.as_bytes(), after].concat();
        let out = redacted(&knowing, &text, sizes);
        assert!(!contains(&out, form.as_bytes()), "{form} came out by value");
    }

    // By format, on a line of its own among other lines.
    let place = PLACES[usize::from(*place) % PLACES.len()].replace('@', &secret).replace('#', "@");
    let text = [before, b"\n", place.as_bytes(), after].concat();
    let out = redacted(&Redactor::new(&Secrets::new()), &text, sizes);
    if !before.contains(&b'-') && before.is_ascii() {
        assert!(!contains(&out, secret.as_bytes()), "{secret} came out of {place}");
    }

    // What is learnt from one text is found in another.
    let mut learnt = Secrets::new();
    learnt.learn(place.as_bytes());
    let out =
        redacted(&Redactor::new(&learnt), &[before, secret.as_bytes(), after].concat(), sizes);
    assert!(!contains(&out, secret.as_bytes()), "{secret} of {place} came out elsewhere");
});

/// Redacts at once and in chunks, which must give the same.
fn redacted(redactor: &Redactor, text: &[u8], sizes: &[u8]) -> Vec<u8> {
    let (whole, counts) = redactor.redact(text.to_vec());
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        let (chunk, more) = rest.split_at(rest.len().min(usize::from(*size) * 3 + 1));
        out.extend(stream.push(chunk.to_vec()));
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    let (end, again) = stream.finish();
    out.extend(end);
    assert_eq!(out, whole, "chunks do not matter");
    assert_eq!(again, counts, "chunks do not matter to the counts");
    assert!(whole.len() <= text.len() * 40 + 40, "{} bytes became {}", text.len(), whole.len());
    whole
}

/// Letters and digits, as tokens are made.
fn secret(seed: u8) -> String {
    let mixed = (u64::from(seed) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("c4n{seed:03}Q{mixed:016x}z")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
