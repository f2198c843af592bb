//! Arguments of command-line options: `--password x`, `["--token", "x"]`, or on the next line of a list.

use super::super::names::{self, Kind};
use super::super::rules::{COMPILED, OPTION};
use super::super::value::{self, Value};
use super::{Cut, Leaves, Open, Scanner, Window, trim_end};

impl Scanner {
    /// Cuts the arguments of command-line options.
    pub(super) fn options(&mut self, line: Window<'_>, from: usize, cuts: &mut Vec<Cut>) {
        let content = trim_end(line.text);
        let mut at = from;
        while let Some(whole) = COMPILED.option.find_at(content, at) {
            let groups = COMPILED.option.captures_at(content, whole.start());
            let Some(name) = groups.as_ref().and_then(|groups| groups.name("name")) else { return };
            if name.start() >= line.own {
                return;
            }
            at = name.end();
            let user = [&b"-u"[..], b"--user", b"--proxy-user"].contains(&name.as_bytes());
            let bare = name.as_bytes().trim_ascii_start();
            let kind =
                names::kind(bare.strip_prefix(b"--").or(bare.strip_prefix(b"-")).unwrap_or(bare));
            let alone = line.begins
                && line.ends
                && content[..name.start()].iter().all(|byte| b" \t\"'-".contains(byte))
                && whole.end() == content.len();
            if alone && (user || matches!(kind, Some(Kind::Password | Kind::Key))) {
                self.open = Open::Argument { user };
                return;
            }
            let Some(kind @ (Kind::Password | Kind::Key)) = kind else { continue };
            let parted = content.get(name.end()).is_some_and(|&byte| byte != b'=' && byte != b':');
            if !parted || content.get(whole.end()) == Some(&b'-') {
                continue;
            }
            if let Value::Text { range, .. } = value::read(content, whole.end(), None, false)
                && names::is_secret(kind, &content[range.clone()])
                && content.get(range.start).is_some_and(|byte| !b"-=:".contains(byte))
            {
                at = range.end;
                cuts.push(Cut { range, rule: OPTION, leaves: Leaves::Marker });
            }
        }
    }

    /// Cuts a line that is the argument of an option on the line before.
    pub(super) fn argument(line: Window<'_>, user: bool, cuts: &mut Vec<Cut>) -> usize {
        let content = trim_end(line.text);
        let from = value::skip_blanks(content, 0);
        let from = from + if content[from..].starts_with(b"- ") { 2 } else { 0 };
        let Value::Text { range, .. } = value::read(content, from, None, true) else { return 0 };
        let argument = &content[range.clone()];
        let password = argument
            .iter()
            .position(|&byte| byte == b':')
            .map_or(range.start, |colon| range.start + colon + 1);
        if argument.starts_with(b"-")
            || names::is_placeholder(argument)
            || (user && password == range.start)
        {
            return 0;
        }
        let range = if user { password..range.end } else { range };
        let end = range.end;
        if !range.is_empty() {
            cuts.push(Cut { range, rule: OPTION, leaves: Leaves::Marker });
        }
        end
    }
}
