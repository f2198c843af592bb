//! The node's clock: what keeps it, what the hardware's clock says, and which files lie in its future.
//!
//! ```json
//! {"now": "2026-11-23T02:33:26Z", "hardwareClock": 1795401206, "zone": "/usr/share/zoneinfo/Etc/UTC",
//!  "files": [{"path": "/run/systemd/timesync/synchronized", "modified": "2026-11-23T02:31:11Z"}]}
//! ```
//!
//! `timedatectl show` tells what the kernel says of itself (`STA_UNSYNC` of adjtimex(2)):
//!
//! ```text
//! Timezone=Etc/UTC
//! NTP=yes
//! NTPSynchronized=yes
//! ```
//!
//! `chronyc -n -c tracking` is one line of comma-separated values (chronyc(1), `tracking`):
//!
//! ```text
//! A29FC801,162.159.200.1,4,1795401188.1,0.000012,-0.000031,0.000045,-9.8,0.001,0.02,0.011,0.001,64.2,Normal
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a bundle keeps it.
pub const PATH: &str = "system/clock.json";

/// The file that systemd-timesyncd touches whenever it has set the clock (systemd-timesyncd.service(8)).
pub const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// What was seen of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// What the clock said.
    pub now: Timestamp,
    /// What the hardware's clock said at the same moment, in seconds since 1970 if it keeps UTC
    /// (`/sys/class/rtc/rtc0/since_epoch`); `None` where there is none.
    pub hardware_clock: Option<i64>,
    /// Where `/etc/localtime` leads; `None` where it is no link, and so most often the zone is UTC.
    pub zone: Option<String>,
    /// When files were last written to, as far as they are there.
    pub files: Vec<Stamp>,
}

/// When a file was last written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its path on the host.
    pub path: String,
    /// By the clock of that moment.
    pub modified: Timestamp,
}

impl Clock {
    /// What a bundle kept.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// When a file was last written to.
    #[must_use]
    pub fn stamp(&self, path: &str) -> Option<Timestamp> {
        self.files.iter().find(|stamp| stamp.path == path).map(|stamp| stamp.modified)
    }

    /// The zone's name, such as `Europe/Berlin`.
    #[must_use]
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.as_deref()?.split_once("zoneinfo/").map(|(_, name)| name)
    }

    /// The seconds by which the hardware's clock is ahead. It may keep local time, so that whole quarters of an hour
    /// tell nothing.
    #[must_use]
    pub fn hardware_ahead(&self) -> Option<i64> {
        const QUARTER: i64 = 15 * 60;
        let ahead = self.hardware_clock?.checked_sub(self.now.as_second())?;
        let rest = ahead.rem_euclid(QUARTER);
        Some(if rest > QUARTER / 2 { rest - QUARTER } else { rest })
    }
}

/// Whether the kernel takes the clock for synchronised, in the words of `timedatectl show`.
#[must_use]
pub fn kernel_synchronised(timedatectl: &str) -> Option<bool> {
    let value = timedatectl.lines().find_map(|line| line.strip_prefix("NTPSynchronized="))?;
    match value.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// What chronyd says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracking {
    /// Whether it has a source that it follows.
    pub is_synchronised: bool,
    /// By how many seconds the clock is ahead of its source's time; below zero: behind.
    pub offset: Option<f64>,
}

impl Tracking {
    /// The line of `chronyc -c tracking`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.lines().next()?.trim().split(',').collect();
        let leap = fields.get(13)?;
        Some(Self {
            is_synchronised: *leap != "Not synchronised",
            offset: fields.get(4)?.parse().ok().filter(|offset: &f64| offset.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(ahead: i64) -> Clock {
        let now: Timestamp = "2026-11-23T02:33:26Z".parse().unwrap();
        let hardware_clock = Some(now.as_second() + ahead);
        Clock { now, hardware_clock, zone: None, files: Vec::new() }
    }

    #[test]
    fn a_hardware_clock_that_keeps_local_time_is_not_ahead() {
        for (ahead, told) in [(0, 0), (7200, 0), (-19_800, 0), (90, 90), (3_600 - 120, -120)] {
            assert_eq!(clock(ahead).hardware_ahead(), Some(told), "{ahead}");
        }
        let extreme = Clock { hardware_clock: Some(i64::MIN), ..clock(0) };
        assert_eq!(extreme.hardware_ahead(), None);
    }

    #[test]
    fn a_zone_is_named_by_where_the_link_leads() {
        let zone = Some("../usr/share/zoneinfo/Europe/Berlin".to_owned());
        assert_eq!(Clock { zone, ..clock(0) }.zone_name(), Some("Europe/Berlin"));
        assert_eq!(clock(0).zone_name(), None);
    }

    #[test]
    fn timedatectl_and_chronyc_tell_whether_the_clock_is_synchronised() {
        assert_eq!(kernel_synchronised("NTP=yes\nNTPSynchronized=yes\n"), Some(true));
        assert_eq!(kernel_synchronised("NTPSynchronized=no\n"), Some(false));
        assert_eq!(kernel_synchronised("NTP=yes\n"), None);
        let line = "A29FC801,162.159.200.1,4,1795401188.1,0.000012,-0.000031,0.000045,-9.8,0.001,0.02,0.011,0.001,64.2,Normal\n";
        let tracking = Tracking::parse(line).unwrap();
        assert_eq!((tracking.is_synchronised, tracking.offset), (true, Some(0.000_012)));
        let line = "00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n";
        assert!(!Tracking::parse(line).unwrap().is_synchronised);
        assert_eq!(Tracking::parse("506 Cannot talk to daemon\n"), None);
    }
}
