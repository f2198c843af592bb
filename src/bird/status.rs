//! `show status`.
//!
//! ```text
//! 1000-BIRD v0.3.3+birdv1.6.8
//! 1011-Router ID is 10.0.0.1
//!  Hostname is vm                                      (BIRD 2 and 3)
//!  Current server time is 2026-11-23 01:53:00
//!  Last reboot on 2026-11-23 01:50:26
//!  Last reconfiguration on 2026-11-23 01:50:27
//! 0024-Graceful restart recovery in progress
//!    Waiting for 3 protocols to recover
//!    Wait timer is 86/240
//! 0013 Daemon is up and running
//! ```
//!
//! Times are local times of the daemon's own time zone; BIRD 2 and 3 add milliseconds.

use jiff::civil;
use schemars::JsonSchema;
use serde::Serialize;

use super::reply::Reply;

/// What BIRD says of itself. What it did not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The version as BIRD names it: `v0.3.3+birdv1.6.8`, `2.0.12`.
    pub version: Option<String>,
    /// BIRD's own major version: 1, 2 or 3, for Calico's fork too.
    pub major: Option<u32>,
    /// Router id, a dotted quad.
    pub router_id: Option<String>,
    /// Host name (BIRD 2 and 3).
    pub hostname: Option<String>,
    /// The daemon's clock when it answered.
    pub server_time: Option<Moment>,
    /// When the daemon started.
    pub last_reboot: Option<Moment>,
    /// When it last took a configuration.
    pub last_reconfiguration: Option<Moment>,
    /// The last line: `Daemon is up and running`, `Shutdown in progress`, `Reconfiguration in progress`.
    pub state: Option<String>,
    /// Present while graceful restart recovery goes on: until it ends, no BGP route goes to the kernel.
    pub graceful_restart: Option<GracefulRestart>,
}

/// A time as BIRD wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// BIRD's text.
    pub text: String,
    /// The same, if it is a whole ISO date and time; in the daemon's time zone.
    pub civil: Option<civil::DateTime>,
}

/// Graceful restart recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GracefulRestart {
    /// How many protocols have not recovered.
    pub waiting_for: Option<u64>,
    /// Seconds that are left and the whole of them, as BIRD writes it: `86/240`.
    pub wait_timer: Option<String>,
}

/// The status in an answer to `show status`.
#[must_use]
pub fn parse(reply: &Reply<'_>) -> Status {
    let mut status = Status::default();
    for line in &reply.lines {
        let text = line.text.trim();
        match line.code {
            1000 => {
                let version = text.strip_prefix("BIRD ").unwrap_or(text);
                status.major = major(version);
                status.version = Some(version.to_owned());
            }
            1011 => fact(&mut status, text),
            24 => {
                let restart = status.graceful_restart.get_or_insert_default();
                if let Some(rest) = text.strip_prefix("Waiting for ") {
                    restart.waiting_for = rest.split(' ').next().and_then(|word| word.parse().ok());
                } else if let Some(timer) = text.strip_prefix("Wait timer is ") {
                    restart.wait_timer = Some(timer.to_owned());
                }
            }
            _ => {}
        }
    }
    status.state =
        reply.end.as_ref().filter(|end| end.code == 13).map(|end| end.text.trim().to_owned());
    status
}

/// Takes one of the lines that follow the router id.
fn fact(status: &mut Status, text: &str) {
    if let Some(id) = text.strip_prefix("Router ID is ") {
        status.router_id = Some(id.to_owned());
    } else if let Some(name) = text.strip_prefix("Hostname is ") {
        status.hostname = Some(name.to_owned());
    } else if let Some(time) = text.strip_prefix("Current server time is ") {
        status.server_time = Some(Moment::new(time));
    } else if let Some(time) = text.strip_prefix("Last reboot on ") {
        status.last_reboot = Some(Moment::new(time));
    } else if let Some(time) = text.strip_prefix("Last reconfiguration on ") {
        status.last_reconfiguration = Some(Moment::new(time));
    }
}

/// The major version. Calico's fork counts its own versions and names BIRD's after a `+bird`.
fn major(version: &str) -> Option<u32> {
    let bird = version.rsplit_once("+bird").map_or(version, |(_, bird)| bird);
    let digits = bird.strip_prefix('v').unwrap_or(bird);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

impl Moment {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), civil: date_time(text) }
    }
}

/// A whole date and time in BIRD's form, `2026-11-23 01:53:00` with or without a fraction. A date alone is none:
/// it would pass for midnight.
#[must_use]
pub fn date_time(text: &str) -> Option<civil::DateTime> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let date = date.parse::<civil::Date>().ok().filter(|_| date.contains('-'))?;
    Some(date.to_datetime(time_of_day(time)?))
}

/// A time of day in BIRD's form, `01:53:00` with or without a fraction.
#[must_use]
pub fn time_of_day(text: &str) -> Option<civil::Time> {
    text.parse().ok().filter(|_| text.contains(':'))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::reply;
    use super::*;

    fn status(bytes: &[u8]) -> Status {
        parse(&reply::parse(bytes))
    }

    #[test]
    fn bird_1_6_tells_its_status() {
        let status = status(include_bytes!("../../tests/samples/bird/1.6.8/show_status.txt"));
        assert_eq!(status.version.as_deref(), Some("1.6.8"));
        assert_eq!(status.major, Some(1));
        assert_eq!(status.router_id.as_deref(), Some("10.0.0.1"));
        assert_eq!(status.hostname, None);
        assert_eq!(status.state.as_deref(), Some("Daemon is up and running"));
        assert_eq!(status.graceful_restart, None);
        let time = status.server_time.unwrap();
        assert_eq!(time.text, "2026-11-23 01:43:40");
        assert_eq!(time.civil, Some(date(2026, 11, 23).at(1, 43, 40, 0)));
        assert_eq!(status.last_reboot.unwrap().text, "2026-11-23 01:43:30");
        assert_eq!(status.last_reconfiguration.unwrap().text, "2026-11-23 01:43:30");
    }

    #[test]
    fn bird_2_and_3_add_a_host_name_and_milliseconds() {
        let two = status(include_bytes!("../../tests/samples/bird/2.0.12/show_status.txt"));
        let three = status(include_bytes!("../../tests/samples/bird/3.3.2/show_status.txt"));
        assert_eq!((two.major, two.version.as_deref()), (Some(2), Some("2.0.12")));
        assert_eq!((three.major, three.version.as_deref()), (Some(3), Some("3.3.2")));
        for status in [&two, &three] {
            assert_eq!(status.hostname.as_deref(), Some("vm"));
            assert_eq!(status.router_id.as_deref(), Some("10.0.0.1"));
        }
        let time = two.server_time.unwrap().civil;
        assert_eq!(time, Some(date(2026, 11, 23).at(1, 43, 28, 260_000_000)));
    }

    #[test]
    fn graceful_restart_is_told_and_does_not_hide_the_last_line() {
        let status = status(
            b"1000-BIRD v0.3.3+birdv1.6.8\n1011-Router ID is 10.0.0.1\n\
              0024-Graceful restart recovery in progress\n   Waiting for 3 protocols to recover\n   \
              Wait timer is 86/240\n0013 Daemon is up and running\n",
        );
        let expected =
            GracefulRestart { waiting_for: Some(3), wait_timer: Some("86/240".to_owned()) };
        assert_eq!(status.graceful_restart, Some(expected));
        assert_eq!(status.state.as_deref(), Some("Daemon is up and running"));
        assert_eq!(status.major, Some(1));
        assert_eq!(status.version.as_deref(), Some("v0.3.3+birdv1.6.8"));
    }

    #[test]
    fn the_major_version_is_birds_own() {
        assert_eq!(major("v0.3.3-211-g9111ec3c+birdv1.6.8"), Some(1));
        assert_eq!(major("2.19.0"), Some(2));
        assert_eq!(major("3.0-alpha2"), Some(3));
        assert_eq!(major(""), None);
        assert_eq!(major("ready"), None);
    }

    #[test]
    fn a_cut_off_status_has_no_last_line() {
        let status = status(b"1000-BIRD 1.6.8\n1011-Router ID is 10.0.0.1\n Last reboot on 20");
        assert_eq!(status.state, None);
        assert_eq!(status.last_reboot, None);
    }

    #[test]
    fn only_a_whole_date_and_time_is_one() {
        assert_eq!(date_time("2026-11-23"), None);
        assert_eq!(date_time("01:43:40"), None);
        assert_eq!(date_time("1514768400"), None);
        assert_eq!(date_time("23-11-2026 01:00:00"), None);
        assert_eq!(
            date_time("2017-12-31 22:16:29.765"),
            Some(date(2017, 12, 31).at(22, 16, 29, 765_000_000))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(1000-|1011-|0024-| |0013 )(\\PC|\\n){0,40}\n(\\PC|\\n)*") {
            status(text.as_bytes());
        }
    }
}
