//! Times as people read them.

use time::OffsetDateTime;

use crate::store::Moment;

/// A time of day in UTC, since a page without a script does not know the reader's clock.
pub(super) fn at(moment: Moment) -> String {
    let seconds = i64::try_from(moment.seconds()).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(time) => format!(
            "{} {:02}:{:02} UTC",
            time.date(),
            time.hour(),
            time.minute()
        ),
        Err(_) => "never".to_owned(),
    }
}

/// How long ago, roughly.
pub(super) fn ago(moment: Moment, now: Moment) -> String {
    let minutes = now.since(moment) / 60;
    match minutes {
        0 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        2..120 => format!("{minutes} minutes ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_people_write() {
        assert_eq!(
            at(Moment::from_seconds(1_763_737_260)),
            "2025-11-21 15:01 UTC"
        );
        assert_eq!(at(Moment::from_seconds(u64::MAX)), "never");
        let now = Moment::from_seconds(1_000_000);
        for (seconds, text) in [
            (0, "just now"),
            (60, "a minute ago"),
            (7_100, "118 minutes ago"),
            (7_200, "2 hours ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(Moment::from_seconds(1_000_000 - seconds), now), text);
        }
        assert_eq!(ago(now.plus(5), now), "just now");
    }
}
