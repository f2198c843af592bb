use super::*;

const NOW: &str = "2026-11-23T02:33:26Z";

/// The verdicts on a clock with these files and these readings beside it: `id: level` and the summary.
fn verdict(clock: &serde_json::Value, more: &[(&str, &str)]) -> Vec<(Level, String)> {
    let readings = [(clock::PATH, clock.to_string())]
        .into_iter()
        .chain(more.iter().map(|(path, text)| (*path, (*text).to_owned())));
    let evidence = readings
        .map(|(path, text)| {
            (path.to_owned(), Reading { bytes: text.into_bytes(), ..Reading::begin() })
        })
        .collect();
    let findings = judge(&evidence, &Asked::default());
    findings.into_iter().map(|finding| (finding.level, finding.summary)).collect()
}

fn quiet() -> serde_json::Value {
    json!({"now": NOW, "hardwareClock": 1_795_401_206, "zone": "/usr/share/zoneinfo/Etc/UTC", "files": []})
}

fn runs(program: &str) -> String {
    json!([{"pid": 1, "argv": ["/sbin/init"]}, {"pid": 77, "argv": [program, "-F", "2"]}])
        .to_string()
}

#[track_caller]
fn synchronised(more: &[(&str, &str)]) -> (Level, String) {
    verdict(&quiet(), more).remove(0)
}

#[test]
fn a_clock_that_the_kernel_takes_for_synchronised_is_well() {
    let (level, summary) = synchronised(&[(TIMEDATECTL, "NTP=yes\nNTPSynchronized=yes\n")]);
    assert_eq!(
        (level, summary.as_str()),
        (Level::Ok, "the clock is synchronised: the kernel says so")
    );
}

#[test]
fn a_clock_that_nobody_has_set_is_warned_of_whatever_runs() {
    let told =
        [(TIMEDATECTL, "NTPSynchronized=no\n"), (status::PROCESSES, &runs("/usr/sbin/ntpd"))];
    let (level, summary) = synchronised(&told);
    assert_eq!(
        (level, summary.as_str()),
        (Level::Warn, "the clock is not synchronised, though ntpd runs")
    );
    let (level, _) =
        synchronised(&[(CHRONY, "0,,0,0.0,0.0,0,0,0,0,0,1.0,1.0,0.0,Not synchronised\n")]);
    assert_eq!(level, Level::Warn);
}

#[test]
fn chronys_word_counts_and_so_does_its_offset() {
    let line = |offset: &str| format!("A2,10.0.0.1,4,1.0,{offset},0,0,0,0,0,0,0,64.2,Normal\n");
    let (level, _) = synchronised(&[(CHRONY, &line("0.000012"))]);
    assert_eq!(level, Level::Ok);
    let (level, summary) = synchronised(&[(CHRONY, &line("-7.25"))]);
    assert_eq!(
        (level, summary.as_str()),
        (Level::Warn, "the clock is 7.2 s behind what chronyd measures")
    );
}

#[test]
fn timesyncds_mark_counts_while_it_is_fresh() {
    for (modified, told) in
        [("2026-11-23T02:01:00Z", Level::Ok), ("2026-11-20T02:01:00Z", Level::Unknown)]
    {
        let mut clock = quiet();
        clock["files"] = json!([{"path": TIMESYNC, "modified": modified}]);
        let processes = runs("/lib/systemd/systemd-timesyncd");
        let (level, summary) = verdict(&clock, &[(status::PROCESSES, &processes)]).remove(0);
        assert_eq!(level, told, "{summary}");
    }
}

#[test]
fn a_keeper_that_says_nothing_is_unknown_and_none_is_warned_of() {
    assert_eq!(synchronised(&[(status::PROCESSES, &runs("/usr/sbin/ntpd"))]).0, Level::Unknown);
    assert_eq!(synchronised(&[(status::PROCESSES, &runs("bird"))]).0, Level::Warn);
    assert_eq!(synchronised(&[]).0, Level::Unknown);
}

#[test]
fn a_hardware_clock_that_is_minutes_off_is_warned_of() {
    let mut clock = quiet();
    assert_eq!(verdict(&clock, &[])[1].0, Level::Ok);
    clock["hardwareClock"] = json!(1_795_401_206 + 7200 - 240);
    let (level, summary) = verdict(&clock, &[]).remove(1);
    assert_eq!(level, Level::Warn);
    assert_eq!(summary, "the hardware's clock is 240 s behind the system's: one of them is wrong");
    clock["hardwareClock"] = json!(null);
    assert_eq!(verdict(&clock, &[])[1].0, Level::Skip);
}

#[test]
fn what_is_dated_in_the_future_is_told_with_the_farthest_first() {
    let mut clock = quiet();
    clock["files"] = json!([
        {"path": "/var/lib/calico/nodename", "modified": "2026-11-23T02:33:40Z"},
        {"path": "/etc/cni/net.d/calico-kubeconfig", "modified": "2026-11-23T03:33:26Z"}
    ]);
    let log = json!({"files": [{"path": "/var/log/calico/a.log", "bytes": 1, "lookedAt": 1,
        "modified": "2026-11-23T02:33:00Z", "lines": 1, "first": null, "last": "2026-11-23T02:43:26Z", "severities": {}}],
        "messages": []})
    .to_string();
    let (level, summary) = verdict(&clock, &[(logs::PATH, &log)]).remove(2);
    assert_eq!(level, Level::Warn);
    assert_eq!(
        summary,
        "2 files or logs are dated in the future, /etc/cni/net.d/calico-kubeconfig the most: by 3600 s. \
         The clock was set back, or is behind"
    );
    // In Tokyo the line's ten minutes may be a matter of the zone.
    clock["zone"] = json!("/usr/share/zoneinfo/Asia/Tokyo");
    let (_, summary) = verdict(&clock, &[(logs::PATH, &log)]).remove(2);
    assert!(summary.starts_with("1 file or log is"), "{summary}");
    assert_eq!(verdict(&quiet(), &[])[2].0, Level::Ok);
}

#[test]
fn a_zone_other_than_utc_is_told_and_is_not_wrong() {
    let mut clock = quiet();
    assert_eq!(verdict(&clock, &[])[3], (Level::Ok, "the time zone is Etc/UTC".to_owned()));
    clock["zone"] = json!("../usr/share/zoneinfo/Europe/Berlin");
    let (level, summary) = verdict(&clock, &[]).remove(3);
    assert_eq!(level, Level::Info);
    assert!(summary.starts_with("the time zone is Europe/Berlin"), "{summary}");
}
