//! Measures a video on this machine: `cargo run -p stockpot-media --example measure_media -- VIDEO [OUTPUT.mp4]`.
//!
//! Prints frames a second of decoding here and in the worker, and of encoding with three presets.

use std::path::{Path, PathBuf};
use std::time::Instant;

use stockpot_media::{ALL_FRAMES, Opener, OutputSettings, Preset, VideoWriter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args
        .next()
        .ok_or("usage: measure_media VIDEO [OUTPUT.mp4]")?;
    if first == stockpot_media::worker::SUBCOMMAND {
        std::process::exit(stockpot_media::worker::main(args));
    }
    let input = PathBuf::from(first);
    let worker = Opener::Worker(std::env::current_exe()?);
    for (name, opener) in [("here", &Opener::Here), ("worker", &worker)] {
        let start = Instant::now();
        let mut frames = 0u32;
        for frame in opener.open(&input, ALL_FRAMES)? {
            frame?;
            frames += 1;
        }
        report(&format!("decode {name}"), frames, start);
    }
    let output = args.next().map(PathBuf::from);
    for preset in [Preset::Ultrafast, Preset::Veryfast, Preset::Fast] {
        if let Some(output) = &output {
            encode(&input, output, preset, &worker)?;
        }
    }
    Ok(())
}

fn encode(
    input: &Path,
    output: &Path,
    preset: Preset,
    worker: &Opener,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut source = worker.open(input, ALL_FRAMES)?;
    let settings = OutputSettings {
        preset,
        ..OutputSettings::default()
    };
    let mut writer = VideoWriter::create(output, source.info(), &settings, worker)?;
    let start = Instant::now();
    let mut frames = 0u32;
    while let Some(frame) = source.next_frame()? {
        writer.write(frame)?;
        frames += 1;
    }
    let written = writer.finish()?;
    let bytes = std::fs::metadata(written.part.path())?.len();
    report(
        &format!("decode and encode {preset:?}, {bytes} bytes"),
        frames,
        start,
    );
    for warning in written.warnings {
        println!("  {warning}");
    }
    Ok(())
}

fn report(what: &str, frames: u32, start: Instant) {
    let secs = start.elapsed().as_secs_f64();
    println!("{what}: {frames} frames, {:.1}/s", f64::from(frames) / secs);
}
