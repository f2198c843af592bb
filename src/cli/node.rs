//! `calivet node`.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueHint};

use super::{System, collectors, duration, size};

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
  sudo calivet node status           what calicoctl shows, and what it omits
  sudo calivet node status -o wide   with AS numbers, routes, timers, last error
  sudo calivet node status -o json | jq '.bgp.ipv4.peers[].bgpState'
  sudo calivet node status --watch   redraw every 2 seconds
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
  sudo -E calivet node diags                    all, into the current folder
  sudo -E calivet node diags --since 2h         only logs of the last two hours
  sudo -E calivet node diags --only bird,felix  only these collectors
  sudo -E calivet node diags --obfuscate        pseudonyms for names, addresses
  sudo -E calivet node diags --dry-run          what would be read and run
  sudo -E calivet node diags --output-file - | ssh support 'cat > node-1.tar.gz'

Passwords, keys and tokens are cut out before anything is written; the bundle's
manifest.json counts them. Its owner alone can read the file (mode 0600).")]
#[allow(clippy::struct_excessive_bools, reason = "they are options that are on or off")]
pub struct NodeDiags {
    /// Where to write the bundle; `-` is stdout [default: diags-YYYYMMDD_HHMMSS.tar.gz, time in UTC]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub output_file: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,

    /// The folder of Calico's log files
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/log/calico",
        value_hint = ValueHint::DirPath
    )]
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
    #[arg(long, value_name = "FILE", requires = "obfuscate", value_hint = ValueHint::FilePath)]
    pub obfuscation_key: Option<PathBuf>,

    /// List what would be read and run, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Threads that compress, at most four [default: half of the cores, at least one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}
