//! Settings of a training, and the one place where they are merged and checked.
//!
//! Knows no files and no flags: layers come as JSON values. Start with [`TrainSettings::resolve`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpot_core::PersonName;
use stockpot_kernels::isa;

use crate::error::Error;
use crate::loss::{LossWeights, ScaleWeights};
use crate::optim::{AdamSettings, LearningRate, Schedule};

/// What the products of a training step round their inputs to. Weights, activations, gradients
/// and sums are held in 32 bits in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `bf16` where the processor multiplies it faster, otherwise `f32`. A run settles on one of the two
    /// when it begins and keeps it.
    Auto,
    /// Nothing is rounded.
    F32,
    /// Rounded to 16 bits with the range of `f32`, but for layers that see or draw pixels.
    Bf16,
}

impl Precision {
    /// `f32` or `bf16`.
    ///
    /// # Errors
    /// [`Error::NoBf16`] if `bf16` is asked for and this processor would have to emulate it.
    pub fn settle(self) -> Result<Self, Error> {
        match self {
            Self::Bf16 if !isa::multiplies_bf16() => Err(Error::NoBf16),
            Self::Auto if isa::gains_from_bf16() => Ok(Self::Bf16),
            Self::Bf16 => Ok(Self::Bf16),
            Self::Auto | Self::F32 => Ok(Self::F32),
        }
    }

    /// What the kernels are asked for once it is settled.
    pub fn of_products(self) -> stockpot_kernels::Precision {
        match self {
            Self::Bf16 => stockpot_kernels::Precision::Bf16,
            Self::Auto | Self::F32 => stockpot_kernels::Precision::F32,
        }
    }
}

/// Everything that shapes a training but its data. Every field has a default; a resumed run keeps
/// the settings of its checkpoint unless told otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Seed of every random choice. Any whole number; default 0. Change it to repeat an
    /// experiment with other luck.
    pub seed: u64,
    /// Faces of each person in a step, 1 to 1024; default 16. Less saves memory and makes steps
    /// quicker but noisier; below 8 lower `learning_rate` too.
    pub batch: usize,
    /// Stop after this many steps in all, resumed parts included; 0 (default) means no limit.
    pub steps: u64,
    /// Stop after this many minutes of training in all, resumed parts included; 0 (default) means
    /// no limit.
    pub minutes: f64,
    /// Stop when more steps would hardly bring anything: when twice as many would lower nobody's
    /// held-out loss by 1 %; default false. Beside `steps` or `minutes`, whichever comes first.
    #[serde(default)]
    pub until_plateau: bool,
    /// Learning rate after the warm-up, above 0 to 1; default 1e-3. Lower it if incidents (loss
    /// not finite) are reported.
    pub learning_rate: f64,
    /// Lowest learning rate, 0 to `learning_rate`; default 1e-4.
    pub learning_rate_end: f64,
    /// How the rate falls: `decay` (default; halved every `schedule_steps`, needs no known end),
    /// `cosine` (for a known number of steps), `constant`.
    pub schedule: Schedule,
    /// Half-life of `decay`, length of `cosine`, in steps, at least 1; default 2000. Raise it for
    /// trainings of more than a few hours.
    pub schedule_steps: u64,
    /// Steps over which the rate rises from zero, 0 or more; default 100. Raise it if a continued
    /// training gets worse at its beginning.
    pub warm_up_steps: u64,
    /// Decay of Adam's mean of gradients, 0 to below 1; default 0.9.
    pub beta1: f64,
    /// Decay of Adam's mean of squared gradients, 0 to below 1; default 0.99.
    pub beta2: f64,
    /// Decay of the running mean of weights that is evaluated and committed, 0 to below 1;
    /// default 0.999. Lower it for trainings of a few hundred steps.
    pub ema_decay: f64,
    /// Largest norm of the whole gradient; larger ones are shortened to it. 0 (default) means no
    /// limit. Set it (1 is usual) if the loss jumps.
    pub clip_norm: f64,
    /// Share of `1 − MS-SSIM` in the loss, 0 to 1, the rest is L1; default 0.84. Lower it if
    /// colours are off, raise it if structure is.
    pub ssim_share: f64,
    /// Weights of the scales of MS-SSIM: `even` (default; sharper) or `wang` (the paper's).
    pub ssim_scales: ScaleWeights,
    /// Weight of pixels outside the face mask, 0 to 1; default 0.1. Raise it if the
    /// surroundings of the face should be learnt too.
    pub background_weight: f64,
    /// Weight of the mask loss, 0 to 100; default 0.2. Raise it if masks are ragged.
    pub mask_weight: f64,
    /// Leave the encoder as it is and train decoders only; default false.
    pub freeze_encoder: bool,
    /// Leave the decoders of these persons as they are, while the encoder learns from their faces
    /// too, so that it goes on suiting them; default nobody.
    #[serde(default)]
    pub freeze_persons: Vec<PersonName>,
    /// With a previous state of the encoder to stay near (`stockpot grow`): what drifting away from its
    /// codes on calibration faces counts, in mean squares per variance of the codes, 0 to 1e6; default
    /// 0. Raise it if earlier persons get worse.
    #[serde(default)]
    pub distil_weight: f64,
    /// The same on the faces that are learnt, 0 to 1e6; default 0. Lower it if new persons learn slowly.
    #[serde(default)]
    pub distil_crops_weight: f64,
    /// The share of both weights that is left after `schedule_steps`, to which they fall along a
    /// cosine, 0 to 1; default 1. Lower it to let codes move once the new persons are known.
    #[serde(default = "one")]
    pub distil_end: f64,
    /// Calibration faces in a step, 1 to 1024; default 16.
    #[serde(default = "distil_faces")]
    pub distil_faces: usize,
    /// With a frozen encoder: how many ways (warps, colours) each face is seen before the same come
    /// again, 0 to 10,000; default 16. The encoder looks at each of them once and its codes are
    /// kept. Fewer if 256 MiB of codes would not hold them; 0 never repeats.
    pub frozen_warps: u64,
    /// `bf16` is up to twice as fast as `f32` on processors that multiply it; `auto` (default)
    /// uses it there. Set `f32` to get the same numbers on every machine.
    pub precision: Precision,
    /// Threads that prepare batches, 1 to 256; 0 (default) begins with one and adds more while the
    /// step waits for them. The batches are the same whatever it is.
    pub workers: usize,
    /// A line of metrics every so many steps, at least 1; default 10.
    pub report_every: u64,
    /// A copy of the state in memory, to go back to when a loss is not finite, every so many
    /// steps, at least 1; default 50.
    pub snapshot_every: u64,
    /// A checkpoint every so many steps, at least 1; default 250.
    pub save_every: u64,
    /// Checkpoints to keep beside the first, 1 to 1000; default 3.
    pub keep: usize,
    /// Measure held-out faces every so many steps; 0 means never; default 250.
    pub evaluate_every: u64,
    /// Draw a preview every so many steps; 0 means never; default 250.
    pub preview_every: u64,
}

fn one() -> f64 {
    1.0
}

fn distil_faces() -> usize {
    16
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 16,
            steps: 0,
            minutes: 0.0,
            until_plateau: false,
            learning_rate: 1e-3,
            learning_rate_end: 1e-4,
            schedule: Schedule::Decay,
            schedule_steps: 2000,
            warm_up_steps: 100,
            beta1: 0.9,
            beta2: 0.99,
            ema_decay: 0.999,
            clip_norm: 0.0,
            ssim_share: 0.84,
            ssim_scales: ScaleWeights::Even,
            background_weight: 0.1,
            mask_weight: 0.2,
            freeze_encoder: false,
            freeze_persons: Vec::new(),
            distil_weight: 0.0,
            distil_crops_weight: 0.0,
            distil_end: one(),
            distil_faces: distil_faces(),
            frozen_warps: 16,
            precision: Precision::Auto,
            workers: 0,
            report_every: 10,
            snapshot_every: 50,
            save_every: 250,
            keep: 3,
            evaluate_every: 250,
            preview_every: 250,
        }
    }
}

impl TrainSettings {
    /// The defaults, overlaid by each layer in turn (file, environment, flags), checked. A layer
    /// is an object with any of the fields above, or null.
    ///
    /// # Errors
    /// [`Error::UnknownSetting`], [`Error::BadSetting`], [`Error::UnreadableSettings`].
    pub fn resolve(layers: &[Value]) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::UnreadableSettings { reason };
        let defaults = serde_json::to_value(Self::default());
        let mut merged = defaults.map_err(|e| unreadable(e.to_string()))?;
        for layer in layers {
            let fields = match layer {
                Value::Null => continue,
                Value::Object(fields) => fields,
                other => return Err(unreadable(format!("{other} is not a table"))),
            };
            for (key, value) in fields {
                let Some(slot) = merged.get_mut(key) else {
                    return Err(unknown(key, &merged));
                };
                *slot = value.clone();
            }
        }
        let settings: Self =
            serde_json::from_value(merged).map_err(|e| unreadable(e.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// How the learning rate goes.
    pub fn learning_rate(&self) -> LearningRate {
        LearningRate {
            first: self.learning_rate,
            last: self.learning_rate_end,
            schedule: self.schedule,
            horizon_steps: self.schedule_steps,
            warm_up_steps: self.warm_up_steps,
        }
    }

    /// Adam's constants; epsilon is the paper's 1e-8.
    pub fn adam(&self) -> AdamSettings {
        AdamSettings {
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: 1e-8,
            ema_decay: self.ema_decay,
        }
    }

    /// Whether the encoder is held near a previous state.
    pub fn distils(&self) -> bool {
        self.distil_weight > 0.0 || self.distil_crops_weight > 0.0
    }

    /// The share of the distillation's weights that is left after `step` steps.
    pub fn distil_left(&self, step: u64) -> f64 {
        let way = (step as f64 / self.schedule_steps.max(1) as f64).min(1.0);
        let height = 0.5 + 0.5 * (std::f64::consts::PI * way).cos();
        self.distil_end + (1.0 - self.distil_end) * height
    }

    /// What the loss counts how much.
    pub fn loss_weights(&self) -> LossWeights {
        LossWeights {
            ssim_share: self.ssim_share as f32,
            scales: self.ssim_scales,
            background: self.background_weight as f32,
            mask: self.mask_weight as f32,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let bad = |key, value: &dyn std::fmt::Display, wanted| {
            Err(Error::BadSetting {
                key,
                value: value.to_string(),
                wanted,
            })
        };
        for (key, value) in [
            ("report_every", self.report_every),
            ("snapshot_every", self.snapshot_every),
            ("save_every", self.save_every),
            ("schedule_steps", self.schedule_steps),
        ] {
            if value == 0 {
                return bad(key, &value, "1 or more");
            }
        }
        for (key, value) in [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("ema_decay", self.ema_decay),
        ] {
            if !(0.0..1.0).contains(&value) {
                return bad(key, &value, "0 to below 1");
            }
        }
        for (key, value) in [
            ("ssim_share", self.ssim_share),
            ("background_weight", self.background_weight),
            ("distil_end", self.distil_end),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return bad(key, &value, "0 to 1");
            }
        }
        if !(0.0..=100.0).contains(&self.mask_weight) {
            return bad("mask_weight", &self.mask_weight, "0 to 100");
        }
        for (key, value) in [
            ("distil_weight", self.distil_weight),
            ("distil_crops_weight", self.distil_crops_weight),
        ] {
            if !(0.0..=1e6).contains(&value) {
                return bad(key, &value, "0 to 1e6");
            }
        }
        if !(1..=1024).contains(&self.distil_faces) {
            return bad("distil_faces", &self.distil_faces, "1 to 1024");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return bad("learning_rate", &self.learning_rate, "above 0 to 1");
        }
        if !(0.0..=self.learning_rate).contains(&self.learning_rate_end) {
            return bad(
                "learning_rate_end",
                &self.learning_rate_end,
                "0 to `learning_rate`",
            );
        }
        for (key, value) in [("minutes", self.minutes), ("clip_norm", self.clip_norm)] {
            if !(value >= 0.0 && value.is_finite()) {
                return bad(key, &value, "0 or more");
            }
        }
        if !(1..=1024).contains(&self.batch) {
            return bad("batch", &self.batch, "1 to 1024");
        }
        if self.frozen_warps > 10_000 {
            return bad("frozen_warps", &self.frozen_warps, "0 to 10000");
        }
        if self.workers > 256 {
            return bad("workers", &self.workers, "0 to 256");
        }
        if !(1..=1000).contains(&self.keep) {
            return bad("keep", &self.keep, "1 to 1000");
        }
        Ok(())
    }
}

fn unknown(key: &str, known: &Value) -> Error {
    let names = known
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone());
    let nearest = names
        .map(|name| (edit_distance(key, &name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 2)
        .map(|(_, name)| name);
    Error::UnknownSetting {
        key: key.chars().take(80).collect(),
        nearest,
    }
}

/// Levenshtein's distance of two short texts.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_layers_win_and_the_rest_is_default() {
        let layers = [
            json!({"batch": 8, "steps": 5}),
            Value::Null,
            json!({"batch": 4}),
        ];
        let settings = TrainSettings::resolve(&layers).unwrap();
        let wanted = TrainSettings {
            batch: 4,
            steps: 5,
            ..TrainSettings::default()
        };
        assert_eq!(settings, wanted);
        let again = TrainSettings::resolve(&[serde_json::to_value(&settings).unwrap()]);
        assert_eq!(again.unwrap(), settings);
    }

    #[test]
    fn mistakes_say_what_would_do() {
        let message = |layer| TrainSettings::resolve(&[layer]).unwrap_err().to_string();
        assert_eq!(
            message(json!({"learningrate": 1})),
            "There is no training setting `learningrate`; the nearest is `learning_rate`"
        );
        assert_eq!(
            message(json!({"beta1": 1.0})),
            "Training setting `beta1` is 1, but 0 to below 1 is wanted"
        );
        assert!(message(json!({"batch": "many"})).contains("many"));
        for bad in [
            json!({"batch": 0}),
            json!({"learning_rate": 0}),
            json!({"learning_rate_end": 0.5}),
            json!({"save_every": 0}),
            json!({"minutes": -1.0}),
            json!({"keep": 0}),
            json!({"workers": 257}),
            json!({"mask_weight": 1000}),
            json!({"ssim_share": 1.5}),
            json!([1]),
        ] {
            assert!(
                TrainSettings::resolve(std::slice::from_ref(&bad)).is_err(),
                "{bad}"
            );
        }
    }
}
