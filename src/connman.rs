//! connman.conf(5): which interfaces `ConnMan` leaves alone.
//!
//! ```text
//! [General]
//! NetworkInterfaceBlacklist=vmnet,vboxnet,virbr,ifb,ve-,vb-,cali
//! ```
//!
//! What stands in the list is the beginning of a name, and nothing else: `*` is no pattern. A list of one's own takes the
//! place of the one that is built in.

/// The beginnings of names that it leaves alone where it is not told otherwise.
const BUILT_IN: &[&str] = &["vmnet", "vboxnet", "virbr", "ifb", "ve-", "vb-"];

/// Whether it leaves an interface alone, by the text of `/etc/connman/main.conf`.
#[must_use]
pub fn leaves_alone(text: &str, name: &str) -> bool {
    let mut section = "";
    let mut list = None;
    for line in text.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = title;
        } else if let Some((key, value)) = line.split_once('=')
            && (section, key.trim()) == ("General", "NetworkInterfaceBlacklist")
        {
            list = Some(value);
        }
    }
    match list {
        // GLib parts a list where connman tells it to, at commas, and keeps what surrounds a name.
        Some(list) => {
            let beginnings = list.split(',').map(str::trim).filter(|word| !word.is_empty());
            beginnings.into_iter().any(|beginning| name.starts_with(beginning))
        }
        None => BUILT_IN.iter().any(|beginning| name.starts_with(beginning)),
    }
}

#[cfg(test)]
mod tests {
    use super::leaves_alone;

    #[test]
    fn a_name_is_left_alone_by_its_beginning() {
        let text = "# NetworkInterfaceBlacklist=vxlan\n[General]\nNetworkInterfaceBlacklist = ve-, cali,tunl\n\
                    [Other]\nNetworkInterfaceBlacklist=vxlan\n";
        assert!(leaves_alone(text, "cali0123456789a") && leaves_alone(text, "tunl0"));
        assert!(!leaves_alone(text, "vxlan.calico") && !leaves_alone(text, "virbr0"));
        assert!(leaves_alone("", "virbr0") && !leaves_alone("", "cali1"));
        assert!(!leaves_alone("[General]\nNetworkInterfaceBlacklist=cali*\n", "cali1"));
        assert!(!leaves_alone("[General]\nNetworkInterfaceBlacklist=\n", "virbr0"));
    }
}
