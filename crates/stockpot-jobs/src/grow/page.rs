//! The page of a growth: what it did to everybody, as a sentence, a table and a picture. Nothing is
//! fetched, no script is run.

use std::fmt::Write as _;

use stockpot_core::html::{base64, escape};
use stockpot_core::picture;
use stockpot_faceset::contact_sheet;

use super::{Part, Reply, Row, Way};
use crate::error::JobError;

/// Side of a face on the page, in pixels.
const FACE: u32 = 128;
/// Percent of the error that fill half of a bar.
const FULL_BAR: f64 = 5.0;
/// Light, or dark where the reader's system is dark.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--line:#d9dce1;--good:#2e8b57;--bad:#b5462f}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--line:#3a3e46;--good:#5fc48c;--bad:#e58a72}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}.soft{color:var(--soft)}.wide{overflow-x:auto}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35em .6em;border-bottom:1px solid var(--line);font-size:14px}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}svg{display:block}img{display:block;max-width:100%;height:auto}code{font-size:13px}";

/// The page.
///
/// # Errors
/// If a picture cannot be packed.
pub(super) fn html(reply: &Reply) -> Result<String, JobError> {
    let title = match reply.released {
        true => "The encoder grew",
        false => "The encoder stays as it was",
    };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p><b>{}</b></p>\n",
        escape(&reply.report)
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<p class=\"soft\">Run <code>{}</code>, {} steps, {:.0} minutes; from the encoder state <code>{}</code> \
         to <code>{}</code>{}. Rehearsed: {}.</p>",
        escape(&reply.run),
        reply.steps,
        reply.minutes,
        escape(&reply.previous),
        escape(&reply.encoder),
        match (reply.released, reply.against_the_gate) {
            (true, false) => "",
            (true, true) => ", released against the gate",
            (false, _) => ", a candidate",
        },
        match reply.rehearsed.is_empty() {
            true => "nobody".to_owned(),
            false => {
                let names: Vec<&str> = reply.rehearsed.iter().map(|p| p.as_str()).collect();
                escape(&names.join(", "))
            }
        }
    );
    list(&mut out, "Against it", &reply.verdict.reasons);
    out.push_str(
        "<h2>Everybody</h2>\n<p class=\"soft\">Mean difference of held-out faces and what is drawn of them, \
         0 to 1: before, and with the new encoder state directly and through a stitch. The bar shows what \
         changed for the better (right) or the worse (left).</p>\n<div class=\"wide\"><table>\n<tr><th></th>\
         <th></th><th class=\"n\">before</th><th class=\"n\">directly</th><th class=\"n\">stitched</th>\
         <th class=\"n\">gain</th><th></th></tr>\n",
    );
    for row in &reply.persons {
        out.push_str(&line(row));
    }
    out.push_str("</table></div>\n");
    if !reply.persons.is_empty() {
        let faces: Vec<_> = reply
            .persons
            .iter()
            .flat_map(|row| row.pictures.iter().cloned())
            .collect();
        let png = picture::to_png(&contact_sheet(&faces, 3, FACE))?;
        let names: Vec<&str> = reply.persons.iter().map(|r| r.person.as_str()).collect();
        let _ = write!(
            out,
            "<h2>One face of each</h2>\n<p><b>Only the left face of each row is the person's own,</b> cut from their \
             pictures or clips; all others are drawn by a model.</p>\n<p class=\"soft\">From top to bottom {}; from left to right the face, \
             what was drawn of it before (dark for somebody new), and what is drawn now.</p>\n\
             <img alt=\"Three faces for each person\" src=\"data:image/png;base64,{}\">\n",
            escape(&names.join(", ")),
            base64(&png)
        );
    }
    list(&mut out, "Not measured", &reply.not_measured);
    out.push_str("</body>\n</html>\n");
    Ok(out)
}

fn list(out: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let items: String = items
        .iter()
        .map(|text| format!("<li>{}</li>", escape(text)))
        .collect();
    let _ = write!(out, "<h2>{title}</h2>\n<ul>{items}</ul>\n");
}

fn line(row: &Row) -> String {
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
    let part = match row.part {
        Part::New => "new",
        Part::Trained => "trained again",
        Part::Rehearsed => "rehearsed",
        Part::Absent => "took no part",
    };
    let strong = |text: String, is: bool| match is && !text.is_empty() {
        true => format!("<b>{text}</b>"),
        false => text,
    };
    format!(
        "<tr><td>{}</td><td class=\"soft\">{part}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
        escape(row.person.as_str()),
        number(row.before),
        strong(number(Some(row.direct)), row.way != Way::Stitched),
        strong(number(row.stitched), row.way == Way::Stitched),
        row.change_percent
            .map_or(String::new(), |c| format!("{:+.1} %", 0.0 - c)),
        row.change_percent.map_or(String::new(), bar)
    )
}

/// A bar from the middle: to the right for a gain, to the left for a loss.
fn bar(change: f64) -> String {
    let length = (change.abs() / FULL_BAR).min(1.0) * 60.0;
    let (start, colour) = match change > 0.0 {
        true => (60.0 - length, "bad"),
        false => (60.0, "good"),
    };
    format!(
        "<svg width=\"120\" height=\"12\" role=\"img\" aria-label=\"{:+.1} percent\"><rect x=\"{start:.1}\" y=\"2\" \
         width=\"{length:.1}\" height=\"8\" style=\"fill:var(--{colour})\"/><path d=\"M60 0v12\" \
         style=\"stroke:var(--line)\"/></svg>",
        0.0 - change
    )
}
