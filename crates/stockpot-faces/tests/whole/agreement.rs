//! Outputs against those of other runtimes, made by `scripts/reference/face_models.py`.

use crate::{data, models};

#[derive(serde::Deserialize)]
struct Reference {
    outputs: Vec<Output>,
}

/// Every `stride`-th number of an output.
#[derive(serde::Deserialize)]
struct Output {
    length: usize,
    stride: usize,
    values: Vec<f32>,
}

/// The same formula as `pattern` in the script.
fn pattern(side: usize, low: f64, high: f64, into: &mut [f32]) {
    assert_eq!(into.len(), side * side * 3);
    for (at, out) in into.iter_mut().enumerate() {
        let c = (at % 3) as f64;
        let u = ((at / 3 % side) as f64 + 0.5) / side as f64;
        let v = ((at / 3 / side) as f64 + 0.5) / side as f64;
        let wave = (9.0 * u + 2.0 * c).sin() * (7.0 * v - c).cos();
        let blob = (-8.0 * ((u - 0.5).powi(2) + (v - 0.45).powi(2))).exp();
        let unit = (0.4 + 0.2 * wave + 0.4 * blob).clamp(0.0, 1.0);
        *out = (low + (high - low) * unit) as f32;
    }
}

/// Fails unless the outputs are within `tolerance` of the reference, relative to its largest number.
fn check(name: &str, outputs: &[&[f32]], tolerance: f32) {
    let text = std::fs::read_to_string(data(&format!("{name}.json"))).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(reference.outputs.len(), outputs.len());
    for (index, (wanted, found)) in reference.outputs.iter().zip(outputs).enumerate() {
        assert_eq!(wanted.length, found.len(), "{name} output {index}");
        let largest = wanted.values.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        let found = found.iter().step_by(wanted.stride);
        assert_eq!(found.clone().count(), wanted.values.len());
        let worst = found
            .zip(&wanted.values)
            .map(|(a, b)| (a - b).abs() / largest)
            .fold(0.0f32, f32::max);
        println!("{name} output {index}: largest difference {worst:.1e} of {largest:.3}");
        assert!(worst < tolerance, "{name} output {index}: {worst}");
    }
}

#[test]
fn detector_agrees_with_litert() {
    let Some(mut models) = models() else { return };
    let network = models.detector.network_mut();
    pattern(192, -1.0, 1.0, network.input_mut());
    network.run();
    check("detector", &[network.output(0), network.output(1)], 1e-3);
}

#[test]
fn landmarks_agree_with_litert() {
    let Some(mut models) = models() else { return };
    let network = models.landmarker.network_mut();
    pattern(192, 0.0, 1.0, network.input_mut());
    network.run();
    check("landmarks", &[network.output(0), network.output(1)], 1e-3);
}

#[test]
fn identity_agrees_with_numpy() {
    let Some(mut models) = models() else { return };
    let network = models.embedder.network_mut();
    pattern(150, -0.45, 0.55, network.input_mut());
    let found = network.run();
    check("identity", &[&found], 1e-3);
    // A second run and a clone give the same numbers to the bit.
    assert_eq!(network.run(), found);
    let mut clone = network.clone();
    clone.input_mut().copy_from_slice(network.input_mut());
    assert_eq!(clone.run(), found);
}
