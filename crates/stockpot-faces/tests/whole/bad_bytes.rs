//! Broken model files give errors, never panics and never large allocations.

use stockpot_core::Rng;
use stockpot_faces::embed::ResNet;
use stockpot_faces::models;
use stockpot_faces::tflite::Network;

use crate::made_model::made_model;
use crate::models_dir;

/// Reads a file that may be anything, and runs it if it can be read: what a fuzz target would do.
fn try_bytes(bytes: &[u8]) -> bool {
    let Ok(mut network) = Network::from_bytes(bytes) else {
        return false;
    };
    network.input_mut().fill(0.25);
    network.run();
    true
}

fn flip(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut broken = bytes.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(broken.len());
        broken[at] = rng.next_u64() as u8;
    }
    broken
}

#[test]
fn a_made_model_survives_truncation_and_flips() {
    let good = made_model();
    assert!(try_bytes(&good));
    let survivors = (0..good.len()).filter(|n| try_bytes(&good[..*n])).count();
    // Only what pads the end may be missing.
    assert!(survivors < 16, "{survivors}");
    let mut rng = Rng::stream(1, "flips", 0);
    let refused = (0..20_000)
        .filter(|_| !try_bytes(&flip(&good, &mut rng)))
        .count();
    assert!(refused > 2_000, "{refused}");
    assert!(!try_bytes(b"") && !try_bytes(&[0; 64]) && !try_bytes(&[255; 64]));
}

#[test]
fn installed_models_survive_truncation_and_flips() {
    let Some(dir) = models_dir() else { return };
    for file in [models::DETECTOR, models::LANDMARKS] {
        let Ok(good) = std::fs::read(dir.join(file.name)) else {
            eprintln!("skipped: {} is not installed", file.name);
            continue;
        };
        for n in (0..good.len()).step_by(97) {
            // A few bytes at the end belong to no table.
            let is_read = Network::from_bytes(&good[..n]).is_ok();
            assert!(!is_read || n + 64 > good.len(), "{n} bytes");
        }
        // The graph lies behind the weights: flip there, where it matters.
        let mut rng = Rng::stream(2, "flips", 0);
        let tail = good.len().saturating_sub(60_000);
        for _ in 0..150 {
            let mut broken = good.clone();
            let at = if rng.chance(0.5) {
                tail + rng.below(good.len() - tail)
            } else {
                rng.below(60_000)
            };
            broken[at] ^= 1 << rng.below(8);
            // An error, or a network that can be made; running all would take minutes.
            let _ = Network::from_bytes(&broken);
        }
    }
}

#[test]
fn identity_weights_survive_truncation() {
    let Some(dir) = models_dir() else { return };
    let read = |file: models::ModelFile| std::fs::read(dir.join(file.name));
    let (Ok(manifest), Ok(weights)) = (read(models::IDENTITY_MANIFEST), read(models::IDENTITY))
    else {
        eprintln!("skipped: {} is not installed", models::IDENTITY.name);
        return;
    };
    for n in (0..manifest.len()).step_by(97) {
        assert!(ResNet::from_bytes(&manifest[..n], &weights).is_err());
    }
    for n in (0..weights.len()).step_by(970_000) {
        assert!(ResNet::from_bytes(&manifest, &weights[..n]).is_err());
    }
}
