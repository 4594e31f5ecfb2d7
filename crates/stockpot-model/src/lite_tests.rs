//! Folding and its gradient against sums in f64 and finite differences.

use super::*;
use crate::plan::Plan;
use crate::trunk::Trunk;

/// Sizes off every register's width.
fn small() -> Lite {
    let mut layout = Layout::default();
    for (name, shape) in [
        ("decoder.seed.weight", vec![7, 35]),
        ("decoder.seed.bias", vec![35]),
        ("decoder.up1.weight", vec![3, 3, 11, 19]),
        ("decoder.up1.bias", vec![19]),
        ("decoder.head.weight", vec![3, 3, 5, 4]),
        ("decoder.head.bias", vec![4]),
    ] {
        layout.push(name.into(), shape, Init::Zero);
    }
    Lite::of_layout(Arc::new(layout), 3, |name| !name.contains("head")).unwrap()
}

fn noise(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::stream(4, "lite tests", stream);
    (0..len).map(|_| rng.normal()).collect()
}

/// `W0 · diag(1 + g) + D · U` for every shared matrix, everything else copied, in f64.
fn folded_f64(lite: &Lite, base: &[f32], person: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; lite.full_layout().len()];
    let own = |name: &str| {
        let specs = lite.layout().specs();
        let spec = specs.iter().find(|s| s.name == name);
        spec.map(|s| &person[s.range()])
    };
    for spec in lite.full_layout().specs() {
        let out = &mut out[spec.range()];
        if let Some(copied) = own(&spec.name) {
            out.copy_from_slice(copied);
            continue;
        }
        let stem = spec.name.trim_end_matches(".weight");
        let array = |what: &str| own(&format!("{stem}.{what}")).unwrap();
        let (down, up, gain) = (array("down"), array("up"), array("gain"));
        let (columns, rank) = (gain.len(), lite.rank());
        for (i, out) in out.iter_mut().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let product = (0..rank).map(|k| down[row * rank + k] * up[k * columns + column]);
            let base = f64::from(base[spec.offset + i]);
            *out = base * (1.0 + gain[column]) + product.sum::<f64>();
        }
    }
    out
}

#[test]
fn it_folds_as_the_formula_says() {
    let lite = small();
    let base = noise(lite.full_layout().len(), 0);
    let person = noise(lite.layout().len(), 1);
    let exact: Vec<f64> = person.iter().map(|v| f64::from(*v)).collect();
    let wanted = folded_f64(&lite, &base, &exact);
    let mut found = vec![f32::NAN; base.len()];
    lite.fold(&base, &person, &mut found);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((f64::from(*found) - wanted).abs() < 1e-4);
    }
}

/// The gradient of `sum(c · W)` by every one of the person's numbers.
#[test]
fn the_gradient_is_that_of_finite_differences() {
    let lite = small();
    let base = noise(lite.full_layout().len(), 2);
    let person = noise(lite.layout().len(), 3);
    let gradient = noise(base.len(), 4);
    let before = noise(person.len(), 5);
    let mut found = before.clone();
    lite.project(&base, &person, &gradient, &mut found);
    let value = |person: &[f64]| {
        let folded = folded_f64(&lite, &base, person);
        let pairs = folded.iter().zip(&gradient);
        pairs.map(|(w, c)| w * f64::from(*c)).sum::<f64>()
    };
    let exact: Vec<f64> = person.iter().map(|v| f64::from(*v)).collect();
    for (i, (found, before)) in found.iter().zip(&before).enumerate() {
        let at = |step: f64| {
            let mut moved = exact.clone();
            moved[i] += step;
            value(&moved)
        };
        let wanted = (at(0.5) - at(-0.5)) + f64::from(*before);
        assert!((f64::from(*found) - wanted).abs() < 2e-4, "{i}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let lite = Lite::new(Family::COMB[0], RANK).unwrap();
    let base = noise(lite.full_layout().len(), 6);
    let person = noise(lite.layout().len(), 7);
    let go = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut folded = vec![0.0; base.len()];
            lite.fold(&base, &person, &mut folded);
            let mut gradient = vec![0.0; person.len()];
            lite.project(&base, &person, &folded, &mut gradient);
            (folded, gradient)
        })
    };
    assert_eq!(go(1), go(3));
}

/// Somebody who begins as one of a trunk's people draws what they draw, to the bit.
#[test]
fn a_person_starts_exactly_as_somebody_of_the_trunk() {
    let family = Family::COMB[0];
    let trunk = Trunk::new(family, 5).unwrap();
    let params = trunk.init(3);
    let base = trunk.person(&params, &[0.0; 5]).unwrap();
    let match_of = trunk.person(&params, &[0.5, -1.0, 0.25, 2.0, 0.0]).unwrap();
    assert_ne!(base, match_of);
    let lite = Lite::new(family, RANK).unwrap();
    let start = lite.start(&match_of, 9).unwrap();
    assert_eq!(lite.folded(&base, &start).unwrap(), match_of);
    let mut plan = Plan::inference(trunk.network().decoder().clone(), 1);
    plan.load(&lite.folded(&base, &start).unwrap());
    assert!(plan.forward(&[0.1; 384]).iter().all(|v| v.is_finite()));
    // It has somewhere to go from there: the first gradient of `up` is not zero.
    let ones = vec![1.0; base.data.len()];
    let mut gradient = vec![0.0; start.data.len()];
    lite.project(&base.data, &start.data, &ones, &mut gradient);
    let up = lite
        .layout()
        .specs()
        .iter()
        .find(|s| s.name == "decoder.seed.up");
    assert!(gradient[up.unwrap().range()].iter().any(|g| *g != 0.0));
}

#[test]
fn sizes_are_small_and_last_stages_private() {
    for family in Family::COMB {
        let lite = Lite::new(family, RANK).unwrap();
        let (own, full) = (lite.layout().len(), lite.full_layout().len());
        assert!(
            2 * own < 1_000_000 && 8 * own < full,
            "{family}: {own} of {full}"
        );
        let has = |name: &str| lite.layout().specs().iter().any(|s| s.name == name);
        assert!(has("decoder.head.weight") && has("decoder.up1.down"));
        assert!(!has("decoder.up1.weight") && !has("decoder.seed.weight"));
    }
    let last = Lite::new(Family::DEFAULT, RANK).unwrap();
    let has = |name: &str| last.layout().specs().iter().any(|s| s.name == name);
    assert!(has("decoder.mix4.weight") && has("decoder.up5.weight") && has("decoder.mix3.up"));
    assert!(Lite::new(Family::CLASSIC, RANK).is_none());
    for rank in [0, MOST_RANK + 1] {
        assert!(Lite::new(Family::DEFAULT, rank).is_none());
    }
}
