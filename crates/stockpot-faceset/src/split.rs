//! Which faces are held out of training: whole stretches of time, never single frames.
//!
//! Neighbouring frames show nearly the same face; a held-out frame between two training frames
//! would measure memory, not skill. Pure functions of times and a seed.

use stockpot_core::Rng;

use crate::record::Split;

/// Length of a stretch in seconds. Long enough for an expression to come and go.
const STRETCH_SECS: f64 = 2.0;
/// One stretch in this many is held out.
const EVERY: usize = 8;
/// Dropped at both ends inside a held-out stretch, in seconds: three frames at 25 per second. With
/// [`EVERY`] this leaves 11 % of the time.
const GAP_SECS: f64 = 0.12;
/// Sources with fewer faces are all for training.
const FEWEST: usize = 4;
/// A seeded choice outside this share of faces is replaced by the choice nearest to the middle.
const SHARE: (f64, f64) = (0.06, 0.18);

/// What each face of one source is used for, from its time in seconds.
///
/// The time from the first to the last face is cut into stretches of 2 s (an eighth of it, if it is
/// shorter than 16 s). Every eighth stretch is held out, and a gap at each of its ends is not used
/// at all. The seed and the source's name choose where the count starts; if the faces lie so
/// unevenly that this would hold out hardly any or very many, the start nearest to 11 % is taken.
pub fn split_by_time(secs: &[f64], seed: u64, source_name: &str) -> Vec<Split> {
    if secs.len() < FEWEST {
        return vec![Split::Train; secs.len()];
    }
    let start = secs.iter().copied().fold(f64::INFINITY, f64::min);
    let end = secs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let stretch = STRETCH_SECS.min((end - start) / EVERY as f64);
    if !stretch.is_finite() || stretch <= 0.0 {
        return vec![Split::Train; secs.len()];
    }
    let seeded = Rng::stream(seed, source_name, 0).below(EVERY);
    let by_phase = |phase| split_at(secs, start, stretch, phase);
    let first = by_phase(seeded);
    let share = held_share(&first);
    if (SHARE.0..=SHARE.1).contains(&share) {
        return first;
    }
    let middle = f64::midpoint(SHARE.0, SHARE.1);
    let mut best = (first, miss(share, middle));
    for phase in 0..EVERY {
        let split = by_phase(phase);
        let off = miss(held_share(&split), middle);
        if off < best.1 {
            best = (split, off);
        }
    }
    best.0
}

/// How far a share is from the wanted one; nothing held out is worst of all.
fn miss(share: f64, wanted: f64) -> f64 {
    if share == 0.0 {
        f64::INFINITY
    } else {
        (share - wanted).abs()
    }
}

fn held_share(split: &[Split]) -> f64 {
    let held = split.iter().filter(|s| **s == Split::HeldOut).count();
    held as f64 / split.len() as f64
}

fn split_at(secs: &[f64], start: f64, stretch: f64, phase: usize) -> Vec<Split> {
    let gap = GAP_SECS.min(stretch / 8.0);
    let of = |secs: &f64| {
        let place = (secs - start) / stretch;
        let number = place.floor();
        if number as usize % EVERY != phase {
            return Split::Train;
        }
        let inside = (place - number) * stretch;
        if inside < gap || inside > stretch - gap {
            Split::Unused
        } else {
            Split::HeldOut
        }
    };
    secs.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize, fps: f64) -> Vec<f64> {
        (0..count).map(|i| 3.0 + i as f64 / fps).collect()
    }

    fn share(split: &[Split], of: Split) -> f64 {
        split.iter().filter(|s| **s == of).count() as f64 / split.len() as f64
    }

    #[test]
    fn long_sources_hold_out_about_a_ninth() {
        for name in ["a.mp4", "b.mp4", "c.mov", "d.mkv", "e"] {
            let split = split_by_time(&frames(25 * 160, 25.0), 1, name);
            let held = share(&split, Split::HeldOut);
            assert!((0.10..=0.125).contains(&held), "{name}: {held}");
            assert!(share(&split, Split::Unused) < 0.02);
        }
    }

    #[test]
    fn held_out_and_training_faces_never_touch() {
        let times = frames(2000, 25.0);
        let split = split_by_time(&times, 5, "clip.mp4");
        for apart in 1..3 {
            for (i, (a, b)) in split.iter().zip(&split[apart..]).enumerate() {
                let is_mixed = (*a == Split::HeldOut && *b == Split::Train)
                    || (*a == Split::Train && *b == Split::HeldOut);
                assert!(!is_mixed, "frames {i} and {}", i + apart);
            }
        }
    }

    #[test]
    fn short_sources_hold_out_a_stretch_too() {
        for count in [8, 16, 50, 250] {
            for seed in 0..10 {
                let split = split_by_time(&frames(count, 25.0), seed, "short.mp4");
                let held = share(&split, Split::HeldOut);
                assert!(
                    held > 0.0 && held <= 0.25,
                    "{count} frames, seed {seed}: {held}"
                );
            }
        }
        assert!(
            split_by_time(&frames(3, 25.0), 0, "x")
                .iter()
                .all(|s| *s == Split::Train)
        );
        assert!(
            split_by_time(&[1.0; 9], 0, "x")
                .iter()
                .all(|s| *s == Split::Train)
        );
    }

    #[test]
    fn uneven_sources_are_balanced() {
        // Two bursts with a long pause between them: most stretches are empty.
        let mut times = frames(100, 25.0);
        times.extend(frames(100, 25.0).iter().map(|t| t + 100.0));
        for seed in 0..20 {
            let held = share(&split_by_time(&times, seed, "bursts"), Split::HeldOut);
            assert!(held > 0.0 && held < 0.5, "{held}");
        }
    }

    #[test]
    fn seed_and_name_decide_and_nothing_else() {
        let times = frames(1000, 25.0);
        let of = |seed, name| split_by_time(&times, seed, name);
        assert_eq!(of(1, "a"), of(1, "a"));
        assert!((0..20).any(|s| of(s, "a") != of(1, "a")));
        assert!(["b", "c", "d", "e"].iter().any(|n| of(1, n) != of(1, "a")));
    }
}
