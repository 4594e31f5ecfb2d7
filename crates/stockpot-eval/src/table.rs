//! The result as aligned columns for people.

use crate::bench::Reply;
use crate::outcome::{Better, Measure};

/// A number with as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// The goal with its direction; empty without one.
pub(crate) fn goal(measure: &Measure) -> String {
    let sign = match measure.better {
        Better::Lower => "≤",
        Better::Higher => "≥",
    };
    measure
        .goal
        .map_or_else(String::new, |g| format!("{sign} {}", number(g)))
}

/// `yes`, `no`, or nothing without a goal.
pub(crate) fn reached(measure: &Measure) -> &'static str {
    match measure.reached() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
}

/// Least and most of several seeds, such as `0.1 to 0.2`; nothing for one seed.
pub(crate) fn spread(measure: &Measure) -> String {
    measure.spread().map_or_else(String::new, |(least, most)| {
        format!("{} to {}", number(least), number(most))
    })
}

/// The seeds in words: `seed 7`, or `seeds 7 to 9, medians`.
pub(crate) fn seeds(reply: &Reply) -> String {
    match reply.seeds {
        0 | 1 => format!("seed {}", reply.seed),
        n => format!(
            "seeds {} to {}, medians",
            reply.seed,
            reply.seed.wrapping_add(u64::from(n) - 1)
        ),
    }
}

fn toys(measure: &Measure) -> String {
    let all = measure.toys.iter();
    let words: Vec<String> = all
        .map(|t| format!("{} {}", t.name, number(t.value)))
        .collect();
    words.join(", ")
}

/// The whole table.
pub(crate) fn text(reply: &Reply) -> String {
    let head = [
        "track",
        "measure",
        "value",
        if reply.seeds > 1 { "least to most" } else { "" },
        "unit",
        "goal",
        "reached",
        "toys",
    ];
    let mut rows: Vec<[String; 8]> = vec![head.map(str::to_owned)];
    for outcome in &reply.outcomes {
        let name = format!("{} {}", outcome.track, outcome.title);
        if outcome.measures.is_empty() {
            let mut row: [String; 8] = Default::default();
            row[0] = name;
            row[1].clone_from(&outcome.note);
            rows.push(row);
            continue;
        }
        for (i, measure) in outcome.measures.iter().enumerate() {
            rows.push([
                if i == 0 { name.clone() } else { String::new() },
                measure.name.clone(),
                number(measure.value),
                spread(measure),
                measure.unit.to_owned(),
                goal(measure),
                reached(measure).to_owned(),
                toys(measure),
            ]);
        }
    }
    let widths: [usize; 8] = std::array::from_fn(|c| {
        // A line without numbers may be as long as it likes.
        let filled = rows.iter().filter(|r| c != 1 || !r[2].is_empty());
        filled.map(|r| r[c].chars().count()).max().unwrap_or(0)
    });
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            // The column of spreads is there only with several seeds.
            .filter(|(c, _)| *c != 3 || widths[3] > 0)
            .map(|(c, cell)| match c {
                2 => format!("{cell:>width$}", width = widths[c]),
                _ => format!("{cell:width$}", width = widths[c]),
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out.push('\n');
    for outcome in reply.outcomes.iter().filter(|o| !o.measures.is_empty()) {
        if !outcome.note.is_empty() {
            out.push_str(&format!("{}: {}\n", outcome.track, outcome.note));
        }
    }
    let effort = format!("{:?}", reply.effort).to_lowercase();
    out.push_str(&format!(
        "{}, {effort}, {:.1} minutes on {}\n",
        seeds(reply),
        reply.seconds / 60.0,
        reply.machine
    ));
    if let Some(page) = &reply.page {
        out.push_str(&format!("page: {}\n", page.display()));
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bench::{Effort, People};
    use crate::outcome::{Outcome, Toy};

    pub(crate) fn sample() -> Reply {
        let measure = |name: &str, value, goal| {
            Measure::new(name, "of 1", value, Better::Lower)
                .with_toys(vec![Toy {
                    name: "copy the target",
                    value: 0.12,
                }])
                .with_goal(goal)
        };
        let outcome = |track, title, measures, note: &str| Outcome {
            track,
            title,
            measures,
            note: note.into(),
            seconds: 1.0,
        };
        Reply {
            stockpot: "0",
            machine: "a machine".into(),
            command: "stockpot eval".into(),
            seed: 7,
            seeds: 1,
            effort: Effort::Quick,
            people: People::Rendered,
            outcomes: vec![
                outcome(
                    "T1",
                    "reconstruct",
                    vec![
                        measure("MAE", 0.03, Some(0.035)),
                        measure("long name", 20.0, None),
                    ],
                    "both persons",
                ),
                outcome(
                    "T3",
                    "warm start",
                    Vec::new(),
                    "not yet: issue 6 brings it, as its long text says",
                ),
            ],
            failed: Vec::new(),
            seconds: 90.0,
            page: None,
            examples: Vec::new(),
        }
    }

    #[test]
    fn columns_are_aligned() {
        let text = text(&sample());
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[0].find("unit").unwrap();
        assert_eq!(lines[1].find("of 1"), Some(at));
        assert_eq!(lines[2].find("of 1"), Some(at));
        assert!(lines[1].contains("≤ 0.0350") && lines[1].contains("yes"));
        assert!(lines[1].ends_with("copy the target 0.1200"));
        assert!(lines[3].starts_with("T3 warm start") && lines[3].ends_with("long text says"));
        assert!(text.contains("T1: both persons") && text.contains("seed 7, quick, 1.5 minutes"));
        assert!(lines.iter().all(|l| !l.ends_with(' ')));
        assert!(!text.contains("least"));
    }

    #[test]
    fn several_seeds_show_their_spread() {
        let mut reply = sample();
        reply.seeds = 3;
        reply.outcomes[0].measures[0].per_seed = vec![0.02, 0.03, 0.05];
        let text = text(&reply);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines[0].find("least to most").unwrap();
        assert_eq!(lines[1].find("0.0200 to 0.0500"), Some(at));
        assert!(text.contains("seeds 7 to 9, medians, quick"));
    }
}
