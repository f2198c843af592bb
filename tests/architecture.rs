//! Arrows point downwards: the table of modules in `src/lib.rs` is an order, and the sources keep to it.

use std::fs;
use std::path::Path;

/// The modules in the order of the table in `src/lib.rs`, from the bottom to the top.
fn order(library: &str) -> Vec<&str> {
    let rows = library.lines().filter_map(|line| line.strip_prefix("//! | ["));
    rows.flat_map(|row| row.split('|').next().unwrap().split('`').skip(1).step_by(2)).collect()
}

/// Every `crate::name` of the code in `text`: not of its comments, nor of the tests at its end.
fn used(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    let word = |rest: &str| -> String {
        rest.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
    };
    // `crate::name…`, and `crate::{name…, name…}`.
    let names = |rest: &str| -> Vec<String> {
        match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').map(word).collect(),
            None => vec![word(rest)],
        }
    };
    lines
        .flat_map(|line| line.split("crate::").skip(1).flat_map(names).collect::<Vec<_>>())
        .collect()
}

/// What the module's own file and all in its folder use.
fn uses_of(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.flat_map(|entry| uses_of(&entry)).collect();
    }
    if path.file_name().is_some_and(|name| name == "tests.rs") {
        return Vec::new();
    }
    fs::read_to_string(path).map(|text| used(&text)).unwrap_or_default()
}

#[test]
fn a_module_uses_only_those_that_stand_before_it() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = fs::read_to_string(sources.join("lib.rs")).unwrap();
    let order = order(&library);
    let place = |name: &str| order.iter().position(|module| *module == name);
    let modules: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut wrong = Vec::new();
    for module in &modules {
        let Some(own) = place(module) else {
            wrong.push(format!("{module} is not in the table of src/lib.rs"));
            continue;
        };
        let mut uses = uses_of(&sources.join(format!("{module}.rs")));
        uses.extend(uses_of(&sources.join(module)));
        uses.sort();
        uses.dedup();
        let behind = uses.iter().filter(|name| place(name).is_some_and(|place| place > own));
        wrong.extend(behind.map(|name| format!("{module} uses {name}, which stands behind it")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        order.len(),
        modules.len(),
        "the table names a module twice, or one that there is not"
    );
    assert!(uses_of(&sources.join("commands")).len() > 20, "hardly any use was found");
}

#[test]
fn a_use_is_found_wherever_it_stands_in_code_and_nowhere_else() {
    let text = "//! [`crate::a`]\nuse crate::bird::Reply; // crate::b\nfn f(x: crate::log_time::Stamp) {}\nuse crate::{fix, host::Host};\n\
                #[cfg(test)]\nmod tests {\n    use crate::c;\n}\n";
    assert_eq!(used(text), ["bird", "log_time", "fix", "host"]);
    assert_eq!(order("//! | [`a`], [`b`] | `text` |\n//! | [`c`] | x |\n"), ["a", "b", "c"]);
}
