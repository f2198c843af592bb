//! The rules by format, as rows.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::grams::{Grams, Hit};
use super::names;

/// One rule by format: what it cuts and how it is found.
pub struct Rule {
    /// The name in the marker `[redacted:NAME]` and in the manifest.
    pub name: &'static str,
    /// What it cuts, in words for a person.
    pub cuts: &'static str,
    /// A line that holds none of these, in any case, is not looked at. Four bytes or more each; `?` stands for
    /// any letter or digit, `#` for any hexadecimal digit.
    literals: &'static [&'static str],
    /// What the secret looks like: the group `secret` is cut. Empty where the scanner's own code finds it.
    patterns: &'static [&'static str],
    /// Whether what was found can be a secret at all.
    believable: fn(&[u8]) -> bool,
}

/// Names that announce a value; see [`names::kind`].
const NAME_LITERALS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "private",
    "preshared",
    "pre-shared",
    "apikey",
    "api_key",
    "api-key",
    "psk=",
    "psk:",
    "psk\"",
    "psk ",
    "psk\\",
    "psk'",
    "client-key",
    "clientkey",
    "etcdkey",
    "_key",
    "-key",
    "accountkey",
    "accesskey",
    "access key",
    "sharedkey",
    "encryptionkey",
    "signingkey",
    "authkey",
    "tls.key",
    "auth\"",
    "auth\\",
    "onfiginline",
    "pin=",
    "pass=",
    "pass:",
    "pass\"",
    "pass\\",
    "_pass",
    "_pwd",
];

/// The rules, in the order in which one of them gives its name to what several of them found.
pub(super) static RULES: &[Rule] = &[
    Rule {
        name: "private-key",
        cuts: "private keys in PEM and OpenSSH form, from BEGIN to END, on many lines or in one string",
        literals: &["-----begin"],
        patterns: &[],
        believable: always,
    },
    Rule {
        name: "encoded-private-key",
        cuts: "base64 of a PEM file that holds a private key",
        literals: &["LS0tLS1CRUdJTi"],
        patterns: &[],
        believable: always,
    },
    Rule {
        name: "named-value",
        cuts: "values whose name announces a password, token, secret or key: YAML, JSON, INI, environments",
        literals: NAME_LITERALS,
        patterns: &[],
        believable: always,
    },
    Rule {
        name: "option",
        cuts: "arguments of command-line options whose name announces a password, token, secret or key",
        literals: NAME_LITERALS,
        patterns: &[],
        believable: always,
    },
    Rule {
        name: "user-password",
        cuts: "the password in `-u USER:PASSWORD` and `--user USER:PASSWORD`",
        literals: &[" -u ", "\"-u\"", "-u\\\"", " -u\n", "-user"],
        patterns: &[
            r#"(?:^|[\s"',\[])(?:-u|--user|--proxy-user)(?:=|\\*["']?\s*,?\s*)\\*["']?[^\s:"'\\+%-][^\s:"'\\]*:(?<secret>[^\s"'\\]+)"#,
        ],
        believable: not_only_digits,
    },
    Rule {
        name: "router-password",
        cuts: "BIRD's `password \"...\"` and `secret \"...\"`, FRR's `neighbor ... password`, keepalived's `auth_pass`",
        literals: &["password", "secret", "auth_pass", "authentication \""],
        patterns: &[
            r#"\bpassword[ \t]+\\*"(?<secret>[^"\r\n]*?)(?:\\*"|[\r\n]|$)"#,
            r#"\b(?:secret|authentication)[ \t]+\\*"(?<secret>[^"\r\n]*?)\\*"[ \t]*;"#,
            r"(?i)\bpassword[ \t]+(?<secret>(?:hex:)?(?:[0-9a-f]{2}:?){8,})",
            r#"(?i)\bneighbor[ \t]+\S+[ \t]+password[ \t]+(?:\d[ \t]+)?(?<secret>[^\s"]+)"#,
            r"\bauth_pass[ \t]+(?<secret>\S+)",
        ],
        believable: always,
    },
    Rule {
        name: "authorization",
        cuts: "credentials in `Authorization:` and `Proxy-Authorization:`",
        literals: &["authorization"],
        patterns: &[
            r#"(?i)authorization\\*["']?[ \t]*[:=][ \t]*[\["'\\]*[ \t]*(?:basic|bearer|negotiate|ntlm|token|apikey|key)[ \t]+(?<secret>[^\s"'\]\\,]+)"#,
            r#"(?i)authorization\\*["']?[ \t]*[:=][ \t]*[\["'\\]*[ \t]*(?:digest|aws4-hmac-sha256|sharedkey|hawk)[ \t]+(?<secret>[^\r\n\]]+)"#,
            r#"(?i)authorization\\*["']?[ \t]*[:=][ \t]*[\["'\\]*[ \t]*(?<secret>[^\s"'\]\\{}]*\d[^\s"'\]\\{}]{7,})"#,
        ],
        believable: always,
    },
    Rule {
        name: "bearer",
        cuts: "what follows the word `Bearer`, if it looks like a token",
        literals: &["bearer"],
        patterns: &[r"(?i)\bbearer(?:[ \t]+|%20|\+)(?<secret>[a-z0-9._~+/-]{8,}=*)"],
        believable: mixed,
    },
    Rule {
        name: "jwt",
        cuts: "JSON web tokens: three (or five) parts in base64 joined by dots",
        literals: &["eyJ?"],
        patterns: &[r"(?<secret>\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_.-]*)"],
        believable: always,
    },
    Rule {
        name: "cookie",
        cuts: "values in `Cookie:` and `Set-Cookie:`",
        literals: &["cookie:", "cookie\"", "cookie\\"],
        patterns: &[
            r#"(?i)\bset-cookie\\*["']?[ \t]*:[ \t]*[\["'\\]*[^=\s;"']+=(?<secret>[^;\s"'\\]+)"#,
            r#"(?i)(?:^|[\s"'\[{,\\])cookie\\*["']?[ \t]*:[ \t]*[\["'\\]*(?<secret>[^\s=;"'\\]+=[^\r\n"'\]\\]+)"#,
        ],
        believable: always,
    },
    Rule {
        name: "url-password",
        cuts: "the password in `scheme://user:password@host`; the user's name stays",
        literals: &["?://"],
        patterns: &[r#"[A-Za-z0-9]://[^\s/?\#"'<>\\@:]*:(?<secret>[^\s/?\#"'<>]+)@"#],
        believable: always,
    },
    Rule {
        name: "cloud-credential",
        cuts: "AWS access key ids, Google API keys and access tokens, signatures of signed Azure, AWS and Google URLs",
        literals: &[
            "AKIA",
            "ASIA",
            "AIza",
            "ya29.",
            "sig=",
            "signature=",
            "amz-credential=",
            "amz-security-token=",
        ],
        patterns: &[
            r"\b(?<secret>(?:AKIA|ASIA)[A-Z0-9]{16})\b",
            r"\b(?<secret>AIza[0-9A-Za-z_-]{35})",
            r"\b(?<secret>ya29\.[0-9A-Za-z_-]{20,})",
            r#"(?i)(?:\bsig|signature|amz-credential|amz-security-token)=(?<secret>[^&\s"';,\\]{16,})"#,
        ],
        believable: always,
    },
    Rule {
        name: "service-token",
        cuts: "tokens of GitHub, GitLab, Slack, Docker Hub, npm and Vault, known by their beginning",
        literals: &[
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "gldt-",
            "xoxa",
            "xoxb",
            "xoxe",
            "xoxo",
            "xoxp",
            "xoxr",
            "xoxs",
            "xapp-",
            "dckr_",
            "npm_",
            "hvs.",
            "hvb.",
        ],
        patterns: &[
            r"\b(?<secret>(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}))",
            r"\b(?<secret>(?:glpat|gldt)-[A-Za-z0-9_.-]{16,})",
            r"\b(?<secret>(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,})",
            r"\b(?<secret>(?:dckr_[a-z]{3}_|npm_|hvs\.|hvb\.)[A-Za-z0-9_-]{20,})",
        ],
        believable: always,
    },
    Rule {
        name: "cni-cache",
        cuts: "the configuration of CNI plugins, in base64, that libcni keeps of each pod's interface",
        literals: &["cniCacheV1"],
        patterns: &[r#""config":\s*"(?<secret>[A-Za-z0-9+/=]{8,})""#],
        believable: always,
    },
    Rule {
        name: "bootstrap-token",
        cuts: "Kubernetes bootstrap tokens (`abcdef.0123456789abcdef`) near the word token",
        literals: &["token"],
        patterns: &[
            r"(?i)token.{0,40}?(?-i)\b(?<secret>[a-z0-9]{6}\.[a-z0-9]{16})(?:[^a-z0-9.]|$)",
        ],
        believable: always,
    },
    Rule {
        name: "wireguard-key",
        cuts: "private and preshared keys in WireGuard's own output (`wg showconf`, `wg show`, `wg show dump`)",
        literals: &["=\t##", "=\t#.", "=\t0\t", "=\t(n", "=\t[#", "=\t[:"],
        patterns: &[
            r"(?:^|\t)(?<secret>[A-Za-z0-9+/]{43}=)\t[A-Za-z0-9+/]{43}=\t\d+\t(?:off|0x[0-9a-f]+|\d+)",
            r"[A-Za-z0-9+/]{43}=\t(?<secret>[A-Za-z0-9+/]{43}=)\t(?:\(none\)|[^\t]*:\d+)\t",
        ],
        believable: always,
    },
    Rule {
        name: "xfrm-key",
        cuts: "keys of IPsec states as `ip xfrm state` shows them",
        literals: &[
            "auth-trunc",
            "auth hmac",
            "auth '",
            "mac(",
            "(aes",
            "cbc(",
            "chacha20",
            "aead ",
            "enc '",
        ],
        patterns: &[
            r#"\b(?:auth|auth-trunc|enc|aead|comp)[ \t]+(?:'[^']*'|"[^"]*"|[^\s'"]+)[ \t]+(?<secret>0x[0-9A-Fa-f]+|"[^"]+")"#,
        ],
        believable: always,
    },
];

/// The rule that cuts PEM private keys.
pub(super) const PRIVATE_KEY: usize = 0;
/// The rule that cuts base64 of PEM private keys.
pub(super) const ENCODED_PRIVATE_KEY: usize = 1;
/// The rule that cuts values by their name.
pub(super) const NAMED_VALUE: usize = 2;
/// The rule that cuts arguments of command-line options.
pub(super) const OPTION: usize = 3;
/// The rule that cuts passwords behind user names.
pub(super) const USER_PASSWORD: usize = 4;
/// The rule by value: behind those by format.
pub(super) const KNOWN_VALUE: usize = RULES.len();

/// The name of a rule by its number.
pub(super) fn name(rule: usize) -> &'static str {
    RULES.get(rule).map_or("known-value", |rule| rule.name)
}

fn always(_: &[u8]) -> bool {
    true
}

fn not_only_digits(value: &[u8]) -> bool {
    !value.iter().all(u8::is_ascii_digit)
}

/// A token, not a word: it has a digit, or is far longer than words are.
fn mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) || value.len() >= 32
}

impl Rule {
    /// Whether what a pattern found is a secret.
    pub(super) fn accepts(&self, value: &[u8]) -> bool {
        !names::is_placeholder(value) && (self.believable)(value)
    }
}

/// The rules made ready.
pub(super) struct Compiled {
    /// All literals of all rules.
    literals: Grams,
    /// For each literal the rules (bits by number) for which it speaks.
    speaks_for: Vec<u32>,
    /// Each pattern with the number of its rule.
    pub(super) patterns: Vec<(usize, Regex)>,
    /// `-----BEGIN ... PRIVATE KEY-----`.
    pub(super) begin: Regex,
    /// `-----END ...-----`.
    pub(super) end: Regex,
    /// A run of base64 that begins with `-----BEGIN `.
    pub(super) encoded: Regex,
    /// A long run of base64, such as a line of a PEM body.
    pub(super) body: Regex,
    /// A command-line option and the blank behind it.
    pub(super) option: Regex,
}

pub(super) static COMPILED: LazyLock<Compiled> = LazyLock::new(Compiled::new);

impl Compiled {
    fn new() -> Self {
        let mut literals: Vec<Vec<u8>> = Vec::new();
        let mut speaks_for = Vec::new();
        for (number, rule) in RULES.iter().enumerate() {
            for literal in rule.literals {
                for variant in expand(literal) {
                    literals.push(variant.into_bytes());
                    speaks_for.push(1 << number);
                }
            }
        }
        let patterns = RULES.iter().enumerate().flat_map(|(number, rule)| {
            rule.patterns.iter().map(move |pattern| (number, regex(pattern)))
        });
        Self {
            literals: Grams::new(literals, true),
            speaks_for,
            patterns: patterns.collect(),
            begin: regex(
                r"-----BEGIN[A-Z0-9 +%]{0,40}PRIVATE(?:[ +]|%20)KEY(?:[ +]BLOCK)?(?:-----)?",
            ),
            end: regex(r"-----END[A-Z0-9 +%]{0,60}-----"),
            encoded: regex(r"LS0tLS1CRUdJTi[A-Za-z0-9+/_=-]+"),
            body: regex(r"[A-Za-z0-9+/=_-]{32,}"),
            option: regex(
                r#"(?:^|[\s"'`\[,(])(?<name>-{1,2}[A-Za-z][A-Za-z0-9._-]*)\\*["']?(?:[ \t]*,)?[ \t]*"#,
            ),
        }
    }

    /// The first place at or after `from` where a literal ends the search for a line worth looking at.
    pub(super) fn candidate(&self, text: &[u8], from: usize, hits: &mut Vec<Hit>) -> Option<usize> {
        hits.clear();
        self.literals.next(text, from, hits)?;
        hits.first().map(|hit| hit.start)
    }

    /// The rules (bits by number) whose literals stand in `line`.
    pub(super) fn worth_trying(&self, line: &[u8], hits: &mut Vec<Hit>) -> u32 {
        hits.clear();
        let mut at = 0;
        let mut rules = 0;
        while let Some(next) = self.literals.next(line, at, hits) {
            at = next;
            rules |= hits.drain(..).fold(0, |bits, hit| bits | self.speaks_for[hit.pattern]);
        }
        rules
    }
}

/// Every string for which a literal stands.
fn expand(literal: &str) -> Vec<String> {
    let Some(at) = literal.find(['?', '#']) else { return vec![literal.to_owned()] };
    let letters = if literal.as_bytes()[at] == b'?' { 'a'..='z' } else { 'a'..='f' };
    let fill = |letter| literal[..at].to_owned() + &String::from(letter) + &literal[at + 1..];
    letters.chain('0'..='9').flat_map(|letter| expand(&fill(letter))).collect()
}

/// The patterns are constants, and a test compiles them all.
#[allow(clippy::expect_used, reason = "a constant pattern that does not compile fails every test")]
fn regex(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).unicode(false).build().expect("the pattern of a row is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole() {
        assert!(RULES.len() < 32, "the bits of a rule set fit an u32");
        for rule in RULES {
            assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert!(rule.literals.iter().all(|literal| literal.len() >= 4), "{}", rule.name);
            for pattern in rule.patterns {
                assert_eq!(
                    regex(pattern).capture_names().flatten().collect::<Vec<_>>(),
                    ["secret"]
                );
            }
        }
        assert_eq!(RULES[PRIVATE_KEY].name, "private-key");
        assert_eq!(RULES[ENCODED_PRIVATE_KEY].name, "encoded-private-key");
        assert_eq!(RULES[NAMED_VALUE].name, "named-value");
        assert_eq!(RULES[OPTION].name, "option");
        assert_eq!(RULES[USER_PASSWORD].name, "user-password");
    }

    #[test]
    fn every_rule_is_in_the_documentation() {
        let documentation = include_str!("../../docs/redaction.md");
        for rule in RULES {
            assert!(documentation.contains(&format!("| `{}` |", rule.name)), "{}", rule.name);
        }
    }
}
