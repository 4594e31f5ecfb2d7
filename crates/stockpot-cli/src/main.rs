//! The `stockpot` program: a thin door to the jobs. Parses what was typed ([`args`]), hands it to a
//! job ([`commands`]), prints what comes back ([`console`], [`render`], [`progress`]) and sets the
//! exit code ([`failure`]).
//!
//! Knows nothing of videos, faces or networks; every decision about those is a job's.

mod args;
mod commands;
mod console;
mod environment;
mod failure;
mod interrupt;
mod progress;
mod render;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::console::Console;

fn main() -> ExitCode {
    // The worker is no command: it talks a protocol of its own on standard input and output, so it
    // is looked for before anything is parsed.
    let mut raw = std::env::args_os().skip(1);
    if raw
        .next()
        .is_some_and(|first| first == stockpot_jobs::MEDIA_WORKER)
    {
        interrupt::leave_interrupts_to_parent();
        let status = stockpot_jobs::media_worker(raw);
        return ExitCode::from(u8::try_from(status).unwrap_or(1));
    }
    let cli = Cli::parse();
    let console = Console::new(&cli.global);
    match commands::run(cli, &console) {
        Ok(code) => code,
        Err(failure) => {
            console.failure(&failure);
            failure::exit_code(&failure)
        }
    }
}
