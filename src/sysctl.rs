//! Which value a kernel setting has after a boot: the files of `sysctl.d`, in the order and by the rules of the two
//! programs that apply them, and the file and line that decides.
//!
//! ```text
//! # /etc/sysctl.d/90-conntrack.conf
//! net.netfilter.nf_conntrack_max = 1000000
//! -net.ipv4.conf.*.rp_filter = 2             <- a pattern; a failure is no failure
//! -net.ipv4.conf.eth0.rp_filter              <- left out of what patterns write
//! ```
//!
//! The rules are those of sysctl.d(5), and of the sources where that page is silent (`src/sysctl/sysctl.c` of
//! systemd 252, `src/sysctl.c` of procps 4.0.2). The two programs agree on the folders and on the order of the files,
//! and disagree on the rest: systemd-sysctl lets a later line replace an earlier one before anything is written and
//! never reads `/etc/sysctl.conf` itself, `sysctl --system` writes every line and `/etc/sysctl.conf` last.

mod pattern;

use std::collections::{BTreeMap, HashMap};

/// Where the files are. Of files with one name the first folder's is read, and no other.
pub const FOLDERS: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

/// The file that `sysctl --system` reads last.
pub const OLD_FILE: &str = "/etc/sysctl.conf";

/// Where the lists of modules are that systemd loads before it applies settings (modules-load.d(5)).
pub const MODULE_FOLDERS: [&str; 5] = [
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
];

/// Where the options of modules are (modprobe.d(5)).
pub const OPTION_FOLDERS: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// Who applies the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// `systemd-sysctl`, at boot where systemd is the first process.
    Systemd,
    /// `sysctl --system` of procps: the boot script of other init systems, and what people run by hand.
    Procps,
}

/// A file as a host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// What a program that opens it gets.
    pub content: Content,
}

/// What a program gets that opens a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text, through a link too.
    Text(String),
    /// Nothing: a link to `/dev/null` or to what is not there, a folder. It still takes the place of the files with
    /// its name in later folders.
    Nothing,
    /// It is there, and what is in it is not known, for this reason.
    Unread(String),
}

/// A value that is written at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The setting, as its path below `/proc/sys`.
    pub key: String,
    /// The value, as it stands in the file.
    pub value: String,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl Write {
    /// Where it stands, as `FILE:LINE`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// What is written to some settings at boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// In the order in which it is written: the last decides.
    pub writes: Vec<Write>,
    /// Files that are read at boot and whose text is not known, with the reason: any of them may decide otherwise.
    pub unread: Vec<(String, String)>,
}

/// A line that names a setting or a pattern; without a value it leaves them out.
#[derive(Debug, Clone)]
struct Line {
    key: String,
    value: Option<String>,
    file: String,
    number: usize,
}

/// What is written to any of `keys` (paths below `/proc/sys`, such as `net/ipv4/ip_forward`) when all `files` of
/// [`FOLDERS`] and [`OLD_FILE`] are applied. Several keys are asked for together where the kernel has several names
/// for one setting.
#[must_use]
pub fn at_boot(files: &[File], reader: Reader, keys: &[&str]) -> Boot {
    let mut order = in_order(files, &FOLDERS, reader);
    if reader == Reader::Procps {
        order.extend(files.iter().find(|file| file.path == OLD_FILE));
    }
    let mut boot = Boot::default();
    let mut lines = Vec::new();
    for file in order {
        match &file.content {
            Content::Text(text) => lines.extend(parse(file, text, reader)),
            Content::Nothing => {}
            Content::Unread(why) => boot.unread.push((file.path.clone(), why.clone())),
        }
    }
    boot.writes = match reader {
        Reader::Systemd => by_systemd(lines, keys),
        Reader::Procps => by_procps(&lines, keys),
    };
    boot
}

/// The files that are read, in their order: by name, and of one name that of the first folder.
#[must_use]
pub fn in_order<'a>(files: &'a [File], folders: &[&str], reader: Reader) -> Vec<&'a File> {
    let mut names: BTreeMap<&str, (usize, &File)> = BTreeMap::new();
    for file in files {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let Some(rank) = folders.iter().position(|known| *known == folder) else { continue };
        // systemd takes no hidden file; procps looks at the end of the name only.
        if !name.as_bytes().ends_with(b".conf")
            || (name.starts_with('.') && reader == Reader::Systemd)
        {
            continue;
        }
        let first = names.entry(name).or_insert((rank, file));
        if rank < first.0 {
            *first = (rank, file);
        }
    }
    names.into_values().map(|(_, file)| file).collect()
}

/// The lines of a file that say something.
fn parse(file: &File, text: &str, reader: Reader) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        // isspace(3) counts two more than systemd does.
        let is_space = |character| match reader {
            Reader::Systemd => matches!(character, ' ' | '\t' | '\r'),
            Reader::Procps => matches!(character, ' ' | '\t' | '\r' | '\x0b' | '\x0c'),
        };
        let line = line.trim_matches(is_space);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let assigned = line.split_once('=');
        let (key, value) = match assigned {
            Some((key, value)) => {
                (key.strip_prefix('-').unwrap_or(key), Some(value.trim_matches(is_space)))
            }
            None => match line.strip_prefix('-') {
                Some(key) => (key, None),
                None => continue,
            },
        };
        let key = match reader {
            Reader::Systemd => canonical(&slashes(key.trim_matches(is_space))),
            // It trims no blank behind a `-`, and takes off a second one.
            Reader::Procps => {
                let key = key.trim_end_matches(is_space);
                slashes(key.strip_prefix('-').unwrap_or(key))
            }
        };
        lines.push(Line {
            key,
            value: value.map(ToOwned::to_owned),
            file: file.path.clone(),
            number: index + 1,
        });
    }
    lines
}

/// A name with dots as a path. If the first separator is a slash it is one already, and its dots are part of names;
/// otherwise the two change places.
fn slashes(key: &str) -> String {
    if key.find(['.', '/']).is_none_or(|at| key.as_bytes()[at] == b'/') {
        return key.to_owned();
    }
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        _ => character,
    };
    key.chars().map(swap).collect()
}

/// A path without empty components and those that say "here".
fn canonical(path: &str) -> String {
    let components: Vec<&str> =
        path.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
    components.join("/")
}

/// The same, which also goes up where the path does; `None` where it leaves `/proc/sys`.
fn resolved(path: &str) -> Option<String> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            name => components.push(name),
        }
    }
    Some(components.join("/"))
}

fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// A later line takes the place of an earlier one for the same key and moves to the end, unless it says the same
/// again. What is named itself is never written by a pattern.
fn by_systemd(lines: Vec<Line>, keys: &[&str]) -> Vec<Write> {
    let mut order: Vec<Option<Line>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in lines {
        if let Some(place) = places.get(&line.key) {
            if order[*place].as_ref().is_some_and(|earlier| earlier.value == line.value) {
                continue;
            }
            order[*place] = None;
        }
        places.insert(line.key.clone(), order.len());
        order.push(Some(line));
    }
    let mut writes = Vec::new();
    for line in order.into_iter().flatten() {
        let Some(value) = &line.value else { continue };
        let pattern = is_pattern(&line.key).then(|| pattern::path_with_braces(&line.key));
        for key in keys {
            let is_meant = match &pattern {
                Some(pattern) => pattern.matches(key) && !places.contains_key(*key),
                None => line.key == *key,
            };
            if is_meant {
                writes.push(line.write(key, value));
            }
        }
    }
    writes
}

/// Every line is written. What is named anywhere is never written by a pattern. A pattern leaves nothing out: that came
/// after procps 4.0.2.
fn by_procps(lines: &[Line], keys: &[&str]) -> Vec<Write> {
    let is_left_out = |key: &str| lines.iter().any(|line| line.key == key);
    let keys: Vec<(&str, bool)> = keys.iter().map(|key| (*key, is_left_out(key))).collect();
    let mut writes = Vec::new();
    for line in lines {
        let Some(value) = &line.value else { continue };
        let pattern = is_pattern(&line.key).then(|| pattern::path(&line.key));
        for (key, is_left_out) in &keys {
            let is_meant = match &pattern {
                Some(pattern) => !is_left_out && pattern.matches(key),
                None => resolved(&line.key).as_deref() == Some(key),
            };
            if is_meant {
                writes.push(line.write(key, value));
            }
        }
    }
    writes
}

impl Line {
    fn write(&self, key: &str, value: &str) -> Write {
        Write {
            key: key.to_owned(),
            value: value.to_owned(),
            file: self.file.clone(),
            line: self.number,
        }
    }
}

/// The number that the kernel takes from a value: decimal, octal after `0`, hexadecimal after `0x`, and what follows
/// behind a blank is ignored (`proc_get_long` in the kernel's `kernel/sysctl.c`). `None`: it takes none.
#[must_use]
pub fn number(value: &str) -> Option<u64> {
    let word = value.split_ascii_whitespace().next()?;
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.len() > 1 && word.starts_with('0') => u64::from_str_radix(word, 8).ok(),
        None if word.starts_with('+') => None,
        None => word.parse().ok(),
    }
}

/// The file and line by which systemd loads a module before it applies settings. The lists are lines of names.
#[must_use]
pub fn loads(files: &[File], module: &str) -> Option<(String, usize)> {
    let order = in_order(files, &MODULE_FOLDERS, Reader::Systemd);
    order.into_iter().find_map(|file| {
        let Content::Text(text) = &file.content else { return None };
        let is_it = |line: &str| line.trim().replace('-', "_") == module;
        text.lines().position(is_it).map(|index| (file.path.clone(), index + 1))
    })
}

/// The last value that modprobe gives an option of a module, with file and line:
///
/// ```text
/// options nf_conntrack hashsize=262144
/// ```
#[must_use]
pub fn option(files: &[File], module: &str, name: &str) -> Option<(String, String, usize)> {
    let mut found = None;
    for file in in_order(files, &OPTION_FOLDERS, Reader::Systemd) {
        let Content::Text(text) = &file.content else { continue };
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let is_it = words.next() == Some("options")
                && words.next().is_some_and(|word| word.replace('-', "_") == module);
            if !is_it {
                continue;
            }
            for word in words {
                if let Some((key, value)) = word.split_once('=')
                    && key == name
                {
                    found = Some((value.to_owned(), file.path.clone(), index + 1));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
