//! `check logs`: what do the logs of confd, BIRD, the CNI plugin and the other programs of calico-node say? Felix's are
//! told by `check felix`.

use jiff::Timestamp;

use super::{Asked, Check, Finding, Kind, Level, logged};
use crate::collectors::{self, Rows};
use crate::host::{Evidence, Outcome};
use crate::logs::{self, LogFile, Message, Severity, Summary};
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "logs",
    about: "errors in the logs of confd, BIRD, the CNI plugin and the rest of calico-node",
    finds: &[Kind {
        id: ERRORS,
        passes: "Calico's programs beside Felix have logged no error lately.",
    }],
    reads: |node, _| collectors::at(node, &[logs::PATH]),
    later: |_, _| Rows::default(),
    judge,
};

const ERRORS: &str = "logs.errors";

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let Some(reading) = evidence.get(logs::PATH) else {
        return vec![logged::unknown(ERRORS, "it was not asked for")];
    };
    let Some(summary) = Summary::parse(&reading.bytes) else {
        let why = reading.reason.as_deref().unwrap_or("their summary cannot be read");
        return vec![logged::unknown(ERRORS, why)];
    };
    // Folders that are not there are told among the gaps, and are no trouble.
    if summary.files.is_empty() && reading.outcome == Outcome::Ok && !may_run(evidence) {
        let why = "nothing of Calico runs here or has left a log";
        return vec![Finding::new(ERRORS, Level::Skip, why)];
    }
    // Who ends in a panic does not say its name: `check felix` tells it, for it may be Felix.
    let is_other = |component: &str, severity: Severity| {
        component != "felix" && !(component == "calico-node" && severity >= Severity::Fatal)
    };
    let files: Vec<&LogFile> =
        summary.files.iter().filter(|file| !file.path.contains("/felix")).collect();
    let messages: Vec<&Message> = summary
        .messages
        .iter()
        .filter(|message| is_other(&message.component, message.severity))
        .collect();
    let subject = logged::Subject {
        id: ERRORS,
        who: "Calico's programs beside Felix",
        files: &files,
        messages: &messages,
        counts: &|file| {
            let others = file.counted.severities.iter();
            others
                .flat_map(|(component, counts)| {
                    counts.iter().map(move |(severity, count)| (component, *severity, *count))
                })
                .filter(|(component, severity, _)| is_other(component, *severity))
                .map(|(_, severity, count)| (severity, count))
                .collect()
        },
    };
    logged::judge(&subject, &summary.gaps)
}

/// Whether something of Calico runs here, or has run, or it is not known.
fn may_run(evidence: &Evidence) -> bool {
    let agents = status::node_status(Timestamp::UNIX_EPOCH, evidence).agents;
    let daemons = [
        agents.felix.presence.running,
        agents.bird.presence.running,
        agents.confd.presence.running,
    ];
    let has_name =
        evidence.get(status::NODENAME).is_none_or(|name| name.outcome != Outcome::Missing);
    has_name || daemons.iter().any(|running| *running != Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Reading;
    use crate::logs::Tally;

    fn judged(log: &str) -> Vec<Finding> {
        let mut summary = Summary::default();
        let mut tally = Tally::new("calico-node", "2024-05-01T10:00:00Z".parse().unwrap(), true);
        tally.add(log.as_bytes());
        let path = "/var/log/pods/kube-system_calico-node-x_1/calico-node/0.log".to_owned();
        summary.add(LogFile { path, ..LogFile::default() }, tally);
        summary.sort();
        let bytes = serde_json::to_vec(&summary).unwrap();
        let reading = Reading { bytes, ..Reading::begin() };
        let evidence = [(logs::PATH.to_owned(), reading)].into_iter().collect();
        super::judge(&evidence, &Asked::default())
    }

    #[test]
    fn errors_of_bird_and_confd_are_told_and_explained_and_felixs_are_not() {
        let findings = judged(
            "2024-05-01T09:50:00Z stdout F bird: Mesh_10_0_0_2: Error: Hold timer expired\n\
             2024-05-01T09:51:00Z stdout F 2024-05-01 09:51:00.000 [FATAL][9] confd/a.go 1: Unknown template\n\
             2024-05-01T07:51:00Z stdout F 2024-05-01 07:51:00.000 [ERROR][9] confd/a.go 1: Old\n\
             2024-05-01T09:52:00Z stdout F 2024-05-01 09:52:00.000 [ERROR][9] felix/a.go 1: Felix's\n",
        );
        let told: Vec<(Level, &str)> = findings
            .iter()
            .skip(1)
            .map(|finding| (finding.level, finding.evidence["component"].as_str().unwrap()))
            .collect();
        assert_eq!(told, [(Level::Fail, "confd"), (Level::Warn, "bird"), (Level::Info, "confd")]);
        assert!(findings[2].summary.contains("a BGP session was lost"), "{}", findings[2].summary);
        assert!(findings[0].summary.starts_with("3 errors of 3 kinds, 2 in the last hour"));
    }

    #[test]
    fn a_log_without_errors_is_well_and_no_log_is_unknown() {
        let findings = judged("2024-05-01T09:50:00Z stdout F bird: Started\n");
        assert_eq!((findings.len(), findings[0].level), (1, Level::Ok));
        let bytes = serde_json::to_vec(&Summary::default()).unwrap();
        for reading in [
            Reading { bytes, ..Reading::begin() },
            Reading::failed(Outcome::Timeout, "late"),
            Reading { bytes: b"{".to_vec(), ..Reading::begin() },
        ] {
            let evidence = [(logs::PATH.to_owned(), reading)].into_iter().collect();
            assert_eq!(super::judge(&evidence, &Asked::default())[0].level, Level::Unknown);
        }
    }
    #[test]
    fn a_host_without_calico_has_no_logs_to_miss() {
        let reading = |text: &str| Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() };
        let summary = r#"{"files":[],"messages":[],"gaps":["/var/log/calico: no such folder"]}"#;
        let level_of = |nodename: Reading, processes: Reading, outcome: Outcome| {
            let readings = [
                (logs::PATH, Reading { outcome, ..reading(summary) }),
                (status::NODENAME, nodename),
                (status::PROCESSES, processes),
            ];
            let readings = readings.into_iter().map(|(path, it)| (path.to_owned(), it));
            super::judge(&readings.collect(), &Asked::default())[0].level
        };
        let level = |nodename, processes| level_of(nodename, processes, Outcome::Ok);
        let missing = || Reading::failed(Outcome::Missing, "no such file");
        assert_eq!(level(missing(), reading("[]")), Level::Skip);
        // Calico was here, is here, or it is not known; or a folder could not be read.
        assert_eq!(level(reading("node-1"), reading("[]")), Level::Unknown);
        let felix = r#"[{"pid":7,"hostRoot":true,"state":"S","argv":["calico-node","-felix"]}]"#;
        assert_eq!(level(missing(), reading(felix)), Level::Unknown);
        let denied = Reading::failed(Outcome::Denied, "no");
        assert_eq!(level(missing(), denied), Level::Unknown);
        assert_eq!(level_of(missing(), reading("[]"), Outcome::Denied), Level::Unknown);
    }
}
