//! A disclosure sheet: what went into one swap and what came out, for studios, lawyers and privacy
//! officers, as text and as a page that needs nothing else.
//!
//! It is no output of a swap: no pixel of one is in it. It says what the library and the sealed
//! output say, and it names persons, which the output does not. Start with [`write`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stockpot_core::html::escape;
use stockpot_core::picture::write_whole;
use stockpot_library::{Consented, Library, date_text};
use stockpot_media::{MediaInfo, SourceKind};
use stockpot_provenance::{Holder, Inspector, Known, Report, SealId, Verdict};

use crate::consent;
use crate::context::{Context, now_secs};
use crate::error::{JobError, io};
use crate::swap::{ColourMatch, MaskMode, Settings, Wanted};

/// Ancestors of an encoder state that are listed.
const MOST_ANCESTORS: usize = 12;
/// Light, or dark where the reader's system is dark; plain on paper.
pub(crate) const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--soft:#5a5f68;--page:#fff;--panel:#f3f4f6;--line:#d9dce1;--blue:#2a78d6;--good:#1f7a3d;--bad:#b3261e;--warn:#9a5b00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a5abb5;--page:#17191d;--panel:#24272d;--line:#3a3e46;--blue:#4a90e2;--good:#6fcf8e;--bad:#f2877f;--warn:#e0a04a}}\
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--page:#fff;--panel:#fff;--line:#bbb}body{margin:0}section{break-inside:avoid}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}\
h1{font-size:1.6em;margin-bottom:.2em;overflow-wrap:anywhere}h2{font-size:1.15em;margin:1.6em 0 .3em;border-bottom:1px solid var(--line)}.soft{color:var(--soft)}\
dl{display:grid;grid-template-columns:minmax(8em,12em) minmax(0,1fr);gap:.25em 1em;margin:.4em 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
@media(max-width:520px){dl{grid-template-columns:1fr}dd{margin-bottom:.4em}}\
code{overflow-wrap:anywhere;font-size:.92em}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}img{max-width:100%;height:auto;display:block}";

/// What a swap did, beside its settings.
pub(crate) struct Done<'a> {
    pub(crate) library: &'a Library,
    pub(crate) consents: &'a [Consented],
    pub(crate) source: &'a MediaInfo,
    /// Frames of the output, and those with a face drawn into.
    pub(crate) frames: [u64; 2],
    pub(crate) remarks: &'a [String],
    pub(crate) seal: SealId,
}

/// One part of a sheet.
struct Section {
    title: String,
    rows: Vec<(&'static str, String)>,
}

impl Section {
    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
        }
    }

    fn row(&mut self, name: &'static str, value: impl Into<String>) {
        self.rows.push((name, value.into()));
    }
}

/// The sheets of an output: beside it, with its whole name in front.
pub(crate) fn paths(output: &Path) -> [PathBuf; 2] {
    [".disclosure.txt", ".disclosure.html"].map(|ending| {
        let mut name = output.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

/// Writes both sheets.
///
/// # Errors
/// If the output cannot be read again, or a sheet not written.
pub(crate) fn write(
    ctx: &Context,
    settings: &Settings,
    done: &Done<'_>,
) -> Result<Vec<PathBuf>, JobError> {
    let report = sealed_report(ctx, &settings.output, done.seal)?;
    let mut sections = vec![what_it_is(settings, done), source(settings, done, &report)];
    sections.extend(persons(settings, done)?);
    sections.push(model(&report));
    sections.push(edits(settings, &report));
    sections.push(seal(&report));
    if !done.remarks.is_empty() {
        let mut section = Section::new("Remarks");
        for remark in done.remarks {
            section.row("", remark.as_str());
        }
        sections.push(section);
    }
    let title = name_of(&settings.output);
    let [plain, page] = paths(&settings.output);
    for (path, text) in [
        (&plain, text(&title, &sections)),
        (&page, html(&title, &sections)),
    ] {
        write_whole(path, text.as_bytes()).map_err(|e| io("write the sheet", path, &e))?;
    }
    Ok(vec![plain, page])
}

/// What the sealed output says of itself; of a folder, its first picture with a face that has this
/// seal, for there may be pictures of other swaps in it.
fn sealed_report(ctx: &Context, output: &Path, seal: SealId) -> Result<Report, JobError> {
    let inspector = Inspector::new(&ctx.identity_dir)?;
    if !output.is_dir() {
        return Ok(inspector.inspect(output)?);
    }
    let mut first = None;
    for path in stockpot_media::pictures_in(output)? {
        let report = inspector.inspect(&path)?;
        let note = report.credentials.as_ref().and_then(|c| c.swap.as_ref());
        let Some(note) = note.filter(|note| note.seal == seal) else {
            continue;
        };
        if !note.swaps.is_empty() {
            return Ok(report);
        }
        first.get_or_insert(report);
    }
    first.ok_or_else(|| JobError::failed("The output holds no picture: this is a bug"))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn what_it_is(settings: &Settings, done: &Done<'_>) -> Section {
    let mut section = Section::new("What it is");
    let kind = match (settings.preview, done.source.kind) {
        (Some(_), _) => "contact sheet of frames before and after",
        (None, SourceKind::Video) => "video",
        (None, SourceKind::Picture) => "picture",
        (None, SourceKind::PictureFolder) => "sequence of pictures",
    };
    section.row(
        "Content",
        format!(
            "A {kind} in which a face was replaced by one that a trained network (artificial \
             intelligence) drew. It shows something that did not happen so."
        ),
    );
    let [frames, changed] = done.frames;
    section.row(
        "Frames",
        format!("{frames}, the face is drawn in {changed} of them"),
    );
    section.row("Made on", format!("{} (UTC)", date_text(now_secs())));
    section.row(
        "Made with",
        format!("stockpot {}", env!("CARGO_PKG_VERSION")),
    );
    section
}

fn source(settings: &Settings, done: &Done<'_>, report: &Report) -> Section {
    let mut section = Section::new("Source");
    let video = &done.source.video;
    section.row("File", name_of(&settings.input));
    let rate = video
        .frame_rate
        .filter(|_| done.source.kind == SourceKind::Video)
        .map_or_else(String::new, |r| format!(", {:.3} frames a second", r.fps()));
    section.row("Kind", format!("{}, {} px{rate}", video.codec, video.size));
    let credentials = report.credentials.as_ref();
    let note = credentials.and_then(|c| c.swap.as_ref());
    if let Some(hash) = note.and_then(|n| n.source_sha256.as_ref()) {
        section.row("SHA-256", hash.as_str());
    }
    for ingredient in credentials.map_or(&[][..], |c| &c.ingredients) {
        section.row(
            "Its credentials",
            match ingredient.verdict {
                Verdict::Whole => "it had some of its own, they were whole and are kept",
                Verdict::Broken => "it had some of its own, they were broken",
                Verdict::None => "it had none of its own",
            },
        );
    }
    section
}

fn persons(settings: &Settings, done: &Done<'_>) -> Result<Vec<Section>, JobError> {
    let mut sections = Vec::new();
    for consented in done.consents {
        let name = consented.person();
        let drawn = *name == settings.to;
        let mut section = Section::new(match drawn {
            true => format!("Person who is drawn: {name}"),
            false => format!("Person who is replaced: {name}"),
        });
        let current = done.library.show_person(name)?.consent;
        let rows = consent::rows(done.library, current);
        if let Some(row) = rows.iter().find(|r| r.record == consented.record()) {
            section.row("Consent", row.ground.as_str());
            if let Some(who) = &row.agreed_by {
                section.row("Agreed by", who.as_str());
            }
            section.row("Allows", row.allows.as_str());
            section.row(
                "Entered",
                format!("by {} on {}", row.entered_by, date_text(row.entered_secs)),
            );
            section.row("Signed by", row.signed_by.as_str());
            if let Some(note) = &row.note {
                section.row("Note", note.as_str());
            }
        }
        if let stockpot_library::ConsentBasis::File { object, .. } = consented.basis() {
            section.row("Evidence", format!("BLAKE3 {object}"));
        }
        if let Some(project) = consented.project() {
            section.row("Project", project);
        }
        section.row("Record", consented.record().to_string());
        sections.push(section);
    }
    if !matches!(settings.wanted, Wanted::Person(_)) {
        let mut section = Section::new("Person who is replaced");
        section.row(
            "Who",
            match settings.wanted {
                Wanted::Nth(n) => format!("number {n} by the frames they are seen in"),
                Wanted::Main | Wanted::Person(_) => "the one seen in most frames".into(),
            },
        );
        section.row(
            "Consent",
            "not in this library: whoever publishes this answers for the right to change the source",
        );
        sections.push(section);
    }
    Ok(sections)
}

fn model(report: &Report) -> Section {
    let mut section = Section::new("Networks");
    let note = report.credentials.as_ref().and_then(|c| c.swap.as_ref());
    for swap in note.map_or(&[][..], |n| &n.swaps) {
        section.row("Kind", swap.model.family.as_str());
        section.row("Decoder state", swap.model.decoder.to_string());
        section.row("Encoder state", swap.model.encoder.to_string());
        let lineage = &swap.model.lineage;
        let told: Vec<String> = lineage
            .iter()
            .take(MOST_ANCESTORS)
            .map(|state| state.short())
            .collect();
        let more = match lineage.len() > MOST_ANCESTORS {
            true => format!(" and {} more", lineage.len() - MOST_ANCESTORS),
            false => String::new(),
        };
        if !told.is_empty() {
            section.row("Trained from", format!("{}{more}", told.join(", ")));
        }
    }
    section
}

fn edits(settings: &Settings, report: &Report) -> Section {
    let mut section = Section::new("What was changed");
    let convert = &settings.convert;
    if let Some((first, last)) = settings.frames {
        section.row("Frames of source", format!("{first} to {last}"));
    }
    section.row(
        "Mask",
        format!(
            "{}, soft edge {} % of the face's width",
            match convert.mask {
                MaskMode::Decoder => "the decoder's own",
                MaskMode::Oval => "the outline of the filmed face",
                MaskMode::Both =>
                    "where both the decoder's own and the outline of the filmed face are",
            },
            convert.feather_percent
        ),
    );
    section.row(
        "Colours",
        format!(
            "{}, strength {}",
            match convert.colour_match {
                ColourMatch::Keep => "as the decoder draws them",
                ColourMatch::Light => "matched to the light of the frame",
                ColourMatch::Skin => "matched to the light and the skin of the frame",
            },
            convert.colour_strength
        ),
    );
    section.row("Sharpened", convert.sharpen.to_string());
    if let Some(crf) = settings.crf {
        section.row("Quality", format!("crf {crf}"));
    }
    let note = report.credentials.as_ref().and_then(|c| c.swap.as_ref());
    for swap in note.map_or(&[][..], |n| &n.swaps) {
        if !swap.faces.is_empty() {
            section.row(
                "Places",
                format!(
                    "told by frames and boxes in the credentials, stretches of frames: {} (stockpot inspect --json)",
                    swap.faces.len()
                ),
            );
        }
    }
    section.row(
        "Visible label",
        match &settings.openness.label {
            None => "none".into(),
            Some(label) => format!(
                "\"{}\"{}, {}",
                label.wording.text(),
                label
                    .wording
                    .preset()
                    .map_or_else(String::new, |p| format!(" (preset {p})")),
                match label.secs {
                    Some(secs) => format!("for the first {secs} seconds"),
                    None => "all the time".into(),
                }
            ),
        },
    );
    if let Some(folder) = &settings.openness.research {
        section.row(
            "Research",
            format!(
                "exact masks and parameters of every frame were written to {}",
                name_of(folder)
            ),
        );
    }
    section
}

fn seal(report: &Report) -> Section {
    let mut section = Section::new("What the file says of itself");
    section.row(
        "Content credentials",
        format!(
            "{}, {}",
            match report.verdict {
                Verdict::Whole => "whole when this sheet was written",
                Verdict::Broken => "BROKEN when this sheet was written",
                Verdict::None => "NONE when this sheet was written",
            },
            match report.holder {
                Some(Holder::Beside) => "in the file .c2pa beside it",
                _ => "in the file",
            }
        ),
    );
    let Some(credentials) = &report.credentials else {
        return section;
    };
    if let Some(signer) = &credentials.signer {
        section.row(
            "Signed by",
            format!(
                "{} ({})",
                signer.name.as_deref().unwrap_or("nobody named"),
                match signer.known {
                    Known::Own => "the identity of this machine",
                    Known::Listed => "an authority that is trusted here vouches for them",
                    Known::Unknown => "not known here",
                }
            ),
        );
        section.row(
            "Time stamp",
            match signer.time {
                Some(_) => crate::inspect::time_told(signer),
                None => "none: the day above is this machine's word".into(),
            },
        );
    }
    if let Some(note) = &credentials.swap {
        section.row("Seal", note.seal.to_string());
        section.row(
            "Invisible mark",
            match &note.mark {
                Some(algorithm) => format!("{algorithm}, carries the seal"),
                None => "none: the frames are too small".into(),
            },
        );
    }
    section
}

/// What stands below every sheet.
const FOOT: &str = "This sheet is not signed and names persons; the file itself does not. To see what the file says \
of itself: stockpot inspect FILE. The person's own copy of the consent, and the log of uses (stockpot library \
audit), say the same to those who may see them.";

fn text(title: &str, sections: &[Section]) -> String {
    let mut out = format!("Disclosure: {title}\n");
    for section in sections {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{}\n", section.title);
        for (name, value) in &section.rows {
            let _ = writeln!(out, "  {name:<20} {}", one_line(value));
        }
    }
    let _ = write!(out, "\n{FOOT}\n");
    out
}

/// Names and notes are what people typed: no line of theirs may look like one of ours.
fn one_line(value: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    value.chars().map(plain).collect()
}

fn html(title: &str, sections: &[Section]) -> String {
    let title = escape(title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Disclosure: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <p class=\"soft\">Disclosure</p>\n<h1>{title}</h1>\n"
    );
    for section in sections {
        let _ = write!(
            out,
            "<section>\n<h2>{}</h2>\n<dl>\n",
            escape(&section.title)
        );
        for (name, value) in &section.rows {
            let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        out.push_str("</dl>\n</section>\n");
    }
    let _ = write!(
        out,
        "<p class=\"soft\">{}</p>\n</body>\n</html>\n",
        escape(FOOT)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_stays_text() {
        let mut section = Section::new("Person who is drawn: <b>");
        section.row("Note", "a\n  Seal   000\n<script>");
        let text = text("x.mp4", std::slice::from_ref(&section));
        assert!(!text.contains("\n  Seal"), "{text}");
        let page = html("<i>.mp4", &[section]);
        assert!(
            !page.contains("<script>") && !page.contains("<i>"),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn sheets_lie_beside_their_output() {
        let names = |output: &str| paths(Path::new(output)).map(|p| p.display().to_string());
        assert_eq!(
            names("out/x.mp4"),
            ["out/x.mp4.disclosure.txt", "out/x.mp4.disclosure.html"]
        );
        assert_eq!(names("out/seq")[0], "out/seq.disclosure.txt");
    }
}
