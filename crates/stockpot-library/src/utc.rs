//! Seconds since 1970 as a date for people, and for the names of runs. Knows no clock.

/// A moment in UTC, by the Gregorian calendar.
pub(crate) struct Utc {
    pub(crate) year: u64,
    /// 1 to 12.
    pub(crate) month: u64,
    /// 1 to 31.
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Utc {
    /// The moment `secs` after the beginning of 1970.
    pub(crate) fn of(secs: u64) -> Self {
        let (year, month, day) = civil_from_days(secs / 86_400);
        Self {
            year,
            month,
            day,
            hour: secs / 3600 % 24,
            minute: secs / 60 % 60,
            second: secs % 60,
        }
    }
}

/// Seconds since 1970 as `YYYY-MM-DD hh:mm:ss UTC`.
pub fn utc_text(secs: u64) -> String {
    let t = Utc::of(secs);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
        t.year, t.month, t.day, t.hour, t.minute, t.second
    )
}

/// Year, month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01, Gregorian.
///
/// Counts in eras of 400 years (146 097 days) that begin on 1 March, so that the leap day is the
/// last one of a year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::utc_text;

    #[test]
    fn dates() {
        // 2100 has no leap day, 2000 had one.
        for (secs, wanted) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc_text(secs), wanted);
        }
        // Whatever a file claims.
        utc_text(u64::MAX);
    }
}
