//! The whole way through the jobs, without the program: two videos in, two swapped videos out.
//!
//! `cargo run --release -p stockpot-jobs --example whole_way -- LIBRARY MODELS A.mp4 B.mp4 STEPS OUT`

use std::path::PathBuf;
use std::sync::Arc;

use stockpot_core::{CancelToken, Progress};
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::{Context, JobError, MEDIA_WORKER, extract, init, person, swap, train};

fn main() -> Result<(), JobError> {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|a| a == MEDIA_WORKER) {
        std::process::exit(stockpot_jobs::media_worker(args.skip(1)));
    }
    let args: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let [library, models, a, b, steps, out] = args.as_slice() else {
        return Err(JobError::usage(
            "LIBRARY MODELS A.mp4 B.mp4 STEPS OUT are wanted",
        ));
    };
    let ctx = Context {
        library_dir: library.clone(),
        models_dir: models.clone(),
        worker_exe: std::env::current_exe().map_err(|e| JobError::failed(e.to_string()))?,
        progress: Arc::new(|p: Progress| match p {
            Progress::Step { done, note } if done % 10 == 0 => eprintln!("{done} {note}"),
            Progress::Step { .. } => {}
            other => eprintln!("{other:?}"),
        }),
        cancel: CancelToken::new(),
        seed: 1,
    };
    let names = ["a", "b"].map(|n| {
        n.parse::<stockpot_core::PersonName>()
            .map_err(|_| JobError::usage("name"))
    });
    let [Ok(first), Ok(second)] = names else {
        return Err(JobError::usage("names"));
    };
    if !library.exists() {
        init::run(&ctx, &init::Settings::default())?;
        for (name, input) in [(&first, a), (&second, b)] {
            let add = person::Add {
                name: name.clone(),
                consent: ConsentFrom::Synthetic,
                entered_by: "example".into(),
                note: String::new(),
            };
            person::add(&ctx, &add)?;
            let settings = extract::Settings {
                inputs: vec![input.clone()],
                person: name.clone(),
                like: Vec::new(),
                max_side: 512,
                every: 1,
            };
            println!("{:#?}", extract::run(&ctx, &settings)?);
        }
    }
    let steps = steps.to_string_lossy().parse().unwrap_or(0);
    if steps > 0 {
        let settings = train::Settings {
            persons: vec![first.clone(), second.clone()],
            steps: Some(steps),
            ..train::Settings::default()
        };
        println!("{:#?}", train::run(&ctx, &settings)?);
    }
    for (to, input, name) in [(&second, a, "a-as-b"), (&first, b, "b-as-a")] {
        let mut settings = swap::Settings {
            input: input.clone(),
            to: to.clone(),
            wanted: swap::Wanted::Main,
            output: out.join(format!("{name}.png")),
            preview: Some(6),
            frames: None,
            crf: None,
            convert: Default::default(),
        };
        println!("{:#?}", swap::run(&ctx, &settings)?);
        settings.preview = None;
        settings.output = out.join(format!("{name}.mp4"));
        println!("{:#?}", swap::run(&ctx, &settings)?);
    }
    Ok(())
}
