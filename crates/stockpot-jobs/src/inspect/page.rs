//! A page about one file: a small picture with the places of the faces, what was swapped where over
//! time, by which networks, what it was made from, and whether that can be believed.
//!
//! The page needs nothing else and runs no script. Its small picture may show a swapped face, so it
//! is sealed like everything that does. Start with [`write`].

use std::fmt::Write as _;
use std::path::Path;

use stockpot_core::html::{base64, escape};
use stockpot_core::picture::write_whole;
use stockpot_core::{Affine, Frame, Rgb8, Size, warp};
use stockpot_provenance::{FaceStretch, Origin, SealId, Statement, Verdict};

use super::{Fault, Found, Known, Report, Signer, SwapNote};
use crate::context::Context;
use crate::disclosure::STYLE;
use crate::error::{JobError, io};

/// Longest side of the small picture in pixels.
const PICTURE_SIDE: u32 = 720;
const JPEG_QUALITY: u8 = 82;
/// Stretches that the table lists; the picture of time has them all.
const MOST_ROWS: usize = 40;

/// A frame of the file, and what is known of its length.
struct Look {
    jpeg: Vec<u8>,
    size: Size,
    frame: u64,
    frames: Option<u64>,
}

/// Writes the page.
///
/// # Errors
/// If it cannot be written, or the user stopped. A file that cannot be decoded has no picture.
pub(super) fn write(ctx: &Context, found: &Found, page: &Path) -> Result<(), JobError> {
    let note = note(found);
    let looked = look(ctx, found, note);
    if let Err(e) = &looked {
        ctx.check_cancel()?;
        ctx.warn(format!("The page has no picture: {}", e.message));
    }
    let text = html(found, note, looked.ok().as_ref());
    write_whole(page, text.as_bytes()).map_err(|e| io("write the page", page, &e))
}

fn note(found: &Found) -> Option<&SwapNote> {
    found.report.credentials.as_ref()?.swap.as_ref()
}

/// The first frame with a face, made small and sealed; the first one of all without any.
fn look(ctx: &Context, found: &Found, note: Option<&SwapNote>) -> Result<Look, JobError> {
    let file = &found.report.file;
    let opener = ctx.opener();
    let frames = opener.probe(file)?.video.frame_count;
    let swaps = note.map_or(&[][..], |n| &n.swaps);
    let wanted = swaps
        .iter()
        .flat_map(|s| &s.faces)
        .map(|s| s.first)
        .min()
        .unwrap_or(0);
    let mut source = opener.open(file, wanted..wanted.saturating_add(1))?;
    let frame = source
        .next_frame()?
        .ok_or_else(|| JobError::failed(format!("There is no frame {wanted}")))?;
    let full = frame.pixels.to_rgb8();
    let small = smaller(&full);
    let statement = Statement {
        // What a changed file says of its seal is not passed on.
        seal: note
            .filter(|_| found.report.verdict == Verdict::Whole)
            .map_or_else(SealId::fresh, |n| n.seal),
        origin: Origin::Edited(file.clone()),
        source_type: None,
        about: "A small copy of one frame, for a page about the file".into(),
        swaps: Vec::new(),
        mark: None,
        label: None,
        research: false,
    };
    let title = format!("frame {wanted}.jpg");
    let jpeg = ctx
        .sealer()?
        .seal_jpeg(&small, JPEG_QUALITY, &title, &statement)?;
    Ok(Look {
        jpeg,
        size: full.size(),
        frame: wanted,
        frames,
    })
}

fn smaller(picture: &Rgb8) -> Rgb8 {
    let Size { width, height } = picture.size();
    let longest = width.max(height);
    if longest <= PICTURE_SIDE {
        return picture.clone();
    }
    let step = f64::from(longest) / f64::from(PICTURE_SIDE);
    let side = |side: u32| ((f64::from(side) / step).round() as u32).max(1);
    let from: Affine<Frame, Frame> = Affine::scale_then_shift(step, 0.0, 0.0);
    warp::warp_affine(picture, Size::new(side(width), side(height)), &from)
}

fn html(found: &Found, note: Option<&SwapNote>, look: Option<&Look>) -> String {
    let file = found.report.file.file_name().unwrap_or_default();
    let name = escape(&file.to_string_lossy());
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{name}</title>\n<style>{STYLE}.shown{{position:relative;display:inline-block;max-width:100%;margin:.6em 0}}\
         .shown svg{{position:absolute;inset:0;width:100%;height:100%}}.verdict{{font-size:1.1em;font-weight:600}}\
         .time{{width:100%;height:34px;background:var(--panel);border-radius:4px;display:block}}\
         table{{border-collapse:collapse;font-size:13px}}td,th{{padding:.15em .9em .15em 0;text-align:left;border-bottom:1px solid var(--line)}}\
         ul{{margin:.3em 0;padding-left:1.2em}}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
    );
    out.push_str(&verdict(found));
    if let Some(look) = look {
        out.push_str(&picture(note, look));
    }
    out.push_str(&in_pixels(found));
    if let Some(note) = note {
        out.push_str(&swaps(note, look.and_then(|l| l.frames)));
    }
    out.push_str(&chain(found));
    out.push_str(
        "<p class=\"soft\">Written by stockpot from what the file says of itself; nothing was fetched. \
         Look again: <code>stockpot inspect FILE</code>.</p>\n</body>\n</html>\n",
    );
    out
}

fn verdict(found: &Found) -> String {
    let (class, words) = match found.report.verdict {
        Verdict::Whole => ("good", "Whole: not a byte was changed since it was signed."),
        Verdict::Broken => ("bad", "Broken: do not believe what it says."),
        Verdict::None => (
            "warn",
            "Says nothing of itself: there are no content credentials.",
        ),
    };
    let mut out = format!("<p class=\"verdict {class}\">{words}</p>\n");
    let Report {
        faults, remarks, ..
    } = &found.report;
    out.push_str(&sentences(faults));
    if !remarks.is_empty() {
        out.push_str("<p>Not a fault, but to be known:</p>\n");
        out.push_str(&sentences(remarks));
    }
    out.push_str(&codes(faults, remarks));
    let Some(credentials) = &found.report.credentials else {
        return out;
    };
    out.push_str("<dl>\n");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    };
    if let Some(signer) = &credentials.signer {
        let known = match signer.known {
            Known::Own => "the identity of this machine",
            Known::Listed => "an authority that is trusted here vouches for them",
            Known::Unknown => "not known here: the name is only what they call themselves",
        };
        let name = signer.name.as_deref().unwrap_or("nobody named");
        row("Signed by", &format!("{name} ({known})"));
        row("Time", &time_told(signer));
    }
    if let Some(software) = &credentials.software {
        row("Made with", software);
    }
    for action in &credentials.actions {
        row("Done", &action.words());
    }
    out.push_str("</dl>\n");
    out
}

fn sentences(faults: &[Fault]) -> String {
    let items: String = Fault::sentences(faults)
        .into_iter()
        .map(|sentence| format!("<li>{}</li>", escape(sentence)))
        .collect();
    match items.is_empty() {
        true => items,
        false => format!("<ul>{items}</ul>\n"),
    }
}

/// The standard's names for all of it, folded up.
fn codes(faults: &[Fault], remarks: &[Fault]) -> String {
    let rows: String = faults
        .iter()
        .chain(remarks)
        .map(|fault| {
            format!(
                "<tr><td><code>{}</code></td><td>{}</td></tr>",
                escape(&fault.code),
                escape(fault.detail.as_deref().unwrap_or_default())
            )
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<details><summary>Codes, for people who look for the cause</summary><table><tr><th>code</th>\
         <th>what the reader of credentials says</th></tr>{rows}</table></details>\n"
    )
}

/// The small picture, with boxes where a face was drawn in that frame.
fn picture(note: Option<&SwapNote>, look: &Look) -> String {
    let Size { width, height } = look.size;
    let boxes: String = note
        .map_or(&[][..], |n| &n.swaps)
        .iter()
        .filter(|swap| swap.frame_size == look.size)
        .flat_map(|swap| &swap.faces)
        .filter(|s| (s.first..=s.last).contains(&look.frame))
        .map(|s| {
            let p = s.place;
            format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#ffb000\" \
                 stroke-width=\"{}\"/>",
                p.x,
                p.y,
                p.width,
                p.height,
                (width / 200).max(2)
            )
        })
        .collect();
    let told = match boxes.is_empty() {
        true => String::new(),
        false => ": the box holds all that was changed in it and its neighbours".into(),
    };
    format!(
        "<div class=\"shown\"><img alt=\"frame {0}\" src=\"data:image/jpeg;base64,{1}\">\
         <svg viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">{boxes}</svg></div>\n\
         <p class=\"soft\">Frame {0} of {width} x {height} px{told}.</p>\n",
        look.frame,
        base64(&look.jpeg)
    )
}

fn in_pixels(found: &Found) -> String {
    let words = match (&found.mark, found.searched, &found.not_searched) {
        (Some(mark), ..) => format!(
            "The pixels carry the invisible mark of seal {}: they came out of a stockpot swap with that seal.{}",
            mark.seal,
            match note(found) {
                Some(note) if note.seal.to_string() == mark.seal =>
                    " The credentials name the same.",
                Some(_) => " The credentials name ANOTHER one.",
                None => " The credentials that said so are gone.",
            }
        ),
        (None, true, _) => "No invisible mark of stockpot was found in the pixels.".into(),
        (None, false, Some(reason)) => {
            format!("The pixels could not be searched for the invisible mark: {reason}")
        }
        (None, false, None) => return String::new(),
    };
    format!("<p>{}</p>\n", escape(&words))
}

fn swaps(note: &SwapNote, frames: Option<u64>) -> String {
    let mut out = format!(
        "<section>\n<h2>What was swapped</h2>\n<p>{}</p>\n<dl>\n<dt>Seal</dt><dd><code>{}</code></dd>\n",
        escape(&note.about),
        note.seal
    );
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    };
    if let Some(hash) = &note.source_sha256 {
        row("SHA-256 of source", hash.clone());
    }
    if let Some(label) = &note.label {
        row(
            "Visible label",
            match label.secs {
                Some(secs) => format!("{}, for the first {secs} seconds", label.text),
                None => format!("{}, all the time", label.text),
            },
        );
    }
    if note.research {
        row(
            "Research",
            "exact masks and parameters were exported beside it".into(),
        );
    }
    for swap in &note.swaps {
        row("Network", swap.model.family.clone());
        row("Decoder state", swap.model.decoder.to_string());
        row("Encoder state", swap.model.encoder.to_string());
        row(
            "Trained from",
            match swap.model.lineage.len() {
                0 => "no earlier state is told".into(),
                n => format!("{n} earlier encoder states"),
            },
        );
        row("Consent record", swap.consent.to_string());
        row(
            "Ground",
            match swap.basis {
                super::Basis::OwnFace => "the maker's own face",
                super::Basis::Synthetic => "nobody real",
                super::Basis::File => "a document",
            }
            .into(),
        );
    }
    out.push_str("</dl>\n");
    for swap in &note.swaps {
        out.push_str(&time(&swap.faces, frames));
    }
    out.push_str("</section>\n");
    out
}

/// When it was signed, and by whose word.
pub fn time_told(signer: &Signer) -> String {
    let Some(time) = &signer.time else {
        return "not attested by anybody".into();
    };
    let by = signer.time_by.as_ref();
    let name = by.and_then(|by| by.name.as_deref());
    let known = match by.map(|by| by.known) {
        Some(Known::Own | Known::Listed) => "is trusted here",
        Some(Known::Unknown) | None => "is not known here: anybody can attest any time",
    };
    format!(
        "{time}, by {}, who {known}",
        name.unwrap_or("somebody without a name")
    )
}

/// Where a face was drawn over time: a strip, and the first stretches as a table.
fn time(faces: &[FaceStretch], frames: Option<u64>) -> String {
    let Some(last) = faces.iter().map(|s| s.last).max() else {
        return String::new();
    };
    let known = frames.unwrap_or(0).max(last.saturating_add(1));
    let at = |frame: u64| frame as f64 / known as f64 * 1000.0;
    let bars: String = faces
        .iter()
        .map(|s| {
            let (from, to) = (at(s.first), at(s.last.saturating_add(1)));
            format!(
                "<rect x=\"{from:.2}\" y=\"6\" width=\"{:.2}\" height=\"22\" fill=\"var(--blue)\"><title>frames {} to {}</title></rect>",
                (to - from).max(0.5),
                s.first,
                s.last
            )
        })
        .collect();
    let rows: String = faces
        .iter()
        .take(MOST_ROWS)
        .map(|s| {
            let p = s.place;
            format!(
                "<tr><td>{} to {}</td><td>{} x {} px</td><td>{}, {}</td></tr>",
                s.first, s.last, p.width, p.height, p.x, p.y
            )
        })
        .collect();
    let more = match faces.len().saturating_sub(MOST_ROWS) {
        0 => String::new(),
        n => format!("<p class=\"soft\">and {n} more (<code>stockpot inspect --json</code>)</p>"),
    };
    format!(
        "<p>Frames 0 to {}; blue where the face was drawn:</p>\n\
         <svg class=\"time\" viewBox=\"0 0 1000 34\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"frames with a drawn face\">{bars}</svg>\n\
         <details><summary>Places</summary><table><tr><th>frames</th><th>size</th><th>left, top</th></tr>{rows}</table>{more}</details>\n",
        known.saturating_sub(1)
    )
}

/// What it was made from.
fn chain(found: &Found) -> String {
    let ingredients = found
        .report
        .credentials
        .as_ref()
        .map_or(&[][..], |c| &c.ingredients);
    if ingredients.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section>\n<h2>What it was made from</h2>\n<ul>\n");
    for ingredient in ingredients {
        let own = match ingredient.verdict {
            Verdict::Whole => "with its own credentials, whole and kept",
            Verdict::Broken => "with its own credentials, which were broken",
            Verdict::None => "without credentials of its own",
        };
        let _ = writeln!(
            out,
            "<li>{} <span class=\"soft\">({}, {own})</span></li>",
            escape(ingredient.title.as_deref().unwrap_or("without a name")),
            escape(&ingredient.relation)
        );
    }
    out.push_str("</ul>\n</section>\n");
    out
}

#[cfg(test)]
mod tests {
    use stockpot_provenance::{FaceBox, FaultKind};

    use super::*;

    fn found(faults: Vec<Fault>, remarks: Vec<Fault>) -> Found {
        Found {
            report: Report {
                file: "x.png".into(),
                verdict: match faults.is_empty() {
                    true => Verdict::Whole,
                    false => Verdict::Broken,
                },
                holder: None,
                faults,
                remarks,
                elsewhere: None,
                credentials: None,
            },
            searched: false,
            not_searched: None,
            mark: None,
            credentials_in: None,
        }
    }

    fn fault(code: &str, detail: &str) -> Fault {
        Fault {
            code: code.into(),
            kind: FaultKind::ContentChanged,
            sentence: "The file was changed & signed.".into(),
            detail: Some(detail.into()),
        }
    }

    #[test]
    fn sentences_stand_in_sight_and_codes_are_folded_up() {
        let faults = vec![fault("one.code", "<b>"), fault("two.code", "more")];
        let page = html(&found(faults, Vec::new()), None, None);
        let (sight, folded) = page.split_once("<details>").unwrap();
        let item = "<li>The file was changed &amp; signed.</li>";
        assert_eq!(page.matches(item).count(), 1, "told once: {page}");
        assert!(
            sight.contains(item) && !sight.contains("one.code"),
            "{sight}"
        );
        for word in [
            "<code>one.code</code>",
            "<code>two.code</code>",
            "&lt;b&gt;",
        ] {
            assert!(folded.contains(word), "no {word} in {folded}");
        }
        assert!(!page.contains("Not a fault"));

        let page = html(
            &found(Vec::new(), vec![fault("three.code", "")]),
            None,
            None,
        );
        let (sight, folded) = page.split_once("<details>").unwrap();
        assert!(
            sight.contains("Not a fault") && sight.contains(item),
            "{sight}"
        );
        assert!(folded.contains("<code>three.code</code>"), "{folded}");
        let page = html(&found(Vec::new(), Vec::new()), None, None);
        assert!(!page.contains("<details>"));
    }

    #[test]
    fn large_pictures_are_made_small_and_small_ones_kept() {
        let size = |w, h| smaller(&Rgb8::new(Size::new(w, h))).size();
        assert_eq!(size(1440, 720), Size::new(720, 360));
        assert_eq!(size(100, 90), Size::new(100, 90));
        assert_eq!(size(20_000, 2), Size::new(720, 1));
    }

    #[test]
    fn time_is_drawn_to_scale() {
        let place = FaceBox {
            x: 1,
            y: 2,
            width: 3,
            height: 4,
        };
        let stretch = |first, last| FaceStretch { first, last, place };
        let strip = time(&[stretch(0, 24), stretch(75, 99)], Some(100));
        assert!(
            strip.contains("x=\"0.00\" y=\"6\" width=\"250.00\""),
            "{strip}"
        );
        assert!(strip.contains("x=\"750.00\""), "{strip}");
        assert_eq!(time(&[], Some(100)), "");
        // What a stranger's file claims cannot break the sums.
        assert!(time(&[stretch(0, u64::MAX)], None).contains("<rect"));
    }
}
