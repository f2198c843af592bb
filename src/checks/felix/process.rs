//! Felix's process: does it run, since when, and how often was it restarted?

use serde_json::json;

use super::{Facts, RESTARTS, RUNNING, span};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack::KERNEL_LOG;

/// Does it run?
pub(super) fn running(facts: &Facts<'_>) -> Finding {
    let presence = &facts.felix.presence;
    let version = version(facts);
    let evidence = json!({
        "running": presence.running,
        "pid": presence.pid,
        "command": presence.command,
        "processState": presence.process_state,
        "instances": presence.instances,
        "started": facts.started(),
        "uptimeSeconds": facts.uptime(),
        "version": version,
    });
    let reason = facts.felix.reason.as_deref().unwrap_or("its process was not seen");
    let name = version.map_or("Felix".to_owned(), |version| format!("Felix {version}"));
    let finding = |level, summary| Finding::new(RUNNING, level, summary).evidence(evidence.clone());
    match presence.running {
        Some(true) => {}
        Some(false) => {
            return finding(Level::Fail, "Felix does not run: no policy, route or interface of a pod is kept".to_owned())
                .remedy("kubectl get pods -A -l k8s-app=calico-node -o wide   # is there one on this node, and in which state?")
                .remedy("sudo crictl ps -a --name calico-node   # the same of the container runtime, without the API");
        }
        None => {
            return finding(Level::Unknown, format!("whether Felix runs is not known: {reason}"))
                .remedy("run calivet as root");
        }
    }
    let pid = presence.pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
    let since = match (facts.started(), facts.uptime()) {
        (Some(started), Some(uptime)) => format!(" since {started:.0} ({})", span(uptime)),
        _ => String::new(),
    };
    match (presence.process_state.as_deref(), presence.instances) {
        (Some("T" | "t"), _) => {
            let pid = presence.pid.unwrap_or_default();
            finding(Level::Fail, format!("{name} is stopped (process {pid}): it does nothing until it is told to go on"))
                .remedy(format!("sudo kill -CONT {pid}"))
        }
        (_, Some(count)) => finding(
            Level::Warn,
            format!("{count} Felixes run on this node: each undoes what another does"),
        )
        .remedy("ps -eo pid,ppid,lstart,cmd | grep -e 'calico.*felix'   # end the one that is not calico-node's"),
        _ => finding(Level::Ok, format!("{name} runs{pid}{since}")),
    }
}

/// The version that it named when it last started.
fn version(facts: &Facts<'_>) -> Option<String> {
    let files = facts.logs.iter().flat_map(|summary| &summary.files);
    let starts = files.filter_map(|file| file.counted.starts.get("felix"));
    starts.max_by_key(|starts| starts.last)?.version.clone()
}

/// Uptimes that are shorter than this tell of a restart.
const LATELY: i64 = 600;

/// How often was it restarted? The kubelet names a container's logs by how often it has started the container
/// (`0.log`, `1.log`, ...); runit, which restarts Felix inside it, does not count.
pub(super) fn restarts(facts: &Facts<'_>) -> Finding {
    if let Some(skipped) = facts.skipped(RESTARTS) {
        return skipped;
    }
    let files = || facts.logs.iter().flat_map(|summary| &summary.files);
    let container = files().filter_map(|file| {
        let (_, path) = file.path.split_once("/pods/")?;
        let (pod, name) = (path.split('/').next()?, path.rsplit('/').next()?);
        Some((file.modified, name.strip_suffix(".log")?.parse::<u64>().ok()?, pod))
    });
    // A pod that was replaced leaves its folder for a while.
    let container = container.max_by_key(|(modified, count, _)| (*modified, *count));
    let starts: Vec<_> = files().filter_map(|file| file.counted.starts.get("felix")).collect();
    let (all, recent) = starts
        .iter()
        .fold((0, 0), |(all, recent), starts| (all + starts.count, recent + starts.recent));
    let last = starts.iter().filter_map(|starts| starts.last).max();
    let count = container.map(|(_, count, _)| count);
    let uptime = facts.uptime();
    let killed = killed(facts);
    let evidence = json!({
        "container": count,
        "pod": container.map(|(_, _, pod)| pod),
        "startsInLog": all,
        "startsInLastHour": recent,
        "lastStart": last,
        "uptimeSeconds": uptime,
        "killedForMemory": killed.as_ref().map(|killed| &killed.names),
        "lastKilledSecondsAgo": killed.as_ref().and_then(|killed| killed.ago),
    });
    let finding =
        |level, summary: String| Finding::new(RESTARTS, level, summary).evidence(evidence.clone());
    let since =
        uptime.map(|uptime| format!("; Felix has run for {}", span(uptime))).unwrap_or_default();
    let times = |count| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    if recent > 2 {
        return finding(
            Level::Fail,
            format!("Felix has started {} within an hour{since}: it does not stay up", times(recent)),
        )
        .remedy("look at felix.errors below: what ended it is its last FATAL or PANIC")
        .remedy("sudo dmesg | grep -i -e 'out of memory' -e oom   # did the kernel end it for want of memory?");
    }
    if let Some(killed) = killed {
        let ago = killed.ago.map(|ago| format!(", last {} ago", span(ago))).unwrap_or_default();
        let (times, names) = (times(killed.times), killed.names.join(", "));
        return finding(
            Level::Warn,
            format!("the kernel has ended processes of Calico's for want of memory {times}{ago}: {names}{since}"),
        )
        .remedy("kubectl describe pod -A -l k8s-app=calico-node | grep -A 3 -i limits   # raise the memory limit, if there is one")
        .remedy("free -m; cat /proc/pressure/memory   # or is the node itself short of it?");
    }
    match (count, uptime) {
        (Some(count), Some(uptime)) if count > 0 && uptime < LATELY => finding(
            Level::Warn,
            format!("the container of calico-node was restarted {}{since}", times(count)),
        )
        .remedy("kubectl describe pod -A -l k8s-app=calico-node | grep -A 8 'Last State'   # why: exit code, OOMKilled, a probe"),
        (Some(count), _) if count > 0 => finding(
            Level::Info,
            format!("the container of calico-node was restarted {} since its pod was made{since}", times(count)),
        ),
        (Some(_), _) if all > 1 => finding(
            Level::Info,
            format!("its log tells of {all} starts of Felix in one container{since}: runit, or a change of its configuration, restarted it"),
        ),
        (Some(_), _) => finding(Level::Ok, "its container was not restarted since its pod was made".to_owned()),
        (None, _) if all > 1 => finding(Level::Info, format!("its log tells of {all} starts{since}")),
        (None, Some(uptime)) => finding(Level::Ok, format!("Felix has run for {}; no log counts its restarts", span(uptime))),
        (None, None) => finding(
            Level::Unknown,
            "neither its process nor a container's log tells how often Felix was restarted".to_owned(),
        ),
    }
}

/// What the kernel has ended for want of memory.
struct Killed {
    times: u64,
    names: Vec<String>,
    /// Seconds since the last time.
    ago: Option<i64>,
}

/// Calico's processes, as the kernel calls them: at most 15 bytes.
const NAMES: [&str; 6] = ["bird", "bird6", "calico", "calico-felix", "calico-node", "confd"];

/// Reads the kernel's log (`mm/oom_kill.c`): `<3>[86400.123456] Out of memory: Killed process 412 (calico) ...`, and
/// `Memory cgroup out of memory: ...` where it is the container's limit.
fn killed(facts: &Facts<'_>) -> Option<Killed> {
    let log = facts.evidence.get(KERNEL_LOG)?.text();
    let mut killed = Killed { times: 0, names: Vec::new(), ago: None };
    let mut last = 0.0;
    for line in log.lines() {
        let Some((stamp, text)) = line.split_once("] ") else { continue };
        let Some((_, process)) = text.split_once("ut of memory: Killed process ") else { continue };
        // What a program writes there has another facility than 0.
        let Some((level, seconds)) = stamp.strip_prefix('<').and_then(|it| it.split_once(">["))
        else {
            continue;
        };
        if level.len() != 1 || !text.starts_with(['O', 'M']) {
            continue;
        }
        let name = process.split_once('(').and_then(|(_, name)| name.split_once(')'));
        let Some(name) = name.map(|(name, _)| name).filter(|name| NAMES.contains(name)) else {
            continue;
        };
        killed.times += 1;
        if !killed.names.iter().any(|other| other == name) {
            killed.names.push(name.to_owned());
        }
        last = seconds.trim().parse::<f64>().ok().filter(|it| it.is_finite()).unwrap_or(last);
    }
    let uptime = facts
        .evidence
        .get("host/proc/uptime")
        .and_then(|reading| reading.text().split_ascii_whitespace().next()?.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let ago = uptime.map(|uptime| (uptime - last).max(0.0) as i64);
    killed.ago = ago;
    (killed.times > 0).then_some(killed)
}
