//! The watch over finite numbers: what happened, how often, and what it does to the learning rate.
//!
//! Knows nothing of networks; [`crate::Trainer::step`] does the looking and the going back. Start
//! with [`Guard`].
//!
//! An incident puts the last good snapshot back and halves the learning rate for the rest of the
//! run; the batch that was being learnt counts as used, so that a poisoned batch cannot stop a run
//! alone. Three incidents without a new snapshot between them end it.

use serde::{Deserialize, Serialize};
use stockpot_core::PersonName;

/// Incidents kept in a state; older ones are in the metrics file.
const INCIDENTS_KEPT: usize = 20;

/// Something went wrong and was mended by going back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The step that could not be made.
    pub failed_step: u64,
    /// The step gone back to.
    pub restored_step: u64,
    /// The batch that was being learnt.
    pub batch: u64,
    /// Whose loss was not finite; none if only the gradient was not.
    pub person: Option<PersonName>,
    /// The loss as text, since JSON has no NaN.
    pub loss: String,
    /// Factor on the learning rate from now on.
    pub rate_factor: f64,
}

/// Watches over finite numbers: how often it had to step in, and what it did about the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Factor on the learning rate, halved by every incident.
    pub rate_factor: f64,
    /// Incidents since the last good snapshot.
    pub in_a_row: u32,
    /// The latest incidents.
    pub incidents: Vec<Incident>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            rate_factor: 1.0,
            in_a_row: 0,
            incidents: Vec::new(),
        }
    }
}

impl Guard {
    /// Incidents in a row that end a run.
    pub const LIMIT: u32 = 3;
    /// What an incident does to the learning rate.
    pub const RATE_FACTOR: f64 = 0.5;

    /// Notes an incident and lowers the rate. True if this was one too many.
    pub(crate) fn note(&mut self, mut incident: Incident) -> bool {
        self.rate_factor *= Self::RATE_FACTOR;
        self.in_a_row += 1;
        incident.rate_factor = self.rate_factor;
        if self.incidents.len() == INCIDENTS_KEPT {
            self.incidents.remove(0);
        }
        self.incidents.push(incident);
        self.in_a_row >= Self::LIMIT
    }
}
