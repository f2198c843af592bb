//! What a user may type. The doc comments here are the help text; there is no logic.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::checks::CHECKS;
use crate::collectors::COLLECTORS;

/// Vet a Calico node: BGP status, and a diagnostics bundle that is safe to share
#[derive(Debug, Parser)]
#[command(name = "calivet", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit status:
  0  done, and nothing is wrong
  1  done, and something is wrong: a peer is not established, an agent is down, a bundle is not whole
  2  the command line is wrong
  3  it could not be done or known: no permission, no such bundle, nothing could be written")]
pub struct Cli {
    /// Options that every command knows.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Options {
    /// `table` and `wide` for people, `json` and `yaml` for scripts (`check`: also `short` and `junit`); stdout
    /// carries nothing else
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,

    /// Read a bundle (file or unpacked folder) in place of this host
    #[arg(long, global = true, value_name = "BUNDLE")]
    pub from: Option<PathBuf>,

    /// The host's file system is at DIR (`/host` in a pod)
    #[arg(long, global = true, value_name = "DIR", default_value = "/", conflicts_with = "from")]
    pub root: PathBuf,

    /// Connection settings for the datastore, as calicoctl reads them
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/calico/calicoctl.cfg"
    )]
    pub config: PathBuf,

    /// Bound on any one question put to the host, such as `5s` [default: 10s; in `node diags` 60s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,

    /// Say nothing but the result
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    pub quiet: bool,

    /// Tell on stderr what is done (-vv: in detail)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Tell on stderr messages of this level and above
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        conflicts_with = "verbose"
    )]
    pub log_level: Option<LogLevel>,

    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// How the result is written to stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people who want it all.
    Wide,
    /// `check` only: what is not well.
    Short,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// `check` only: `JUnit`'s XML, as continuous integration reads it.
    Junit,
}

impl Format {
    /// Whether it is one document for scripts, with the fields of a schema.
    #[must_use]
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }

    /// Whether people read it.
    #[must_use]
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide | Self::Short)
    }
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Also into a pipe.
    Always,
    /// Not even on a terminal.
    Never,
}

/// From which level on messages are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what fails.
    Error,
    /// And what is odd.
    Warn,
    /// And what is done.
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// This node: its status, a diagnostics bundle
    #[command(subcommand)]
    Node(Node),
    /// What is wrong with this node: every check, or one subject in depth
    Check(Check),
    /// Bundles: what one holds, whether it is whole, what changed between two
    #[command(subcommand)]
    Bundle(Bundle),
    /// What a finding means, why it matters, how it is proved and mended; without ID, the list of all
    Explain(Explain),
}

/// Commands about bundles. FILE is a tar.gz, or the folder it was unpacked to.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// What a bundle holds, what failed and why, what was cut out of it
    #[command(after_help = "\
Examples:
  calivet bundle show diags-20261123_023326.tar.gz
  calivet bundle show diags-20261123_023326.tar.gz -o wide   also what the node lacks, what was cut out where
  calivet bundle show diags-20261123_023326.tar.gz -o json | jq .complete")]
    Show(BundleFile),
    /// The paths in a bundle, each with its outcome and bytes
    List(BundleList),
    /// One item of a bundle, as it is
    Cat(BundleCat),
    /// Whether every file is the one that the manifest lists
    Verify(BundleFile),
    /// Write a bundle anew, redacted by the rules of today
    Redact(BundleRedact),
    /// What changed on a node between two bundles
    Diff(BundleDiff),
    /// A page to look at: findings, peers, a picture of the network, errors over time
    Report(BundleReport),
}

/// `bundle show`, `bundle verify`.
#[derive(Debug, Args)]
pub struct BundleFile {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    pub file: PathBuf,
}

/// `bundle list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle list diags-20261123_023326.tar.gz
  calivet bundle list diags-20261123_023326.tar.gz bird 'host/etc/*.conf'")]
pub struct BundleList {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    pub file: PathBuf,

    /// Only paths that match, or lie in a folder that does; `*` takes slashes too
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
}

/// `bundle cat`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle cat diags-20261123_023326.tar.gz bird/ipv4/show-protocols-all
  calivet bundle cat diags-20261123_023326.tar.gz /etc/cni/net.d/10-calico.conflist
  calivet bundle cat diags-20261123_023326.tar.gz network/routes.json | jq '.routes[] | select(.table == 254)'")]
pub struct BundleCat {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    pub file: PathBuf,

    /// The item: its path in the bundle, or a host's file by its absolute path
    pub path: String,
}

/// `bundle redact`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  calivet bundle redact diags-20261123_023326.tar.gz to-share.tar.gz")]
pub struct BundleRedact {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    pub old: PathBuf,

    /// Where to write the new one
    pub new: PathBuf,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

/// `bundle diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle diff before.tar.gz after.tar.gz
  calivet bundle diff before.tar.gz after.tar.gz -o wide     with every counter, and files line by line
  calivet bundle diff before.tar.gz after.tar.gz -o json | jq '.findings[] | select(.change == \"appeared\")'")]
pub struct BundleDiff {
    /// The earlier bundle
    #[arg(value_name = "A")]
    pub before: PathBuf,

    /// The later bundle
    #[arg(value_name = "B")]
    pub after: PathBuf,
}

/// `bundle report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle report diags-20261123_023326.tar.gz
  calivet bundle report diags-20261123_023326.tar.gz --output-file node-1.html

The page is one HTML file without scripts, and needs nothing from elsewhere.")]
pub struct BundleReport {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    pub file: PathBuf,

    /// Where to write the page; `-` is stdout [default: the bundle's name with .html]
    #[arg(long, value_name = "PATH")]
    pub output_file: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

/// `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet explain bgp.peer         what a finding of `check bgp` means
  calivet explain conntrack        all of a subject
  calivet explain                  the ids of all findings")]
pub struct Explain {
    /// The id of a finding, such as `conntrack.usage`, or a check
    pub id: Option<String>,
}

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Levels: ok, info, warn, fail, unknown (could not be determined), skip (does not apply here).

Examples:
  sudo calivet check                       every check, a line each, and what mends what fails
  sudo calivet check -o short              only what is not well
  sudo calivet check --only bgp,felix
  sudo calivet check --wait 60s            after a change: look again until all is well, for a minute at most
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
    #[arg(long, global = true, value_name = "FILE")]
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

/// Subjects of `check`.
#[derive(Debug, Subcommand)]
pub enum Subject {
    /// Are pods' interfaces, tunnels, their MTU and the node's address as Calico needs them?
    #[command(after_help = "\
Examples:
  sudo calivet check interfaces
  sudo calivet check interfaces -o json | jq '.findings[] | select(.id == \"interfaces.mtu\") | .evidence'
  calivet check interfaces --from diags-20261123_023326.tar.gz")]
    Interfaces,
    /// Has each pod and each block its route, and does any other route or rule win over it?
    #[command(after_help = "\
Examples:
  sudo calivet check routes
  sudo calivet check routes -o wide              with the evidence
  calivet check routes --from diags-20261123_023326.tar.gz")]
    Routes,
    /// Why is BGP not established, and where are the routes?
    #[command(after_help = "\
Examples:
  sudo calivet check bgp
  sudo calivet check bgp --no-probe        without connections to the peers that are down
  sudo calivet check bgp -o json | jq '.findings[] | select(.id == \"bgp.peer\") | .evidence.cause'
  calivet check bgp --from diags-20261123_023326.tar.gz")]
    Bgp,
    /// Which certificates of Calico's and the kubelet's have expired, or soon will?
    #[command(after_help = "\
Of the files only what a certificate tells anybody is kept: whose it is, by whom, until when. No key is.

Examples:
  sudo calivet check certificates
  sudo calivet check certificates -o wide     with each file and what it holds
  calivet check certificates --from diags-20261123_023326.tar.gz")]
    Certificates,
    /// Have the disks and the memory room, can they be written to, was anything killed?
    #[command(after_help = "\
Examples:
  sudo calivet check disk
  sudo calivet check disk -o wide             with each file system and folder
  calivet check disk --from diags-20261123_023326.tar.gz")]
    Disk,
    /// Does Felix run, is it live and ready, and what do its log and metrics say?
    #[command(after_help = "\
Examples:
  sudo calivet check felix
  sudo calivet check felix -o wide         with what each finding rests on: components, files, messages
  calivet check felix --from diags-20261123_023326.tar.gz")]
    Felix,
    /// Do packets get past the rules of this host, Calico's and everybody else's?
    #[command(after_help = "\
Examples:
  sudo calivet check firewall
  sudo calivet check firewall -o wide      with the rules that stand before Calico's, and who has how many
  calivet check firewall --from diags-20261123_023326.tar.gz")]
    Firewall,
    /// Does the container runtime take Calico's plugin, and has that all it needs?
    #[command(after_help = "\
Examples:
  sudo calivet check cni
  sudo calivet check cni -o wide           with the files in their order, plugins, times of the tokens
  calivet check cni --from diags-20261123_023326.tar.gz")]
    Cni,
    /// Which errors have confd, BIRD, the CNI plugin and the rest of calico-node logged?
    #[command(after_help = "\
Felix's errors are told by `calivet check felix`. Of each log the last 4 MiB are looked at.

Examples:
  sudo calivet check logs
  calivet check logs --from diags-20261123_023326.tar.gz")]
    Logs,
    /// Is the connection tracking table full, who fills it, what will its limit be after a reboot?
    Conntrack(Conntrack),
    /// Does this kernel have what Calico's dataplanes and tunnels need?
    System(System),
    /// Forwarding, reverse paths, ARP, neighbours: what is set now and after a reboot?
    #[command(after_help = "\
Examples:
  sudo calivet check sysctl
  sudo calivet check sysctl --fix          have IPv4 forwarded, now and after a boot")]
    Sysctl,
    /// By which settings is the datastore reached, and did they survive sudo?
    #[command(after_help = "\
Examples:
  calivet check environment
  sudo -E calivet check environment          with the variables of your own environment
  sudo calivet check environment -c FILE     with this configuration file of calicoctl's
  calivet check environment --from diags-20261123_023326.tar.gz")]
    Environment,
    /// Which of Calico's interfaces does `NetworkManager` take, and which line decides?
    #[command(name = "networkmanager")]
    NetworkManager(NetworkManager),
    /// Is the clock synchronised, and is anything dated in the future?
    #[command(after_help = "\
Examples:
  sudo calivet check time
  sudo calivet check time -o json | jq '.findings[] | select(.id == \"time.synchronised\") | .evidence'
  calivet check time --from diags-20261123_023326.tar.gz")]
    Time,
    /// Can this node reach etcd or the Kubernetes API, is it let in, and is it in there?
    Datastore,
}

/// `check conntrack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet check conntrack
  sudo calivet check conntrack --interval 5s     with rates: what grows, and when it will be full
  sudo calivet check conntrack --top 20          who fills the table
  sudo calivet check conntrack --fix             raise the limit, now and for the next boot")]
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

/// `check networkmanager`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet check networkmanager
  calivet check networkmanager --interface cali0123456789a,vxlan.calico
  sudo calivet check networkmanager --fix        write conf.d/calico.conf and reload")]
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
    #[arg(short = 'f', long, value_name = "FILE")]
    pub kernel_config: Option<PathBuf>,
}

/// Commands about this node.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// BGP peers and Calico agents of this node
    Status(NodeStatus),
    /// Collect a diagnostics bundle (tar.gz)
    Diags(NodeDiags),
    /// Can this host run Calico? The same as `check system`
    #[command(name = "checksystem")]
    CheckSystem(System),
}

/// `node status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo calivet node status                 what calicoctl shows, and what it leaves out
  sudo calivet node status -o wide         with AS numbers, routes, timers and the last error
  sudo calivet node status -o json | jq '.bgp.ipv4.peers[] | select(.bgpState != \"Established\")'
  sudo calivet node status --watch         redraw every 2 seconds
  calivet node status --from diags-20261123_023326.tar.gz")]
pub struct NodeStatus {
    /// Write a `CalicoNodeStatus` resource (projectcalico.org/v3) with classes Agent, BGP and Routes
    #[arg(long)]
    pub resource: bool,

    /// Redraw every SECONDS until Ctrl-C; peers that changed state are marked
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86400),
        conflicts_with_all = ["from", "resource"]
    )]
    pub watch: Option<u64>,

    /// With `--watch`, stop after this many drawings
    #[arg(long, value_name = "TIMES", requires = "watch", hide = true)]
    pub times: Option<u64>,
}

/// `node diags`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo -E calivet node diags                     everything, into the current folder
  sudo -E calivet node diags --since 2h          only logs that were written to in the last two hours
  sudo -E calivet node diags --only bird,felix   only these collectors
  sudo -E calivet node diags --obfuscate         names and addresses replaced by pseudonyms
  sudo -E calivet node diags --dry-run           the list of what would be read and run
  sudo -E calivet node diags --output-file - | ssh support 'cat > node-1.tar.gz'

Passwords, keys and tokens are cut out before anything is written; the bundle's manifest.json
counts them. The file can be read by its owner alone (mode 0600).")]
#[allow(clippy::struct_excessive_bools, reason = "they are options that are on or off")]
pub struct NodeDiags {
    /// Where to write the bundle; `-` is stdout [default: diags-YYYYMMDD_HHMMSS.tar.gz, time in UTC]
    #[arg(long, value_name = "PATH")]
    pub output_file: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,

    /// The folder of Calico's log files
    #[arg(long, value_name = "DIR", default_value = "/var/log/calico")]
    pub log_dir: PathBuf,

    /// Leave out log files that were last written to longer ago, such as `2h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,

    /// Of a larger file only head and tail are kept
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub max_file_size: ByteSize,

    /// The most that the whole bundle may take; what is worth least is left out, and listed
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<ByteSize>,

    /// Bound on the whole run, such as `2m`: when it is over, the bundle is finished with what is there
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<Duration>,

    /// Run only these collectors
    #[arg(
        long,
        value_name = "COLLECTOR",
        value_delimiter = ',',
        value_parser = collectors(),
        conflicts_with = "skip"
    )]
    pub only: Vec<String>,

    /// Leave out these collectors
    #[arg(
        long,
        value_name = "COLLECTOR",
        value_delimiter = ',',
        value_parser = collectors(),
        hide_possible_values = true
    )]
    pub skip: Vec<String>,

    /// Be passive: no bounded look at BGP peers that are down
    #[arg(long)]
    pub no_probe: bool,

    /// Replace names of nodes and pods, and addresses, by pseudonyms; what they stand for is written to
    /// `PATH.map.json`, which is to stay on this host
    #[arg(long)]
    pub obfuscate: bool,

    /// The key of the pseudonyms: the same key gives the same pseudonyms on every node. Made if it is not there
    /// [default: calivet-obfuscation.key, beside the bundle]
    #[arg(long, value_name = "FILE", requires = "obfuscate")]
    pub obfuscation_key: Option<PathBuf>,

    /// List what would be read and run, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Threads that compress [default: half of the cores, at least one and at most four]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}

/// The collectors by name, with what each is.
fn collectors() -> PossibleValuesParser {
    COLLECTORS
        .iter()
        .map(|collector| PossibleValue::new(collector.name).help(collector.about))
        .collect::<Vec<_>>()
        .into()
}

/// The checks by name, with what each looks at.
fn checks() -> PossibleValuesParser {
    CHECKS
        .iter()
        .map(|check| PossibleValue::new(check.name).help(check.about))
        .collect::<Vec<_>>()
        .into()
}

/// The name of an interface, as the kernel takes one: 1 to 15 bytes, no slash and no blank (`dev_valid_name`).
fn interface(text: &str) -> Result<String, String> {
    let is_odd = |character: char| character == '/' || character.is_whitespace();
    if text.is_empty() || text.len() > 15 || text.contains(is_odd) {
        return Err("an interface's name has 1 to 15 bytes, no slash and no blank".to_owned());
    }
    Ok(text.to_owned())
}

/// A span of time such as `10s`, `2h 30m`, `1d`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = match text.parse() {
        Ok(span) => span,
        // jiff's durations end at hours, for a day is not always 24 of them; here it is.
        Err(error) => match text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
            Some(days) => jiff::SignedDuration::from_hours(24 * i64::from(days)),
            None => return Err(error.to_string()),
        },
    };
    match Duration::try_from(span) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be longer than nothing".to_owned()),
    }
}

/// A size such as `64MiB`, `500kB`, `1G`.
fn size(text: &str) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() >= 4096 => Ok(size),
        Ok(_) => Err("must be at least 4 KiB".to_owned()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2h30m"), Ok(Duration::from_secs(9000)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "10", "-5s", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("64MiB").map(|size| size.as_u64()), Ok(64 << 20));
        assert_eq!(size("1G").map(|size| size.as_u64()), Ok(1_000_000_000));
        for wrong in ["", "x", "-1", "12"] {
            assert!(size(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
