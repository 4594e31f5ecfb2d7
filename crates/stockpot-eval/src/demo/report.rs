//! The demo's page: one file with everything in it, no script, nothing fetched.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use stockpot_core::html::{base64, escape};
use stockpot_faces::models::FILES;
use stockpot_jobs::models::ModelReply;
use stockpot_jobs::{JobError, train};

use super::compare::{Compared, Figures};
use super::{Part, cannot};

/// Light, or dark where the reader's system is dark.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#20242a;--soft:#5b626d;--page:#fff;--panel:#f3f4f6;--line:#d9dce1;--a:#2a78d6;--b:#c2541b;--toy:#b6bcc6}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#16181c;--panel:#22252b;--line:#3a3e46;--a:#5aa2f0;--b:#f0935a;--toy:#5b626d}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--page)}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{font-size:1.25rem;margin-top:2.2rem}p,li,td{overflow-wrap:anywhere}.soft{color:var(--soft)}
.stage{position:relative;max-width:48rem;margin:auto}.stage video{display:block;width:100%;height:auto;border-radius:8px;background:var(--panel)}
.stage span{position:absolute;padding:.1rem .5rem;margin:.4rem;border-radius:4px;background:#000a;color:#fff;font-size:.85rem;pointer-events:none}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.8rem}.card{background:var(--panel);border-radius:8px;padding:.8rem 1rem}
.card b{display:block;font-size:1.5rem}.card p{margin:.3rem 0 0;font-size:.9rem}
.bar{height:.5rem;border-radius:3px;margin:.25rem 0;min-width:2px}
.row{display:grid;grid-template-columns:repeat(4,1fr);gap:4px;margin-bottom:4px}.row img{width:100%;height:auto;display:block}
.names{display:grid;grid-template-columns:repeat(4,1fr);gap:4px;font-size:.85rem;color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:.92rem}td,th{border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}td.n{text-align:right;white-space:nowrap}
svg{width:100%;height:auto;background:var(--panel);border-radius:8px}svg text{fill:var(--soft);font-size:12px}.la{stroke:var(--a)}.lb{stroke:var(--b)}.grid{stroke:var(--line)}";

/// What the page is made of.
pub(super) struct Page<'a> {
    pub(super) machine: String,
    pub(super) command: &'a str,
    pub(super) compared: &'a Compared,
    pub(super) trained: &'a train::Reply,
    pub(super) seeds: [u64; 2],
    pub(super) parts: &'a [Part],
    pub(super) models: Vec<ModelReply>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) fps: i32,
    /// Side of what the network draws, in pixels.
    pub(super) side: u32,
}

/// The page, with the video `clip` in it.
pub(super) fn html(page: &Page<'_>, clip: &Path) -> Result<String, JobError> {
    let video = std::fs::read(clip).map_err(|e| cannot("read", clip, &e))?;
    let metrics = page.trained.folder.join("metrics.jsonl");
    let metrics = std::fs::read_to_string(&metrics).map_err(|e| cannot("read", &metrics, &e))?;
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>stockpot demo</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>stockpot demo</h1>\n\
         <p><b>Nobody in these pictures exists.</b> Both people are rendered; where A is shown as B, the face is \
         drawn by a model.</p>\n\
         <p>A plays a scene; stockpot draws B in A's place, having learned \
         both from short videos for {minutes:.1} minutes, from the shipped stock on. Because they are made up, B can truly play the \
         same scene: that is what a perfect swap would look like. They were chosen with skin of like \
         colour: a swap keeps the colours of the neck it sits on.</p>\n",
        minutes = page.trained.minutes,
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<div class=\"stage\"><span style=\"left:0;top:0\">A plays</span>\
         <span style=\"left:50%;top:0\">A as B, by stockpot</span><span style=\"left:0;top:50%\">B truly playing it</span>\
         <span style=\"left:50%;top:50%\">difference in the face, × 4</span>\
         <video controls loop muted autoplay playsinline src=\"data:video/mp4;base64,{}\"></video></div>",
        base64(&video)
    );
    out.push_str(&figures(&page.compared.figures, page.side));
    out.push_str(&stills(&page.compared.stills, page));
    out.push_str(&curve(&metrics, page));
    out.push_str(&tables(page));
    let _ = write!(
        out,
        "<p class=\"soft\">{}<br><code>{}</code><br>stockpot {}. The people are rendered from public-domain \
         head data; their seeds are {} and {}. The voice is synthesised and says nothing.</p>\n</body>\n</html>\n",
        escape(&page.machine),
        escape(page.command),
        env!("CARGO_PKG_VERSION"),
        page.seeds[0],
        page.seeds[1],
    );
    Ok(out)
}

fn figures(figures: &Figures, side: u32) -> String {
    let mut out = String::from(
        "<h2>How close is it?</h2>\n<p class=\"soft\">Compared with B truly playing the scene, inside B's face \
         only, frame by frame. The grey bar is what one gets by not swapping at all, the pale one what a perfect \
         decoder would get: A's head keeps its place, size and colours, so that even B's true face put on it \
         differs from B.</p>\n<div class=\"cards\">\n",
    );
    let mut card =
        |name: &str, value: f64, others: [Option<f64>; 2], digits: usize, words: &str| {
            let known = || others.into_iter().flatten();
            let most = known().fold(value.max(1e-9), f64::max);
            let width = |v: f64| (100.0 * v / most).clamp(0.0, 100.0);
            let _ = writeln!(
                out,
                "<div class=\"card\">{name}<b>{value:.digits$}</b>\
             <div class=\"bar\" style=\"width:{:.0}%;background:var(--a)\"></div>",
                width(value),
            );
            let looks = ["background:var(--toy)", "background:var(--a);opacity:.4"];
            for (other, look) in others.into_iter().zip(looks) {
                let wide = other.map_or(0.0, width);
                let _ = writeln!(
                    out,
                    "<div class=\"bar\" style=\"width:{wide:.0}%;{look}\"></div>"
                );
            }
            let _ = write!(out, "<p>{words}");
            for (other, name) in others.into_iter().zip(["Not swapped", "Perfect decoder"]) {
                if let Some(other) = other {
                    let _ = write!(out, " {name}: {other:.digits$}.");
                }
            }
            out.push_str("</p></div>\n");
        };
    card(
        "difference",
        figures.difference,
        [
            Some(figures.difference_unswapped),
            Some(figures.difference_perfect),
        ],
        1,
        "How far colours are off on average, of 255. Smaller is better.",
    );
    card(
        "signal to noise (PSNR), dB",
        figures.psnr_db,
        [
            Some(figures.psnr_db_unswapped),
            Some(figures.psnr_db_perfect),
        ],
        1,
        "The same difference with large errors weighing more, in decibels. Larger is better.",
    );
    card(
        "similarity (SSIM)",
        figures.ssim,
        [Some(figures.ssim_unswapped), Some(figures.ssim_perfect)],
        3,
        "How alike the structure is; 1 is the truth. Larger is better.",
    );
    if let (Some(made), Some(not)) = (
        figures.identity_distance,
        figures.identity_distance_unswapped,
    ) {
        card(
            "identity distance",
            made,
            [Some(not), None],
            2,
            "How far a face recogniser (dlib) puts it from B; below 0.6 it says the same person.",
        );
    }
    if let Some(gain) = figures.gain {
        let _ = writeln!(
            out,
            "<div class=\"card\">gain<b>{:.0} %</b><p>How much of the difference between A and B the swap \
             took away: 100 % is the truth, 0 % is no better than not swapping, less is worse.</p></div>",
            100.0 * gain
        );
    }
    let _ = writeln!(
        out,
        "<div class=\"card\">fine detail<b>{:.0} %</b><p>Of the truth's. Less is blurred: the network draws {} px, \
         and had minutes, not days.</p></div>\n</div>\n<p class=\"soft\">{} frames compared; in {} more no face was found.</p>",
        100.0 * figures.detail,
        side,
        figures.frames,
        figures.without_face,
    );
    out
}

fn stills(rows: &[[Vec<u8>; 4]], page: &Page<'_>) -> String {
    let mut out = format!(
        "<h2>Stills</h2>\n<p class=\"soft\">From the clip above, {} frames a second.</p>\n\
         <div class=\"names\"><span>A plays</span><span>A as B</span><span>B truly</span><span>difference × 4</span></div>\n",
        page.fps
    );
    for row in rows {
        out.push_str("<div class=\"row\">");
        let names = ["A plays", "A as B", "B truly playing", "difference"];
        for (name, jpeg) in names.iter().zip(row) {
            let _ = write!(
                out,
                "<img alt=\"{name}\" src=\"data:image/jpeg;base64,{}\">",
                base64(jpeg)
            );
        }
        out.push_str("</div>\n");
    }
    out
}

/// The losses of both persons over the steps, as a drawing.
fn curve(metrics: &str, page: &Page<'_>) -> String {
    const WIDE: f64 = 900.0;
    const HIGH: f64 = 300.0;
    const LEFT: f64 = 50.0;
    const UNDER: f64 = 30.0;
    let mut lines: [Vec<(f64, f64)>; 2] = [Vec::new(), Vec::new()];
    for line in metrics.lines() {
        // Lines of other kinds have no losses; a torn one cannot be read and is not drawn.
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if line["kind"] != "train" {
            continue;
        }
        for (points, person) in lines.iter_mut().zip(["a", "b"]) {
            if let (Some(step), Some(loss)) = (
                line["step"].as_f64(),
                line["persons"][person]["total"].as_f64(),
            ) {
                points.push((step, loss));
            }
        }
    }
    let all = || lines.iter().flatten();
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let high = all().map(|p| p.1).fold(1e-6, f64::max);
    let low = all().map(|p| p.1).fold(high, f64::min).max(1e-6);
    let x = |step: f64| LEFT + (WIDE - LEFT - 10.0) * step / last;
    // Halves are equally far apart, so that late progress is seen.
    let span = (high / low).ln().max(1e-6);
    let y = |loss: f64| 10.0 + (HIGH - UNDER - 10.0) * (high / loss.max(1e-6)).ln() / span;
    let mut out = format!(
        "<h2>Learning</h2>\n<p class=\"soft\">Loss of <span style=\"color:var(--a)\">A</span> and \
         <span style=\"color:var(--b)\">B</span> over {} steps; equal distances are equal ratios.</p>\n\
         <svg viewBox=\"0 0 {WIDE} {HIGH}\" role=\"img\" aria-label=\"loss over steps\">\n",
        page.trained.steps
    );
    for k in 0..=4 {
        let loss = high * (low / high).powf(f64::from(k) / 4.0);
        let step = last * f64::from(k) / 4.0;
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text x=\"4\" y=\"{2:.1}\">{loss:.3}</text><text x=\"{3:.1}\" y=\"{4:.0}\" text-anchor=\"middle\">{step:.0}</text>",
            WIDE - 10.0,
            y(loss),
            y(loss) + 4.0,
            x(step).min(WIDE - 25.0),
            HIGH - 8.0,
        );
    }
    for (points, class) in lines.iter().zip(["la", "lb"]) {
        let path: String = points
            .iter()
            .map(|(step, loss)| format!("{:.1},{:.1} ", x(*step), y(*loss)))
            .collect();
        let _ = write!(
            out,
            "<polyline class=\"{class}\" fill=\"none\" stroke-width=\"2\" points=\"{path}\"/>"
        );
    }
    out.push_str("\n</svg>\n");
    out
}

fn tables(page: &Page<'_>) -> String {
    let mut out = String::from("<h2>Where the time went</h2>\n<table>\n");
    for part in page.parts {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{:.1} s</td></tr>",
            part.name, part.seconds
        );
    }
    let total: f64 = page.parts.iter().map(|p| p.seconds).sum();
    let _ = writeln!(
        out,
        "<tr><th>together</th><td class=\"n\">{total:.1} s</td></tr>\n</table>"
    );
    if let Some(bytes) = page.peak_memory_bytes {
        let _ = writeln!(
            out,
            "<p class=\"soft\">Most memory held: {:.2} GB, without the child process that decodes videos.</p>",
            bytes as f64 / 1e9
        );
    }
    out.push_str(
        "<h2>What was installed</h2>\n<table>\n<tr><th>what</th><th>package</th><th>licence</th><th>SHA-256</th></tr>\n",
    );
    for model in &page.models {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escape(&model.model),
            escape(&model.package),
            escape(&model.licence),
            FILES
                .iter()
                .find(|file| model.path.ends_with(file.name))
                .map_or("unknown", |file| file.sha256)
        );
    }
    out.push_str("</table>\n");
    out
}
