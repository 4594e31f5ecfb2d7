//! Everything that changes while training, as one value that can be copied, saved and put back.
//!
//! Knows nothing of networks or files. Start with [`TrainState`].

use serde::{Deserialize, Serialize};
use stockpot_core::PersonName;

use crate::guard::Guard;
use crate::loss::LossValue;
use crate::optim::Slots;
use crate::trainer::StepReport;

/// Sums since the last line of metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Steps summed.
    pub steps: u64,
    /// Per person, in the order of the training.
    pub losses: Vec<LossValue>,
    /// Sum of gradient norms.
    pub gradient_norm: f64,
    /// Sum of what being away from the previous state added; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<f64>,
}

impl Window {
    pub(crate) fn add(&mut self, report: &StepReport) {
        let losses = &report.losses;
        self.losses.resize(losses.len(), LossValue::default());
        for (sum, loss) in self.losses.iter_mut().zip(losses) {
            sum.add(loss, 1.0);
        }
        self.steps += 1;
        self.gradient_norm += report.gradient_norm;
        if let Some(found) = report.distillation {
            self.distillation = Some(self.distillation.unwrap_or(0.0) + found);
        }
    }
}

/// Where a training stands, numbers only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps made.
    pub step: u64,
    /// Number of the next batch. Sampling is a pure function of seed and batch number, so this is
    /// the whole random state.
    pub batch: u64,
    /// Seconds of training, resumed parts included.
    pub trained_secs: f64,
    /// Length of the metrics file at this point.
    pub metrics_bytes: u64,
    /// The watch over finite numbers.
    pub guard: Guard,
    /// Sums since the last line of metrics.
    pub window: Window,
}

/// Everything that changes while training.
#[derive(Debug, PartialEq)]
pub struct TrainState {
    /// Counters and sums.
    pub position: Position,
    /// The shared half.
    pub encoder: Slots,
    /// One half per person, in the order of the training.
    pub persons: Vec<(PersonName, Slots)>,
}

// By hand, because the derived `clone_from` would not keep the buffers' memory.
impl Clone for TrainState {
    fn clone(&self) -> Self {
        Self {
            position: self.position.clone(),
            encoder: self.encoder.clone(),
            persons: self.persons.clone(),
        }
    }

    fn clone_from(&mut self, other: &Self) {
        self.position.clone_from(&other.position);
        self.encoder.clone_from(&other.encoder);
        // `Vec::clone_from` calls the tuple's, which does not reuse; so by hand.
        self.persons.truncate(other.persons.len());
        let have = self.persons.len();
        for (mine, theirs) in self.persons.iter_mut().zip(&other.persons) {
            mine.0.clone_from(&theirs.0);
            mine.1.clone_from(&theirs.1);
        }
        self.persons.extend_from_slice(&other.persons[have..]);
    }
}

impl TrainState {
    /// The start of a training from these weights.
    pub fn new(encoder: Vec<f32>, persons: Vec<(PersonName, Vec<f32>)>) -> Self {
        Self {
            position: Position::default(),
            encoder: Slots::new(encoder),
            persons: persons
                .into_iter()
                .map(|(name, w)| (name, Slots::new(w)))
                .collect(),
        }
    }

    /// Every buffer with its name in a checkpoint, in the order of the file.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = (String, &Vec<f32>)> {
        let encoder = self
            .encoder
            .named()
            .map(|(slot, data)| (format!("encoder/{slot}"), data));
        let persons = self.persons.iter().flat_map(|(name, slots)| {
            slots
                .named()
                .map(|(slot, data)| (format!("decoder/{name}/{slot}"), data))
        });
        encoder.into_iter().chain(persons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_into_an_older_copy_equals_a_fresh_copy_and_keeps_its_memory() {
        let name = |n: &str| n.parse::<PersonName>().unwrap();
        let a = TrainState::new(vec![1.0; 4], vec![(name("a"), vec![2.0; 3])]);
        let mut b = TrainState::new(vec![9.0; 4], vec![(name("x"), vec![8.0; 3])]);
        let before = (b.encoder.ema.as_ptr(), b.persons[0].1.weights.as_ptr());
        b.clone_from(&a);
        assert_eq!(a, b);
        assert_eq!(
            before,
            (b.encoder.ema.as_ptr(), b.persons[0].1.weights.as_ptr())
        );
        let two = TrainState::new(vec![], vec![(name("a"), vec![]), (name("b"), vec![1.0])]);
        b.clone_from(&two);
        assert_eq!(b, two);
        b.clone_from(&a);
        assert_eq!(a, b);
    }
}
