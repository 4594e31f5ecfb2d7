//! The settings of a run, from what was asked for by flag and by name, and what a resumed run may
//! change. Nothing that was asked for is passed over silently.

use serde_json::{Map, Value, json};
use stockpot_train::TrainSettings;

use super::Settings;
use crate::error::JobError;

/// What the batches so far were made with: changing it would make other batches of the same numbers.
const FIXED: [&str; 3] = ["seed", "batch", "frozen_warps"];

/// What ends a run.
const LIMITS: [&str; 3] = ["steps", "minutes", "until_plateau"];

/// Of a run that begins.
pub(super) fn of_new_run(seed: u64, asked: &Settings) -> Result<TrainSettings, JobError> {
    let mut flags = flags(asked);
    // One seed for everything that is chosen at random, so it has one flag.
    flags.insert("seed".into(), json!(seed));
    let said = |value: &Value| *value != json!(false);
    let has_limit = |name: &str| flags.get(name).or(asked.more.get(name)).is_some_and(said);
    if !LIMITS.iter().any(|name| has_limit(name)) {
        flags.insert("minutes".into(), json!(30.0));
    }
    check_twice(&flags, &asked.more)?;
    let mut settings = TrainSettings::resolve(&[asked.more.clone(), Value::Object(flags)])?;
    settings.precision = settings.precision.settle()?;
    Ok(settings)
}

/// Of a run that goes on with the settings `before`, and in words what is no longer as it was.
pub(super) fn of_resumed_run(
    before: &TrainSettings,
    asked: &Settings,
) -> Result<(TrainSettings, Vec<String>), JobError> {
    let unreadable = |e| JobError::failed(format!("Cannot describe the settings: {e}"));
    let before = serde_json::to_value(before).map_err(unreadable)?;
    let defaults = serde_json::to_value(TrainSettings::default()).map_err(unreadable)?;
    let mut flags = flags(asked);
    check_twice(&flags, &asked.more)?;
    // A limit by flag takes the place of all that the run had.
    if LIMITS.iter().any(|name| flags.contains_key(*name)) {
        for name in LIMITS {
            flags.entry(name).or_insert(defaults[name].clone());
        }
    }
    let flags = Value::Object(flags);
    let mut settings = TrainSettings::resolve(&[before.clone(), asked.more.clone(), flags])?;
    settings.precision = settings.precision.settle()?;
    let after = serde_json::to_value(&settings).map_err(unreadable)?;
    let names = after.as_object().into_iter().flat_map(Map::keys);
    let changed: Vec<&String> = names.filter(|n| before[*n] != after[*n]).collect();
    if let Some(name) = changed.iter().find(|n| FIXED.contains(&n.as_str())) {
        return Err(JobError::usage(format!(
            "The run was begun with {name}={}; going on with {} would be another run",
            before[*name], after[*name]
        ))
        .with_hint(format!(
            "leave {name} out, or begin a new run: it starts from what the library has"
        )));
    }
    let words = changed
        .iter()
        .map(|n| format!("{n}={} instead of {}", after[*n], before[*n]));
    Ok((settings, words.collect()))
}

/// What has a flag of its own and was given.
fn flags(asked: &Settings) -> Map<String, Value> {
    let given = [
        ("steps", asked.steps.map(|v| json!(v))),
        ("minutes", asked.minutes.map(|v| json!(v))),
        ("until_plateau", asked.until_plateau.then(|| json!(true))),
        ("batch", asked.batch.map(|v| json!(v))),
        ("precision", asked.precision.map(|v| json!(v))),
    ];
    let given = given.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Two answers to one question are nobody's wish.
fn check_twice(flags: &Map<String, Value>, more: &Value) -> Result<(), JobError> {
    for (name, flag) in flags {
        let other = more.get(name).filter(|v| {
            // 5 and 5.0 are the same.
            v.as_f64().is_none() || v.as_f64() != flag.as_f64()
        });
        if let Some(other) = other.filter(|v| *v != flag) {
            return Err(
                JobError::usage(format!("`{name}` is given twice: {flag} and {other}"))
                    .with_hint(format!("leave one of --{name} and --set {name} out")),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stockpot_train::settings::Precision;

    use super::*;

    fn asked(more: Value) -> Settings {
        Settings {
            more,
            precision: Some(Precision::F32),
            ..Settings::default()
        }
    }

    #[test]
    fn names_count_as_much_as_flags() {
        let new = |more| of_new_run(7, &asked(more));
        let plain = new(Value::Null).unwrap();
        assert_eq!(
            (plain.seed, plain.minutes, plain.steps, plain.batch),
            (7, 30.0, 0, 16)
        );
        let named = new(json!({"batch": 8, "steps": 50, "seed": 7})).unwrap();
        assert_eq!((named.minutes, named.steps, named.batch), (0.0, 50, 8));
        assert!(new(json!({"seed": 3})).is_err());
        let flag = Settings {
            batch: Some(4),
            ..asked(json!({"batch": 8}))
        };
        let message = of_new_run(7, &flag).unwrap_err().message;
        assert_eq!(message, "`batch` is given twice: 4 and 8");
        let same = Settings {
            minutes: Some(5.0),
            ..asked(json!({"minutes": 5}))
        };
        assert_eq!(of_new_run(7, &same).unwrap().minutes, 5.0);
        assert!(new(json!({"batches": 8})).is_err());
    }

    #[test]
    fn a_plateau_is_a_limit_like_the_others() {
        let wish = Settings {
            until_plateau: true,
            ..asked(Value::Null)
        };
        let new = of_new_run(0, &wish).unwrap();
        assert!(new.until_plateau && new.minutes == 0.0);
        // A resumed run that is told how far to go does not end at the plateau it had.
        let further = Settings {
            steps: Some(900),
            ..asked(Value::Null)
        };
        let (after, _) = of_resumed_run(&new, &further).unwrap();
        assert_eq!((after.until_plateau, after.steps), (false, 900));
    }

    #[test]
    fn a_resumed_run_changes_what_was_asked_for_and_says_so() {
        let before = TrainSettings {
            precision: Precision::F32,
            minutes: 10.0,
            ..TrainSettings::default()
        };
        let (same, words) = of_resumed_run(&before, &asked(Value::Null)).unwrap();
        assert_eq!((same, words.len()), (before.clone(), 0));
        let wish = Settings {
            steps: Some(500),
            ..asked(json!({"learning_rate": 5e-4}))
        };
        let (after, mut words) = of_resumed_run(&before, &wish).unwrap();
        assert_eq!(
            (after.learning_rate, after.steps, after.minutes),
            (5e-4, 500, 0.0)
        );
        words.sort();
        assert_eq!(
            words,
            [
                "learning_rate=0.0005 instead of 0.001",
                "minutes=0.0 instead of 10.0",
                "steps=500 instead of 0"
            ]
        );
        for fixed in [json!({"seed": 1}), json!({"batch": 8})] {
            let error = of_resumed_run(&before, &asked(fixed)).unwrap_err();
            assert!(error.message.contains("another run"), "{}", error.message);
        }
        assert!(of_resumed_run(&before, &asked(json!({"batch": 16}))).is_ok());
        assert!(of_resumed_run(&before, &asked(json!({"bach": 16}))).is_err());
    }
}
