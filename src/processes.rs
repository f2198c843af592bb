//! The table of processes, and which of them are Calico's.
//!
//! A bundle keeps the table as JSON, one object a process:
//!
//! ```json
//! [{"pid": 412, "ppid": 398, "uid": 0, "hostRoot": true, "state": "S", "startTime": 1873, "comm": "calico",
//!   "argv": ["calico", "component", "felix"], "exe": "/usr/bin/calico", "container": "cri-containerd-0af3.scope",
//!   "environment": {"NODENAME": "node-1"}}]
//! ```
//!
//! Since v3.33 every Go daemon of Calico, its CNI plugin and its probes share one name (`calico`), so only the
//! arguments tell them apart, word by word and each at its place. An ordinary user's process may borrow any
//! arguments: it is a daemon only if it runs as root of the host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its id in the process namespace that calivet sees.
    pub pid: u32,
    /// Its parent's id.
    #[serde(default)]
    pub ppid: u32,
    /// Its effective user.
    #[serde(default)]
    pub uid: u32,
    /// Whether it runs as root in calivet's own user namespace: effective user 0, and not the root of a
    /// container's own users.
    #[serde(default)]
    pub host_root: bool,
    /// The letter in `/proc/PID/stat`: `R`, `S`, `D`, `T`, `Z`, ...
    #[serde(default)]
    pub state: String,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    #[serde(default)]
    pub start_time: u64,
    /// Its name as the kernel has it.
    #[serde(default)]
    pub comm: String,
    /// Its arguments, the program first.
    #[serde(default)]
    pub argv: Vec<String>,
    /// The file that it runs, as `/proc/PID/exe` names it.
    #[serde(default)]
    pub exe: Option<String>,
    /// The last component of its control group's path: its container, if it has one.
    #[serde(default)]
    pub container: Option<String>,
    /// The variables of its environment that are in [`ENVIRONMENT`], of Calico's agents only; `None` where it was not
    /// read. Empty is one that was read and has none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
}

impl Process {
    /// A variable of its environment, as far as that was read.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.as_ref()?.get(name).map(String::as_str)
    }

    /// All variables that are known.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = self.environment.iter().flatten();
        known.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The variables that are read from the environment of Calico's agents: what decides how a node is judged, and
/// never a secret. Of those that end in `ENDPOINTS` only what [`crate::datastore::url::shown`] leaves is kept.
pub const ENVIRONMENT: &[&str] = &[
    "CALICO_DISABLE_FELIX",
    "CALICO_DISABLE_FILE_LOGGING",
    "CALICO_IPV4POOL_IPIP",
    "CALICO_IPV4POOL_VXLAN",
    "CALICO_IPV6POOL_VXLAN",
    "CALICO_MANAGE_CNI",
    "CALICO_NETWORKING_BACKEND",
    "CALICO_ROUTER_ID",
    "CLUSTER_TYPE",
    "DATASTORE_TYPE",
    "ETCD_CA_CERT_FILE",
    "ETCD_CERT_FILE",
    "ETCD_ENDPOINTS",
    "FELIX_BPFENABLED",
    "FELIX_BPFMAPSIZECONNTRACK",
    "FELIX_DATASTORETYPE",
    "FELIX_DEFAULTENDPOINTTOHOSTACTION",
    "FELIX_ETCDCAFILE",
    "FELIX_ETCDCERTFILE",
    "FELIX_ETCDENDPOINTS",
    "FELIX_HEALTHENABLED",
    "FELIX_HEALTHHOST",
    "FELIX_HEALTHPORT",
    "FELIX_IGNORELOOSERPF",
    "FELIX_INTERFACEPREFIX",
    "FELIX_IPFORWARDING",
    "FELIX_IPINIPENABLED",
    "FELIX_IPINIPMTU",
    "FELIX_IPTABLESBACKEND",
    "FELIX_IPV6SUPPORT",
    "FELIX_LOGFILEPATH",
    "FELIX_LOGSEVERITYFILE",
    "FELIX_LOGSEVERITYSCREEN",
    "FELIX_LOGSEVERITYSYS",
    "FELIX_NFTABLESMODE",
    "FELIX_PROMETHEUSMETRICSENABLED",
    "FELIX_PROMETHEUSMETRICSPORT",
    "FELIX_TYPHAADDR",
    "FELIX_TYPHACAFILE",
    "FELIX_TYPHACERTFILE",
    "FELIX_TYPHAK8SSERVICENAME",
    "FELIX_VXLANENABLED",
    "FELIX_VXLANMTU",
    "FELIX_WIREGUARDENABLED",
    "FELIX_WIREGUARDENABLEDV6",
    "FELIX_WIREGUARDMTU",
    "IP",
    "IP6",
    "IP6_AUTODETECTION_METHOD",
    "IP_AUTODETECTION_METHOD",
    "NODENAME",
];

/// The processes in a table.
pub fn parse(bytes: &[u8]) -> Result<Vec<Process>, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Programs that keep the clock, by the names of their files.
pub const TIME_KEEPERS: &[&str] = &[
    "chronyd",
    "ntpd",
    "ntp-daemon",
    "openntpd",
    "phc2sys",
    "systemd-timesyncd",
    "timemaster",
    "vmtoolsd",
];

/// Those of them that run. By its name alone none is taken to have done its work.
pub fn time_keepers(processes: &[Process]) -> impl Iterator<Item = &'static str> + '_ {
    processes.iter().filter_map(|process| {
        // OpenNTPD calls itself `ntpd: [priv]` or `/usr/sbin/ntpd`.
        let program = process.argv.first()?.split([' ', ':']).next()?;
        let name = program.rsplit('/').next()?;
        TIME_KEEPERS.iter().find(|keeper| **keeper == name).copied()
    })
}

/// A daemon of Calico's that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent {
    /// Felix: policy, routes, interfaces.
    Felix,
    /// BIRD for IPv4 (BIRD 2 and 3: for both families).
    Bird,
    /// BIRD 1.6 for IPv6.
    Bird6,
    /// confd: writes BIRD's configuration.
    Confd,
}

impl Agent {
    /// The agent that these arguments start, in every form that Calico has shipped.
    #[must_use]
    pub fn of(argv: &[String]) -> Option<Self> {
        let program = argv.first()?;
        let name = program.rsplit('/').next().unwrap_or(program);
        let word = |index: usize| argv.get(index).map_or("", String::as_str);
        match (name, word(1), word(2)) {
            ("calico", "component", "felix")
            | ("calico-node", "-felix" | "--felix", _)
            | ("calico-felix", ..) => Some(Self::Felix),
            ("calico", "component", "confd")
            | ("calico-node", "-confd" | "--confd", _)
            | ("confd", ..) => Some(Self::Confd),
            // confd tries a new configuration with `bird -p`, which checks it and ends.
            ("bird" | "bird6", ..) if argv.iter().any(|word| word == "-p") => None,
            ("bird", ..) => Some(Self::Bird),
            ("bird6", ..) => Some(Self::Bird6),
            _ => None,
        }
    }
}

/// What was found of each agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agents<'a> {
    /// Felix.
    pub felix: Sighting<'a>,
    /// BIRD.
    pub bird: Sighting<'a>,
    /// BIRD6.
    pub bird6: Sighting<'a>,
    /// confd.
    pub confd: Sighting<'a>,
}

/// What was found of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// The process; of several the oldest.
    pub process: Option<&'a Process>,
    /// How many processes are this agent.
    pub count: usize,
    /// A process that has the agent's arguments and cannot be it: a zombie, or not root of the host.
    pub disbelieved: Option<&'a Process>,
}

impl Process {
    /// Whether it has ended and only waits for its parent.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state.as_str(), "Z" | "X" | "x")
    }
}

/// Finds Calico's agents.
#[must_use]
pub fn find(processes: &[Process]) -> Agents<'_> {
    let mut agents = Agents::default();
    for process in processes {
        let sighting = match Agent::of(&process.argv) {
            Some(Agent::Felix) => &mut agents.felix,
            Some(Agent::Bird) => &mut agents.bird,
            Some(Agent::Bird6) => &mut agents.bird6,
            Some(Agent::Confd) => &mut agents.confd,
            None => continue,
        };
        if process.is_zombie() || !process.host_root {
            sighting.disbelieved.get_or_insert(process);
            continue;
        }
        sighting.count += 1;
        let age = |process: &Process| (process.start_time, process.pid);
        if sighting.process.is_none_or(|other| age(process) < age(other)) {
            sighting.process = Some(process);
        }
    }
    agents
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn argv(line: &str) -> Vec<String> {
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    fn process(pid: u32, line: &str) -> Process {
        Process {
            pid,
            argv: argv(line),
            host_root: true,
            state: "S".to_owned(),
            ..Process::default()
        }
    }

    #[test]
    fn every_shipped_form_is_recognised() {
        let forms = [
            ("calico component felix", Agent::Felix),
            ("/usr/bin/calico component felix", Agent::Felix),
            ("calico-node -felix", Agent::Felix),
            ("/bin/calico-node -felix", Agent::Felix),
            ("calico-node --felix", Agent::Felix),
            ("calico-felix", Agent::Felix),
            ("/usr/bin/calico-felix --config-file=/etc/calico/felix.cfg", Agent::Felix),
            ("calico component confd", Agent::Confd),
            ("calico-node -confd", Agent::Confd),
            ("confd -confdir=/etc/calico/confd", Agent::Confd),
            ("bird -R -s /var/run/calico/bird.ctl -d -c /etc/bird.cfg", Agent::Bird),
            ("/usr/sbin/bird -f", Agent::Bird),
            ("bird6 -R -s /var/run/calico/bird6.ctl -d", Agent::Bird6),
        ];
        for (line, agent) in forms {
            assert_eq!(Agent::of(&argv(line)), Some(agent), "{line}");
        }
    }

    #[test]
    fn words_at_another_place_are_no_agent() {
        for line in [
            "",
            "calico",
            "calico component",
            "calico component felix-something",
            "calico component node node-services",
            "calico felix component",
            "calico component node felix",
            "calico-node",
            "calico-node -felix-live -bird-live",
            "calico-node -felix-ready",
            "calico-node -bird-ready -felix",
            "calico-node -monitor-addresses",
            "calico-felix-x",
            "vim calico-node -felix",
            "grep calico component felix",
            "sh -c calico-felix",
            "birdcl -s /var/run/calico/bird.ctl",
            "bird -p -c /tmp/bird.cfg",
            "blackbird",
            "runsv bird",
        ] {
            assert_eq!(Agent::of(&argv(line)), None, "{line}");
        }
        assert_eq!(Agent::of(&[]), None);
    }

    #[test]
    fn an_ordinary_users_process_and_a_zombie_are_not_believed() {
        let user = Process { host_root: false, uid: 1000, ..process(7, "calico component felix") };
        let zombie = Process { state: "Z".to_owned(), ..process(8, "bird -R") };
        let table = [user, zombie];
        let agents = find(&table);
        assert_eq!((agents.felix.process, agents.felix.count), (None, 0));
        assert_eq!(agents.felix.disbelieved.map(|process| process.pid), Some(7));
        assert_eq!((agents.bird.process, agents.bird.count), (None, 0));
        assert_eq!(agents.bird.disbelieved.map(|process| process.pid), Some(8));
    }

    #[test]
    fn of_several_the_oldest_is_taken_and_all_are_counted() {
        let table = [
            Process { start_time: 300, ..process(3, "bird -d") },
            Process { start_time: 100, ..process(9, "bird -d") },
            Process { start_time: 200, ..process(1, "bird -d") },
        ];
        let agents = find(&table);
        assert_eq!(agents.bird.process.map(|process| process.pid), Some(9));
        assert_eq!(agents.bird.count, 3);
        assert_eq!(agents.bird6, Sighting::default());
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let table = vec![Process {
            exe: Some("/usr/bin/calico".to_owned()),
            environment: Some([("IP".to_owned(), "autodetect".to_owned())].into()),
            ..process(412, "calico component felix")
        }];
        let json = serde_json::to_vec(&table).unwrap();
        assert!(String::from_utf8_lossy(&json).contains("\"hostRoot\":true"));
        assert_eq!(parse(&json).unwrap(), table);
        assert_eq!(parse(br#"[{"pid": 1, "later": true}]"#).unwrap()[0].pid, 1);
        assert!(parse(&json[..json.len() - 1]).is_err());
    }

    #[test]
    fn no_variable_that_is_read_can_be_a_secret() {
        assert!(ENVIRONMENT.is_sorted());
        for name in ENVIRONMENT {
            for word in ["PASS", "TOKEN", "KEY", "SECRET", "CERT", "KUBECONFIG"] {
                // The path of a certificate is none, and calico-node takes no certificate itself by them.
                let is_path = word == "CERT" && name.ends_with("FILE");
                assert!(is_path || !name.contains(word), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
