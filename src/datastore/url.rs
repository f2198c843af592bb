//! URLs of a datastore: are they URLs, and what of them can be shown?
//!
//! ```text
//! https://root:s3cr3t@10.0.0.1:2379    ->    https://[secret]@10.0.0.1:2379
//! ```

/// What stands in the place of what is not shown.
pub const SECRET: &str = "[secret]";

/// What stands in the place of what is no URL, for it may be half a password.
pub const NO_URL: &str = "[no URL]";

/// A URL, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `http`, `https`, `unix`.
    pub scheme: String,
    /// Without a user, their password and a query.
    pub shown: String,
}

/// Reads one URL, or says what is wrong with it. Nothing of what is no URL is told: it may be half a password.
pub fn parse(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.trim() != text {
        return Err("there is a blank before or after it".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("it does not begin with http:// or https://".to_owned());
    };
    if !["http", "https", "unix", "unixs"].contains(&scheme) {
        return Err("it does not begin with http:// or https://".to_owned());
    }
    // A password may hold any character.
    let (user, host) =
        rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let host = host.split(['?', '#']).next().unwrap_or_default();
    let authority = host.split('/').next().unwrap_or_default();
    if !scheme.starts_with("unix") {
        is_host(authority)?;
    }
    let user = user.map_or(String::new(), |_| format!("{SECRET}@"));
    Ok(Url { scheme: scheme.to_owned(), shown: format!("{scheme}://{user}{host}") })
}

fn is_host(authority: &str) -> Result<(), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return Err("there is no IPv6 address between its brackets".to_owned()),
        },
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_name) {
        return Err("its host is no name and no address".to_owned());
    }
    let digits = port.strip_prefix(':');
    let is_port = digits.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !port.is_empty() && !is_port {
        return Err("its port is no number from 1 to 65535".to_owned());
    }
    Ok(())
}

/// URLs with commas between them, as they can be shown.
#[must_use]
pub fn shown(list: &str) -> String {
    let urls: Vec<&str> = list.split(',').collect();
    // A comma in a password makes two halves of it.
    if urls.iter().any(|url| url.contains('@') && !url.contains("://")) {
        return NO_URL.to_owned();
    }
    let shown: Vec<String> = urls
        .into_iter()
        .map(|url| parse(url).map_or_else(|_| shown_host(url), |url| url.shown))
        .collect();
    shown.join(",")
}

/// An address without a scheme, which is the commonest mistake; of anything else nothing.
fn shown_host(text: &str) -> String {
    match is_host(text.trim()) {
        Ok(()) => text.to_owned(),
        Err(_) => {
            parse(text.trim()).map_or_else(|_| NO_URL.to_owned(), |url| format!(" {}", url.shown))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_query_are_never_shown() {
        for (list, expected) in [
            (
                "http://10.0.0.1:2379,https://etcd-1:2379/",
                "http://10.0.0.1:2379,https://etcd-1:2379/",
            ),
            ("https://root:s3cr3t@10.0.0.1:2379", "https://[secret]@10.0.0.1:2379"),
            ("https://root:s3/c@r3t@[fd00::1]:2379", "https://[secret]@[fd00::1]:2379"),
            ("https://h:1/?token=s3cr3t", "https://h:1/"),
            ("https://root:s3,cr3t@h", "[no URL]"),
            ("10.0.0.1:2379", "10.0.0.1:2379"),
            ("http://a, http://b", "http://a, http://b"),
            ("s3cr3t!", "[no URL]"),
        ] {
            assert_eq!(shown(list), expected, "{list}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_apart() {
        for url in [
            "http://h",
            "https://10.0.0.1:2379/path",
            "https://[::1]:1",
            "unix:///run/etcd",
            "http://a_b",
        ] {
            assert!(parse(url).is_ok(), "{url}: {:?}", parse(url));
        }
        for text in [
            "",
            "h:2379",
            " http://h",
            "http://",
            "http://:1",
            "http://h:0",
            "http://h:x",
            "ftp://h",
            "http://[x]:1",
            "http://a b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_part_of_a_password_is_shown_whatever_stands_in_it_and_around_it(
            user in "[!-~]{0,8}",
            before in "[!-~]{0,8}",
            after in "[!-~]{0,8}",
            host in "[a-z0-9.:\\[\\]]{0,12}",
            others in "(http://h:1,)?",
        ) {
            let list = format!("{others}https://{user}:{before}s3cr3t{after}@{host}");
            let shown = shown(&list);
            proptest::prop_assert!(!shown.contains("s3cr3t"), "{list} is shown as {shown}");
        }
    }
}
