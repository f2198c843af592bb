//! Changes on a fake root, and what a failure leaves.

#![allow(clippy::disallowed_methods, reason = "tests build the machine that is changed")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use super::*;

const KEY: &str = "net.netfilter.nf_conntrack_max";

fn root() -> (tempfile::TempDir, Host) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/sysctl.d")).unwrap();
    fs::create_dir_all(root.path().join("proc/sys/net/netfilter")).unwrap();
    fs::write(root.path().join("proc/sys/net/netfilter/nf_conntrack_max"), "262144\n").unwrap();
    let host = Host::live(root.path(), Duration::from_secs(20));
    (root, host)
}

fn file(path: &str, text: &str) -> Change {
    Change::File { path: path.to_owned(), text: text.to_owned() }
}

fn sysctl(value: &str) -> Change {
    Change::Sysctl { key: KEY.to_owned(), value: value.to_owned() }
}

fn now() -> Timestamp {
    "2026-11-23T02:33:26Z".parse().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_replaced_whole_and_the_old_one_kept_with_mode_and_owner() {
    let (root, host) = root();
    let path = root.path().join("etc/sysctl.d/90-x.conf");
    fs::write(&path, "a = 1\nb = 2\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let steps = plan(&host, vec![file("/etc/sysctl.d/90-x.conf", "a = 1\nb = 3\n")]).await.unwrap();
    assert_eq!(
        steps[0].diff(),
        "--- /etc/sysctl.d/90-x.conf\n+++ /etc/sysctl.d/90-x.conf\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n"
    );
    let applied = apply(&host, &steps, now()).await;
    assert_eq!(applied[0].outcome, Effect::Done, "{:?}", applied[0].reason);
    let backup = applied[0].backup.as_deref().unwrap();
    assert_eq!(backup, "/etc/sysctl.d/90-x.conf.20261123_023326.bak");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a = 1\nb = 3\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    let old = root.path().join(backup.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(old).unwrap(), "a = 1\nb = 2\n");
    assert_eq!(names(path.parent().unwrap()), ["90-x.conf", "90-x.conf.20261123_023326.bak"]);
}

#[tokio::test]
async fn a_new_file_gets_its_folders_and_can_be_read_by_all() {
    let (root, host) = root();
    let change = file("/etc/NetworkManager/conf.d/calico.conf", "[keyfile]\n");
    let steps = plan(&host, vec![change.clone(), change]).await.unwrap();
    assert_eq!(steps.len(), 1, "what is proposed twice is done once");
    assert!(steps[0].diff().starts_with("--- /dev/null\n"), "{}", steps[0].diff());
    let applied = apply(&host, &steps, now()).await;
    assert_eq!((applied[0].outcome, &applied[0].backup), (Effect::Done, &None));
    let path = root.path().join("etc/NetworkManager/conf.d/calico.conf");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(names(path.parent().unwrap()), ["calico.conf"]);
}

#[tokio::test]
async fn what_is_so_already_is_left_alone() {
    let (root, host) = root();
    fs::write(root.path().join("etc/sysctl.d/x.conf"), "a = 1\n").unwrap();
    let steps = plan(&host, vec![file("/etc/sysctl.d/x.conf", "a = 1\n"), sysctl("262144")]);
    assert_eq!(steps.await.unwrap(), []);
}

#[tokio::test]
async fn a_setting_of_the_kernel_is_written_in_place() {
    let (root, host) = root();
    let steps = plan(&host, vec![sysctl("1000000")]).await.unwrap();
    assert!(steps[0].diff().contains("-262144\n+1000000\n"), "{}", steps[0].diff());
    assert_eq!(apply(&host, &steps, now()).await[0].outcome, Effect::Done);
    let path = root.path().join("proc/sys/net/netfilter/nf_conntrack_max");
    assert_eq!(fs::read_to_string(path).unwrap(), "1000000\n");
}

#[tokio::test]
async fn after_a_failure_nothing_more_is_tried_and_what_was_done_is_told() {
    let (root, host) = root();
    let changes = vec![
        file("/etc/sysctl.d/1.conf", "a = 1\n"),
        file("/etc/sysctl.d/2.conf", "b = 1\n"),
        sysctl("5"),
    ];
    let steps = plan(&host, changes).await.unwrap();
    // Somebody else writes the second file after it was looked at.
    fs::write(root.path().join("etc/sysctl.d/2.conf"), "c = 1\n").unwrap();
    let applied = apply(&host, &steps, now()).await;
    let outcomes: Vec<Effect> = applied.iter().map(|applied| applied.outcome).collect();
    assert_eq!(outcomes, [Effect::Done, Effect::Failed, Effect::NotTried]);
    let reason = applied[1].reason.as_deref().unwrap();
    assert!(reason.ends_with("2.conf has changed since it was looked at"), "{reason}");
    assert_eq!(fs::read_to_string(root.path().join("etc/sysctl.d/2.conf")).unwrap(), "c = 1\n");
    assert_eq!(names(&root.path().join("etc/sysctl.d")), ["1.conf", "2.conf"]);
}

#[tokio::test]
async fn a_link_is_not_replaced_by_a_file() {
    let (root, host) = root();
    fs::write(root.path().join("etc/sysctl.conf"), "a = 1\n").unwrap();
    let link = root.path().join("etc/sysctl.d/99-sysctl.conf");
    symlink("../sysctl.conf", &link).unwrap();
    let steps = plan(&host, vec![file("/etc/sysctl.d/99-sysctl.conf", "a = 2\n")]).await.unwrap();
    let applied = apply(&host, &steps, now()).await;
    assert_eq!(applied[0].outcome, Effect::Failed);
    let reason = applied[0].reason.as_deref().unwrap();
    assert!(reason.contains("is no regular file"), "{reason}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn a_folder_that_is_a_link_out_of_the_root_leads_nowhere_outside() {
    let (root, host) = root();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("etc/out")).unwrap();
    let steps = plan(&host, vec![file("/etc/out/x.conf", "a\n")]).await.unwrap();
    // The link's target is looked for below the root, where it is not.
    assert_eq!(apply(&host, &steps, now()).await[0].outcome, Effect::Failed);
    assert_eq!(names(outside.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_read_is_not_replaced() {
    let (root, host) = root();
    fs::create_dir(root.path().join("etc/sysctl.d/x.conf")).unwrap();
    let error = plan(&host, vec![file("/etc/sysctl.d/x.conf", "a\n")]).await.unwrap_err();
    assert!(error.to_string().starts_with("failed to look at /etc/sysctl.d/x.conf"), "{error}");
}

#[tokio::test]
async fn a_bundle_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("diagnostics")).unwrap();
    fs::write(folder.path().join("diagnostics/date"), "x\n").unwrap();
    let host = Host::bundle(folder.path()).unwrap();
    let step = Step { change: file("/etc/x", "a\n"), before: None };
    let applied = apply(&host, &[step], now()).await;
    assert_eq!(applied[0].reason.as_deref(), Some("a bundle cannot be changed"));
}
