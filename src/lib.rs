//! `calivet` vets a Project Calico node.
//!
//! Two questions are asked of a [`host::Host`]: *what is there?* (`node status`, `node diags`) and *what is
//! wrong?* (`check`). A live machine is a host, a folder that holds one is a host, and a bundle is a host: it
//! holds what the machine answered. Data flows one way:
//!
//! ```text
//! machine or bundle -> Host::read(Artifact) -> parse (pure) -> judge or show -> output
//!                                           -> collect -> redact -> bundle
//! ```
//!
//! The modules from the bottom to the top; each may use those before it in this list, never one behind it
//! (`tests/architecture.rs` holds them to it):
//!
//! | module | what it is |
//! | --- | --- |
//! | [`outcome`] | what became of an attempt to read something |
//! | [`archive`] | the tar.gz format: a writer whose every prefix can be read, a reader with limits |
//! | [`bird`], [`processes`], [`felix`], [`sysctl`], [`conntrack`], [`kernel`], [`cni_cache`], [`bpf_maps`], [`clock`], [`filesystems`], [`packet_filter`], [`prefix`], [`workloads`], [`kube_proxy`] | parsers: bytes in, typed facts out; they know no host |
//! | [`fnmatch`], [`networkmanager`], [`networkd`], [`dhcpcd`], [`connman`], [`netplan`] | what others make of their configuration |
//! | [`bgp`] | what a look at a BGP peer gives, and what a peer says |
//! | [`log_time`], [`logs`] | lines of logs, counted by message |
//! | [`datastore`], [`certificates`], [`cni`] | where Calico keeps its resources, how one gets there, and how long its credentials last |
//! | [`obfuscate`] | pseudonyms for names and addresses |
//! | [`redact`] | what must not leave the node |
//! | [`host`] | the only door to a machine or a bundle: files, processes, sockets, programs |
//! | [`status`] | BGP peers and Calico agents of a node, from evidence |
//! | [`collectors`] | what can be read: tables of artifacts, one file a subject |
//! | [`fix`] | the only code that changes a node |
//! | [`checks`] | what can be wrong with a node: a table, one file a subject |
//! | [`bundle`] | what a bundle holds beside the artifacts: its manifest |
//! | [`collect`] | runs artifacts with bounded concurrency and redacts what they give |
//! | [`untouched`] | the proof that a run changed nothing on the node |
//! | [`cli`] | what a user may type |
//! | [`manual`] | the man pages, from the tree of commands and the table of checks |
//! | [`output`] | the only place that prints |
//! | [`commands`] | one file a command: host -> work -> output |

pub mod archive;
pub mod bgp;
pub mod bird;
pub mod bpf_maps;
pub mod bundle;
pub mod certificates;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod cni;
pub mod cni_cache;
pub mod collect;
pub mod collectors;
pub mod commands;
pub mod connman;
pub mod conntrack;
pub mod datastore;
pub mod dhcpcd;
pub mod felix;
pub mod filesystems;
pub mod fix;
pub mod fnmatch;
pub mod host;
pub mod kernel;
pub mod kube_proxy;
pub mod log_time;
pub mod logs;
pub mod manual;
pub mod netplan;
pub mod networkd;
pub mod networkmanager;
pub mod obfuscate;
pub mod outcome;
pub mod output;
pub mod packet_filter;
pub mod prefix;
pub mod processes;
pub mod redact;
pub mod status;
pub mod sysctl;
pub mod untouched;
pub mod workloads;
