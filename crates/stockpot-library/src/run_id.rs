//! The name of a run: sortable by time, safe as a folder name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::utc::Utc;

/// A run's name, `YYYYMMDD-hhmmss-xxxxxx` in UTC with 6 digits that keep runs of one second apart.
/// Sorting names sorts runs by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

/// A text that cannot be the name of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be the name of a run: 1 to 64 lower-case letters, digits or `-` are wanted, starting with a letter or digit"
)]
pub struct BadRunId(pub String);

impl RunId {
    /// The name that a run begun at `now_secs` (seconds since 1970 UTC) with `seed` gets; `attempt`
    /// gives another one if that is taken.
    pub(crate) fn derive(now_secs: u64, seed: u64, attempt: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&now_secs.to_le_bytes());
        hasher.update(&seed.to_le_bytes());
        hasher.update(&attempt.to_le_bytes());
        let hash = hasher.finalize();
        let tail: String = hash.as_bytes()[..3]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let t = Utc::of(now_secs);
        Self(format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}-{tail}",
            t.year, t.month, t.day, t.hour, t.minute, t.second
        ))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = text.len() <= 64
            && text.starts_with(letter)
            && text.chars().all(|c| letter(c) || c == '-');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadRunId(text.chars().take(80).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_read_back() {
        // 951 782 400 is 2000-02-29 00:00:00 UTC; 4 107 542 399 is 2100-02-28 23:59:59 UTC, the
        // day before 1 March in a year without a leap day.
        for (secs, wanted) in [
            (0, "19700101-000000-"),
            (951_782_400, "20000229-000000-"),
            (4_107_542_399, "21000228-235959-"),
            (4_107_542_400, "21000301-000000-"),
        ] {
            let run = RunId::derive(secs, 7, 0);
            assert!(run.as_str().starts_with(wanted), "{run}");
            assert_eq!(run.as_str().parse::<RunId>(), Ok(run));
        }
        assert_ne!(RunId::derive(5, 7, 0), RunId::derive(5, 7, 1));
        assert_ne!(RunId::derive(5, 7, 0), RunId::derive(5, 8, 0));
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", "..", "a/b", "-a", "A", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
