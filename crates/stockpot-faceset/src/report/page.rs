//! The words, drawings and layout of the page.

use std::fmt::Write as _;

use super::numbers::Numbers;
use super::{SHEET_FACES, THUMB, Thumb};
use crate::faceset::Faceset;
use crate::quality::{BIN_DEG, PITCH_BINS, PoseCoverage, YAW_BINS};
use crate::record::{FaceRecord, Reason};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
h1{font-size:1.6em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ddd}\
.tiles{display:flex;flex-wrap:wrap;gap:.6em}.tile{background:#f3f4f6;border-radius:6px;padding:.5em .9em}\
.tile b{display:block;font-size:1.4em}.advice{background:#fff7e0;border-left:4px solid #e0a800;padding:.6em 1em}\
.faces{display:flex;flex-wrap:wrap;gap:4px}figure{margin:0;width:112px}figure img,.gone{display:block;width:112px;height:112px;background:#ccc}\
figcaption{font-size:11px;line-height:1.3;color:#555;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\
.held img{outline:3px solid #2a78d6;outline-offset:-3px}table{border-collapse:collapse}td,th{padding:.15em .9em .15em 0;text-align:left}\
td.n{text-align:right}svg text{font:11px system-ui,sans-serif;fill:#444}";

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
    put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">");
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
        "<h2>Head poses</h2>\n<p>Where the kept faces look, as seen in the picture; darker is more.</p>",
    );
    put(&pose_map(&numbers.coverage));
    put("<h2>Sharpness</h2>\n<p>How many kept faces are how sharp; left is soft.</p>");
    let kept: Vec<f32> = faceset.kept().map(|(_, r)| r.sharpness).collect();
    put(&histogram(&kept));
    put(&format!(
        "<h2>Faces</h2>\n<p>{} Held-out faces have a blue frame.</p>",
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
    let tiles = [
        (numbers.kept().to_string(), "faces"),
        (numbers.train.to_string(), "for training"),
        (numbers.held_out.to_string(), "held out"),
        (numbers.unused.to_string(), "in gaps between"),
        (numbers.sources.len().to_string(), "sources"),
        (format!("{middle:.3}"), "median sharpness"),
        (format!("{low:.3} to {high:.3}"), "sharpness, middle 80 %"),
        (duplicates.to_string(), "duplicates left out"),
        (numbers.rejects().to_string(), "rejected in all"),
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
    format!("<table><tr><th>Source</th><th>Kept</th><th>Rejected</th><th></th></tr>{rows}</table>")
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
    format!("<table>{rows}</table>")
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
    const LEFT: usize = 64;
    let fullest = f64::from(coverage.fullest().max(1));
    let mut cells = String::new();
    for (pitch, row) in coverage.counts.iter().enumerate() {
        for (yaw, count) in row.iter().enumerate() {
            let (x, y) = (LEFT + yaw * CELL, pitch * CELL);
            // The square root keeps rare poses visible beside common ones.
            let share = (f64::from(*count) / fullest).sqrt();
            let shade = |none: f64, most: f64| (none + (most - none) * share).round() as u8;
            let fill = (shade(244.0, 16.0), shade(245.0, 68.0), shade(247.0, 140.0));
            let ink = if share > 0.5 { "#fff" } else { "#444" };
            let _ = write!(
                cells,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"rgb({},{},{})\"/>",
                CELL - 2,
                CELL - 2,
                fill.0,
                fill.1,
                fill.2
            );
            if *count > 0 {
                let _ = write!(
                    cells,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" style=\"fill:{ink}\">{count}</text>",
                    x + CELL / 2 - 1,
                    y + CELL / 2 + 3
                );
            }
        }
    }
    let degrees = |bin: usize, bins: usize| (bin as f32 - (bins / 2) as f32) * BIN_DEG;
    for yaw in 0..YAW_BINS {
        let (x, y) = (LEFT + yaw * CELL + CELL / 2 - 1, PITCH_BINS * CELL + 12);
        let _ = write!(
            cells,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{:+.0}°</text>",
            degrees(yaw, YAW_BINS)
        );
    }
    for pitch in 0..PITCH_BINS {
        let y = pitch * CELL + CELL / 2 + 3;
        let word = match pitch {
            0 => "up ",
            p if p == PITCH_BINS - 1 => "down ",
            _ => "",
        };
        let _ = write!(
            cells,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{word}{:+.0}°</text>",
            LEFT - 6,
            degrees(pitch, PITCH_BINS)
        );
    }
    let (width, height) = (LEFT + YAW_BINS * CELL, PITCH_BINS * CELL + 34);
    let _ = write!(
        cells,
        "<text x=\"{LEFT}\" y=\"{0}\">looks left</text><text x=\"{width}\" y=\"{0}\" text-anchor=\"end\">looks right</text>",
        height - 6
    );
    format!(
        "<svg class=\"poses\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{cells}</svg>"
    )
}

/// Bars over the logarithm of sharpness, which spreads over several powers of ten.
fn histogram(sharpness: &[f32]) -> String {
    const BARS: usize = 24;
    const BAR: usize = 22;
    const HEIGHT: usize = 110;
    // From 0.001 to 10: a factor of ten is six bars.
    let bar_of = |s: f32| (((s.max(0.001) * 1000.0).log10() * 6.0) as usize).min(BARS - 1);
    let mut counts = [0usize; BARS];
    for s in sharpness {
        counts[bar_of(*s)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut bars = String::new();
    for (i, count) in counts.iter().enumerate() {
        let height = count * HEIGHT / most;
        let _ = write!(
            bars,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\" fill=\"#2a78d6\"><title>{count}</title></rect>",
            i * BAR,
            HEIGHT - height,
            BAR - 2
        );
    }
    for (power, label) in ["0.001", "0.01", "0.1", "1", "10"].iter().enumerate() {
        let x = (power * 6 * BAR).min(BARS * BAR - 1);
        let anchor = if power == 4 { "end" } else { "start" };
        let _ = write!(
            bars,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{label}</text>",
            HEIGHT + 14,
        );
    }
    let (width, height) = (BARS * BAR, HEIGHT + 20);
    format!(
        "<svg class=\"sharpness\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{bars}</svg>"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= group.len() {
                let value = bits >> (18 - 6 * digit) & 63;
                out.push(char::from(DIGITS[value as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_standard() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<b a=\"1\">&\n"), "&lt;b a=&quot;1&quot;&gt;&amp; ");
    }

    #[test]
    fn drawings_count_right() {
        let mut coverage = PoseCoverage::default();
        coverage.counts[3][5] = 17;
        coverage.counts[0][10] = 2;
        let svg = pose_map(&coverage);
        assert_eq!(svg.matches("<rect").count(), YAW_BINS * PITCH_BINS);
        assert!(svg.contains(">17</text>") && svg.contains(">2</text>") && svg.contains("-75°"));
        let bars = histogram(&[0.0005, 0.001, 0.012, 0.0125, 1e9, f32::NAN]);
        assert_eq!(bars.matches("<rect").count(), 24);
        assert!(bars.contains("<title>3</title>") && bars.contains("<title>2</title>"));
    }
}
