//! The integration tests: one binary, one module for each command, and what they stand on: a fake root and a lab
//! of real BIRDs.
#![allow(clippy::disallowed_methods, reason = "tests build the machine that calivet looks at")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a lab or a fake root that cannot be built fails its test, and what is skipped says why"
)]

mod agreement;
mod architecture;
mod bundle_commands;
mod bundles;
mod capabilities;
mod check_bgp;
mod check_cni;
mod check_environment;
mod check_felix;
mod check_firewall;
mod check_host;
mod check_kernel;
mod check_options;
mod completions;
mod confinement;
mod conntrack;
mod containers;
mod contract;
mod datastore;
mod diags_options;
mod documentation;
mod fake_bird;
mod faults;
mod firewalls;
mod formats;
mod hostile_sockets;
mod lab;
mod links;
mod man_pages;
mod memory;
mod netlink;
mod networkd;
mod networkmanager;
mod node_diags;
mod node_status;
mod obfuscation;
mod packaging;
mod programs;
mod root;
mod run;
mod schemas;
mod screens;
mod secrets;
mod strace;
mod sysctl;
mod unprivileged;
