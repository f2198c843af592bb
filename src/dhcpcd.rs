//! dhcpcd.conf(5): which interfaces dhcpcd takes.
//!
//! ```text
//! denyinterfaces cali* tunl* vxlan.calico
//! interface eth0
//! ```

use crate::fnmatch;

/// What dhcpcd does with an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it: the line of `allowinterfaces` that names it, or none does anything about it.
    Taken(Option<usize>),
    /// It leaves it alone: the line of `denyinterfaces` that names it, or of `allowinterfaces` that does not.
    Left(usize),
}

/// What a configuration says of an interface.
#[must_use]
pub fn judge(text: &str, name: &str) -> Verdict {
    let mut allowed = None;
    let mut first_allow = None;
    for (line, number) in text.lines().zip(1..) {
        let mut words = line
            .split(|character: char| character.is_whitespace() || character == ',')
            .filter(|word| !word.is_empty());
        let key = words.next().unwrap_or_default();
        let names = || words.clone().any(|pattern| fnmatch::matches(pattern, name));
        match key {
            "denyinterfaces" if names() => return Verdict::Left(number),
            "allowinterfaces" => {
                first_allow = first_allow.or(Some(number));
                if names() {
                    allowed = Some(number);
                }
            }
            _ => {}
        }
    }
    match (first_allow, allowed) {
        (Some(number), None) => Verdict::Left(number),
        _ => Verdict::Taken(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_interface_is_left_alone_and_every_other_is_taken() {
        let text = "hostname\n# denyinterfaces eth0\ndenyinterfaces cali*,tunl* vxlan.calico\n";
        assert_eq!(judge(text, "cali1"), Verdict::Left(3));
        assert_eq!(judge(text, "vxlan.calico"), Verdict::Left(3));
        assert_eq!(judge(text, "eth0"), Verdict::Taken(None));
    }

    #[test]
    fn who_allows_some_denies_the_others_and_deny_wins() {
        let text = "allowinterfaces eth* cali*\nallowinterfaces wlan0\ndenyinterfaces cali1\n";
        assert_eq!(judge(text, "cali2"), Verdict::Taken(Some(1)));
        assert_eq!(judge(text, "cali1"), Verdict::Left(3));
        assert_eq!(judge(text, "tunl0"), Verdict::Left(1));
    }
}
