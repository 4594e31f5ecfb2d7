//! One result of several: the same tracks over the people of several seeds, as medians with their
//! spread. Start with [`together`].

use crate::outcome::{Measure, Outcome};

/// The outcomes of all seeds as one. Tracks are the same in all of them; a measure that a seed does
/// not have is not a number there, and the median is of those that have it. Goals and toys become
/// medians too. One seed alone stays as it is.
pub(crate) fn together(mut runs: Vec<(u64, Vec<Outcome>)>) -> Vec<Outcome> {
    if runs.len() < 2 {
        return runs.pop().map_or_else(Vec::new, |r| r.1);
    }
    let tracks = runs.iter().map(|(_, outcomes)| outcomes.len()).min();
    (0..tracks.unwrap_or(0))
        .map(|t| {
            let all: Vec<(u64, &Outcome)> = runs
                .iter()
                .map(|(seed, outcomes)| (*seed, &outcomes[t]))
                .collect();
            of_track(&all)
        })
        .collect()
}

fn of_track(all: &[(u64, &Outcome)]) -> Outcome {
    let mut names: Vec<&Measure> = Vec::new();
    for measure in all.iter().flat_map(|(_, o)| &o.measures) {
        if !names.iter().any(|m| m.name == measure.name) {
            names.push(measure);
        }
    }
    let measures = names.into_iter().map(|m| of_measure(m, all)).collect();
    let (_, first) = all[0];
    Outcome {
        track: first.track,
        title: first.title,
        measures,
        note: notes(all),
        seconds: all.iter().map(|(_, o)| o.seconds).sum(),
    }
}

fn of_measure(one: &Measure, all: &[(u64, &Outcome)]) -> Measure {
    let found: Vec<Option<&Measure>> = all
        .iter()
        .map(|(_, o)| o.measures.iter().find(|m| m.name == one.name))
        .collect();
    let each = |of: &dyn Fn(&Measure) -> Option<f64>| -> Vec<f64> {
        let value = |m: &Option<&Measure>| m.and_then(of).unwrap_or(f64::NAN);
        found.iter().map(value).collect()
    };
    let per_seed = each(&|m| Some(m.value));
    let toys = one.toys.iter().map(|toy| {
        let same = |m: &Measure| m.toys.iter().find(|t| t.name == toy.name).map(|t| t.value);
        let mut toy = toy.clone();
        toy.value = median(&each(&same));
        toy
    });
    Measure {
        name: one.name.clone(),
        unit: one.unit,
        value: median(&per_seed),
        better: one.better,
        toys: toys.collect(),
        goal: one.goal.map(|_| median(&each(&|m| m.goal))),
        per_seed,
    }
}

/// The first seed's note, and those of others that tell something else.
fn notes(all: &[(u64, &Outcome)]) -> String {
    let mut different: Vec<(u64, &str)> = Vec::new();
    for (seed, outcome) in all {
        if !different.iter().any(|(_, note)| *note == outcome.note) {
            different.push((*seed, &outcome.note));
        }
    }
    match &different[..] {
        [(_, only)] => (*only).to_owned(),
        many => {
            let words: Vec<String> = many
                .iter()
                .map(|(seed, note)| format!("seed {seed}: {note}"))
                .collect();
            words.join(". ")
        }
    }
}

/// The median of what is finite, of an even number the mean of the middle two; not a number for none.
fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => f64::NAN,
        (_, 1) => sorted[half],
        _ => 0.5 * (sorted[half - 1] + sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Better, Toy};

    fn outcome(values: &[(&str, f64, f64)], note: &str) -> Outcome {
        let measure = |(name, value, goal): &(&str, f64, f64)| Measure {
            name: (*name).to_owned(),
            unit: "of 1",
            value: *value,
            better: Better::Lower,
            per_seed: Vec::new(),
            toys: vec![Toy {
                name: "toy",
                value: 10.0 * value,
            }],
            goal: goal.is_finite().then_some(*goal),
        };
        Outcome {
            track: "T1",
            title: "reconstruct",
            measures: values.iter().map(measure).collect(),
            note: note.to_owned(),
            seconds: 2.0,
        }
    }

    #[test]
    fn medians_and_spreads_of_what_each_seed_found() {
        let runs = vec![
            (
                7,
                vec![outcome(&[("a", 3.0, 1.0), ("b", 5.0, f64::NAN)], "note")],
            ),
            (8, vec![outcome(&[("a", 1.0, 2.0)], "note")]),
            (
                9,
                vec![outcome(&[("a", 8.0, 4.0), ("b", 7.0, f64::NAN)], "other")],
            ),
        ];
        let all = together(runs);
        assert_eq!(all.len(), 1);
        let [a, b] = &all[0].measures[..] else {
            panic!("{all:?}");
        };
        assert_eq!((a.value, a.goal, a.toys[0].value), (3.0, Some(2.0), 30.0));
        assert_eq!(a.per_seed, [3.0, 1.0, 8.0]);
        assert_eq!(a.spread(), Some((1.0, 8.0)));
        // The second seed has no b: the mean of the two others.
        assert_eq!((b.value, b.goal, b.spread()), (6.0, None, Some((5.0, 7.0))));
        assert!(b.per_seed[1].is_nan());
        assert_eq!(all[0].note, "seed 7: note. seed 9: other");
        assert_eq!(all[0].seconds, 6.0);
    }

    #[test]
    fn one_seed_stays_as_it_is() {
        let one = outcome(&[("a", 3.0, 1.0)], "note");
        assert_eq!(
            together(vec![(1, vec![one.clone()])]),
            std::slice::from_ref(&one)
        );
        assert_eq!(one.measures[0].spread(), None);
        assert!(together(Vec::new()).is_empty());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[4.0, 1.0, f64::NAN, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[f64::NAN]).is_nan());
    }
}
