//! `calivet check` and its subjects.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::{checks, duration, interface};

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Levels: ok, info, warn, fail, unknown (could not be determined), skip (does not
apply here).

Examples:
  sudo calivet check                 every check, and what mends what fails
  sudo calivet check -o short        only what is not well
  sudo calivet check --only bgp,felix
  sudo calivet check --wait 60s      look again until all is well, at most 60 s
  sudo calivet check -o json | jq '.findings[] | select(.level == \"fail\")'
  calivet check --from diags-20261123_023326.tar.gz")]
pub struct Check {
    /// The subject.
    #[command(subcommand)]
    pub subject: Option<Subject>,

    /// Run only these checks
    #[arg(
        long,
        value_name = "CHECK",
        value_delimiter = ',',
        value_parser = checks(),
        conflicts_with = "skip"
    )]
    pub only: Vec<String>,

    /// Leave out these checks
    #[arg(
        long,
        value_name = "CHECK",
        value_delimiter = ',',
        value_parser = checks(),
        hide_possible_values = true
    )]
    pub skip: Vec<String>,

    /// What counts as a failure in the exit status
    #[arg(long, global = true, value_enum, default_value_t, value_name = "LEVEL")]
    pub fail_on: FailOn,

    /// Let warnings count as failures: the same as `--fail-on warn`
    #[arg(long, global = true, conflicts_with = "fail_on")]
    pub strict: bool,

    /// Look again until nothing is wrong or unknown, but for no longer than this
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration, conflicts_with = "from")]
    pub wait: Option<Duration>,

    /// A file of findings that are known and accepted, each with a reason and the day on which that ends
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub suppressions: Option<PathBuf>,

    /// Be passive: no bounded look at BGP peers that are down
    #[arg(long, global = true)]
    pub no_probe: bool,

    /// Whether and how to mend.
    #[command(flatten)]
    pub mending: Mending,
}

impl Check {
    /// A check of one subject, with no options.
    #[must_use]
    pub const fn of(subject: Subject) -> Self {
        Self {
            subject: Some(subject),
            only: Vec::new(),
            skip: Vec::new(),
            fail_on: FailOn::Fail,
            strict: false,
            wait: None,
            suppressions: None,
            no_probe: false,
            mending: Mending { fix: false, yes: false, dry_run: false },
        }
    }
}

/// From which level on a finding counts as a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Warnings and failures.
    Warn,
    /// Failures.
    #[default]
    Fail,
}

/// Whether and how `check` mends what it finds.
#[derive(Debug, Args)]
pub struct Mending {
    /// Mend what can be mended safely: show the change, ask, keep a backup
    #[arg(long, global = true, conflicts_with = "from")]
    pub fix: bool,

    /// With `--fix`, do not ask
    #[arg(long, global = true)]
    pub yes: bool,

    /// With `--fix`, show the change and make none
    #[arg(long, global = true, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// Subjects of `check`, in the order in which they are looked at.
#[derive(Debug, Subcommand)]
pub enum Subject {
    /// Is the clock synchronised, and is anything dated in the future?
    #[command(after_help = "\
Examples:
  sudo calivet check time
  sudo calivet check time -o json | jq '.findings[].evidence'
  calivet check time --from diags-20261123_023326.tar.gz")]
    Time,
    /// Have the disks and the memory room, can they be written to, was anything killed?
    #[command(after_help = "\
Examples:
  sudo calivet check disk
  sudo calivet check disk -o wide             with each file system and folder
  calivet check disk --from diags-20261123_023326.tar.gz")]
    Disk,
    /// Which certificates of Calico's and the kubelet's have expired, or soon will?
    #[command(after_help = "\
Of the files only what a certificate tells anybody is kept: whose it is, by
whom, until when. No key is.

Examples:
  sudo calivet check certificates
  sudo calivet check certificates -o wide     with each file and what it holds
  calivet check certificates --from diags-20261123_023326.tar.gz")]
    Certificates,
    /// Does this kernel have what Calico's dataplanes and tunnels need?
    System(System),
    /// Forwarding, reverse paths, ARP, neighbours: what is set now and after a reboot?
    #[command(after_help = "\
Examples:
  sudo calivet check sysctl
  sudo calivet check sysctl --fix    have IPv4 forwarded, now and after a boot")]
    Sysctl,
    /// Are pods' interfaces, tunnels, their MTU and the node's address as Calico needs them?
    #[command(after_help = "\
Examples:
  sudo calivet check interfaces
  sudo calivet check interfaces -o json | jq '.findings[].evidence'
  calivet check interfaces --from diags-20261123_023326.tar.gz")]
    Interfaces,
    /// Has each pod and each block its route, and does any other route or rule win over it?
    Routes(Routes),
    /// Does Felix run, is it live and ready, and what do its log and metrics say?
    #[command(after_help = "\
Examples:
  sudo calivet check felix
  sudo calivet check felix -o wide   with components, files, messages
  calivet check felix --from diags-20261123_023326.tar.gz")]
    Felix,
    /// Why is BGP not established, and where are the routes?
    #[command(after_help = "\
Examples:
  sudo calivet check bgp
  sudo calivet check bgp --no-probe  without connections to peers that are down
  sudo calivet check bgp -o json | jq '.findings[].evidence.cause // empty'
  calivet check bgp --from diags-20261123_023326.tar.gz")]
    Bgp,
    /// Do packets get past the rules of this host, Calico's and everybody else's?
    #[command(after_help = "\
Examples:
  sudo calivet check firewall
  sudo calivet check firewall -o wide  with the rules that stand before Calico's
  calivet check firewall --from diags-20261123_023326.tar.gz")]
    Firewall,
    /// Does the container runtime take Calico's plugin, and has that all it needs?
    #[command(after_help = "\
Examples:
  sudo calivet check cni
  sudo calivet check cni -o wide    with the files in their order, plugins
  calivet check cni --from diags-20261123_023326.tar.gz")]
    Cni,
    /// Is the connection tracking table full, who fills it, what will its limit be after a reboot?
    Conntrack(Conntrack),
    /// Can this node reach etcd or the Kubernetes API, is it let in, and is it in there?
    #[command(after_help = "\
Examples:
  sudo -E calivet check datastore          with your environment's variables
  sudo calivet check datastore -c FILE     with this file of calicoctl's
  calivet check datastore --from diags-20261123_023326.tar.gz")]
    Datastore,
    /// By which settings is the datastore reached, and did they survive sudo?
    #[command(after_help = "\
Examples:
  calivet check environment
  sudo -E calivet check environment        with your environment's variables
  sudo calivet check environment -c FILE   with this file of calicoctl's
  calivet check environment --from diags-20261123_023326.tar.gz")]
    Environment,
    /// Which of Calico's interfaces does NetworkManager take, and which line decides?
    #[command(name = "networkmanager")]
    NetworkManager(NetworkManager),
    /// Which errors have confd, BIRD, the CNI plugin and the rest of calico-node logged?
    #[command(after_help = "\
Felix's errors are told by `calivet check felix`. Of each log the last 4 MiB are
looked at.

Examples:
  sudo calivet check logs
  calivet check logs --from diags-20261123_023326.tar.gz")]
    Logs,
}

/// `check conntrack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet check conntrack
  sudo calivet check conntrack --interval 5s  with rates: when will it be full?
  sudo calivet check conntrack --top 20       who fills the table
  sudo calivet check conntrack --fix          raise the limit, now and at boot")]
pub struct Conntrack {
    /// Warn from this many per cent of the limit on
    #[arg(long, value_name = "PERCENT", default_value = "75", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub warn: u8,

    /// Fail from this many per cent of the limit on
    #[arg(long, value_name = "PERCENT", default_value = "90", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub fail: u8,

    /// Look twice, this far apart, and tell rates
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,

    /// Dump the table and show who fills it: N rows of each kind
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "10",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub top: Option<u16>,

    /// The limit that the table should have, now and after a reboot
    #[arg(
        long,
        value_name = "ENTRIES",
        default_value = "1000000",
        value_parser = clap::value_parser!(u64).range(1..=2_147_483_647)
    )]
    pub max: u64,
}

/// `check routes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet check routes
  sudo calivet check routes --interval 10s  is what tunnels carry answered?
  sudo calivet check routes -o wide         with the evidence
  calivet check routes --from diags-20261123_023326.tar.gz")]
pub struct Routes {
    /// Look twice, this far apart, at what tunnels carry
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,
}

/// `check networkmanager`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet check networkmanager
  calivet check networkmanager --interface cali0123456789a,vxlan.calico
  sudo calivet check networkmanager --fix   write conf.d/calico.conf and reload")]
pub struct NetworkManager {
    /// Judge just these interfaces, whether they exist or not
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = interface)]
    pub interface: Vec<String>,
}

/// `check system` and `node checksystem`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  sudo calivet node checksystem
  sudo calivet node checksystem --kernel-config /usr/src/linux/.config
  sudo calivet check system -o wide        every part, and how the kernel has it")]
pub struct System {
    /// The kernel's configuration, plain or gzipped, where it is not at one of the usual places
    #[arg(short = 'f', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kernel_config: Option<PathBuf>,
}
