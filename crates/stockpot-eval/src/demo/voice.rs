//! A voice for a made-up person: nobody's, and no words, but it moves with the mouth.
//!
//! A row of glottal pulses goes through three resonators (the source-filter model of speech: Fant,
//! *Acoustic Theory of Speech Production*, 1960). An open jaw raises the first formant and loudness,
//! rounded lips lower the second.

use stockpot_core::Rng;
use stockpot_synth::Moment;
use stockpot_synth::assets::FACE_UNITS;

/// Samples a second: enough for a voice.
pub(super) const HERTZ: u32 = 24_000;
/// Bandwidths of the three formants, Hz.
const BANDWIDTHS: [f32; 3] = [80.0, 110.0, 170.0];
/// Third formant, Hz; it hardly moves.
const THIRD_HERTZ: f32 = 2700.0;

/// One person's voice, made sample by sample.
pub(super) struct Voice {
    pitch_hertz: f32,
    rng: Rng,
    phase: f32,
    seconds: f32,
    /// The two sounds before, of each resonator.
    before: [[f32; 2]; 3],
    /// Openness and roundness at the end of the frame before.
    mouth: [f32; 2],
}

impl Voice {
    /// The voice of the person of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::stream(seed, "voice", 0);
        Self {
            pitch_hertz: rng.range(95.0, 210.0),
            rng,
            phase: 0.0,
            seconds: 0.0,
            before: [[0.0; 2]; 3],
            mouth: [0.0; 2],
        }
    }

    /// The sound of one frame, −1 to 1, leading from the mouth of the frame before to this one.
    pub(super) fn frame(&mut self, moment: &Moment, samples: usize) -> Vec<f32> {
        let (from, to) = (self.mouth, mouth(moment));
        self.mouth = to;
        (0..samples)
            .map(|i| {
                let t = i as f32 / samples as f32;
                let [open, round] = [0, 1].map(|k| from[k] + (to[k] - from[k]) * t);
                self.sample(open, round)
            })
            .collect()
    }

    fn sample(&mut self, open: f32, round: f32) -> f32 {
        let step = 1.0 / HERTZ as f32;
        self.seconds += step;
        let sway = 1.0 + 0.03 * (self.seconds * 33.0).sin() + 0.06 * (self.seconds * 2.3).sin();
        self.phase += self.pitch_hertz * sway * (1.0 + 0.15 * open) * step;
        self.phase -= self.phase.floor();
        // A pulse that opens slowly and shuts at once, and a little breath.
        let pulse = if self.phase < 0.6 {
            (self.phase / 0.6).powi(2) - 0.33
        } else {
            -0.33
        };
        let breath = 0.04 * (self.rng.unit() - 0.5);
        let loud = (open * 3.0).min(1.0).powi(2);
        let mut sound = (pulse + breath) * loud;
        let formants = [300.0 + 550.0 * open, 1900.0 - 1000.0 * round, THIRD_HERTZ];
        for ((hertz, width), before) in formants.iter().zip(BANDWIDTHS).zip(&mut self.before) {
            let turn = std::f32::consts::TAU * step;
            let shrink = (-0.5 * turn * width).exp();
            let (a, b) = (2.0 * shrink * (turn * hertz).cos(), -shrink * shrink);
            sound = (1.0 - a - b) * sound + a * before[0] + b * before[1];
            *before = [sound, before[0]];
        }
        (2.5 * sound).clamp(-0.9, 0.9)
    }
}

/// How far the mouth is open and how round it is, 0 to 1.
fn mouth(moment: &Moment) -> [f32; 2] {
    let weight = |name: &str| {
        let at = FACE_UNITS.iter().position(|u| *u == name);
        at.map_or(0.0, |i| moment.units[i])
    };
    let round = weight("mouthPucker").max(weight("mouthFunnel"));
    [weight("jawOpen").max(0.5 * round), round]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shut_mouth_is_silent_and_an_open_one_sounds() {
        let loudness = |jaw: f32| {
            let mut moment = Moment::neutral();
            let at = FACE_UNITS.iter().position(|u| *u == "jawOpen").unwrap();
            moment.units[at] = jaw;
            let mut voice = Voice::new(5);
            let sound: Vec<f32> = (0..10).flat_map(|_| voice.frame(&moment, 960)).collect();
            assert!(sound.iter().all(|v| v.abs() <= 0.9));
            let end = &sound[4800..];
            (end.iter().map(|v| v * v).sum::<f32>() / end.len() as f32).sqrt()
        };
        assert_eq!(loudness(0.0), 0.0);
        assert!(loudness(0.5) > 0.02, "{}", loudness(0.5));
        assert!(loudness(0.5) > loudness(0.1));
    }
}
