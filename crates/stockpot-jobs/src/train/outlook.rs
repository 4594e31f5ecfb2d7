//! What more training would bring, in words.

use stockpot_train::RunOutcome;
use stockpot_train::plateau::Outlook;

/// A sentence per person of whom enough was measured.
pub(super) fn words(outcome: &RunOutcome) -> Vec<String> {
    let secs = outcome.trained_secs;
    outcome.outlooks.iter().map(|o| word(o, secs)).collect()
}

fn word(outlook: &Outlook, trained_secs: f64) -> String {
    let Outlook {
        person,
        by_doubling,
        at_best,
        steps,
    } = outlook;
    let (gain, best) = (100.0 * by_doubling, 100.0 * at_best);
    let as_long = match trained_secs / 60.0 {
        minutes if minutes < 1.0 => format!("{trained_secs:.0} s"),
        minutes if minutes < 120.0 => format!("{minutes:.0} min"),
        minutes => format!("{:.1} h", minutes / 60.0),
    };
    if outlook.is_worse() {
        return format!(
            "{person} gets worse on held-out faces: film more, other light and other expressions"
        );
    }
    let verdict = if outlook.is_plateau() {
        ", hardly worth it"
    } else {
        ""
    };
    format!(
        "{person}: {steps} more steps ({as_long}) would lower the held-out loss by about {gain:.1} %, at best {best:.1} %{verdict}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_more_steps_bring() {
        let outlook = |by_doubling: f64, at_best| Outlook {
            person: "anna".parse().unwrap(),
            by_doubling,
            at_best,
            steps: 1500,
        };
        assert_eq!(
            word(&outlook(0.042, 0.051), 372.0),
            "anna: 1500 more steps (6 min) would lower the held-out loss by about 4.2 %, at best 5.1 %"
        );
        assert!(word(&outlook(0.001, 0.004), 10.0).ends_with(
            "(10 s) would lower the held-out loss by about 0.1 %, at best 0.4 %, hardly worth it"
        ));
        assert!(word(&outlook(-0.1, -0.05), 10.0).starts_with("anna gets worse"));
    }
}
