//! Trainings that end before their time: stopped by the user, or killed at any moment.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use stockpot_core::Rng;

use crate::tools::{QUICK, Stock};

/// Times that a training is killed, unless `STOCKPOT_KILLS` says otherwise.
const KILLS: u64 = 3;
/// No commit of these small networks takes longer on a busy machine.
const COMMIT: Duration = Duration::from_millis(600);
/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_training_goes_on_where_it_ended() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let run = stock.ok(&format!("train a d --steps 2 {QUICK}"));
    let id = run["run"].as_str().unwrap();
    let on = stock.ok(&format!("train --resume {id} --steps 3"));
    assert_eq!(on["run"], id);
    assert_eq!(on["steps"], 3);
    // What is asked for beside it is done or refused, never passed over.
    stock.fails(
        &format!("train --resume {id} --steps 4 --set batch=3"),
        2,
        &["batch=", "3 would be another run"],
    );
    stock.fails(
        &format!("train --resume {id} --set learningrate=1"),
        2,
        &["`learning_rate`"],
    );
    assert_eq!(stock.ok("library status")["encoder_steps"], 6 + 3);
    // Nothing more to do is told, and commits nothing.
    let states = stock.ok("library log");
    stock.fails(
        &format!("train --resume {id}"),
        2,
        &["3 steps", "--steps 6"],
    );
    assert_eq!(stock.ok("library log"), states);

    // Killed after its commit, before the run's own note of it.
    let note = stock.path(&format!("stock/runs/{id}/run.json"));
    let before = fs::read(&note).unwrap();
    let told = stock.run(&format!(
        "train --resume {id} --steps 4 --set learning_rate=5e-4"
    ));
    assert!(
        told.err.contains("learning_rate=0.0005 instead of 0.001"),
        "{}",
        told.err
    );
    fs::write(&note, before).unwrap();
    let on = stock.ok(&format!("train --resume {id} --steps 5"));
    assert_eq!(on["steps"], 5);
    assert_eq!(stock.ok("library status")["encoder_steps"], 6 + 5);

    // Somebody else has committed meanwhile: told before hours are spent.
    stock.ok(&format!("train a --steps 1 {QUICK}"));
    stock.fails(
        &format!("train --resume {id} --steps 6"),
        1,
        &[id, "others have changed the library"],
    );
    stock.fails("train --resume 20200101-000000-abcdef", 1, &["run.json"]);
    stock.is_sound();
}

#[test]
fn a_killed_training_loses_nothing() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let kills = match std::env::var("STOCKPOT_KILLS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => KILLS,
    };
    let often = format!("{QUICK} --set save_every=1");
    let begin = Instant::now();
    stock.ok(&format!("train a d --steps 4 {often}"));
    let mut longest = begin.elapsed();
    let mut rng = Rng::stream(0, "kills", 0);
    let mut run: Option<String> = None;
    let mut kill = 0;
    while kill < kills {
        if kill % 3 == 0 {
            // Of three kills one hits a new run, the others mostly one that had gone on before.
            stock.clear("stock/runs");
            run = None;
        }
        let (line, last) = match &run {
            Some(id) => {
                let last = newest(&stock, id).unwrap() + 3;
                (format!("train --resume {id} --steps {last}"), last)
            }
            None => (format!("train a d --steps 4 {often}"), 4),
        };
        // Every second kill looks for the commit, which is short and comes after the last step.
        let moment = match kill % 2 {
            0 => Moment::After(longest.mul_f32(rng.unit())),
            _ => Moment::Behind(last, COMMIT.mul_f32(rng.unit())),
        };
        let begin = Instant::now();
        let ended = kill_at(&stock, &line, &moment);
        if let Some(code) = ended.code() {
            // It was quicker than the kill, which does not count.
            assert_eq!(code, 0, "{line}");
            longest = longest.min(begin.elapsed());
            run = run.or_else(|| stock.list("stock/runs").pop());
            continue;
        }
        kill += 1;
        stock.is_sound();
        let killed = run.or_else(|| stock.list("stock/runs").pop());
        let step = killed.as_ref().and_then(|id| newest(&stock, id));
        match (&killed, step) {
            (Some(id), Some(step)) => go_on(&stock, id, step),
            (Some(id), None) => never_began(&stock, id),
            (None, _) => {}
        }
        eprintln!("kill {kill}, {moment:?}: sound, checkpoint {step:?}; `{line:.24}…`");
        run = killed.filter(|_| step.is_some());
        if run.is_none() {
            stock.clear("stock/runs");
        }
    }
    stock.is_sound();
}

/// When a training is killed.
#[derive(Debug)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after the checkpoint of this step.
    Behind(u64, Duration),
}

/// Starts a training and kills it, unless it ends before.
fn kill_at(stock: &Stock, line: &str, moment: &Moment) -> ExitStatus {
    let begin = Instant::now();
    let mut child = stock.start(line);
    let stands = |step: u64| {
        let runs = stock.list("stock/runs");
        runs.last().and_then(|id| newest(stock, id)) == Some(step)
    };
    let mut since = match moment {
        Moment::After(_) => Some(begin),
        Moment::Behind(..) => None,
    };
    while child.try_wait().unwrap().is_none() {
        match moment {
            Moment::Behind(step, _) if since.is_none() && stands(*step) => {
                since = Some(Instant::now());
            }
            Moment::After(wait) | Moment::Behind(_, wait) => {
                if since.is_some_and(|since| since.elapsed() >= *wait) {
                    break;
                }
            }
        }
        assert!(begin.elapsed() < PATIENCE, "{line} does not end");
        sleep(Duration::from_millis(5));
    }
    // Harmless to one that has just ended.
    let _ = child.kill();
    child.wait().unwrap()
}

/// Goes one step beyond the newest checkpoint of a killed run.
fn go_on(stock: &Stock, id: &str, step: u64) {
    let steps = step + 1;
    let reply = stock.ok(&format!("train --resume {id} --steps {steps}"));
    assert_eq!(reply["steps"], steps);
    assert_eq!(stock.ok("library status")["encoder"], reply["encoder"]);
    stock.is_sound();
}

/// A run without a checkpoint has nothing to go on from, and says so.
fn never_began(stock: &Stock, id: &str) {
    let outcome = stock.run(&format!("train --resume {id} --quiet"));
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    // Killed even before its description was written, it is no run at all.
    let told = ["before its first checkpoint", "run.json"];
    let one = told.iter().any(|words| outcome.err.contains(words));
    assert!(one && outcome.err.contains("hint: "), "{}", outcome.err);
}

/// The step of the newest checkpoint of a run.
fn newest(stock: &Stock, id: &str) -> Option<u64> {
    let folder = format!("stock/runs/{id}/checkpoints");
    if !stock.path(&folder).exists() {
        return None;
    }
    let steps = stock.list(&folder).into_iter().filter_map(|name| {
        let step = name.strip_prefix("ckpt-")?.strip_suffix(".stock")?;
        step.parse().ok()
    });
    steps.max()
}

#[test]
fn ctrl_c_keeps_what_was_learned() {
    let Some((stock, replies)) = Stock::trained() else {
        return;
    };
    let mut child = stock.start(&format!(
        "train a d --minutes 60 {QUICK} --set save_every=1"
    ));
    // The first step has been made when its checkpoint stands.
    let runs = stock.path("stock/runs");
    wait_for("a checkpoint", || {
        let id = runs.exists().then(|| stock.list("stock/runs").pop())??;
        newest(&stock, &id).filter(|step| *step > 0)
    });
    interrupt(&child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    let log = stock.ok("library log");
    assert_eq!(log.as_array().unwrap().len(), 6, "{log:#}");
    let status = stock.ok("library status");
    assert_ne!(status["encoder"], replies.trained["encoder"]);
    assert!(status["encoder_steps"].as_u64().unwrap() > 6);
    stock.is_sound();
}

#[test]
fn ctrl_c_leaves_no_half_video() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.ffmpeg("-stream_loop 9 -i a.mp4 -c copy long.mp4");
    let files = stock.list(".");
    let mut child = stock.start("swap long.mp4 --to d -o out.mp4");
    let part = stock.path("out.mp4.video.part");
    wait_for("the output", || part.exists().then_some(()));
    sleep(Duration::from_secs(1));
    interrupt(&child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(stock.list("."), files);
    stock.is_sound();
}

/// Sends what Ctrl-C sends.
fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}
