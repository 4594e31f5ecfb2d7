//! Time is an integer number of ticks of a time base. A frame number is not a time.

use std::fmt;

/// The length of one tick: `num / den` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeBase {
    /// Numerator.
    pub num: i32,
    /// Denominator, greater than zero.
    pub den: i32,
}

/// A moment: `ticks` of `base` after the start of the stream's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timestamp {
    /// Whole ticks; may be negative.
    pub ticks: i64,
    /// The length of a tick.
    pub base: TimeBase,
}

impl Timestamp {
    /// In seconds, for people and reports; never compute with it.
    pub fn secs(self) -> f64 {
        self.ticks as f64 * f64::from(self.base.num) / f64::from(self.base.den.max(1))
    }
}

impl fmt::Display for Timestamp {
    /// `m:ss.mmm`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = (self.secs() * 1000.0).round() as i64;
        write!(
            f,
            "{}:{:02}.{:03}",
            ms / 60_000,
            ms / 1000 % 60,
            ms.rem_euclid(1000)
        )
    }
}
