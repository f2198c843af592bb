//! Completions, in the shells themselves: each is given its script and asked what a beginning becomes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::run;

/// What is typed, and what it must become.
const BEGUN: [(&str, &str); 5] = [
    ("calivet che", "check"),
    ("calivet check conn", "conntrack"),
    ("calivet check -o wi", "wide"),
    ("calivet explain conntrack.us", "conntrack.usage"),
    ("calivet bundle ver", "verify"),
];

/// The script of a shell, in a folder of its own.
fn script(shell: &str, name: &str) -> (tempfile::TempDir, PathBuf) {
    let made = run(Command::new(env!("CARGO_BIN_EXE_calivet")).args(["completions", shell]));
    assert_eq!((made.status, made.stderr.as_str()), (0, ""));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, made.stdout).unwrap();
    (folder, path)
}

/// Whether a shell is installed: `tests/run` installs them all.
fn is_here(shell: &str) -> bool {
    let is_here = Command::new(shell).arg("--version").output().is_ok();
    if !is_here {
        assert!(std::env::var_os("CALIVET_TEST_LAB").is_none(), "{shell} is not installed");
        eprintln!("skipped: {shell} is not installed (tests/run installs it)");
    }
    is_here
}

#[test]
fn bash_completes_commands_options_and_ids() {
    let (_folder, path) = script("bash", "calivet");
    for (begun, expected) in BEGUN {
        let ask = r#"source "$1"; shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            complete -p calivet >/dev/null || exit 1
            _calivet calivet "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash = Command::new("bash");
        bash.args(["-c", ask, "bash"]).arg(&path).args(begun.split(' '));
        let answer = run(&mut bash);
        assert_eq!(answer.stdout.trim(), expected, "{begun}: {answer:?}");
    }
}

#[test]
fn fish_completes_commands_options_and_ids() {
    if !is_here("fish") {
        return;
    }
    let (folder, path) = script("fish", "calivet.fish");
    for (begun, expected) in BEGUN {
        let ask = format!("source '{}'; complete -C '{begun}'", path.display());
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", &ask]).env("HOME", folder.path());
        let answer = run(&mut fish);
        let words: Vec<&str> =
            answer.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [expected], "{begun}: {answer:?}");
    }
}

#[test]
fn zsh_completes_commands_options_and_ids() {
    if !is_here("zsh") {
        return;
    }
    let (folder, _) = script("zsh", "_calivet");
    // A shell in a terminal of its own is typed at, and its line must become what is expected.
    let ask = r#"
        zmodload zsh/zpty
        zpty inner zsh -f -i
        zpty -w inner "PS1= TERM=dumb; unsetopt zle_bracketed_paste; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo re''ady"
        zpty -r -m inner line '*ready*' || exit 1
        zpty -w -n inner "$2"$'\t'
        zpty -r -m inner line "*$3*" && print -r -- found
        zpty -d inner"#;
    for (begun, expected) in BEGUN {
        let whole = format!("{} {expected}", begun.rsplit_once(' ').unwrap().0);
        let mut zsh = Command::new("timeout");
        zsh.args(["60", "zsh", "-f", "-c", ask, "zsh"]).arg(folder.path()).args([begun, &whole]);
        let answer = run(zsh.env("HOME", folder.path()).stdin(std::process::Stdio::null()));
        assert_eq!(answer.stdout.trim(), "found", "{begun}: {answer:?}");
    }
}

#[test]
fn kubectl_completes_by_the_same_words() {
    // kubectl runs this program; it finds calivet by its name.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_calivet"), folder.path().join("calivet"))
        .unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/kubectl_complete-calivet");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for (begun, expected) in BEGUN {
        let mut words = begun.split(' ').skip(1);
        let answer = run(Command::new(program).args(&mut words).env("PATH", &path));
        assert_eq!(answer.stdout, format!("{expected}\n:4\n"), "{begun}: {answer:?}");
    }
}

#[test]
fn under_kubectls_name_the_help_says_how_it_was_called() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("kubectl-calivet");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_calivet"), &link).unwrap();
    let help = run(Command::new(&link).args(["check", "--help"]));
    assert!(help.stdout.contains("Usage: kubectl calivet check"), "{help:?}");
    let wrong = run(Command::new(&link).arg("chek"));
    assert_eq!(wrong.status, 2);
    assert!(wrong.stderr.contains("Usage: kubectl calivet"), "{wrong:?}");
    let plain = run(Command::new(env!("CARGO_BIN_EXE_calivet")).arg("--help"));
    assert!(plain.stdout.contains("Usage: calivet [OPTIONS]"), "{plain:?}");
}
