//! What `NetworkManager` makes of its configuration: which devices it takes and which line decides.
//!
//! An oracle, not a reader: bytes in, facts out. It answers as `NetworkManager` 1.42 itself would, quirks included,
//! and says "unknown" where a rule rests on a fact that is not there.
//!
//! ```text
//! files -> keyfile::parse -> config::Config (merged, each value with its file and line)
//!       -> device_spec (does a list of specs match this device?) -> verdict::judge
//! ```
//!
//! The rules are those of `src/core/nm-config.c`, `nm-config-data.c`, `nm-core-utils.c` and
//! `devices/nm-device.c` in `NetworkManager`'s sources, and of `gkeyfile.c` and `gpattern.c` in `GLib`'s;
//! NetworkManager.conf(5) tells only part of them.

pub mod config;
pub mod device;
pub mod device_spec;
pub mod glob;
pub mod ifupdown;
pub mod keyfile;
pub mod live;
pub mod verdict;
