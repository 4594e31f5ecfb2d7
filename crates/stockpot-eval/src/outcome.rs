//! What a track of SwapBench answers: measures, each beside what toys reach and what is aimed at.

use serde::Serialize;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Small values.
    Lower,
    /// Large values.
    Higher,
}

/// A toy's value of the same measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Toy {
    /// What the toy does, such as `copy the target`.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

impl Toy {
    /// The value of a toy.
    pub fn new(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// What was measured, in words.
    pub name: String,
    /// Its unit, such as `of 255` or `frames/s`; empty for plain numbers.
    pub unit: &'static str,
    /// The value; with several seeds their median.
    pub value: f64,
    /// Which way is better.
    pub better: Better,
    /// The value of every seed, in order; empty where there was only one. Not a number where a seed
    /// gave none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_seed: Vec<f64>,
    /// What toys reach on the same data.
    pub toys: Vec<Toy>,
    /// What is aimed at, if anything is.
    pub goal: Option<f64>,
}

impl Measure {
    /// A number of one seed, beside no toys and without a goal.
    pub fn new(name: impl Into<String>, unit: &'static str, value: f64, better: Better) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            better,
            per_seed: Vec::new(),
            toys: Vec::new(),
            goal: None,
        }
    }

    /// The same beside these toys.
    #[must_use]
    pub fn with_toys(self, toys: Vec<Toy>) -> Self {
        Self { toys, ..self }
    }

    /// The same with this goal, or none.
    #[must_use]
    pub fn with_goal(self, goal: impl Into<Option<f64>>) -> Self {
        Self {
            goal: goal.into(),
            ..self
        }
    }

    /// Whether the goal is reached; nothing without one. A value that is not finite never reaches it.
    pub fn reached(&self) -> Option<bool> {
        let goal = self.goal?;
        Some(match self.better {
            Better::Lower => self.value <= goal,
            Better::Higher => self.value >= goal,
        })
    }

    /// Least and most of several seeds; nothing where there was only one, or no number at all.
    pub fn spread(&self) -> Option<(f64, f64)> {
        let finite = || self.per_seed.iter().copied().filter(|v| v.is_finite());
        let least = finite().reduce(f64::min)?;
        Some((least, finite().reduce(f64::max)?))
    }
}

/// What one track gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its number, `T1` to `T12`.
    pub track: &'static str,
    /// What it asks.
    pub title: &'static str,
    /// The numbers; none if the track is not there yet.
    pub measures: Vec<Measure>,
    /// Why there are none, or what to know about them.
    pub note: String,
    /// How long it took.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_reached_from_their_side() {
        let measure =
            |value, better, goal| Measure::new("error", "", value, better).with_goal(goal);
        assert_eq!(measure(1.0, Better::Lower, Some(1.3)).reached(), Some(true));
        assert_eq!(
            measure(1.0, Better::Higher, Some(1.3)).reached(),
            Some(false)
        );
        assert_eq!(
            measure(f64::NAN, Better::Lower, Some(1.3)).reached(),
            Some(false)
        );
        assert_eq!(measure(1.0, Better::Lower, None).reached(), None);
    }
}
