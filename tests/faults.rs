//! `node diags` among faults and bad inputs: one test for each, and every bundle is opened with GNU tar and gzip.
//! `docs/survived.md` lists them, with the tests beside the code that concern a bundle.

mod ends;
mod environment;
mod files;
mod fuse;
mod hangs;
mod journal;
mod limits;
mod output;
mod untouched;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::root::Root;
use crate::run::install;

/// The built program.
const CALIVET: &str = env!("CARGO_BIN_EXE_calivet");

/// A folder for a bundle and what is unpacked of it.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(TempDir::with_prefix("calivet-faults-").unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where the bundle is to be.
    fn archive(&self) -> PathBuf {
        self.path().join("bundle.tar.gz")
    }

    /// `node diags` of the host at `root`.
    fn diags(&self, root: &Path) -> Command {
        self.wrapped(&[], root)
    }

    /// The same, run by another program.
    fn wrapped(&self, wrapper: &[&str], root: &Path) -> Command {
        let mut words: Vec<&OsStr> = wrapper.iter().map(OsStr::new).collect();
        words.push(OsStr::new(CALIVET));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.arg("--root").arg(root).args(["node", "diags", "--output-file"]);
        command.arg(self.archive());
        command
    }

    /// What is in the bundle, unpacked by GNU tar, to whose taste it must be.
    #[track_caller]
    fn open(&self) -> Unpacked {
        Unpacked::of(&self.archive(), self.path())
    }
}

/// A bundle that GNU tar has unpacked.
struct Unpacked {
    diagnostics: PathBuf,
    manifest: Value,
}

impl Unpacked {
    #[track_caller]
    fn of(archive: &Path, folder: &Path) -> Self {
        let tested = Command::new("gzip").arg("-t").arg(archive).output().unwrap();
        assert!(tested.status.success() && tested.stderr.is_empty(), "{tested:?}");
        let mut tar = Command::new("tar");
        let tar = tar.arg("-xzf").arg(archive).arg("-C").arg(folder).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
        let diagnostics = folder.join("diagnostics");
        let manifest = fs::read(diagnostics.join("manifest.json")).unwrap();
        Self { diagnostics, manifest: serde_json::from_slice(&manifest).unwrap() }
    }

    /// What the manifest says last of an item.
    #[track_caller]
    fn item(&self, path: &str) -> &Value {
        let items = self.manifest["items"].as_array().unwrap();
        let found = items.iter().rfind(|item| item["path"] == path);
        found.unwrap_or_else(|| panic!("the manifest has no {path}"))
    }

    /// Outcome and reason of an item.
    #[track_caller]
    fn told(&self, path: &str) -> (&str, &str) {
        let item = self.item(path);
        (item["outcome"].as_str().unwrap(), item["reason"].as_str().unwrap_or(""))
    }

    /// The bytes of an item.
    #[track_caller]
    fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.diagnostics.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Each item that the manifest says has bytes is there with just those.
    #[track_caller]
    fn assert_holds_what_it_says(&self) {
        for item in self.manifest["items"].as_array().unwrap() {
            let path = item["path"].as_str().unwrap();
            let file = self.diagnostics.join(path);
            if item["sha256"].is_null() {
                assert!(!file.is_file(), "{path} is there and the manifest says it is not");
            } else {
                let bytes = fs::metadata(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert_eq!(item["bytes"], bytes.len(), "{path}");
            }
        }
    }
}

/// A run, and how long it took.
#[track_caller]
fn timed(command: &mut Command) -> (Output, Duration) {
    let begun = Instant::now();
    let output = command.output().unwrap();
    (output, begun.elapsed())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Whether namespaces, mounts and devices can be made here; if not, that is said.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    is_root
}

/// Waits until `is_so`, for at most as long as a slow machine may take.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The texts of the source files below a folder.
fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The code in which tests stand, a text for each file.
fn code() -> Vec<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = Vec::new();
    for folder in ["src", "tests"] {
        sources(&project.join(folder), &mut code);
    }
    code
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[track_caller]
fn are_tests(named: &[&str]) {
    let code = code();
    for name in named {
        let function = format!("fn {name}(");
        assert!(code.iter().any(|text| text.contains(&function)), "there is no test {name}");
    }
}

#[test]
fn every_test_that_the_page_of_faults_names_is_there() {
    let page = page("docs/survived.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| {
        line.trim_end_matches([' ', '|']).rsplit_once(" | ").map(|(_, tests)| tests)
    });
    let named: Vec<&str> = rows.flat_map(|tests| tests.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 90, "{}", named.len());
    are_tests(&named);
}

/// The states of a row are separated by semicolons.
#[test]
fn at_least_sixty_fault_states_are_injected_each_by_a_test_that_knows_its_finding() {
    let page = page("docs/injected.md");
    let checks = self::page("docs/checks.md");
    let code = code();
    let mut states = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [finding, injected, tests] = cells.as_slice() else { panic!("{row}") };
        let id = finding.trim_matches('`');
        assert!(checks.contains(&format!("### `{id}`")), "{row}");
        for state in injected.split("; ") {
            assert!(states.insert((id, state)), "twice: {row}");
        }
        for test in tests.split('`').skip(1).step_by(2) {
            let function = format!("fn {test}(");
            let file = code.iter().find(|text| text.contains(&function));
            let file = file.unwrap_or_else(|| panic!("there is no test {test}"));
            assert!(file.contains(&format!("\"{id}")), "the file of {test} knows no {id}");
            let is_compared = file.contains("use crate::agreement::");
            assert!(is_compared, "{test} does not compare live, --root and --from");
        }
    }
    assert!(states.len() >= 60, "{}", states.len());
}

/// There tests stand in sentences, too: they are what has many words.
#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let page = page("SECURITY.md");
    let is_test = |word: &&str| {
        let is_name = |letter: char| letter.is_ascii_lowercase() || "_0123456789".contains(letter);
        word.matches('_').count() > 2 && word.chars().all(is_name)
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 50, "{}", named.len());
    are_tests(&named);
    // A row that names none is a claim that nothing holds.
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    for row in rows.filter(|row| !row.ends_with("| tests |")) {
        assert!(row.split('`').any(|word| is_test(&word)), "{row}");
    }
}

/// A root with these programs of this machine and the libraries that they are linked with.
fn with_programs(programs: &[&str]) -> Root {
    let root = Root::new();
    for program in programs {
        let ldd = Command::new("ldd").arg(fs::canonicalize(program).unwrap()).output().unwrap();
        let libraries = String::from_utf8(ldd.stdout).unwrap();
        let files = libraries.split_ascii_whitespace().filter(|word| word.starts_with('/'));
        for file in files.chain([*program]) {
            install(Path::new(file), &root.at(file));
        }
    }
    root
}
