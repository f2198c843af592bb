//! Which names announce a secret, and which values are none although their name announces one.
//!
//! Samples: `etcdPassword: x`, `"client-key-data": "x"`, `ETCD_PASSWORD=x` are secrets; `etcdKeyFile: /x`,
//! `token: ""`, `"k8s_auth_token": "__SERVICEACCOUNT_TOKEN__"`, `client-key: /etc/pki/node.key` are none.

/// What a name says about the value behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password: whatever stands there is one, a path and a number too.
    Password,
    /// A token or a key: a path to it, a switch and a small number are not the thing itself.
    Key,
    /// `auth` of a container registry's configuration: base64 of `user:password`.
    RegistryAuth,
    /// A SIM card's PIN: digits.
    Pin,
}

/// Ends of names, without `-`, `_` and `.`, that announce a password.
const PASSWORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "psk",
    "passwordraw",
    "wepkey0",
    "wepkey1",
    "wepkey2",
    "wepkey3",
    "kubeconfiginline",
    "userpass",
    "dbpass",
];

/// Ends of names that announce a token or a key.
const KEYS: &[&str] = &[
    "token",
    "tokendata",
    "secret",
    "credential",
    "credentials",
    "apikey",
    "privatekey",
    "privatekeydata",
    "secretkey",
    "presharedkey",
    "clientkey",
    "clientkeydata",
    "accesskey",
    "accountkey",
    "sharedkey",
    "encryptionkey",
    "signingkey",
    "authkey",
    "authenticationkey",
    "etcdkey",
    "tlskey",
    "fastopenkey",
];

/// Words anywhere in the name of an environment variable that announce a secret.
const VARIABLES: &[&str] =
    &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE_KEY", "APIKEY"];

/// Ends of names of environment variables that announce a secret.
const VARIABLE_ENDS: &[&str] = &["_KEY", "_PASS", "_PWD", "_PSK", "_KEY_DATA"];

/// Ends of names of environment variables that only tell of a secret.
const ABOUT: &[&str] = &[
    "FILE",
    "FILES",
    "PATH",
    "PATHS",
    "DIR",
    "NAME",
    "NAMES",
    "TYPE",
    "TTL",
    "URL",
    "URI",
    "ENABLED",
    "DISABLED",
    "LENGTH",
    "COUNT",
    "PERIOD",
    "INTERVAL",
    "SECONDS",
    "TIMEOUT",
    "EXPIRY",
    "EXPIRATION",
    "REF",
    "NAMESPACE",
    "HOST",
    "PORT",
    "MODE",
    "PUBLIC_KEY",
];

/// The longest name that is looked at.
pub(super) const LONGEST: usize = 128;

/// What `name` announces; `None` if it announces no secret.
pub(super) fn kind(name: &[u8]) -> Option<Kind> {
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let plain: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    if is_variable(name) {
        let about = ABOUT.iter().any(|end| name.ends_with(end.as_bytes()));
        let announces = VARIABLES.iter().any(|word| contains(name, word.as_bytes()))
            || VARIABLE_ENDS.iter().any(|end| name.ends_with(end.as_bytes()));
        let password = contains(name, b"PASS") || contains(name, b"PWD");
        return (announces && !about).then_some(if password { Kind::Password } else { Kind::Key });
    }
    let ends_in = |list: &[&str]| list.iter().any(|end| plain.ends_with(end.as_bytes()));
    let last = name.rsplit(|byte| b"-_.".contains(byte)).next().unwrap_or_default();
    if ends_in(PASSWORDS) || last.eq_ignore_ascii_case(b"pass") || last == b"Pass" {
        Some(Kind::Password)
    } else if ends_in(KEYS) {
        Some(Kind::Key)
    } else if plain == b"auth" {
        Some(Kind::RegistryAuth)
    } else if plain == b"pin" {
        Some(Kind::Pin)
    } else {
        None
    }
}

/// Whether a name is written as environment variables are.
pub(super) fn is_variable(name: &[u8]) -> bool {
    name.iter().all(|&byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && name.contains(&b'_')
}

/// Whether what stands behind a name of this kind is a secret.
pub(super) fn is_secret(kind: Kind, value: &[u8]) -> bool {
    if is_placeholder(value) {
        return false;
    }
    match kind {
        Kind::Password => true,
        Kind::Key => {
            let small_number = value.len() <= 5 && value.iter().all(u8::is_ascii_digit);
            !small_number && !is_switch(value) && !is_path(value)
        }
        Kind::RegistryAuth => super::base64_text(value).is_some_and(|text| text.contains(&b':')),
        Kind::Pin => value.len() >= 4 && value.iter().all(u8::is_ascii_digit),
    }
}

/// Whether a value stands for one that is not there: nothing, a null, a template's variable, a mask.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    const NOTHING: &[&[u8]] =
        &[b"", b"~", b"null", b"nil", b"none", b"undefined", b"redacted", b"(none)", b"(hidden)"];
    let lower = value.to_ascii_lowercase();
    let enclosed = |open: &[u8], close: &[u8]| value.starts_with(open) && value.ends_with(close);
    NOTHING.contains(&lower.as_slice())
        || enclosed(b"{{", b"}}")
        || enclosed(b"${", b"}")
        || enclosed(b"$(", b")")
        || enclosed(b"<", b">")
        || (enclosed(b"__", b"__") && value.len() > 4)
        || value.starts_with(b"[redacted")
        || value.iter().all(|byte| b"*.".contains(byte))
        || (value.len() >= 3 && value.iter().all(|&byte| byte == b'x' || byte == b'X'))
}

fn is_switch(value: &[u8]) -> bool {
    const SWITCHES: &[&[u8]] = &[b"true", b"false", b"yes", b"no", b"on", b"off"];
    SWITCHES.contains(&value.to_ascii_lowercase().as_slice())
}

/// Whether a value is the path of a file. Base64 may begin with a slash too; but a first component all in lower
/// case and no padding is beyond its chance.
pub(super) fn is_path(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"file://").unwrap_or(value);
    let value = value.strip_prefix(b"~").or(value.strip_prefix(b".")).unwrap_or(value);
    let Some(rest) = value.strip_prefix(b"/") else { return false };
    let first = rest.split(|&byte| byte == b'/').next().unwrap_or_default();
    !rest.is_empty()
        && first.len() <= 24
        && !rest.iter().any(|byte| b"+= ".contains(byte))
        && !first.iter().any(u8::is_ascii_uppercase)
}

/// How many of lower case, upper case, digits and the rest a value uses.
pub(super) fn classes(value: &[u8]) -> usize {
    let any = |class: fn(&u8) -> bool| usize::from(value.iter().any(class));
    any(u8::is_ascii_lowercase)
        + any(u8::is_ascii_uppercase)
        + any(u8::is_ascii_digit)
        + any(|byte| !byte.is_ascii_alphanumeric())
}

pub(super) fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_announce_a_secret() {
        for name in [
            "password",
            "etcdPassword",
            "token",
            "id-token",
            "client-key-data",
            "k8sAPIToken",
            "k8s_auth_token",
            "etcd_key",
            "802-11-wireless-security.psk",
            "wep-key0",
            "secretKey",
            "ETCD_PASSWORD",
            "K8S_API_TOKEN",
            "SSH_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "PrivateKey",
            "AWS_SESSION_TOKEN",
            "user_pass",
            "tls.key",
            "ETCD_PASSWORD_OLD",
            "PGPASSWORD",
            "--etcd-password",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "kubeconfigInline",
            "APP_DB_PWD",
        ] {
            assert!(kind(name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn names_that_only_tell_of_one() {
        for name in [
            "etcdKeyFile",
            "password-file",
            "psk-flags",
            "key-mgmt",
            "tokenExpirationSeconds",
            "secretName",
            "PWD",
            "OLDPWD",
            "ETCD_KEY_FILE",
            "TOKEN_TTL",
            "keepalive",
            "bypass",
            "compass",
            "FELIX_TYPHAKEYFILE",
            "certificate-authority-data",
            "public-key",
            "SSH_PUBLIC_KEY",
            "secretKeyRef",
            "GeneratedTokens",
            "hotkey",
            "monkey",
        ] {
            assert_eq!(kind(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_path_is_no_key_but_may_be_a_password() {
        for path in ["/etc/pki/node.key", "~/.kube/token", "./tls.key", "file:///run/secrets/x"] {
            assert!(!is_secret(Kind::Key, path.as_bytes()), "{path}");
        }
        assert!(is_secret(Kind::Password, b"/hunter2"));
        assert!(is_secret(Kind::Key, b"/AbcdEFghIjkLmnOpqRstUvwXyz0123456789abcdeE="));
    }
}
