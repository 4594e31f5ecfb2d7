//! When is it done: how each person's held-out loss still falls, and what more steps would bring.
//!
//! Losses of such networks fall about as a power of the steps made (Hestness et al. 2017, "Deep
//! learning scaling is predictable, empirically", see it for the amount of data), so a straight
//! line is laid through the logarithms over the latter half of the steps. Its slope says what
//! twice the steps would bring; its uncertainty is taken at face value, so that a noisy curve is
//! not called flat. Knows numbers only. Start with [`Curves::outlooks`].

use std::collections::BTreeMap;

use serde::Serialize;
use stockpot_core::PersonName;

use crate::loss::LossValue;

/// Fewest measurements in the latter half of the steps before anything is said.
const FEWEST: usize = 5;
/// A person is on a plateau when twice as many steps would lower their loss by less than this
/// share: a difference of one percent cannot be seen.
pub const PLATEAU: f64 = 0.01;

/// The held-out losses of a run so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    persons: BTreeMap<PersonName, Vec<(u64, f64)>>,
}

/// What more steps would bring one person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// Who.
    pub person: PersonName,
    /// The share of the held-out loss that twice the steps would take away; negative if the loss
    /// rises.
    pub by_doubling: f64,
    /// The same at best: one standard error of the slope more.
    pub at_best: f64,
    /// Steps made so far.
    pub steps: u64,
}

impl Outlook {
    /// Whether more steps are hardly worth their time.
    pub fn is_plateau(&self) -> bool {
        self.at_best < PLATEAU
    }

    /// Whether the person gets worse: what is learned is the training's faces by heart.
    pub fn is_worse(&self) -> bool {
        self.at_best < 0.0
    }
}

impl Curves {
    /// Adds a measurement. Steps rise.
    pub fn add<'a>(
        &mut self,
        step: u64,
        losses: impl IntoIterator<Item = (&'a PersonName, &'a LossValue)>,
    ) {
        for (person, loss) in losses {
            let curve = self.persons.entry(person.clone()).or_default();
            curve.push((step, loss.total));
        }
    }

    /// Forgets what was measured after a step.
    pub fn cut(&mut self, step: u64) {
        for curve in self.persons.values_mut() {
            curve.retain(|(at, _)| *at <= step);
        }
    }

    /// What more steps would bring to everybody of whom enough is known.
    pub fn outlooks(&self) -> Vec<Outlook> {
        let outlook = |(person, curve): (&PersonName, &Vec<(u64, f64)>)| {
            let (last, _) = *curve.last()?;
            let late = curve.iter().filter(|(step, _)| 2 * step >= last);
            let points: Vec<(f64, f64)> = late
                .filter(|(step, loss)| *step > 0 && *loss > 0.0)
                .map(|(step, loss)| ((*step as f64).ln(), loss.ln()))
                .collect();
            let (slope, error) = line(&points)?;
            Some(Outlook {
                person: person.clone(),
                by_doubling: 1.0 - 2f64.powf(slope),
                at_best: 1.0 - 2f64.powf(slope - error),
                steps: last,
            })
        };
        self.persons.iter().filter_map(outlook).collect()
    }

    /// Whether everybody who is measured is known well enough and on a plateau.
    pub fn is_plateau(&self) -> bool {
        let outlooks = self.outlooks();
        !outlooks.is_empty()
            && outlooks.len() == self.persons.len()
            && outlooks.iter().all(Outlook::is_plateau)
    }
}

/// Slope of the straight line of least squares through points `(x, y)`, and its standard error.
/// `None` for too few points, or if all have one `x`.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < FEWEST {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
    let left = points.iter().map(|p| p.1 - y - slope * (p.0 - x));
    let variance = left.map(|r| r * r).sum::<f64>() / (count - 2.0);
    Some((slope, (variance / spread).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(loss: impl Fn(f64) -> f64) -> Curves {
        let mut curves = Curves::default();
        let anna: PersonName = "anna".parse().unwrap();
        for step in (250..=5000).step_by(250) {
            let value = LossValue {
                total: loss(step as f64),
                ..LossValue::default()
            };
            curves.add(step, [(&anna, &value)]);
        }
        curves
    }

    #[test]
    fn a_power_is_found_and_what_it_promises() {
        let found = curve(|s| 0.3 * s.powf(-0.2)).outlooks();
        let wanted = 1.0 - 2f64.powf(-0.2);
        assert!((found[0].by_doubling - wanted).abs() < 1e-9, "{found:?}");
        assert!((found[0].at_best - wanted).abs() < 1e-6);
        assert_eq!(found[0].steps, 5000);
        assert!(!found[0].is_plateau());
    }

    /// Falling, flat, rising, and flat with so much noise that it cannot be told.
    #[test]
    fn only_a_curve_known_to_be_flat_is_a_plateau() {
        let noise = |s: f64| 0.02 * (s * 0.37).sin();
        assert!(!curve(|s| 0.3 * s.powf(-0.05)).is_plateau());
        assert!(curve(|s| 0.1 + 2.0 * (-s / 300.0).exp()).is_plateau());
        let rising = curve(|s| 0.1 + 1e-6 * s);
        assert!(rising.is_plateau() && rising.outlooks()[0].is_worse());
        assert!(!curve(|s| 0.1 + noise(s)).is_plateau());
    }

    #[test]
    fn too_little_is_known_at_first_and_after_going_back() {
        let mut curves = curve(|_| 0.1);
        assert!(curves.is_plateau());
        curves.cut(2000);
        assert!(curves.is_plateau());
        curves.cut(1999);
        assert!(curves.outlooks().is_empty() && !curves.is_plateau());
        assert!(!Curves::default().is_plateau());
    }
}
