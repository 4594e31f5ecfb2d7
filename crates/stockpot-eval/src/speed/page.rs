//! The result as one self-contained page: rooflines, bars of the steps, all tables. Nothing is
//! fetched, no script is run.

use std::fmt::Write as _;

use stockpot_model::Family;

use super::picture::roofline;
use super::text::{Table, number, percent, surroundings, tables};
use super::{Reply, steps::Step};
use stockpot_core::html::escape;

/// Light, or dark where the reader's system is dark.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--panel:#f3f4f6;--line:#d9dce1;--blue:#2a78d6;--orange:#c26a00;--good:#1f7a3d}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--panel:#24272d;--line:#3a3e46;--blue:#5aa0ee;--orange:#e09b3d;--good:#6fcf8e}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid var(--line)}h3{font-size:1em;margin:1.2em 0 .3em}p{overflow-wrap:anywhere}.soft{color:var(--soft)}code{overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}th{text-align:left;color:var(--soft);font-weight:500;vertical-align:bottom}\
th,td{padding:.3em .9em .3em 0;border-bottom:1px solid var(--line);white-space:nowrap}td.words{white-space:normal;min-width:15em}\
svg{display:block;width:100%;height:auto;background:var(--panel);border-radius:6px}.wide svg{min-width:560px}\
.grid-line{stroke:var(--line);stroke-width:1}.tick,.label{font:11px system-ui,sans-serif;fill:var(--soft)}.roof{fill:none;stroke-width:2}\
.roof.f32{stroke:var(--soft)}.roof.bf16{stroke:var(--good)}.label.bf16{fill:var(--good)}\
circle{fill-opacity:.55;stroke-width:1.5}circle.forward{fill:var(--blue);stroke:var(--blue)}circle.backward{fill:var(--orange);stroke:var(--orange)}circle.f32{fill-opacity:.1}\
.key{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin:0 .3em 0 1em;background:var(--blue)}.key.second{background:var(--orange)}\
.bar{margin:.45em 0;font-size:13px}.words{display:flex;justify-content:space-between;gap:1em}td.words{display:table-cell}.track{height:10px;background:var(--panel);border-radius:2px}.fill{height:100%;background:var(--blue);border-radius:2px;min-width:1px}\
ul{padding-left:1.2em}";

/// The page.
pub(super) fn html(reply: &Reply) -> String {
    let mut out = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n",
    );
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<title>stockpot bench</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>stockpot bench</h1>\n\
         <p><code>{}</code><br>stockpot {}, {:.0} s, {}</p>\n",
        escape(&reply.command),
        reply.stockpot,
        reply.seconds,
        escape(&surroundings(reply)),
    );
    let mut families: Vec<Family> = reply.layers.iter().map(|l| l.family).collect();
    families.dedup();
    if !families.is_empty() {
        out.push_str(
            "<h2>How near the layers come to the ceilings</h2>\n<p class=\"soft\">Each circle is a layer alone, its area the share of the layers' time. \
             It can lie no higher than the slope (memory) and the flat line (products) above it; pale circles are of layers that multiply in f32, \
             so the lower line is theirs. A layer whose numbers stay in the caches can lie above the slope.\
             <br><span class=\"key\"></span>forward<span class=\"key second\"></span>backward</p>\n",
        );
    }
    for family in families {
        let _ = write!(
            out,
            "<h3>{family}</h3>\n<div class=\"wide\">{}</div>\n",
            roofline(reply, family)
        );
    }
    if !reply.steps.is_empty() {
        out.push_str(&bars(&reply.steps));
    }
    for part in tables(reply) {
        out.push_str(&table(&part));
    }
    if !reply.not_measured.is_empty() {
        let items = reply.not_measured.iter();
        let items: String = items.map(|r| format!("<li>{}</li>", escape(r))).collect();
        let _ = writeln!(out, "<h2>Not measured</h2>\n<ul>{items}</ul>");
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// How much of the products' ceiling whole steps reach.
fn bars(steps: &[Step]) -> String {
    let bar = |step: &Step| {
        format!(
            "<div class=\"bar\"><div class=\"words\"><span>{} 2 x {} {}</span><span>{} faces/s, {}</span></div>\
             <div class=\"track\"><div class=\"fill\" style=\"width:{:.1}%\"></div></div></div>",
            step.family,
            step.batch,
            format!("{:?}", step.precision).to_lowercase(),
            number(step.faces_per_sec.median),
            percent(step.share),
            100.0 * step.share.clamp(0.0, 1.0)
        )
    };
    format!(
        "<h2>What share of the ceiling whole training steps reach</h2>\n<p class=\"soft\">Of the products that this machine makes in registers, in the step's number format. The full width is the ceiling.</p>\n{}\n",
        steps.iter().map(bar).collect::<String>()
    )
}

fn table(table: &Table) -> String {
    let head: String = table
        .head
        .iter()
        .map(|h| format!("<th>{}</th>", escape(h)))
        .collect();
    // Only lists of words may break.
    let cell = |text: &String| match text.matches(',').count() > 1 {
        true => format!("<td class=\"words\">{}</td>", escape(text)),
        false => format!("<td>{}</td>", escape(text)),
    };
    let rows: String = table
        .rows
        .iter()
        .map(|row| format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>()))
        .collect();
    format!(
        "<h2>{}</h2>\n<div class=\"wide\"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n",
        escape(&table.title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_fetches_nothing_and_escapes_words() {
        let page = html(&super::super::tests::sample());
        for foreign in [
            "http:", "https:", "//", "<script", "<link", "url(", "@import",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("stockpot bench &lt;b&gt;") && page.contains("a &lt;thing&gt;"));
        assert_eq!(page.matches("<svg").count(), 1);
        assert!(page.contains("width:39.0%") && page.contains("40.0 faces/s, 39 %"));
    }
}
