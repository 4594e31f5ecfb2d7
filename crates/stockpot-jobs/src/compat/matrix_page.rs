//! The page of `library matrix`: how much larger each decoder's error is under each encoder state, as
//! a coloured grid, and the faces themselves. Nothing is fetched, no script is run.

use std::fmt::Write as _;

use stockpot_core::html::{base64, escape};
use stockpot_core::{Rgb8, picture};
use stockpot_faceset::contact_sheet;

use super::matrix::{Cell, Column, Row};
use super::relation::Verdict;
use crate::error::JobError;

/// Side of a face on the page, in pixels.
const FACE: u32 = 96;
/// Light, or dark where the reader's system is dark.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--line:#d9dce1}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--line:#3a3e46}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}.soft{color:var(--soft)}.wide{overflow-x:auto}\
table{border-collapse:separate;border-spacing:4px}th{font-weight:600;text-align:left;font-size:13px}\
td{min-width:112px;padding:.4em .6em;border-radius:6px;color:#1c1c1c;font-size:13px;line-height:1.35}td b{font-size:17px}\
td.none{color:var(--soft);border:1px solid var(--line)}img{display:block;max-width:100%;height:auto}code{font-size:13px}";

/// The page.
///
/// # Errors
/// If a picture cannot be packed.
pub(super) fn html(
    columns: &[Column],
    rows: &[Row],
    left_out: &[String],
) -> Result<String, JobError> {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Who fits whom</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Who fits whom</h1>\n\
         <p>Each row is a person's decoder, each column an encoder state. The number is the decoder's error \
         on held-out faces under that encoder, as a multiple of its error under its own; below it the same \
         through a stitch. <span class=\"soft\">Green is as good as at home, red is twice the error or \
         more.</span></p>\n<div class=\"wide\"><table>\n<tr><th></th>"
    );
    for column in columns {
        let current = if column.current { ", current" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<th><code>{}</code><br><span class=\"soft\">{} steps{current}</span></th>",
            escape(&column.encoder),
            column.steps
        );
    }
    out.push_str("</tr>\n");
    for row in rows {
        let cells: String = row.cells.iter().map(cell).collect();
        let name = escape(row.person.as_str());
        let _ = writeln!(out, "<tr><th>{name}</th>{cells}</tr>");
    }
    out.push_str("</table></div>\n");
    if !rows.is_empty() {
        let sheet = picture::to_png(&sheet(columns.len(), rows))?;
        let _ = write!(
            out,
            "<h2>One face of each</h2>\n<p><b>Only the first face of each row is the person's own,</b> cut from their \
             pictures or clips; all others are drawn by a model.</p>\n<p class=\"soft\">First the person's own face; then, for each encoder \
             state from left to right, what the decoder draws of it as it is, and beside it through a stitch \
             (dark where none is needed or none could be measured).</p>\n\
             <img alt=\"A row of faces for each person\" src=\"data:image/png;base64,{}\">\n",
            base64(&sheet)
        );
    }
    if !left_out.is_empty() {
        let items: String = left_out
            .iter()
            .map(|text| format!("<li>{}</li>", escape(text)))
            .collect();
        let _ = write!(out, "<h2>Not measured</h2>\n<ul>{items}</ul>\n");
    }
    out.push_str("</body>\n</html>\n");
    Ok(out)
}

fn cell(cell: &Cell) -> String {
    let verdict = match cell.verdict {
        Verdict::Same => "same",
        Verdict::Kin => "kin",
        Verdict::Foreign => "foreign",
    };
    let (Some(times), Some(mae)) = (cell.times_own, cell.mae) else {
        return format!("<td class=\"none\">{verdict}<br>another area</td>");
    };
    let stitched = match (cell.times_own_stitched, cell.mae_stitched) {
        (Some(times), Some(mae)) => format!("<br>stitched {times:.2} ({mae:.4})"),
        _ => String::new(),
    };
    format!(
        "<td style=\"background:{}\">{verdict}<br><b>{times:.2}</b> ({mae:.4}){stitched}</td>",
        colour(times)
    )
}

/// Green at 1, yellow at 1.5, red from 2 on.
fn colour(times: f64) -> String {
    let hue = 120.0 * (2.0 - times).clamp(0.0, 1.0);
    format!("hsl({hue:.0} 55% 72%)")
}

fn sheet(columns: usize, rows: &[Row]) -> Rgb8 {
    let mut faces = Vec::new();
    for row in rows {
        faces.push(row.face.clone());
        for cell in &row.cells {
            let blank = || Rgb8::new(stockpot_core::Size::square(1));
            let picture = |n: usize| cell.pictures.get(n).cloned().unwrap_or_else(blank);
            faces.extend([picture(0), picture(1)]);
        }
    }
    contact_sheet(&faces, 1 + 2 * columns, FACE)
}
