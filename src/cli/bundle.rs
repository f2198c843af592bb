//! `calivet bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Commands about bundles. FILE is a tar.gz, or the folder it was unpacked to.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// What a bundle holds, what failed and why, what was cut out of it
    #[command(after_help = "\
Examples:
  calivet bundle show diags-20261123_023326.tar.gz
  calivet bundle show diags-20261123_023326.tar.gz -o wide  all that was cut out
  calivet bundle show diags-20261123_023326.tar.gz -o json | jq .complete")]
    Show(BundleFile),
    /// The paths in a bundle, each with its outcome and bytes
    List(BundleList),
    /// One item of a bundle, as it is
    Cat(BundleCat),
    /// Whether every file is the one that the manifest lists
    #[command(after_help = "\
Examples:
  calivet bundle verify diags-20261123_023326.tar.gz
  calivet bundle verify diags-20261123_023326.tar.gz -q && echo whole")]
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
    #[arg(value_hint = ValueHint::AnyPath)]
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
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,

    /// Only paths that match, or lie in a folder that does; `*` takes slashes too
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
}

/// `bundle cat`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle cat node-1.tar.gz bird/ipv4/show-protocols-all
  calivet bundle cat node-1.tar.gz /etc/cni/net.d/10-calico.conflist
  calivet bundle cat node-1.tar.gz network/routes.json | jq '.routes[].gateway'")]
pub struct BundleCat {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,

    /// The item: its path in the bundle, or a host's file by its absolute path
    pub path: String,
}

/// `bundle redact`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle redact diags-20261123_023326.tar.gz to-share.tar.gz
  calivet bundle redact diags-20261123_023326.tar.gz to-share.tar.gz --obfuscate")]
pub struct BundleRedact {
    /// The bundle: a tar.gz, or the folder it was unpacked to
    #[arg(value_hint = ValueHint::AnyPath)]
    pub old: PathBuf,

    /// Where to write the new one
    #[arg(value_hint = ValueHint::FilePath)]
    pub new: PathBuf,

    /// Replace names of nodes and pods, and addresses, by pseudonyms; what they stand for is written to
    /// `NEW.map.json`, which is to stay here
    #[arg(long)]
    pub obfuscate: bool,

    /// The key of the pseudonyms: the same key gives the same pseudonyms in every bundle. Made if it is not there
    /// [default: calivet-obfuscation.key, beside the new bundle]
    #[arg(long, value_name = "FILE", requires = "obfuscate")]
    pub obfuscation_key: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

/// `bundle diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  calivet bundle diff before.tar.gz after.tar.gz
  calivet bundle diff before.tar.gz after.tar.gz -o wide  all counters and lines
  calivet bundle diff before.tar.gz after.tar.gz -o json | jq '.findings[].id'")]
pub struct BundleDiff {
    /// The earlier bundle
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    pub before: PathBuf,

    /// The later bundle
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
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
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,

    /// Where to write the page; `-` is stdout [default: the bundle's name with .html]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub output_file: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}
