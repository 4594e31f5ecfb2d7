//! What the mark withstands, beside a toy mark in the lowest bits:
//! `mark_strength SECONDS PATH...` marks pictures (`.png`, `.jpg`, folders of them) and the first
//! SECONDS of clips (anything else), does to them what happens to published ones, and looks for the
//! mark; `mark_strength only WORD SECONDS PATH...` does the deeds with that word in their name.
//! `mark_strength clean PATH...` looks for marks where none are. `mark_strength rate` measures
//! the time of marking. `mark_strength look PICTURE OUT.png` writes the picture, the marked one and
//! twenty times the difference side by side.
//!
//! Calls the system's `ffmpeg` for clips, scaling and H.264.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use stockpot_core::{Rgb8, Rgb16, Rng, Size, picture};
use stockpot_mark::{Detector, MarkId, Marker};

type Any = Box<dyn std::error::Error>;
type Frames = Vec<Rgb8>;

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rate"] => rate(),
        ["look", from, to] => look(Path::new(from), Path::new(to)),
        ["clean", paths @ ..] => clean(paths),
        ["only", word, seconds, paths @ ..] => strength(seconds.parse()?, paths, word),
        [seconds, paths @ ..] if !paths.is_empty() => strength(seconds.parse()?, paths, ""),
        _ => Err(
            "usage: mark_strength SECONDS PATH... | clean PATH... | rate | look PICTURE OUT.png"
                .into(),
        ),
    }
}

/// What is done to frames, one step after the other.
#[derive(Clone, Copy)]
enum Deed {
    Jpeg(u8),
    Codec(&'static str),
    /// A filter of `ffmpeg`.
    Filter(&'static str),
    /// Every third frame dropped, every fifth doubled.
    Retime,
}

const CRF28: Deed = Deed::Codec("28");
const HALF: Deed = Deed::Filter("scale=trunc(iw/4)*2:trunc(ih/4)*2:flags=bicubic");
const CROP: Deed =
    Deed::Filter("crop=trunc(iw*0.45)*2:trunc(ih*0.45)*2:trunc(iw*0.07):trunc(ih*0.04)");
/// Shown in a window of another size, and more of the screen than the picture taken.
const SCREENSHOT: Deed = Deed::Filter(
    "scale=trunc(iw*0.83):trunc(ih*0.83):flags=bilinear,\
     crop=iw-9:ih-13:4:6,pad=iw+62:ih+94:27:55:color=0x2b2f36",
);

/// The table: name, deeds, and whether it makes sense for one picture.
const TABLE: [(&str, &[Deed], bool); 20] = [
    ("nothing", &[], true),
    ("JPEG 75", &[Deed::Jpeg(75)], true),
    ("JPEG 50", &[Deed::Jpeg(50)], true),
    ("H.264 crf 28", &[CRF28], true),
    ("H.264 crf 34", &[Deed::Codec("34")], true),
    ("half size", &[HALF], true),
    (
        "scaled to 0.4",
        &[Deed::Filter("scale=trunc(iw*0.2)*2:trunc(ih*0.2)*2")],
        true,
    ),
    (
        "scaled to 0.71",
        &[Deed::Filter("scale=trunc(iw*0.355)*2:trunc(ih*0.355)*2")],
        true,
    ),
    (
        "scaled to 1.6",
        &[Deed::Filter("scale=trunc(iw*0.8)*2:trunc(ih*0.8)*2")],
        true,
    ),
    (
        "stretched 3 %",
        &[Deed::Filter("scale=trunc(iw*0.515)*2:ih")],
        true,
    ),
    ("mirrored", &[Deed::Filter("hflip")], true),
    ("cropped 10 %", &[CROP], true),
    (
        "cropped to a quarter",
        &[Deed::Filter("crop=trunc(iw/4)*2:trunc(ih/4)*2:iw/5:ih/6")],
        true,
    ),
    ("re-timed", &[Deed::Retime], false),
    ("screenshot", &[SCREENSHOT], true),
    ("cropped, crf 28", &[CROP, CRF28], true),
    ("half, crf 28", &[HALF, CRF28], true),
    ("half, JPEG 75", &[HALF, Deed::Jpeg(75)], true),
    ("screenshot, JPEG 75", &[SCREENSHOT, Deed::Jpeg(75)], true),
    ("crf 28, re-timed", &[CRF28, Deed::Retime], false),
];

impl Deed {
    fn done(self, frames: Frames) -> Result<Frames, Any> {
        Ok(match self {
            Self::Jpeg(quality) => frames
                .iter()
                .map(|f| picture::from_bytes(&picture::to_jpeg(f, quality)?, Path::new("x.jpg")))
                .collect::<Result<_, _>>()?,
            Self::Codec(crf) => {
                let folder = tempfile::tempdir()?;
                let file = folder.path().join("clip.mp4");
                let codec = ["-c:v", "libx264", "-crf", crf, "-pix_fmt", "yuv420p"];
                through_ffmpeg(
                    &frames,
                    &["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2"],
                    &codec,
                    &file,
                )?;
                clip(&file, 1e9)?
            }
            Self::Filter(filter) => {
                let folder = tempfile::tempdir()?;
                let file = folder.path().join("clip.mkv");
                // Lossless: FFV1 in RGB.
                let codec = ["-c:v", "ffv1", "-pix_fmt", "bgr0"];
                through_ffmpeg(&frames, &["-vf", filter], &codec, &file)?;
                clip(&file, 1e9)?
            }
            Self::Retime => {
                let mut out = Vec::new();
                for (i, frame) in frames.into_iter().enumerate() {
                    if i % 5 == 0 {
                        out.push(frame.clone());
                    }
                    if i % 3 != 1 {
                        out.push(frame);
                    }
                }
                out
            }
        })
    }
}

fn strength(seconds: f64, paths: &[&str], only: &str) -> Result<(), Any> {
    let sources: Vec<Frames> = sources(paths, seconds)?;
    let clips = sources.iter().any(|s| s.len() > 1);
    let mut marked = Vec::new();
    println!(
        "| source | frames | size | PSNR dB | SSIM | toy PSNR dB |\n|---|---|---|---|---|---|"
    );
    for (n, frames) in sources.iter().enumerate() {
        let id = some_id(n as u64);
        let marker = Marker::new(id);
        let mut ours = frames.clone();
        ours.iter_mut().try_for_each(|f| marker.apply(f))?;
        let toy: Frames = frames.iter().map(|f| toy_mark(f, id)).collect();
        let mean = |f: &dyn Fn(&Rgb8, &Rgb8) -> f64, b: &Frames| {
            frames.iter().zip(b).map(|(a, b)| f(a, b)).sum::<f64>() / frames.len() as f64
        };
        println!(
            "| {n} | {} | {} | {:.1} | {:.4} | {:.1} |",
            frames.len(),
            frames[0].size(),
            mean(&psnr, &ours),
            mean(&ssim, &ours),
            mean(&psnr, &toy)
        );
        marked.push((id, ours, toy));
    }
    println!(
        "\n| done to it | right id | wrong id | bits right | score, least and median | toy: bits right |\n|---|---|---|---|---|---|"
    );
    for (name, deeds, single) in TABLE {
        if !single && !clips || !name.contains(only) {
            continue;
        }
        let (mut right, mut wrong, mut bits, mut toy_bits) = (0, 0, 0.0, 0.0);
        let mut scores = Vec::new();
        for (id, ours, toy) in &marked {
            let done = |frames: &Frames| deeds.iter().try_fold(frames.clone(), |f, d| d.done(f));
            let verdict = detect(&done(ours)?)?;
            match verdict {
                Some((found, score)) if found == *id => {
                    right += 1;
                    bits += 1.0;
                    scores.push(score);
                }
                Some((found, _)) => {
                    wrong += 1;
                    bits += same_bits(found, *id);
                    scores.push(0.0);
                }
                // What was not read is a guess.
                None => {
                    bits += 0.5;
                    scores.push(0.0);
                }
            }
            toy_bits += toy_read(&done(toy)?, *id);
        }
        scores.sort_by(f32::total_cmp);
        let n = marked.len() as f64;
        println!(
            "| {name} | {right} of {} | {wrong} | {:.1} % | {:.0}, {:.0} | {:.1} % |",
            marked.len(),
            bits / n * 100.0,
            scores[0],
            scores[scores.len() / 2],
            toy_bits / n * 100.0
        );
    }
    Ok(())
}

fn clean(paths: &[&str]) -> Result<(), Any> {
    let (mut frames, mut alarms) = (0, 0);
    let start = Instant::now();
    for path in paths {
        for source in sources(&[path], 1e9)? {
            for frame in source {
                frames += 1;
                if let Some((id, score)) = detect(&vec![frame])? {
                    alarms += 1;
                    println!("{path}: {id}, score {score:.1}");
                }
            }
        }
    }
    let each = start.elapsed().as_secs_f64() / f64::from(frames.max(1));
    println!("{alarms} false alarms on {frames} clean frames, {each:.2} s each");
    Ok(())
}

fn rate() -> Result<(), Any> {
    let marker = Marker::new(some_id(0));
    let mut rng = Rng::stream(1, "rate", 0);
    for size in [Size::new(1080, 1920), Size::new(3840, 2160)] {
        let mut eight = Rgb8::new(size);
        eight
            .data_mut()
            .iter_mut()
            .for_each(|v| *v = rng.next_u64() as u8);
        let mut sixteen = Rgb16::new(size);
        sixteen
            .data_mut()
            .iter_mut()
            .for_each(|v| *v = rng.next_u64() as u16);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..30 {
            let start = Instant::now();
            marker.apply(&mut eight)?;
            times[0].push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            marker.apply(&mut sixteen)?;
            times[1].push(start.elapsed().as_secs_f64() * 1e3);
        }
        for (bits, times) in ["8", "16"].iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            println!(
                "{size}, {bits} bits: {:.2} ms (median of 30, least {:.2})",
                times[15], times[0]
            );
        }
        // On a busy machine the time of the processor says more.
        let before = cpu_ms()?;
        for _ in 0..50 {
            marker.apply(&mut eight)?;
        }
        println!(
            "{size}, 8 bits: {:.2} ms of one core",
            (cpu_ms()? - before) / 50.0
        );
        let mut detector = Detector::new();
        let start = Instant::now();
        detector.push(&eight)?;
        let push = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        detector.finish();
        println!(
            "{size}: push {push:.0} ms, finish {:.0} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// Time that this process took of all cores, in steps of 10 ms.
fn cpu_ms() -> Result<f64, Any> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) * 10.0)
}

fn look(from: &Path, to: &Path) -> Result<(), Any> {
    let plain = picture::load(from)?;
    let mut marked = plain.clone();
    Marker::new(some_id(0)).apply(&mut marked)?;
    println!(
        "PSNR {:.2} dB, SSIM {:.4}",
        psnr(&plain, &marked),
        ssim(&plain, &marked)
    );
    let mut difference = plain.clone();
    for (d, (a, b)) in difference
        .data_mut()
        .iter_mut()
        .zip(plain.data().iter().zip(marked.data()))
    {
        *d = (128 + 20 * (i32::from(*b) - i32::from(*a))).clamp(0, 255) as u8;
    }
    let Size { width, height } = plain.size();
    let mut sheet = Rgb8::new(Size::new(3 * width, height));
    for (i, part) in [plain, marked, difference].iter().enumerate() {
        sheet.paste(part, i as u32 * width, 0);
    }
    Ok(picture::save(&sheet, to)?)
}

fn detect(frames: &Frames) -> Result<Option<(MarkId, f32)>, Any> {
    let mut detector = Detector::new();
    frames.iter().try_for_each(|f| detector.push(f))?;
    Ok(detector.finish().found.map(|f| (f.id, f.score)))
}

fn some_id(n: u64) -> MarkId {
    let [a, b, c, d, e, f, ..] = Rng::stream(9, "mark_strength id", n)
        .next_u64()
        .to_be_bytes();
    MarkId::new([a, b, c, d, e, f])
}

fn same_bits(a: MarkId, b: MarkId) -> f64 {
    let other: u32 = a
        .bytes()
        .iter()
        .zip(b.bytes())
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    1.0 - f64::from(other) / MarkId::BITS as f64
}

/// The toy: bit after bit of the id in the lowest bit of green, from the top left.
fn toy_mark(frame: &Rgb8, id: MarkId) -> Rgb8 {
    let mut out = frame.clone();
    for (i, p) in out.data_mut().chunks_exact_mut(3).enumerate() {
        p[1] = p[1] & 0xfe | toy_bit(id, i);
    }
    out
}

fn toy_bit(id: MarkId, at: usize) -> u8 {
    let at = at % MarkId::BITS;
    id.bytes()[at / 8] >> (7 - at % 8) & 1
}

/// The share of bits that a majority of the pixels of all frames gets right.
fn toy_read(frames: &Frames, id: MarkId) -> f64 {
    let mut votes = [0i64; MarkId::BITS];
    for frame in frames {
        for (i, p) in frame.data().chunks_exact(3).enumerate() {
            votes[i % MarkId::BITS] += i64::from(p[1] & 1) * 2 - 1;
        }
    }
    let right = (0..MarkId::BITS).filter(|i| (votes[*i] > 0) == (toy_bit(id, *i) == 1));
    right.count() as f64 / MarkId::BITS as f64
}

fn sources(paths: &[&str], seconds: f64) -> Result<Vec<Frames>, Any> {
    let mut out = Vec::new();
    for path in paths.iter().map(Path::new) {
        let is_picture = |p: &Path| {
            p.extension().is_some_and(|e| {
                ["png", "jpg", "jpeg"]
                    .iter()
                    .any(|w| e.eq_ignore_ascii_case(w))
            })
        };
        if path.is_dir() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)?
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<_, _>>()?;
            files.retain(|p| is_picture(p));
            files.sort();
            for file in files {
                out.push(vec![picture::load(&file)?]);
            }
        } else if is_picture(path) {
            out.push(vec![picture::load(path)?]);
        } else {
            out.push(clip(path, seconds)?);
        }
    }
    if out.iter().any(Vec::is_empty) || out.is_empty() {
        return Err("there are no frames".into());
    }
    Ok(out)
}

/// The first seconds of a clip, as RGB.
fn clip(path: &Path, seconds: f64) -> Result<Frames, Any> {
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=width,height",
        ])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()?;
    let text = String::from_utf8(probe.stdout)?;
    let (width, height) = text
        .trim()
        .trim_end_matches(',')
        .split_once(',')
        .ok_or("no video")?;
    let size = Size::new(width.parse()?, height.parse()?);
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-t",
            &seconds.to_string(),
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ])
        .output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    let frames = out.stdout.chunks_exact(size.pixels() * 3);
    Ok(frames
        .map(|f| Rgb8::from_vec(size, f.to_vec()))
        .collect::<Result<_, _>>()?)
}

fn through_ffmpeg(frames: &Frames, filter: &[&str], codec: &[&str], to: &Path) -> Result<(), Any> {
    let size = frames[0].size();
    let mut child = Command::new("ffmpeg")
        .args([
            "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-r", "25",
        ])
        .args(["-s", &size.to_string(), "-i", "-"])
        .args(filter)
        .args(codec)
        .arg(to)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        frames.iter().try_for_each(|f| pipe.write_all(f.data()))?;
    }
    let mut words = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut words)?;
    }
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(words.into())
    }
}

fn psnr(a: &Rgb8, b: &Rgb8) -> f64 {
    let sum: f64 = a
        .data()
        .iter()
        .zip(b.data())
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    10.0 * (255.0f64.powi(2) * a.data().len() as f64 / sum.max(1e-9)).log10()
}

/// Structural similarity of luminance (Wang et al. 2004), in windows of 8x8 px every 4 px.
fn ssim(a: &Rgb8, b: &Rgb8) -> f64 {
    let luminance =
        |p: &[u8]| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
    let Size { width, height } = a.size();
    let (mut sum, mut count) = (0.0, 0.0);
    for top in (0..height.saturating_sub(7)).step_by(4) {
        for left in (0..width.saturating_sub(7)).step_by(4) {
            let mut s = [0.0f64; 5];
            for y in top..top + 8 {
                for x in left..left + 8 {
                    let (u, v) = (luminance(&a.pixel(x, y)), luminance(&b.pixel(x, y)));
                    for (s, v) in s.iter_mut().zip([u, v, u * u, v * v, u * v]) {
                        *s += v / 64.0;
                    }
                }
            }
            let [ma, mb, aa, bb, ab] = s;
            let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
            sum += (2.0 * ma * mb + c1) * (2.0 * (ab - ma * mb) + c2)
                / ((ma * ma + mb * mb + c1) * (aa - ma * ma + bb - mb * mb + c2));
            count += 1.0;
        }
    }
    sum / f64::max(count, 1.0)
}
