use super::*;

fn keys(text: &str) -> Vec<(String, String, String, u32)> {
    let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let keyfile = parse(text.as_bytes()).unwrap();
    let rows = keyfile.sections.iter().flat_map(|section| {
        let name = text_of(&section.name);
        section.entries.iter().map(move |entry| {
            (name.clone(), text_of(&entry.key), text_of(&entry.value), entry.line)
        })
    });
    rows.collect()
}

fn row(section: &str, key: &str, value: &str, line: u32) -> (String, String, String, u32) {
    (section.to_owned(), key.to_owned(), value.to_owned(), line)
}

#[test]
fn blanks_around_the_equals_sign_go_and_those_after_the_value_stay() {
    let text = "# x\n  [keyfile] \n\n unmanaged-devices =  a;b  \nx=\n";
    assert_eq!(
        keys(text),
        [row("keyfile", "unmanaged-devices", "a;b  ", 4), row("keyfile", "x", "", 5)]
    );
}

#[test]
fn a_section_that_stands_twice_is_one_and_the_last_value_counts() {
    let text = "[a]\nx=1\n[b]\ny=2\n[a]\nx=3\n";
    let keyfile = parse(text.as_bytes()).unwrap();
    assert_eq!(keyfile.sections.len(), 2);
    assert_eq!(keyfile.entry(b"a", b"x").unwrap().line, 6);
}

#[test]
fn lines_may_end_as_windows_ends_them_but_not_the_last_one_without_a_line_feed() {
    assert_eq!(keys("[a]\r\nx=1\r\n"), [row("a", "x", "1", 2)]);
    assert_eq!(keys("[a]\nx=1\r"), [row("a", "x", "1\r", 2)]);
    assert_eq!(parse(b"[a]\r").unwrap_err().line, 1);
}

#[test]
fn what_glib_refuses_is_refused_with_its_line() {
    for (text, line) in [
        ("[a]\nno value\n", 2),
        ("x=1\n", 1),
        ("\u{feff}[a]\n", 1),
        ("[a]\n=1\n", 2),
        ("[a]\n; x\n", 2),
        ("[a]\nx]=1\n", 2),
        ("[]\n", 1),
        ("[a]b\n", 1),
        ("[a]\nEncoding=latin1\n", 2),
    ] {
        assert_eq!(parse(text.as_bytes()).map_err(|refusal| refusal.line), Err(line), "{text:?}");
    }
}

#[test]
fn a_translation_is_no_value() {
    assert_eq!(keys("[a]\nx[de]=1\nx=2\n"), [row("a", "x", "2", 3)]);
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes);
        let _ = string(&bytes);
        let _ = string_list(&bytes);
    }

    #[test]
    fn a_list_that_was_joined_is_the_same_list(list in proptest::collection::vec("[ -~\t\n\r\u{e9}]{1,8}", 0..6)) {
        let list: Vec<Vec<u8>> = list.into_iter().map(String::into_bytes).collect();
        proptest::prop_assert_eq!(string_list(&join_strings(&list)), Some(list));
    }
}
