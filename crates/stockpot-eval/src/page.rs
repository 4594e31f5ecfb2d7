//! The result as one self-contained page: every measure as bars beside its toys and its goal, and
//! pictures. Nothing is fetched, no script is run.

use std::fmt::Write as _;

use stockpot_core::html::{base64, escape};
use stockpot_core::picture;
use stockpot_jobs::JobError;

use crate::bench::{Example, People, Reply};
use crate::outcome::{Better, Measure, Outcome};
use crate::table::{goal, number, reached, seeds, spread};

/// Quality of pictures on the page, as JPEG counts it.
const JPEG_QUALITY: u8 = 90;
/// Light, or dark where the reader's system is dark.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--panel:#f3f4f6;--line:#d9dce1;--blue:#2a78d6;--toy:#b6bcc6;--edge:#c26a00;--good:#1f7a3d;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--panel:#24272d;--line:#3a3e46;--blue:#4a90e2;--toy:#555c68;--edge:#e09b3d;--good:#6fcf8e;--bad:#f2877f}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid var(--line)}p{overflow-wrap:anywhere}.soft{color:var(--soft)}\
code{overflow-wrap:anywhere}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:.8em}\
.card{background:var(--panel);border-radius:6px;padding:.6em .9em}.card b{font-size:1.3em}.card .name{display:flex;justify-content:space-between;gap:1em}\
.yes{color:var(--good)}.no{color:var(--bad)}\
.bar{position:relative;margin:.3em 0;font-size:12px;line-height:1.3}.track{position:relative;height:9px;background:var(--page);border-radius:2px}\
.fill{height:100%;background:var(--toy);border-radius:2px;min-width:1px}.own .fill{background:var(--blue)}.goal{position:absolute;top:-2px;bottom:-2px;width:2px;background:var(--edge)}\
.bar .words{display:flex;justify-content:space-between;gap:1em;color:var(--soft)}.own .words{color:var(--ink)}\
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:6px;margin-bottom:1em}figure{margin:0}\
img{display:block;width:100%;height:auto;background:var(--panel)}figcaption{font-size:12px;color:var(--soft)}";

/// The page.
///
/// # Errors
/// If a picture cannot be packed.
pub(crate) fn html(reply: &Reply) -> Result<String, JobError> {
    let mut out = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n",
    );
    let effort = format!("{:?}", reply.effort).to_lowercase();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<title>SwapBench, {seed}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>SwapBench</h1>\n\
         <p><code>{command}</code><br>{seed}, {effort}, {minutes:.1} minutes, stockpot {version}<br>{machine}</p>\n\
         <p>{people}</p>\n<p class=\"soft\">Blue is measured; grey is what toys reach on the same frames; the \
         upright line is the goal.</p>\n",
        people = who(reply.people),
        seed = seeds(reply),
        command = escape(&reply.command),
        minutes = reply.seconds / 60.0,
        version = reply.stockpot,
        machine = escape(&reply.machine),
    );
    for outcome in reply.outcomes.iter().filter(|o| !o.measures.is_empty()) {
        out.push_str(&section(outcome));
        let prefix = format!("{} ", outcome.track);
        for example in reply
            .examples
            .iter()
            .filter(|e| e.title.starts_with(&prefix))
        {
            out.push_str(&pictures(example, &prefix)?);
        }
    }
    let rest: String = reply
        .outcomes
        .iter()
        .filter(|o| o.measures.is_empty())
        .map(|o| {
            format!(
                "<li>{} {}: {}</li>",
                o.track,
                escape(o.title),
                escape(&o.note)
            )
        })
        .collect();
    if !rest.is_empty() {
        let _ = writeln!(out, "<h2>Not measured</h2>\n<ul>{rest}</ul>");
    }
    out.push_str("</body>\n</html>\n");
    Ok(out)
}

/// What the pictures are, in plain sight: a page carries no credentials.
fn who(people: People) -> &'static str {
    match people {
        People::Rendered => {
            "<b>Nobody in these pictures exists.</b> The people are rendered, so that what a perfect swap looks \
             like is known; swapped and redrawn faces are drawn by a model."
        }
        People::Filmed => {
            "Measured on the clips that are named below, and on what a model draws of the faces in them."
        }
    }
}

fn section(outcome: &Outcome) -> String {
    let cards: String = outcome.measures.iter().map(card).collect();
    format!(
        "<h2>{} {}</h2>\n<p class=\"soft\">{}{}{:.0} s.</p>\n<div class=\"grid\">{cards}</div>\n",
        outcome.track,
        escape(outcome.title),
        escape(&outcome.note),
        if outcome.note.is_empty() { "" } else { "; " },
        outcome.seconds
    )
}

fn card(measure: &Measure) -> String {
    let verdict = match reached(measure) {
        "" => String::new(),
        word => format!(
            "<span class=\"{word}\">goal {}: {word}</span>",
            goal(measure)
        ),
    };
    let values = measure.toys.iter().map(|t| t.value);
    let seen = values.chain(measure.per_seed.iter().copied());
    let all = seen.chain([measure.value]).chain(measure.goal);
    let most = all.filter(|v| v.is_finite()).fold(0.0, f64::max);
    let share = |v: f64| match most > 0.0 && v.is_finite() {
        true => (100.0 * v / most).clamp(0.0, 100.0),
        false => 0.0,
    };
    let line = measure.goal.map_or_else(String::new, |g| {
        format!(
            "<div class=\"goal\" style=\"left:calc({:.1}% - 1px)\"></div>",
            share(g)
        )
    });
    let bar = |class: &str, name: &str, value: f64| {
        format!(
            "<div class=\"bar {class}\"><div class=\"words\"><span>{}</span><span>{}</span></div>\
             <div class=\"track\"><div class=\"fill\" style=\"width:{:.1}%\"></div>{line}</div></div>",
            escape(name),
            number(value),
            share(value)
        )
    };
    let toys: String = measure
        .toys
        .iter()
        .map(|t| bar("", t.name, t.value))
        .collect();
    let better = match measure.better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    };
    format!(
        "<div class=\"card\"><div class=\"name\"><span>{}</span>{verdict}</div>\
         <b>{}</b> {} <span class=\"soft\">{}{better}</span>{}{toys}</div>",
        escape(&measure.name),
        number(measure.value),
        escape(measure.unit),
        match measure.spread() {
            Some(_) => format!("({}) ", spread(measure)),
            None => String::new(),
        },
        bar("own", "stockpot", measure.value),
    )
}

fn pictures(example: &Example, prefix: &str) -> Result<String, JobError> {
    let mut cells = String::new();
    for (caption, rgb) in &example.cells {
        let bytes = picture::to_jpeg(rgb, JPEG_QUALITY)?;
        let _ = write!(
            cells,
            "<figure><img alt=\"{0}\" src=\"data:image/jpeg;base64,{1}\"><figcaption>{0}</figcaption></figure>",
            escape(caption),
            base64(&bytes)
        );
    }
    let title = example.title.strip_prefix(prefix).unwrap_or(&example.title);
    Ok(format!(
        "<h3>{}</h3>\n<div class=\"row\">{cells}</div>\n",
        escape(title)
    ))
}

#[cfg(test)]
mod tests {
    use stockpot_core::image::{Rgb8, Size};

    use super::*;
    use crate::table::tests::sample;

    #[test]
    fn the_page_fetches_nothing_and_escapes_words() {
        let mut reply = sample();
        reply.command = "stockpot eval <script>".into();
        reply.examples.push(Example {
            title: "T1 a row".into(),
            cells: vec![("one & two".into(), Rgb8::new(Size::square(16)))],
        });
        let page = html(&reply).unwrap();
        // What stands inside of pictures is no address.
        let words: String = page
            .split("base64,")
            .enumerate()
            .map(|(i, part)| match i {
                0 => part,
                _ => part.split_once('"').map_or("", |p| p.1),
            })
            .collect();
        for foreign in [
            "http:", "https:", "//", "<script", "<link", "url(", "@import",
        ] {
            assert!(!words.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("src=\"").count(), 1);
        assert!(
            page.contains("src=\"data:image/jpeg;base64,/9j/"),
            "a JPEG file"
        );
        assert!(page.contains("&lt;script&gt;") && page.contains("one &amp; two"));
        assert!(page.contains("goal ≤ 0.0350: yes") && page.contains("copy the target"));
        assert!(page.contains("T3 warm start: not yet"));
        assert!(page.contains("<h3>a row</h3>"));
    }

    #[test]
    fn the_page_says_who_is_seen() {
        let mut reply = sample();
        let page = html(&reply).unwrap();
        assert!(
            page.contains("<p><b>Nobody in these pictures exists.</b> The people are rendered")
        );
        assert!(page.contains("drawn by a model"));
        reply.people = People::Filmed;
        let page = html(&reply).unwrap();
        assert!(!page.contains("exist") && page.contains("what a model draws of the faces"));
    }
}
