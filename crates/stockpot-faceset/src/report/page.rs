//! The words, drawings and layout of the page.

use std::fmt::Write as _;

use stockpot_core::html::{base64, escape};

use super::numbers::{Numbers, SOFT};
use super::{SHEET_FACES, THUMB, Thumb};
use crate::faceset::Faceset;
use crate::quality::{BIN_DEG, PITCH_BINS, PoseCoverage, YAW_BINS};
use crate::record::{FaceRecord, Reason};

/// Light, or dark where the reader's system is dark.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--panel:#f3f4f6;--line:#d9dce1;--blue:#2a78d6;--warn:#fff7e0;--edge:#e0a800}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--panel:#24272d;--line:#3a3e46;--blue:#2f74c8;--warn:#352d14;--edge:#c79a1a}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.6em;overflow-wrap:anywhere}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid var(--line)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:.6em}.tile{background:var(--panel);border-radius:6px;padding:.5em .9em}\
.tile b{display:block;font-size:1.4em;white-space:nowrap}.advice,.note{background:var(--warn);border-left:4px solid var(--edge);padding:.6em 1em;overflow-wrap:anywhere}.advice{padding-left:2em}\
.faces{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:6px}figure{margin:0;min-width:0}\
figure img,.gone{display:block;box-sizing:border-box;width:100%;height:auto;aspect-ratio:1;background:var(--panel)}.gone{padding:2.5em .5em;font-size:12px;text-align:center}\
figcaption{font-size:11px;line-height:1.5;color:var(--soft);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\
.held img{outline:3px solid var(--blue);outline-offset:-3px}table{border-collapse:collapse;margin-bottom:1em}td,th{padding:.15em 1.2em .15em 0;text-align:left;overflow-wrap:anywhere}\
td.n,th.n{text-align:right;overflow-wrap:normal}svg{display:block;max-width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:var(--soft)}\
svg .none{fill:var(--panel)}svg .full{fill:var(--blue)}svg .rule{stroke:var(--soft)}svg .limit{stroke:var(--edge);stroke-dasharray:4 3}svg text.few{fill:var(--ink)}svg text.many{fill:#fff}";

/// The whole page.
pub(super) fn page(
    faceset: &Faceset,
    numbers: &Numbers,
    advice: &[String],
    faces: &[Thumb<'_>],
    rejected: &[Thumb<'_>],
) -> String {
    let person = faceset.person();
    let mut out = String::new();
    let mut put = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    put(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">",
    );
    put(&format!(
        "<title>Faces of {person}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    ));
    put(&format!("<h1>Faces of {person}</h1>"));
    put(&tiles(numbers));
    for note in faceset.notes() {
        put(&format!(
            "<p class=\"note\">{}.</p>",
            escape(&note.to_string())
        ));
    }
    if !advice.is_empty() {
        let items: String = advice
            .iter()
            .map(|a| format!("<li>{}</li>", escape(a)))
            .collect();
        put(&format!(
            "<h2>Advice</h2>\n<ul class=\"advice\">{items}</ul>"
        ));
    }
    put(&format!("<h2>Sources</h2>\n{}", sources(faceset, numbers)));
    put(
        "<h2>Head poses</h2>\n<p>How many kept faces look where, as seen from the camera; stronger blue is more.</p>",
    );
    put(&pose_map(&numbers.coverage));
    put(
        "<h2>Sharpness</h2>\n<p>How many kept faces are how sharp. Left of the dashed line they are blurred.</p>",
    );
    let kept: Vec<f32> = faceset.kept().map(|(_, r)| r.sharpness).collect();
    put(&histogram(&kept));
    put(&format!(
        "<h2>Faces</h2>\n<p>{} Faces with a blue frame are held out: never trained on, they measure the progress.</p>",
        shown(numbers.kept())
    ));
    put(&gallery(faces, |r| r.time.to_string()));
    put(&format!("<h2>Rejected</h2>\n{}", rejects(numbers)));
    if !rejected.is_empty() {
        put(&gallery(rejected, |r| {
            r.rejected.map_or_else(String::new, |x| x.to_string())
        }));
    }
    put("</body>\n</html>");
    out
}

fn shown(kept: usize) -> String {
    if kept > SHEET_FACES {
        format!("{SHEET_FACES} of {kept}, evenly spread, in order of time.")
    } else {
        "All, in order of time.".into()
    }
}

fn tiles(numbers: &Numbers) -> String {
    let [_, low, middle, high, _] = numbers.sharpness;
    let duplicates = numbers
        .rejected
        .get(&Reason::Duplicate)
        .copied()
        .unwrap_or(0);
    let sources = match numbers.sources.len() {
        1 => "source",
        _ => "sources",
    };
    let tiles = [
        (numbers.kept().to_string(), "faces kept"),
        (numbers.train.to_string(), "for training"),
        (numbers.held_out.to_string(), "held out"),
        (numbers.unused.to_string(), "unused, next to held out"),
        (numbers.rejects().to_string(), "faces rejected"),
        (duplicates.to_string(), "duplicates among them"),
        (numbers.sources.len().to_string(), sources),
        (format!("{middle:.3}"), "median sharpness"),
        (format!("{low:.3}–{high:.3}"), "sharpness, middle 80\u{a0}%"),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(number, what)| format!("<div class=\"tile\"><b>{number}</b>{what}</div>"))
        .collect();
    format!("<div class=\"tiles\">{tiles}</div>")
}

fn sources(faceset: &Faceset, numbers: &Numbers) -> String {
    let mut rows = String::new();
    for (source, (name, kept, all)) in faceset.sources().iter().zip(&numbers.sources) {
        let state = if source.is_finished {
            ""
        } else {
            "interrupted"
        };
        // Writing to a string cannot fail.
        let _ = write!(
            rows,
            "<tr><td>{}</td><td class=\"n\">{kept}</td><td class=\"n\">{}</td><td>{state}</td></tr>",
            escape(name),
            all - kept,
        );
    }
    format!(
        "<table><tr><th>Source</th><th class=\"n\">Kept</th><th class=\"n\">Rejected</th><th></th></tr>{rows}</table>"
    )
}

fn rejects(numbers: &Numbers) -> String {
    if numbers.rejected.is_empty() {
        return "<p>None.</p>".into();
    }
    let rows: String = numbers
        .rejected
        .iter()
        .map(|(reason, count)| format!("<tr><td>{reason}</td><td class=\"n\">{count}</td></tr>"))
        .collect();
    format!("<table><tr><th>Why</th><th class=\"n\">Faces</th></tr>{rows}</table>")
}

fn gallery(thumbs: &[Thumb<'_>], caption: impl Fn(&FaceRecord) -> String) -> String {
    let figure = |thumb: &Thumb<'_>| {
        let record = thumb.record;
        let file = escape(record.file.as_deref().unwrap_or_default());
        let class = if record.split == crate::Split::HeldOut {
            " class=\"held\""
        } else {
            ""
        };
        let picture = if thumb.jpeg.is_empty() {
            "<span class=\"gone\">cannot be read</span>".to_owned()
        } else {
            format!(
                "<img width=\"{THUMB}\" height=\"{THUMB}\" alt=\"{file}\" src=\"data:image/jpeg;base64,{}\">",
                base64(&thumb.jpeg)
            )
        };
        let caption = escape(&caption(record));
        format!(
            "<figure{class} title=\"{file}\">{picture}<figcaption>{caption}</figcaption></figure>\n"
        )
    };
    format!(
        "<div class=\"faces\">\n{}</div>",
        thumbs.iter().map(figure).collect::<String>()
    )
}

/// Yaw across, pitch down, as in the picture: faces looking left are on the left.
fn pose_map(coverage: &PoseCoverage) -> String {
    const CELL: usize = 42;
    const LEFT: usize = 88;
    let fullest = f64::from(coverage.fullest().max(1));
    let mut cells = String::new();
    for (pitch, row) in coverage.counts.iter().enumerate() {
        for (yaw, count) in row.iter().enumerate() {
            pose_cell(
                &mut cells,
                (LEFT + yaw * CELL, pitch * CELL),
                CELL,
                *count,
                fullest,
            );
        }
    }
    for yaw in 0..YAW_BINS {
        let (x, y) = (LEFT + yaw * CELL + CELL / 2 - 1, PITCH_BINS * CELL + 14);
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            cells,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
            degrees(yaw, YAW_BINS)
        );
    }
    for pitch in 0..PITCH_BINS {
        let y = pitch * CELL + CELL / 2 + 3;
        let word = match pitch {
            0 => "up ",
            p if p == PITCH_BINS / 2 => "level ",
            p if p == PITCH_BINS - 1 => "down ",
            _ => "",
        };
        let _ = write!(
            cells,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{word}{}</text>",
            LEFT - 8,
            degrees(pitch, PITCH_BINS)
        );
    }
    let (width, height) = (LEFT + YAW_BINS * CELL, PITCH_BINS * CELL + 38);
    let middle = LEFT + YAW_BINS * CELL / 2;
    let _ = write!(
        cells,
        "<text x=\"{LEFT}\" y=\"{0}\">looks left</text><text x=\"{middle}\" y=\"{0}\" text-anchor=\"middle\">straight</text><text x=\"{width}\" y=\"{0}\" text-anchor=\"end\">looks right</text>",
        height - 6
    );
    format!(
        "<svg class=\"poses\" role=\"img\" aria-label=\"Faces by head pose\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{cells}</svg>"
    )
}

fn pose_cell(out: &mut String, (x, y): (usize, usize), cell: usize, count: u32, fullest: f64) {
    let side = cell - 2;
    // The square root keeps rare poses visible beside common ones.
    let share = (f64::from(count) / fullest).sqrt();
    let square = format!("x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" rx=\"3\"");
    let _ = write!(out, "<rect class=\"none\" {square}/>");
    if count == 0 {
        return;
    }
    // White needs a strong blue below it.
    let ink = if share > 0.9 { "many" } else { "few" };
    let _ = write!(
        out,
        "<rect class=\"full\" {square} fill-opacity=\"{share:.2}\"/><text class=\"{ink}\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{count}</text>",
        x + side / 2,
        y + side / 2 + 4
    );
}

/// The centre of a bin, with a true minus.
fn degrees(bin: usize, bins: usize) -> String {
    let value = (bin as f32 - (bins / 2) as f32) * BIN_DEG;
    if value < 0.0 {
        format!("−{:.0}°", -value)
    } else {
        format!("{value:.0}°")
    }
}

/// Bars over the logarithm of sharpness, which spreads over several powers of ten.
fn histogram(sharpness: &[f32]) -> String {
    const BARS: usize = 24;
    const BAR: usize = 22;
    const HEIGHT: usize = 110;
    const LEFT: usize = 40;
    const TOP: usize = 16;
    // From 0.001 to 1: a factor of ten is eight bars. What lies beyond goes to the last bar.
    const DECADE: f32 = 8.0;
    let place = |s: f32| (s.max(0.001) * 1000.0).log10() * DECADE;
    let mut counts = [0usize; BARS];
    for s in sharpness {
        counts[(place(*s) as usize).min(BARS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let base = TOP + HEIGHT;
    let mut bars = String::new();
    for (i, count) in counts.iter().enumerate() {
        // One face is still a line.
        let height = (count * HEIGHT).div_ceil(most.max(1));
        let _ = write!(
            bars,
            "<rect class=\"full\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{count}</title></rect>",
            LEFT + i * BAR,
            base - height,
            BAR - 2
        );
    }
    let (width, height) = (LEFT + BARS * BAR + 20, base + 36);
    let right = LEFT + BARS * BAR;
    let limit = LEFT + (place(SOFT) * BAR as f32).round() as usize;
    let _ = write!(
        bars,
        "<line class=\"rule\" x1=\"{LEFT}\" y1=\"{base}\" x2=\"{right}\" y2=\"{base}\"/><line class=\"limit\" x1=\"{limit}\" y1=\"{TOP}\" x2=\"{limit}\" y2=\"{base}\"/>"
    );
    for (count, y) in [(most, TOP + 8), (0, base)] {
        let _ = write!(
            bars,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{count}</text>",
            LEFT - 6
        );
        if most == 0 {
            break;
        }
    }
    for (power, label) in ["0.001", "0.01", "0.1", "1"].iter().enumerate() {
        let x = LEFT + power * (DECADE as usize) * BAR;
        let _ = write!(
            bars,
            "<line class=\"rule\" x1=\"{x}\" y1=\"{base}\" x2=\"{x}\" y2=\"{}\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            base + 4,
            base + 17
        );
    }
    let _ = write!(
        bars,
        "<text x=\"{LEFT}\" y=\"{0}\">soft</text><text x=\"{right}\" y=\"{0}\" text-anchor=\"end\">sharp</text>",
        base + 32
    );
    format!(
        "<svg class=\"sharpness\" role=\"img\" aria-label=\"Faces by sharpness\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{bars}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_count_right() {
        let mut coverage = PoseCoverage::default();
        coverage.counts[3][5] = 17;
        coverage.counts[0][10] = 2;
        let svg = pose_map(&coverage);
        assert_eq!(svg.matches("class=\"none\"").count(), YAW_BINS * PITCH_BINS);
        assert_eq!(svg.matches("class=\"full\"").count(), 2);
        assert!(svg.contains(">17</text>") && svg.contains(">2</text>"));
        assert!(svg.contains(">−75°<") && svg.contains(">level 0°<"));
        let bars = histogram(&[0.0005, 0.001, 0.012, 0.0125, 1e9, f32::NAN]);
        assert_eq!(bars.matches("<rect").count(), 24);
        assert!(bars.contains("<title>3</title>") && bars.contains("<title>2</title>"));
    }
}
