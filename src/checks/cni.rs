//! `check cni`: does the container runtime take Calico's plugin, and has that all it needs?
//!
//! A pod that cannot be made says only what the plugin said last. Here all that it needs is looked at before: its
//! configuration among those of others, its programs, its token, its MTU, the node's name, and its log.

mod configuration;
mod errors;
mod mtu;
mod nodename;
mod plugins;
mod token;

use super::tables::{self, Link};
use super::{Asked, Check, Finding, Kind, Level};
use crate::cni::credentials::PATH as CREDENTIALS;
use crate::cni::{FOLDERS, Network, Plugin, is_configuration};
use crate::collectors::{self, Rows};
use crate::host::{Evidence, Outcome, Reading};
use crate::logs;
use crate::processes;
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "cni",
    about: "Calico's CNI plugin: configuration, programs, token, MTU, the node's name, its log",
    finds: &[
        Kind {
            id: CONFIGURATION,
            passes: "The runtime takes Calico's configuration, and it is valid.",
        },
        Kind { id: OTHERS, passes: "No other network has left anything behind." },
        Kind { id: PLUGINS, passes: "The programs that the configuration names can be run." },
        Kind { id: TOKEN, passes: "The plugin's kubeconfig is there, and its token holds." },
        Kind { id: MTU, passes: "Pods get an MTU that fits the tunnels." },
        Kind {
            id: NODENAME,
            passes: "The plugin finds this node's name, and it is the right one.",
        },
        Kind { id: ERRORS, passes: "The plugin has logged no error lately." },
    ],
    reads: |node, _| collectors::at(node, READ),
    later: |_, _| Rows::default(),
    judge,
};

const CONFIGURATION: &str = "cni.configuration";
const OTHERS: &str = "cni.other-networks";
const PLUGINS: &str = "cni.plugins";
const TOKEN: &str = "cni.token";
const MTU: &str = "cni.mtu";
const NODENAME: &str = "cni.nodename";
const ERRORS: &str = "cni.errors";

const LINKS: &str = "network/links.json";
const MTU_FILE: &str = "host/var/lib/calico/mtu";
const LISTING: &str = "cni/configurations";

/// What the verdict rests on.
const READ: &[&str] = &[
    "host/etc/cni/net.d",
    "host/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "host/var/snap/microk8s/current/args/cni-network",
    "host/etc/kubernetes/cni/net.d",
    LISTING,
    CREDENTIALS,
    LINKS,
    MTU_FILE,
    status::NODENAME,
    logs::PATH,
    plugins::LISTINGS[0].0,
    plugins::LISTINGS[1].0,
    plugins::LISTINGS[2].0,
    plugins::LISTINGS[3].0,
    plugins::LISTINGS[4].0,
    plugins::LISTINGS[5].0,
    plugins::LISTINGS[6].0,
];

/// A file that the runtime would take for a configuration.
struct File<'a> {
    name: &'a str,
    reading: &'a Reading,
    /// The network in it, or why there is none.
    network: Result<Network, String>,
}

impl File<'_> {
    fn calico(&self) -> Option<&Plugin> {
        self.network.as_ref().ok()?.calico()
    }

    /// Whether it is Calico's, be it ever so broken: then its name tells.
    fn is_calicos(&self) -> bool {
        match &self.network {
            Ok(network) => network.calico().is_some(),
            Err(_) => self.name.contains("calico") || self.name.contains("canal"),
        }
    }

    /// Whether nothing in it makes a network: a link to the pod itself is no matter.
    fn is_loopback(&self) -> bool {
        let plugins = self.network.as_ref().map(|network| network.plugins.as_slice());
        plugins.is_ok_and(|plugins| plugins.iter().all(|plugin| plugin.program == "loopback"))
    }

    /// What it is, in words.
    fn words(&self) -> String {
        match &self.network {
            Ok(network) => {
                let programs: Vec<&str> =
                    network.plugins.iter().map(|plugin| plugin.program.as_str()).collect();
                format!("{} ({})", self.name, programs.join(", "))
            }
            Err(why) => format!("{} ({why})", self.name),
        }
    }
}

/// What several of the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    /// The folder that counts.
    folder: &'static str,
    /// Its configurations, in the order in which the runtime sees them.
    files: Vec<File<'a>>,
    /// Why they are not all known.
    unknown: Option<String>,
    /// Whether Felix runs; `None`: not known.
    felix: Option<bool>,
    /// Whether Calico makes the network; not so where it does policy only.
    makes_network: bool,
    /// The node's name in calico-node's environment.
    named: Option<String>,
    links: Option<Vec<Link>>,
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let facts = Facts::read(evidence);
    vec![
        configuration::judge(&facts),
        configuration::others(&facts),
        plugins::judge(&facts),
        token::judge(&facts),
        mtu::judge(&facts),
        nodename::judge(&facts),
        errors::judge(&facts),
    ]
}

impl<'a> Facts<'a> {
    fn read(evidence: &'a Evidence) -> Self {
        let time = evidence.get(status::PROCESSES).map(|reading| reading.started);
        let felix = status::node_status(time.unwrap_or_default(), evidence).agents.felix;
        let processes = evidence
            .get(status::PROCESSES)
            .and_then(|reading| processes::parse(&reading.bytes).ok())
            .unwrap_or_default();
        let process = processes::find(&processes).felix.process;
        let variable = |name: &str| process.and_then(|it| it.variable(name)).map(str::to_owned);
        let folders: Vec<(&str, Vec<File<'_>>)> =
            FOLDERS.iter().map(|folder| (*folder, files(evidence, folder))).collect();
        let is_calicos = |(_, files): &&(&str, Vec<File<'_>>)| files.iter().any(File::is_calicos);
        let chosen = folders.iter().find(is_calicos);
        let chosen = chosen.or_else(|| folders.iter().find(|(_, files)| !files.is_empty()));
        let folder = chosen.map_or(FOLDERS[0], |(folder, _)| *folder);
        let at = folders.into_iter().find(|(name, _)| *name == folder);
        let files = at.map(|(_, files)| files).unwrap_or_default();
        Self {
            evidence,
            folder,
            unknown: unlisted(evidence, folder),
            files,
            felix: felix.presence.running,
            makes_network: variable("CALICO_NETWORKING_BACKEND").as_deref() != Some("none"),
            named: variable("NODENAME").filter(|name| !name.is_empty()),
            links: tables::all(evidence, LINKS, "links").ok(),
        }
    }

    /// The configuration of Calico's that is valid, and its plugin.
    fn calico(&self) -> Option<(&File<'a>, &Plugin)> {
        self.files.iter().find_map(|file| Some((file, file.calico()?)))
    }

    /// What is said where there is no valid configuration of Calico's.
    fn without(&self, id: &'static str) -> Finding {
        match &self.unknown {
            Some(why) => Finding::new(id, Level::Unknown, why.clone()),
            None => {
                Finding::new(id, Level::Skip, "there is no valid CNI configuration of Calico's")
            }
        }
    }
}

/// Why the files of a folder are not known; `None`: they are.
fn unlisted(evidence: &Evidence, folder: &str) -> Option<String> {
    if let Some(reading) = evidence.get(&format!("host{folder}"))
        && reading.outcome != Outcome::Missing
    {
        return Some(format!("{folder}: {}", reason(reading)));
    }
    // A folder that is not there leaves nothing in a bundle but its listing.
    evidence.get(LISTING).is_none().then(|| "the configurations were not asked for".to_owned())
}

/// The configurations in a folder. Paths are in the order of their bytes, as the runtime sorts names.
fn files<'a>(evidence: &'a Evidence, folder: &str) -> Vec<File<'a>> {
    let place = format!("host{folder}");
    let below = evidence.below(&place);
    let files = below.filter(|(name, _)| is_configuration(name)).map(|(name, reading)| {
        let network = if reading.outcome == Outcome::Ok {
            Network::parse(&reading.bytes).map_err(|error| error.to_string())
        } else {
            Err(format!("not read: {}", reason(reading)))
        };
        File { name, reading, network }
    });
    files.collect()
}

/// Why something was not read, in words.
fn reason(reading: &Reading) -> String {
    reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string())
}

#[cfg(test)]
mod tests;
