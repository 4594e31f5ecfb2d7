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

/// Seconds since 1970 as `YYYY-MM-DD`, in UTC.
pub fn date_text(secs: u64) -> String {
    utc_text(secs).chars().take_while(|c| *c != ' ').collect()
}

/// The first second after a day written as `YYYY-MM-DD`, since 1970 UTC; `None` if there is no such
/// day between 1970 and 9999.
pub fn end_of_day(date: &str) -> Option<u64> {
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return None;
    };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // Counted from 1 March of year 0, as below.
    let from_march = (month + 9) % 12;
    let years = year - u64::from(month <= 2);
    let days = 365 * years + years / 4 - years / 100 + years / 400;
    let days = (days + (153 * from_march + 2) / 5 + day.checked_sub(1)?).checked_sub(719_468)?;
    let same = civil_from_days(days) == (year, month, day);
    same.then_some((days + 1) * 86_400)
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
    use super::{date_text, end_of_day, utc_text};

    #[test]
    fn days_end_where_the_next_begins() {
        // By `date -u -d 2026-11-24 +%s` and the like.
        assert_eq!(end_of_day("2026-11-23"), Some(1_795_478_400));
        assert_eq!(end_of_day("2000-02-29"), Some(951_868_800));
        assert_eq!(end_of_day("1970-01-01"), Some(86_400));
        for day in (0..2_900_000).step_by(37) {
            let text = date_text(day * 86_400);
            assert_eq!(end_of_day(&text), Some((day + 1) * 86_400), "{text}");
        }
        for bad in [
            "",
            "2026",
            "2026-2-3",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "1969-12-31",
            "tomorrow",
            "2026-01-01-",
            "2026-+1-01",
        ] {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }

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
