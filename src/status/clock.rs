//! BIRD's local times, made absolute.
//!
//! BIRD writes local times of its own time zone and never says which. Its `Current server time`, beside the
//! moment at which the question was put, gives the offset from UTC. It is the offset of now: where a time zone
//! has summer time, a moment before the last change of the clocks is an hour off.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::bird::status::{date_time, time_of_day};

/// Offsets of time zones are whole quarters of an hour.
const QUARTER: i64 = 15 * 60;

/// How far the daemon's clock may be from a whole quarter. An answer may take its time, so that there is some
/// play; beyond it, one of the clocks was set meanwhile, and nothing is known.
const PLAY: i64 = 5 * 60;

/// No time zone is further from UTC.
const MAX_OFFSET: i64 = 15 * 3600;

/// How far a time of day may be ahead of the status' time and still be of the same day: protocols change while
/// questions are answered. BIRD gives times of day for no more than the last twenty hours.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// A daemon's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What the daemon's clock showed.
    server: DateTime,
    /// How far it is ahead of UTC.
    offset: SignedDuration,
}

impl Clock {
    /// The clock that showed `server` when it was asked at `asked`; `None` if the two do not fit.
    #[must_use]
    pub fn new(server: DateTime, asked: Timestamp) -> Option<Self> {
        let ahead = utc(server)?.duration_since(asked).as_secs();
        let offset = (ahead + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
        let fits = (ahead - offset).abs() <= PLAY && offset.abs() <= MAX_OFFSET;
        fits.then_some(Self { server, offset: SignedDuration::from_secs(offset) })
    }

    /// The moment of a date and time of the daemon's.
    #[must_use]
    pub fn absolute(&self, local: DateTime) -> Option<Timestamp> {
        utc(local)?.checked_sub(self.offset).ok()
    }

    /// The moment that BIRD's `since` tells. A date alone tells none.
    #[must_use]
    pub fn since(&self, text: &str) -> Option<Timestamp> {
        if let Some(local) = date_time(text) {
            return self.absolute(local);
        }
        let today = self.server.date().to_datetime(time_of_day(text)?);
        let latest = self.server.checked_add(AHEAD).ok()?;
        let tomorrow = today.tomorrow().ok()?;
        self.absolute(if today > latest {
            today.yesterday().ok()?
        } else if tomorrow <= latest {
            tomorrow
        } else {
            today
        })
    }
}

/// The moment that BIRD's `since` tells where no clock is needed: seconds since 1970 (`timeformat protocol "%s"`).
#[must_use]
pub fn epoch(text: &str) -> Option<Timestamp> {
    let seconds = text.split('.').next().filter(|seconds| seconds.len() >= 9)?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

fn utc(local: DateTime) -> Option<Timestamp> {
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_offset_is_a_whole_quarter_however_long_the_answer_took() {
        let server = date(2026, 11, 23).at(7, 13, 43, 0);
        for asked in ["2026-11-23T01:43:43.9Z", "2026-11-23T01:43:43Z", "2026-11-23T01:43:33Z"] {
            let clock = Clock::new(server, time(asked)).unwrap();
            assert_eq!(clock.since("07:13:31"), Some(time("2026-11-23T01:43:31Z")), "{asked}");
        }
        let west = Clock::new(server, time("2026-11-23T16:43:42Z")).unwrap();
        assert_eq!(west.since("07:13:31"), Some(time("2026-11-23T16:43:31Z")));
    }

    #[test]
    fn a_clock_that_fits_no_time_zone_is_none() {
        let server = date(2026, 11, 23).at(7, 13, 43, 0);
        assert_eq!(Clock::new(server, time("2026-11-23T01:51:10Z")), None, "between two quarters");
        assert_eq!(Clock::new(server, time("2025-11-23T07:13:43Z")), None, "a year off");
    }

    #[test]
    fn a_later_time_of_day_is_of_yesterday() {
        let server = date(2026, 11, 23).at(1, 43, 43, 0);
        let clock = Clock::new(server, time("2026-11-23T01:43:43Z")).unwrap();
        assert_eq!(clock.since("23:59:59"), Some(time("2026-11-22T23:59:59Z")));
        assert_eq!(clock.since("05:43:43"), Some(time("2026-11-22T05:43:43Z")));
        assert_eq!(clock.since("01:43:45.125"), Some(time("2026-11-23T01:43:45.125Z")));
        assert_eq!(clock.since("00:00:00"), Some(time("2026-11-23T00:00:00Z")));
    }

    #[test]
    fn a_change_just_after_midnight_is_of_the_new_day() {
        let server = date(2026, 11, 22).at(23, 59, 59, 0);
        let clock = Clock::new(server, time("2026-11-22T23:59:59Z")).unwrap();
        assert_eq!(clock.since("00:00:01"), Some(time("2026-11-23T00:00:01Z")));
        assert_eq!(clock.since("04:00:00"), Some(time("2026-11-22T04:00:00Z")));
    }

    #[test]
    fn a_whole_date_and_time_is_taken_and_a_date_alone_is_not() {
        let server = date(2026, 11, 23).at(1, 43, 43, 0);
        let clock = Clock::new(server, time("2026-11-23T01:43:43Z")).unwrap();
        assert_eq!(clock.since("2018-01-01 01:00:00"), Some(time("2018-01-01T01:00:00Z")));
        assert_eq!(clock.since("2018-01-01"), None);
        assert_eq!(clock.since(""), None);
        assert_eq!(epoch("1514768400"), Some(time("2018-01-01T01:00:00Z")));
        assert_eq!(epoch("2018"), None);
    }
}
