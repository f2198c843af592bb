//! BIRD's configuration, as far as its BGP sessions are concerned.
//!
//! ```text
//! router id 10.192.0.2;
//! listen bgp address 10.192.0.2 port 179;                  (BIRD 1.6)
//! template bgp bgp_template {
//!   local as 64512;
//!   multihop;
//! }
//! protocol bgp Mesh_10_192_0_3 from bgp_template {
//!   neighbor 10.192.0.3 as 64512;
//!   source address 10.192.0.2;  # The local address we use for the TCP connection
//!   ttl security off;
//!   passive on;
//!   password "...";
//! }
//! ```
//!
//! This is no judge of the grammar: words, strings and punctuation are told apart, a protocol takes what its template
//! says before what it says itself, and what is not about BGP is passed over. Of a password only its presence is kept,
//! so that a redacted file says the same as the original.

use std::collections::HashMap;

/// What a configuration says of BGP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The router id.
    pub router_id: Option<String>,
    /// The port on which BIRD 1.6 listens (`listen bgp port`), where it is not BGP's own.
    pub listen_port: Option<u16>,
    /// The address on which BIRD 1.6 listens (`listen bgp address`).
    pub listen_address: Option<String>,
    /// The sessions, in the order of the file.
    pub peers: Vec<Session>,
}

/// A BGP session as it is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are options that are on or off")]
pub struct Session {
    /// The protocol's name.
    pub name: String,
    /// The neighbour's address.
    pub neighbor: Option<String>,
    /// The neighbour's port, where it is not BGP's own.
    pub port: Option<u16>,
    /// The neighbour's AS.
    pub remote_as: Option<u32>,
    /// Our AS.
    pub local_as: Option<u32>,
    /// Our end of the session.
    pub source: Option<String>,
    /// Whether the neighbour is to call (`passive on`).
    pub is_passive: bool,
    /// Whether segments are signed (TCP MD5).
    pub has_password: bool,
    /// Whether packets from further away than the neighbour are dropped (GTSM, RFC 5082).
    pub has_ttl_security: bool,
    /// Whether it is configured to be down.
    pub is_disabled: bool,
    /// The node whose session it is, where confd noted it (before Calico 3.33).
    pub node: Option<String>,
}

/// The port of BGP.
pub const PORT: u16 = 179;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A word, a number or an address.
    Word(&'a str),
    /// What stands between quotes.
    Text,
    Open,
    Close,
    /// `;`
    End,
}

/// What a text says. It never fails: of half a file, half is understood.
#[must_use]
pub fn parse(text: &str) -> Configuration {
    let mut configuration = Configuration::default();
    let mut templates: Vec<Session> = Vec::new();
    let mut tokens = Tokens(text).peekable();
    let mut statement: Vec<Token<'_>> = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::End => {
                global(&mut configuration, &statement);
                statement.clear();
            }
            Token::Open => {
                let block = block(&mut tokens);
                // `};` and `}` both end it.
                if tokens.peek() == Some(&Token::End) {
                    tokens.next();
                }
                match statement[..] {
                    [Token::Word("template"), Token::Word("bgp"), Token::Word(name), ..] => {
                        templates.push(session(name, &statement, &block, &templates));
                    }
                    [Token::Word("protocol"), Token::Word("bgp"), Token::Word(name), ..] => {
                        let peer = session(name, &statement, &block, &templates);
                        configuration.peers.push(peer);
                    }
                    _ => {}
                }
                statement.clear();
            }
            Token::Close => statement.clear(),
            other => statement.push(other),
        }
    }
    let nodes = noted(text);
    for session in &mut configuration.peers {
        session.node = nodes.get(session.name.as_str()).map(ToString::to_string);
    }
    configuration
}

/// The nodes that comments name, by the protocols that follow them:
///
/// ```text
/// # For peer /bgp/v1/host/node-2/ip_addr_v4
/// protocol bgp Mesh_10_192_0_3 from bgp_template {
/// ```
fn noted(text: &str) -> HashMap<&str, &str> {
    let mut nodes = HashMap::new();
    let mut node = None;
    for line in text.lines().map(str::trim) {
        if let Some(key) = line.strip_prefix("# For peer ") {
            node = key.split_once("/host/").and_then(|(_, rest)| rest.split('/').next());
        } else if let Some(rest) = line.strip_prefix("protocol bgp ")
            && let (Some(name), Some(node)) = (rest.split_whitespace().next(), node.take())
        {
            nodes.insert(name, node);
        }
    }
    nodes
}

/// The tokens up to the brace that closes a block which was just opened.
fn block<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) -> Vec<Token<'a>> {
    let mut depth = 1;
    let mut inside = Vec::new();
    for token in tokens {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        inside.push(token);
    }
    inside
}

/// A statement outside of blocks.
fn global(configuration: &mut Configuration, statement: &[Token<'_>]) {
    match statement {
        [Token::Word("router"), Token::Word("id"), Token::Word(id)] => {
            configuration.router_id = Some((*id).to_owned());
        }
        [Token::Word("listen"), Token::Word("bgp"), options @ ..] => {
            for pair in options.windows(2) {
                match pair {
                    [Token::Word("port"), Token::Word(port)] => {
                        configuration.listen_port = port.parse().ok();
                    }
                    [Token::Word("address"), Token::Word(address)] => {
                        configuration.listen_address = Some((*address).to_owned());
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// The session of a template or protocol, which begins as the template after `from` says.
fn session(
    name: &str,
    heading: &[Token<'_>],
    block: &[Token<'_>],
    templates: &[Session],
) -> Session {
    let from = heading.windows(2).find_map(|pair| match pair {
        [Token::Word("from"), Token::Word(template)] => Some(*template),
        _ => None,
    });
    let template = templates.iter().rev().find(|template| Some(template.name.as_str()) == from);
    let mut session = template.cloned().unwrap_or_default();
    name.clone_into(&mut session.name);
    let mut depth = 0;
    let mut statement = Vec::new();
    for token in block {
        match token {
            Token::Open => {
                depth += 1;
                // What is in front of it names a filter or a channel.
                statement.clear();
            }
            Token::Close => {
                depth -= 1;
                statement.clear();
            }
            _ if depth > 0 => {}
            Token::End => {
                option(&mut session, &statement);
                statement.clear();
            }
            other => statement.push(*other),
        }
    }
    session
}

/// A statement of a session.
fn option(session: &mut Session, statement: &[Token<'_>]) {
    let [Token::Word(first), rest @ ..] = statement else { return };
    match (*first, rest) {
        ("neighbor", [Token::Word(address), ..]) if *address != "range" => {
            session.neighbor = Some((*address).to_owned());
            session.port = number_after("port", rest).and_then(|port| port.try_into().ok());
            session.remote_as = number_after("as", rest);
        }
        ("local", rest) => {
            session.local_as = number_after("as", rest);
            if let [Token::Word(address), ..] = rest
                && !matches!(*address, "as" | "port" | "role")
            {
                session.source = Some((*address).to_owned());
            }
        }
        ("source", [Token::Word("address"), Token::Word(address)]) => {
            session.source = Some((*address).to_owned());
        }
        ("passive", rest) => session.is_passive = is_on(rest),
        ("disabled", rest) => session.is_disabled = is_on(rest),
        ("ttl", [Token::Word("security"), rest @ ..]) => session.has_ttl_security = is_on(rest),
        ("password" | "passwords", _) => session.has_password = true,
        _ => {}
    }
}

/// BIRD's Booleans: a bare option is on.
fn is_on(rest: &[Token<'_>]) -> bool {
    !matches!(rest.first(), Some(Token::Word("off" | "no" | "0" | "false")))
}

fn number_after(word: &str, tokens: &[Token<'_>]) -> Option<u32> {
    tokens.windows(2).find_map(|pair| match pair {
        [Token::Word(first), Token::Word(number)] if *first == word => number.parse().ok(),
        _ => None,
    })
}

/// The text that is left.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let text = self.0.trim_start();
            if let Some(comment) = text.strip_prefix('#') {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = text.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                self.0 = text;
                break;
            }
        }
        let first = self.0.chars().next()?;
        let (token, length) = match first {
            '{' => (Token::Open, 1),
            '}' => (Token::Close, 1),
            ';' => (Token::End, 1),
            // A text stays within its line.
            '"' => {
                let rest = &self.0[1..];
                let end = rest.find(['"', '\n']).map_or(self.0.len(), |end| end + 2);
                (Token::Text, end)
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"' | '#');
                let end = self.0.find(ends).unwrap_or(self.0.len());
                // A name may stand between single quotes.
                (Token::Word(self.0[..end].trim_matches('\'')), end)
            }
        };
        self.0 = &self.0[length..];
        Some(token)
    }
}

#[cfg(test)]
mod tests;
