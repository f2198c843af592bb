//! How long the credentials last that Calico's CNI plugin has: all that a verdict needs of them, and no secret.
//!
//! ```text
//! {"files": [{"path": "/etc/cni/net.d/calico-kubeconfig", "outcome": "ok", "modified": "2026-11-01T00:00:00Z",
//!   "users": [{"by": "token", "file": null,
//!     "times": {"isJwt": true, "issued": "2026-11-01T00:00:00Z", "expires": "2026-11-02T00:00:00Z"}}]}]}
//! ```
//!
//! A bundle holds this in place of the tokens, which are cut out of it. A kubeconfig is YAML; a token is a JSON Web Token
//! (RFC 7519) of three parts in base64, of which the second says when it was issued (`iat`) and until when it holds
//! (`exp`), in seconds since 1970. Its signature is not looked at: whether the API server takes it, only that knows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// Where a bundle keeps it.
pub const PATH: &str = "cni/credentials.json";

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The kubeconfigs, and the configurations in which a token stands.
    pub files: Vec<Credential>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Its path on the host.
    pub path: String,
    /// Whether it could be read.
    pub outcome: Outcome,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was last written.
    #[serde(default)]
    pub modified: Option<Timestamp>,
    /// Whose credentials are in it.
    #[serde(default)]
    pub users: Vec<User>,
}

/// A user of a kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// By what it shows who it is.
    pub by: Kind,
    /// Its token's times.
    #[serde(default)]
    pub times: Option<Times>,
    /// The file that its token stands in.
    #[serde(default)]
    pub file: Option<String>,
}

/// By what a user shows who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// By nothing.
    #[default]
    None,
    /// A token.
    Token,
    /// A client certificate.
    Certificate,
    /// A program, a password, or what else `client-go` knows.
    Other,
}

/// The times of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// Whether it is one that tells its times at all.
    pub is_jwt: bool,
    /// `iat`.
    #[serde(default)]
    pub issued: Option<Timestamp>,
    /// `exp`; `None`: it holds for ever.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

impl Credentials {
    /// The document in these bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Times {
    /// The times of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        #[derive(Deserialize)]
        struct Claims {
            // Some issuers write them with a fraction.
            iat: Option<f64>,
            exp: Option<f64>,
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is beyond the calendar is no time"
        )]
        let time = |seconds: Option<f64>| Timestamp::from_second(seconds? as i64).ok();
        let mut parts = token.trim().split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::default();
        };
        let decoded = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).unwrap_or_default();
        match serde_json::from_slice::<Claims>(&decoded) {
            Ok(claims) => {
                Self { is_jwt: true, issued: time(claims.iat), expires: time(claims.exp) }
            }
            Err(_) => Self::default(),
        }
    }
}

/// The users of a kubeconfig, those of the context in use first. `None`: it is no kubeconfig.
#[must_use]
pub fn users(text: &str) -> Option<Vec<User>> {
    #[derive(Deserialize)]
    struct Kubeconfig {
        #[serde(default)]
        users: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        user: Option<Fields>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Fields {
        token: Option<String>,
        #[serde(rename = "tokenFile")]
        token_file: Option<String>,
        client_certificate: Option<String>,
        client_certificate_data: Option<String>,
        exec: Option<serde_json::Value>,
        auth_provider: Option<serde_json::Value>,
        password: Option<String>,
    }
    let kubeconfig: Kubeconfig = serde_yaml::from_str(text).ok()?;
    let users = kubeconfig.users.into_iter().map(|named| {
        let fields = named.user.unwrap_or_default();
        let token = fields.token.filter(|token| !token.is_empty());
        // client-go reads the file, if one is named, and falls back to the token beside it.
        let file = fields.token_file.filter(|path| !path.is_empty());
        let by = if token.is_some() || file.is_some() {
            Kind::Token
        } else if fields.client_certificate.is_some() || fields.client_certificate_data.is_some() {
            Kind::Certificate
        } else if fields.exec.is_some()
            || fields.auth_provider.is_some()
            || fields.password.is_some()
        {
            Kind::Other
        } else {
            Kind::None
        };
        User { by, times: token.as_deref().map(Times::of), file }
    });
    Some(users.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token with these claims.
    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_its_times_and_anything_else_tells_none() {
        let token = Times::of(&jwt(r#"{"iat":1793491200,"exp":1793577600.0,"sub":"x"}"#));
        assert_eq!(token.issued.unwrap().to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(token.expires.unwrap().to_string(), "2026-11-02T00:00:00Z");
        let endless = Times::of(&jwt(r#"{"sub":"x"}"#));
        assert_eq!((endless.is_jwt, endless.expires), (true, None));
        for other in [
            "",
            "abcdef.0123456789abcdef",
            "a.b.c",
            "a.b.c.d",
            &jwt("[1]"),
            &jwt(r#"{"exp":"soon"}"#),
        ] {
            assert!(!Times::of(other).is_jwt, "{other}");
        }
        let far = Times::of(&jwt(r#"{"exp":1e300}"#));
        assert_eq!((far.is_jwt, far.expires), (true, None));
    }

    #[test]
    fn a_kubeconfigs_users_are_told_by_their_kind() {
        let text = format!(
            "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: {}\n- name: b\n  user: {{client-certificate-data: eA==}}\n- name: c\n  user: {{tokenFile: /t}}\n- name: d\n",
            jwt(r#"{"exp":1793577600}"#)
        );
        let users = users(&text).unwrap();
        let kinds: Vec<Kind> = users.iter().map(|user| user.by).collect();
        assert_eq!(kinds, [Kind::Token, Kind::Certificate, Kind::Token, Kind::None]);
        assert!(users[0].times.as_ref().unwrap().expires.is_some());
        assert_eq!(users[2].file.as_deref(), Some("/t"));
        let document = serde_json::to_string(&users).unwrap();
        assert!(!document.contains("eyJ") && !document.contains("eA=="), "{document}");
        assert!(super::users("[").is_none() && super::users("users: 3").is_none());
    }
}
