//! What the documentation says is so: its examples give what they show, the options are those of the command line, and
//! its links lead somewhere.
//!
//! `CALIVET_BLESS=1 cargo test documentation` writes options and the output of examples anew: look at the difference
//! before you commit it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anstyle::RgbColor;
use clap::Arg;

/// The bundle that the examples are read from: tests/examples/sick-node.sh made it.
const BUNDLE: &str = "tests/examples/sick-node.tar.gz";

/// Columns of the terminal that the examples are shown in.
const COLUMNS: u16 = 100;

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown of the repository, by its path from the top.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    for folder in ["", "docs", "docs/commands", "packaging", "fuzz", "tests/examples"] {
        for entry in fs::read_dir(top().join(folder)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(entry.path()).unwrap();
                pages.insert(Path::new(folder).join(entry.file_name()), text);
            }
        }
    }
    assert!(pages.len() > 10, "there is no documentation");
    pages
}

/// Who blesses holds this from reading the pages to writing them: another who read a page while it was half written
/// would write that half.
fn alone() -> fs::File {
    let lock = fs::File::open(top().join("Cargo.toml")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Writes a page anew, or says that it is not what it should be.
#[track_caller]
fn is_current(path: &Path, old: &str, new: &str) {
    if std::env::var_os("CALIVET_BLESS").is_some() {
        if new != old {
            fs::write(top().join(path), new).unwrap();
        }
        return;
    }
    snapbox::Assert::new().action_env("").eq(new, snapbox::IntoData::raw(old.to_owned()));
}

// Options

/// The help of a command as the documentation has it: without what every command has.
fn help(path: &str) -> String {
    let mut tree = calivet::cli::tree(None);
    tree.build();
    let of_all = |arg: &Arg| arg.get_help_heading().is_some();
    let is_own = |arg: &Arg| !of_all(arg) && !["help", "version"].contains(&arg.get_id().as_str());
    let mut command = tree;
    // The options of all checks stand where `check` is told.
    let mut inherited = BTreeSet::new();
    for name in path.split_whitespace().filter(|_| path != "of every command") {
        inherited.extend(
            command
                .get_arguments()
                .filter(|arg| arg.is_global_set())
                .map(|arg| arg.get_id().clone()),
        );
        let below = command.find_subcommand(name);
        command = below.unwrap_or_else(|| panic!("there is no command {path}")).clone();
    }
    let is_own = |arg: &Arg| is_own(arg) && !inherited.contains(arg.get_id());
    let command = if path == "of every command" {
        command.mut_args(|arg| if is_own(&arg) { arg.hide(true) } else { arg }).after_help("")
    } else {
        command.mut_args(|arg| if is_own(&arg) { arg } else { arg.hide(true) })
    };
    let text = command.term_width(usize::from(COLUMNS)).render_help().to_string();
    text.trim_end().to_owned()
}

#[test]
fn the_options_in_the_documentation_are_those_of_the_command_line() {
    let _alone = alone();
    let mut documented = BTreeSet::new();
    for (path, text) in pages() {
        let mut new = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("<!-- help: ") {
            let (command, after) = after.split_once(" -->").unwrap();
            let (_, after) = after.split_once("<!-- end of help -->").unwrap();
            write!(
                new,
                "{before}<!-- help: {command} -->\n```text\n{}\n```\n<!-- end of help -->",
                help(command)
            )
            .unwrap();
            documented.insert(command.to_owned());
            rest = after;
        }
        new.push_str(rest);
        is_current(&path, &text, &new);
    }
    let mut tree = calivet::cli::tree(None);
    tree.build();
    let mut commands = BTreeSet::from(["of every command".to_owned()]);
    leaves(&tree, "", &mut commands);
    assert_eq!(documented, commands, "each command has its help in the documentation");
}

/// The commands that do something, as they are typed.
fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let path = format!("{path} {}", below.get_name()).trim().to_owned();
        if !below.is_subcommand_required_set() {
            found.insert(path.clone());
        }
        leaves(below, &path, found);
    }
}

// Examples

/// The words of a command, as a shell takes them; quoted words stay whole.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What a person sees who types a line of an example on the node of the bundle, and how it ended.
fn typed(line: &str, has_color: bool) -> (String, i32) {
    let mut words = words(line);
    words.retain(|word| word != "sudo" && word != "-E");
    assert_eq!(words.remove(0), "calivet", "it is no command of ours: {line}");
    let bundle = top().join(BUNDLE);
    let is_told = words.iter().any(|word| word.ends_with(".tar.gz"));
    let asks_nobody = ["explain", "completions", "bundle", "--help", "--version"];
    for word in &mut words {
        if word.ends_with(".tar.gz") {
            bundle.to_str().unwrap().clone_into(word);
        }
    }
    if !is_told && !asks_nobody.iter().any(|command| words.iter().any(|word| word == command)) {
        words.extend(["--from".to_owned(), bundle.to_str().unwrap().to_owned()]);
    }
    let quoted: Vec<String> =
        words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    // `script` gives it a terminal, so that lines are broken as they are there.
    let inner = format!(
        "stty rows 50 cols {COLUMNS}; exec {} {}",
        env!("CARGO_BIN_EXE_calivet"),
        quoted.join(" ")
    );
    let mut command = Command::new("script");
    if has_color {
        command.env_remove("NO_COLOR").env_remove("CLICOLOR");
    } else {
        command.env("NO_COLOR", "1");
    }
    let output = command
        .args(["-qec", &inner, "/dev/null"])
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("`script` is part of every Debian (bsdutils)");
    let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
    let shown = text.replace(bundle.to_str().unwrap(), "node-1.tar.gz");
    (shown, output.status.code().unwrap())
}

/// A page with the output of all its examples as it is now.
fn played(text: &str) -> (String, usize) {
    let mut new = String::new();
    let mut count = 0;
    let mut before = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(new, "{line}").unwrap();
        if line != "```console" {
            before = line;
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if before.starts_with("<!-- not tested: ") {
            for line in block {
                writeln!(new, "{line}").unwrap();
            }
        } else {
            let mut status = 0;
            for line in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                count += 1;
                writeln!(new, "$ {line}").unwrap();
                if line == "echo $?" {
                    writeln!(new, "{status}").unwrap();
                    continue;
                }
                let (shown, ended) = typed(line, false);
                status = ended;
                new.push_str(&shown);
            }
        }
        writeln!(new, "```").unwrap();
    }
    (new, count)
}

#[test]
fn the_examples_in_the_documentation_show_what_calivet_prints() {
    let _alone = alone();
    let mut count = 0;
    for (path, text) in pages() {
        let (new, examples) = played(&text);
        count += examples;
        is_current(&path, &text, &new);
    }
    assert!(count > 10, "only {count} examples are tested");
}

#[test]
fn the_picture_shows_what_calivet_prints() {
    let _alone = alone();
    let page = fs::read_to_string(top().join("README.md")).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("$ ")).unwrap();
    let (shown, _) = typed(line, true);
    assert!(shown.contains("\x1b["), "nothing is coloured: {shown}");
    // The colours of terminals of today: VGA's red is hard to read on black.
    let mut palette = anstyle_svg::VGA;
    palette.0[0] = RgbColor(24, 27, 34);
    palette.0[1] = RgbColor(240, 100, 100);
    palette.0[3] = RgbColor(226, 180, 80);
    palette.0[5] = RgbColor(200, 130, 220);
    palette.0[6] = RgbColor(90, 190, 200);
    palette.0[7] = RgbColor(214, 219, 227);
    let terminal = anstyle_svg::Term::new().palette(palette);
    let new = terminal.render_svg(&format!("$ {line}\n{shown}"));
    let path = Path::new("docs/images/check.svg");
    is_current(path, &fs::read_to_string(top().join(path)).unwrap(), &new);
}

// Links

/// The name by which a heading is linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// The lines of a page that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let _alone = alone();
    let pages = pages();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in &pages {
        for line in prose(text) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
                let (target, anchor_of) = link.0.split_once('#').unwrap_or((link.0, ""));
                if target.starts_with("https://") || target.starts_with("http://") {
                    continue;
                }
                count += 1;
                let file = match target {
                    "" => path.clone(),
                    _ => plain(&path.parent().unwrap().join(target)),
                };
                let leads = top().join(&file).exists()
                    && (anchor_of.is_empty()
                        || pages.get(&file).is_some_and(|page| {
                            prose(page)
                                .filter(|line| line.starts_with('#'))
                                .any(|heading| anchor(heading) == anchor_of)
                        }));
                if !leads {
                    wrong.push(format!("{}: {}", path.display(), link.0));
                }
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            _ => plain.push(part),
        }
    }
    plain
}
