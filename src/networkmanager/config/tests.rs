use super::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), content: Content::Text(text.as_bytes().to_vec()) }
}

fn read(files: &Files) -> Result<Config, NoConfig> {
    Config::read(files, &Daemon { version: Some([1, 42, 4]), tag: Some(String::new()) })
}

fn list(specs: &str) -> String {
    format!("[keyfile]\nunmanaged-devices{specs}\n")
}

fn unmanaged(files: &Files) -> Vec<String> {
    let config = read(files).unwrap();
    let show = |spec: &Spec| format!("{} {}", String::from_utf8_lossy(&spec.text), spec.origin);
    config.unmanaged_devices().iter().map(show).collect()
}

#[test]
fn later_files_replace_and_operators_add_and_take_with_the_line_of_each() {
    let files = Files {
        vendor: vec![file("/v/a.conf", &list("=a;b"))],
        main: Some(file("/m", &list("+=c,b"))),
        etc: vec![file("/e/z.conf", &list("-=a"))],
        ..Files::default()
    };
    assert_eq!(unmanaged(&files), ["b /v/a.conf:2", "c /m:2"]);
    let replaced = Files { run: vec![file("/r/b.conf", &list("=x"))], ..files };
    assert_eq!(unmanaged(&replaced), ["x /r/b.conf:2", "c /m:2", "b /m:2"]);
}

#[test]
fn etc_hides_run_and_run_hides_usr_and_only_conf_counts() {
    let files = Files {
        vendor: vec![file("/v/a.conf", &list("=v")), file("/v/b.conf", &list("=b"))],
        run: vec![file("/r/b.conf", "")],
        etc: vec![file("/e/a.conf", ""), file("/e/c.conf~", &list("=c"))],
        ..Files::default()
    };
    let config = read(&files).unwrap();
    assert!(config.unmanaged_devices().is_empty());
    assert_eq!(config.files[0].fate, Fate::HiddenBy("/e/a.conf".into()));
}

#[test]
fn one_file_that_is_refused_refuses_all_and_so_does_a_link_to_nothing() {
    let broken = Files { etc: vec![file("/e/a.conf", "x")], ..Files::default() };
    assert!(matches!(read(&broken), Err(NoConfig::Refused { path, .. }) if path == "/e/a.conf"));
    let linked =
        File { path: "/e/a.conf".to_owned(), content: Content::NotAFile(DANGLING.to_owned()) };
    let linked = Files { etc: vec![linked], ..Files::default() };
    assert!(matches!(read(&linked), Err(NoConfig::Refused { .. })));
    let unread = File { path: "/e/a.conf".to_owned(), content: Content::Unread("EIO".to_owned()) };
    let unread = Files { etc: vec![unread], ..Files::default() };
    assert!(matches!(read(&unread), Err(NoConfig::Unknown { .. })));
}

#[test]
fn a_file_may_switch_itself_off_by_version_or_by_environment() {
    let with = |enable: &str| {
        let text = format!("[.config]\nenable={enable}\n{}", list("=a"));
        Files { etc: vec![file("/e/a.conf", &text)], ..Files::default() }
    };
    for (enable, expected) in [
        ("true", 1),
        ("0", 0),
        ("nm-version-min:1.40", 1),
        ("nm-version-min:1.43", 0),
        // Numbers before the last must be the same, also for a bound.
        ("nm-version-min:1.40.2", 0),
        ("nm-version-max:1.44", 1),
        ("except:nm-version:1.42", 0),
        ("except:nm-version:1.40", 1),
        ("env:TAG", 0),
        ("nonsense", 0),
    ] {
        assert_eq!(unmanaged(&with(enable)).len(), expected, "{enable}");
    }
    let unknown = Config::read(&with("env:TAG"), &Daemon::default());
    assert!(matches!(unknown, Err(NoConfig::Unknown { .. })));
}

#[test]
fn of_device_sections_the_last_file_is_asked_first_and_inside_a_file_the_first_section() {
    let files = Files {
        etc: vec![
            file("/e/a.conf", "[device]\nx=1\n[device-1]\nx=1\n[device-2]\nx=1\n"),
            file("/e/b.conf", "[device-3]\nx=1\n[device-4]\nx=1\n[device-1]\nx=2\n"),
        ],
        ..Files::default()
    };
    let config = read(&files).unwrap();
    let names: Vec<_> =
        config.device_sections().map(|it| String::from_utf8_lossy(&it.name).into_owned()).collect();
    assert_eq!(names, ["device-3", "device-4", "device-1", "device-2", "device"]);
}

#[test]
fn what_network_manager_wrote_for_itself_counts_while_the_files_say_what_they_said() {
    let intern = "[keyfile]\n.was.unmanaged-devices=a\n.set.unmanaged-devices=b\n";
    let files = |value: &str| Files {
        main: Some(file("/m", &list(value))),
        intern: Some(file("/i", intern)),
        ..Files::default()
    };
    assert_eq!(unmanaged(&files("=a")), ["b /i:3"]);
    assert_eq!(unmanaged(&files("=c")), ["c /m:2"]);
}
