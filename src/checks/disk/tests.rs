use serde_json::{Value, json};

use super::*;

fn file_system(path: &str, device: &str) -> Value {
    json!({"path": path, "device": device, "outcome": "ok", "readOnly": false, "bytes": 100_u64 << 30,
           "available": 50_u64 << 30, "inodes": 1000, "inodesFree": 900})
}

fn seen(file_systems: &[Value], folders: &[Value]) -> String {
    json!({"fileSystems": file_systems, "folders": folders}).to_string()
}

/// The finding of this id, of what was read at these paths.
#[track_caller]
fn finding(id: &str, readings: &[(&str, &str)]) -> Finding {
    let evidence = readings
        .iter()
        .map(|(path, text)| {
            ((*path).to_owned(), Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() })
        })
        .collect();
    let mut findings = judge(&evidence, &Asked::default());
    findings.retain(|finding| finding.id == id);
    assert_eq!(findings.len(), 1, "{id}");
    findings.remove(0)
}

#[test]
fn a_file_system_that_is_nearly_full_is_told_by_where_calico_writes() {
    let mut log = file_system("/var/log", "8:2");
    for (available, level) in
        [(50_u64 << 30, Level::Ok), (9 << 30, Level::Warn), (1 << 20, Level::Fail)]
    {
        log["available"] = json!(available);
        let text = seen(&[file_system("/", "8:1"), log.clone()], &[]);
        let found = finding(SPACE, &[(filesystems::PATH, &text)]);
        assert_eq!(found.level, level, "{}", found.summary);
        assert_eq!(found.evidence["fileSystems"].as_array().unwrap().len(), 2);
    }
    let text = seen(&[log], &[]);
    let summary = finding(SPACE, &[(filesystems::PATH, &text)]).summary;
    assert_eq!(summary, "on /var/log 1.0 MiB of 100.0 GiB are free (0 %)");
}

#[test]
fn what_is_mounted_how_is_not_known_without_the_table_of_mounts_nor_pressure_without_proc() {
    let text = seen(&[file_system("/var/lib/calico", "8:1")], &[]);
    assert_eq!(finding(READ_ONLY, &[(filesystems::PATH, &text)]).level, Level::Unknown);
    let mut evidence = Evidence::default();
    for (_, path) in PRESSURES {
        evidence.insert(path, Reading::failed(Outcome::Missing, "no such file"));
    }
    assert_eq!(load::pressure(&evidence).level, Level::Unknown);
    let bytes = b"MemTotal: 8 kB\nMemAvailable: 4 kB\n".to_vec();
    evidence.insert(MEMINFO, Reading { bytes, ..Reading::begin() });
    assert_eq!(load::pressure(&evidence).level, Level::Skip);
}

#[test]
fn a_file_system_without_inodes_left_fails_and_one_without_that_limit_does_not_count() {
    let mut log = file_system("/var/log", "8:2");
    log["inodesFree"] = json!(3);
    let text = seen(&[log.clone()], &[]);
    let found = finding(INODES, &[(filesystems::PATH, &text)]);
    assert_eq!(
        (found.level, found.summary.as_str()),
        (Level::Fail, "on /var/log 3 of 1,000 inodes are free (0.3 %)")
    );
    log["inodes"] = json!(0);
    let text = seen(&[log], &[]);
    assert_eq!(finding(INODES, &[(filesystems::PATH, &text)]).level, Level::Skip);
}

#[test]
fn one_that_hung_is_unknown_unless_another_is_worse() {
    let hung = json!({"path": "/var/log", "device": "", "outcome": "timeout", "reason": "late", "readOnly": false,
                      "bytes": 0, "available": 0, "inodes": 0, "inodesFree": 0});
    let mut root = file_system("/", "8:1");
    let text = seen(&[hung.clone(), root.clone()], &[]);
    assert_eq!(finding(SPACE, &[(filesystems::PATH, &text)]).level, Level::Unknown);
    root["available"] = json!(1);
    let text = seen(&[hung, root], &[]);
    assert_eq!(finding(SPACE, &[(filesystems::PATH, &text)]).level, Level::Fail);
}

#[test]
fn a_read_only_file_system_fails_where_calico_writes_and_not_at_the_root() {
    let mut root = file_system("/", "8:1");
    let mut log = file_system("/var/log", "8:2");
    root["readOnly"] = json!(true);
    let mounts =
        |options| format!("37 36 8:2 / /var/log {options} shared:7 - xfs /dev/sdb {options}\n");
    let text = seen(&[root.clone(), log.clone()], &[]);
    let found = finding(READ_ONLY, &[(filesystems::PATH, &text), (MOUNTS, &mounts("rw"))]);
    assert_eq!(found.level, Level::Ok);
    log["readOnly"] = json!(true);
    let text = seen(&[root, log], &[]);
    let found = finding(READ_ONLY, &[(filesystems::PATH, &text), (MOUNTS, &mounts("ro"))]);
    assert_eq!(
        (found.level, found.evidence["readOnly"].clone()),
        (Level::Fail, json!(["/var/log"]))
    );
    let found = finding(READ_ONLY, &[(filesystems::PATH, &text), (MOUNTS, &mounts("rw"))]);
    assert_eq!(found.level, Level::Ok);
}

#[test]
fn a_log_that_nothing_rotates_is_named() {
    let folder = |largest: u64, bytes: u64| {
        json!({"path": "/var/log/calico", "outcome": "ok", "files": 3, "bytes": bytes, "largest": "cni/cni.log",
               "largestBytes": largest})
    };
    for (largest, bytes, level) in [
        (1 << 20, 3 << 20, Level::Ok),
        (600 << 20, 600 << 20, Level::Warn),
        (400 << 20, 30 << 30, Level::Warn),
    ] {
        let text = seen(&[file_system("/var/log", "8:2")], &[folder(largest, bytes)]);
        let found = finding(LOGS, &[(filesystems::PATH, &text)]);
        assert_eq!(found.level, level, "{}", found.summary);
    }
    assert_eq!(finding(LOGS, &[(filesystems::PATH, &seen(&[], &[]))]).level, Level::Skip);
}

#[test]
fn a_disk_that_fails_is_told_in_the_kernels_words_and_not_in_a_users() {
    let log = "<3>[86400.12] EXT4-fs error (device sda1): ext4_journal_check_start:83: Detected aborted journal\n\
               <2>[86400.22] EXT4-fs (sda1): Remounting filesystem read-only\n";
    let found = finding(ERRORS, &[(KERNEL_LOG, log)]);
    assert_eq!((found.level, found.evidence["lines"].clone()), (Level::Warn, json!(2)));
    let users = "<12>[86400.12] I/O error, dev sda, says a user\n<6>[1.0] usb 1-1: new device\n";
    assert_eq!(finding(ERRORS, &[(KERNEL_LOG, users)]).level, Level::Ok);
}

#[test]
fn a_kill_of_calicos_fails_while_it_is_recent() {
    let log = "<6>[100.0] Tasks state (memory values in pages):\n\
               <3>[86500.1] Memory cgroup out of memory: Killed process 4711 (calico-node) total-vm:1kB, UID:0\n\
               <3>[86600.1] Out of memory: Kill process 4712 (chrome) score 897 or sacrifice child\n";
    let found = finding(KILLS, &[(KERNEL_LOG, log), (UPTIME, "86700.00 1.00\n")]);
    assert_eq!(found.level, Level::Fail);
    assert_eq!(found.summary, "calico-node was killed for want of memory 3 min ago, 1 time in all");
    assert_eq!(found.evidence["last"][0]["byItsOwnLimit"], true);
    let found = finding(KILLS, &[(KERNEL_LOG, log), (UPTIME, "96700.00 1.00\n")]);
    assert_eq!(found.level, Level::Warn);
    let others = "<3>[1.0] Out of memory: Killed process 9 (java) total-vm:1kB\n<3>[2.0] Killed process 9 (bird)\n";
    assert_eq!(finding(KILLS, &[(KERNEL_LOG, others)]).level, Level::Info);
}

#[test]
fn without_the_kernels_log_the_count_since_boot_says_at_least_that_there_was_none() {
    for (vmstat, level) in
        [("oom_kill 0\n", Level::Ok), ("pgmajfault 7\noom_kill 2\n", Level::Unknown)]
    {
        assert_eq!(finding(KILLS, &[(VMSTAT, vmstat)]).level, level, "{vmstat}");
    }
}

#[test]
fn pressure_is_told_by_what_is_waited_for() {
    let calm = "some avg10=0.00 avg60=1.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    let high = "some avg10=99.00 avg60=99.00 avg300=9.00 total=0\nfull avg10=0.00 avg60=22.50 avg300=0.00 total=0\n";
    let [cpu, io, memory] = PRESSURES.map(|(_, path)| path);
    assert_eq!(finding(PRESSURE, &[(cpu, calm), (io, calm), (memory, calm)]).level, Level::Ok);
    let found = finding(PRESSURE, &[(cpu, calm), (io, high), (memory, high)]);
    assert_eq!(found.level, Level::Warn);
    assert_eq!(found.summary, "in the last minute programs waited long: memory 22.5 %");
    assert_eq!(finding(PRESSURE, &[(cpu, calm)]).level, Level::Unknown);
}

#[test]
fn memory_fails_where_the_kubelet_evicts() {
    for (available, level) in
        [(4_000_000, Level::Ok), (300_000, Level::Warn), (90_000, Level::Fail)]
    {
        let text = format!("MemTotal:        8000000 kB\nMemAvailable:    {available} kB\n");
        assert_eq!(finding(MEMORY, &[(MEMINFO, &text)]).level, level, "{available}");
    }
    assert_eq!(
        finding(MEMORY, &[(MEMINFO, "MemTotal: 0 kB\nMemAvailable: 0 kB\n")]).level,
        Level::Unknown
    );
}
