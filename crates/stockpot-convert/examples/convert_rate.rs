//! How long one face takes: `cargo run -p stockpot-convert --example convert_rate`.
//!
//! A turned face in a 1080 x 1920 frame, one thread. Prints the median and the best of each step.

use std::time::Instant;

use stockpot_convert::{
    ColourFix, ConvertSettings, Depth, Error, FacePatch, Placement, cut, measure, paste,
};
use stockpot_core::face::Area;
use stockpot_core::image::{Image, Size};
use stockpot_core::space::{Affine, Face, Frame, Point};

fn main() -> Result<(), Error> {
    println!("depth  face px  net px |  cut ms  measure ms  paste ms | pixels written");
    for face_px in [100.0, 300.0, 450.0] {
        for resolution in [64, 96, 128] {
            one::<u8>("8 bit", face_px, resolution)?;
        }
    }
    one::<u16>("16 bit", 300.0, 96)
}

fn one<T: Depth>(depth: &str, face_px: f64, resolution: u32) -> Result<(), Error> {
    const ROUNDS: usize = 41;
    let mut frame = Image::<T, 3>::new(Size::new(1080, 1920));
    for (i, v) in frame.data_mut().iter_mut().enumerate() {
        let wave = ((i / 3 % 1080) as f32 * 0.05).sin() * ((i / 3240) as f32 * 0.03).cos();
        *v = T::from_f32(T::WHITE * (0.5 + 0.2 * wave));
    }
    let (sin, cos) = 0.2f64.sin_cos();
    // An adult face is 1.18 units wide.
    let (a, b) = (cos * 1.18 / face_px, sin * 1.18 / face_px);
    let face_from_frame = Affine::<Face, Frame>::from_rows([
        a,
        b,
        0.49 - a * 540.0 - b * 900.0,
        -b,
        a,
        0.42 + b * 540.0 - a * 900.0,
    ]);
    let placement = Placement {
        face_from_frame,
        area: Area::Face,
        resolution,
    };
    let frame_from_net = placement.frame_from_net()?;
    let net_per_unit = f64::from(resolution) / Area::Face.side();
    let oval: Vec<Point<Frame>> = (0..36)
        .map(|i| {
            let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / 36.0).sin_cos();
            let half = f64::from(resolution) / 2.0;
            frame_from_net.apply(Point::new(
                half + 0.6 * net_per_unit * cos,
                half + 0.78 * net_per_unit * sin,
            ))
        })
        .collect();
    let mut rgb = vec![0.0; placement.rgb_len()];
    let mask = vec![1.0; placement.mask_len()];
    let settings = ConvertSettings::default();
    let (mut cuts, mut measures, mut pastes) = (Vec::new(), Vec::new(), Vec::new());
    let mut pixels = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        cut(&frame, &placement, &mut rgb)?;
        cuts.push(start.elapsed().as_secs_f64() * 1e3);
        let patch = FacePatch {
            placement,
            rgb: &rgb,
            mask: &mask,
            oval: Some(&oval),
        };
        let start = Instant::now();
        let stats = measure(&frame, &patch, &settings)?;
        measures.push(start.elapsed().as_secs_f64() * 1e3);
        let fix = stats.map_or(ColourFix::NONE, |s| s.single_picture());
        let start = Instant::now();
        pixels = paste(&mut frame, &patch, &fix, &settings)?.pixels;
        pastes.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "{depth:6} {face_px:7} {resolution:7} | {} {:>11} {:>9} | {pixels}",
        spread(cuts),
        spread(measures),
        spread(pastes)
    );
    Ok(())
}

/// Median and, in brackets, the best: on a busy machine the best says more about the code.
fn spread(mut ms: Vec<f64>) -> String {
    ms.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2})", ms[ms.len() / 2], ms[0])
}
