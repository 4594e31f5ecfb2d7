//! Numbers of a run in the form its files hold them.

use stockpot_core::PersonName;

use crate::log::Line;
use crate::log::metrics::LINE_VERSION;
use crate::loss::LossValue;
use crate::state::Window;
use crate::trainer::Evaluation;

pub(super) fn means(window: &Window) -> Vec<LossValue> {
    let mean = |sum: &LossValue| {
        let mut mean = LossValue::default();
        mean.add(sum, 1.0 / window.steps.max(1) as f64);
        mean
    };
    window.losses.iter().map(mean).collect()
}

/// The curves that TensorBoard shows of held-out faces.
pub(super) fn evaluation_scalars(
    found: &[(PersonName, Evaluation)],
    probes: &[(String, f64)],
) -> Vec<(String, f64)> {
    let parts = |e: &Evaluation| {
        [
            ("loss", e.loss.total),
            ("ssim", e.score.ssim),
            ("mae", e.score.mae),
        ]
    };
    found
        .iter()
        .flat_map(|(name, e)| parts(e).map(|(part, v)| (format!("held_out/{name}/{part}"), v)))
        .chain(probes.iter().cloned())
        .collect()
}

pub(super) fn evaluation_line(
    step: u64,
    found: &[(PersonName, Evaluation)],
    probes: Vec<(String, f64)>,
) -> Line {
    Line::Evaluation {
        v: LINE_VERSION,
        step,
        losses: found
            .iter()
            .map(|(name, e)| (name.clone(), e.loss))
            .collect(),
        scores: found
            .iter()
            .map(|(name, e)| (name.clone(), e.score))
            .collect(),
        probes: probes.into_iter().collect(),
    }
}
