//! `GLib`'s key files, as `NetworkManager` reads its configuration.
//!
//! ```text
//! # a comment
//! [keyfile]
//! unmanaged-devices=interface-name:cali*;interface-name:tunl*
//! ```
//!
//! A file that `GLib` refuses is refused as a whole (`gkeyfile.c`, `g_key_file_load_from_file` without flags), and
//! then `NetworkManager` does not start: so whatever `GLib` takes must be taken here, and nothing else. Text is bytes:
//! `GLib` asks for UTF-8 only when a string is wanted.

/// A file, taken apart. Sections of one name are one section, at the place of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyfile {
    /// The sections in the order in which they first appear.
    pub sections: Vec<Section>,
}

/// A section: `[name]` and what stands below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Between the brackets.
    pub name: Vec<u8>,
    /// The lines in their order, also those that a later line of the same key replaces.
    pub entries: Vec<Entry>,
}

/// A line `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Left of `=`, without blanks around it.
    pub key: Vec<u8>,
    /// Right of `=`, without blanks before it, as written: escapes are not resolved.
    pub value: Vec<u8>,
    /// The line, from 1.
    pub line: u32,
}

/// Why `GLib` refuses a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refusal {
    /// The first line that is refused, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Keyfile {
    /// The section of that name.
    #[must_use]
    pub fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The entry that counts for a key: the last.
    #[must_use]
    pub fn entry(&self, section: &[u8], key: &[u8]) -> Option<&Entry> {
        self.section(section)?.entry(key)
    }
}

impl Section {
    /// The entry that counts for a key: the last.
    #[must_use]
    pub fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }
}

/// Takes a file apart, as `g_key_file_load_from_file` does.
///
/// # Errors
/// `GLib` refuses the file.
pub fn parse(bytes: &[u8]) -> Result<Keyfile, Refusal> {
    let mut keyfile = Keyfile::default();
    let mut current = None;
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    let mut number = 0;
    while let Some(mut line) = lines.next() {
        number += 1;
        // The carriage return goes with the line feed: without one, at the end of the file, it stays.
        if lines.peek().is_some() {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        parse_line(line, number, &mut keyfile, &mut current)
            .map_err(|reason| Refusal { line: number, reason })?;
    }
    Ok(keyfile)
}

fn parse_line(
    line: &[u8],
    number: u32,
    keyfile: &mut Keyfile,
    current: &mut Option<usize>,
) -> Result<(), &'static str> {
    let line = line.trim_ascii_start();
    // To GLib a line ends at its first NUL; only a section's name is looked for from its very end.
    let text = line.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() || text[0] == b'#' {
        return Ok(());
    }
    if is_section(text) {
        let end = line.iter().rposition(|byte| *byte == b']').unwrap_or_default();
        let name = line[1..end.max(1)].split(|byte| *byte == 0).next().unwrap_or_default();
        if name.is_empty()
            || name.iter().any(|byte| matches!(byte, b'[' | b']') || is_control(*byte))
        {
            return Err("the name of the section is not valid");
        }
        let found = keyfile.sections.iter().position(|section| section.name == name);
        *current = Some(found.unwrap_or_else(|| {
            keyfile.sections.push(Section { name: name.to_vec(), entries: Vec::new() });
            keyfile.sections.len() - 1
        }));
        return Ok(());
    }
    let equals = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
    let Some(equals) = equals else {
        return Err("neither a section, nor `key=value`, nor a comment");
    };
    let Some(current) = *current else { return Err("it comes before the first section") };
    let key = text[..equals].trim_ascii_end();
    if !is_key(key) {
        return Err("the key is not valid");
    }
    let value = text[equals + 1..].trim_ascii_start();
    if current == 0 && key == b"Encoding" && !value.eq_ignore_ascii_case(b"UTF-8") {
        return Err("`Encoding` is not UTF-8");
    }
    // `key[de]` is a translation, which GLib drops unless it is asked to keep it.
    if !key.contains(&b'[') {
        keyfile.sections[current].entries.push(Entry {
            key: key.to_vec(),
            value: value.to_vec(),
            line: number,
        });
    }
    Ok(())
}

/// `g_key_file_line_is_group`: after the first `]` only blanks and tabs.
fn is_section(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"[") else { return false };
    let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
    rest[end + 1..].iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// `g_key_file_is_key_name`.
fn is_key(key: &[u8]) -> bool {
    let end = key.iter().position(|byte| matches!(byte, b'[' | b']')).unwrap_or(key.len());
    let (name, locale) = key.split_at(end);
    if name.is_empty() || name[0] == b' ' || name.ends_with(b" ") {
        return false;
    }
    let Some(locale) = locale.strip_prefix(b"[") else { return locale.is_empty() };
    let Some(locale) = locale.strip_suffix(b"]") else { return false };
    let allowed =
        |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '@');
    std::str::from_utf8(locale).is_ok_and(|locale| locale.chars().all(allowed))
}

/// A value as a string (`g_key_file_get_string`): escapes resolved. `None` if it is not UTF-8. An escape that `GLib`
/// does not know stays as it is.
#[must_use]
pub fn string(value: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(value).ok()?;
    let mut text = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            None => {}
            Some(escape) => match unescape(escape) {
                Some(byte) => text.push(byte),
                None => text.extend([b'\\', escape]),
            },
        }
    }
    Some(text)
}

/// A value as a list of strings separated by commas, as `NetworkManager` sets `GLib`'s separator
/// (`g_key_file_get_string_list`). `None` if `GLib` refuses it.
#[must_use]
pub fn string_list(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    std::str::from_utf8(value).ok()?;
    let mut list = Vec::new();
    let mut piece = Vec::new();
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next()? {
                b',' => piece.push(b','),
                escape => piece.push(unescape(escape)?),
            },
            b',' => list.push(std::mem::take(&mut piece)),
            _ => piece.push(byte),
        }
    }
    if !piece.is_empty() {
        list.push(piece);
    }
    Some(list)
}

/// The inverse of [`string_list`] (`nm_config_keyfile_set_string_list`).
#[must_use]
pub fn join_strings(list: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, piece) in list.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let mut is_leading = true;
        for byte in piece {
            match byte {
                b' ' if is_leading => text.extend(b"\\s"),
                b'\t' if is_leading => text.extend(b"\\t"),
                b' ' | b'\t' => text.push(*byte),
                b'\n' => text.extend(b"\\n"),
                b'\r' => text.extend(b"\\r"),
                b',' => text.extend(b"\\,"),
                b'\\' => {
                    text.extend(b"\\\\");
                    is_leading = false;
                }
                _ => {
                    text.push(*byte);
                    is_leading = false;
                }
            }
            if *byte == b',' {
                is_leading = true;
            }
        }
    }
    text
}

/// What `\` and this character stand for.
pub(super) const fn unescape(character: u8) -> Option<u8> {
    Some(match character {
        b's' => b' ',
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'\\' => b'\\',
        _ => return None,
    })
}

/// A raw value as a truth (`nm_config_parse_boolean`); `None` if it is neither.
#[must_use]
pub fn boolean(value: &[u8]) -> Option<bool> {
    let value = value.trim_ascii();
    let is =
        |words: [&str; 4]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is(["true", "yes", "on", "1"]) {
        Some(true)
    } else if is(["false", "no", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
