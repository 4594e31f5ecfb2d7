//! `inspect`: the words for what a file says of itself.
//!
//! The reports come from the job, the sentences of faults and actions with them, as the page has the
//! same. Start with [`run`]; [`text`] words a reply.

use std::fmt::Write;
use std::process::ExitCode;

use stockpot_jobs::inspect::{self, Fault, Found, Holder, Known, Reply, Report, Verdict};

use super::Session;
use crate::args::InspectArgs;
use crate::failure::Failure;

/// Exit status if a file is broken, as for any job that failed.
const BROKEN: u8 = 1;
/// Exit status if no file is broken and one says nothing. 2 is for wrong arguments.
const NOTHING: u8 = 3;
/// Of a folder with more files than this only a summary is told, and the files that are not whole.
const MOST_TOLD_WHOLE: usize = 8;
/// Stretches of a face that are told.
const MOST_STRETCHES: usize = 6;

/// Inspects, prints, and says by the exit status what was found.
pub(super) fn run(session: &Session<'_>, args: InspectArgs) -> Result<ExitCode, Failure> {
    let settings = inspect::Settings {
        files: args.files,
        mark: args.mark.into(),
        page: args.page,
    };
    let reply = inspect::run(&session.ctx, &settings);
    session.reporter.finish();
    let reply = reply?;
    session.console.result_as(&reply, &text(&reply))?;
    Ok(match reply.verdict {
        Verdict::Whole => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::from(BROKEN),
        Verdict::None => ExitCode::from(NOTHING),
    })
}

/// A reply in words.
fn text(reply: &Reply) -> String {
    let mut out = String::new();
    let many = reply.files.len() > MOST_TOLD_WHOLE;
    for (n, found) in reply.files.iter().enumerate() {
        if many && n > 0 && found.report.verdict == Verdict::Whole {
            continue;
        }
        if n > 0 {
            out.push('\n');
        }
        file(&mut out, &found.report);
        mark(&mut out, found);
    }
    if let Some(page) = &reply.page {
        line(&mut out, &format!("\npage: {}", page.display()));
    }
    if reply.files.len() > 1 {
        let count = |wanted| {
            reply
                .files
                .iter()
                .filter(|f| f.report.verdict == wanted)
                .count()
        };
        line(
            &mut out,
            &format!(
                "\n{} files: {} whole, {} broken, {} without credentials",
                reply.files.len(),
                count(Verdict::Whole),
                count(Verdict::Broken),
                count(Verdict::None)
            ),
        );
    }
    out
}

fn file(out: &mut String, report: &Report) {
    line(out, &report.file.display().to_string());
    line(out, &format!("  {}", verdict(report)));
    for sentence in Fault::sentences(&report.faults) {
        line(out, &format!("  - {sentence}"));
    }
    for sentence in Fault::sentences(&report.remarks) {
        line(out, &format!("  - Not a fault, but know it: {sentence}"));
    }
    if !report.faults.is_empty() || !report.remarks.is_empty() {
        line(out, "  (--json has the codes of the standard)");
    }
    if let Some(address) = &report.elsewhere {
        line(
            out,
            &format!("  It says that its credentials are at {address}; they were not fetched"),
        );
    }
    let Some(credentials) = &report.credentials else {
        return;
    };
    let mut pair = |name: &str, value: &str| line(out, &format!("  {name:<12} {value}"));
    if let Some(signer) = &credentials.signer {
        let name = signer.name.as_deref().unwrap_or("nobody named");
        let known = match signer.known {
            Known::Own => "the identity of this machine",
            Known::Listed => "an authority that you trust vouches for them",
            Known::Unknown => "not known here: the name is only what they call themselves",
        };
        pair("signed by", &format!("{name} ({known})"));
        pair("time", &inspect::time_told(signer));
    }
    if let Some(software) = &credentials.software {
        pair("made with", software);
    }
    for action in &credentials.actions {
        pair("done", &action.words());
    }
    for ingredient in &credentials.ingredients {
        let title = ingredient.title.as_deref().unwrap_or("without a name");
        let own = match ingredient.verdict {
            Verdict::Whole => "its own credentials were whole and are kept",
            Verdict::Broken => "its own credentials were broken",
            Verdict::None => "it had no credentials",
        };
        pair("made from", &format!("{title} ({own})"));
    }
    let Some(note) = &credentials.swap else {
        return;
    };
    pair("seal", &note.seal.to_string());
    if let Some(mark) = &note.mark {
        pair("mark", &format!("says that it carries one ({mark})"));
    }
    if let Some(label) = &note.label {
        let time = match label.secs {
            Some(secs) => format!("for the first {secs} seconds"),
            None => "all the time".into(),
        };
        pair("label", &format!("says {:?}, {time}", label.text));
    }
    if note.research {
        pair(
            "research",
            "exact masks and parameters were exported beside it",
        );
    }
    for swap in &note.swaps {
        pair(
            "model",
            &format!(
                "{}, decoder state {}, encoder state {}",
                swap.model.family,
                swap.model.decoder.short(),
                swap.model.encoder.short()
            ),
        );
        pair(
            "consent",
            &format!("record {} ({})", swap.consent.short(), basis(swap.basis)),
        );
        let frames: u64 = swap
            .faces
            .iter()
            .map(|s| s.last.saturating_sub(s.first).saturating_add(1))
            .fold(0, u64::saturating_add);
        pair(
            "faces",
            &format!("drawn in {frames} frames, {} stretches", swap.faces.len()),
        );
        for s in swap.faces.iter().take(MOST_STRETCHES) {
            let p = s.place;
            pair(
                "",
                &format!(
                    "frames {}-{}: {} x {} px at {}, {}",
                    s.first, s.last, p.width, p.height, p.x, p.y
                ),
            );
        }
        if swap.faces.len() > MOST_STRETCHES {
            pair("", "(--json has them all)");
        }
    }
}

/// What the pixels say, beside the credentials.
fn mark(out: &mut String, found: &Found) {
    let mut pair = |name: &str, value: &str| line(out, &format!("  {name:<12} {value}"));
    if let Some(reason) = &found.not_searched {
        let reason = reason.lines().next().unwrap_or_default();
        pair(
            "in pixels",
            &format!("could not be searched for the invisible mark: {reason}"),
        );
    }
    let Some(mark) = &found.mark else {
        if found.searched {
            pair(
                "in pixels",
                "no invisible mark of stockpot was found; strong compression or scaling can hide one",
            );
        }
        return;
    };
    let told = found
        .report
        .credentials
        .as_ref()
        .and_then(|c| c.swap.as_ref());
    let means = match told {
        Some(note) if note.seal.to_string() == mark.seal => "the one that its credentials name",
        Some(_) => {
            "ANOTHER SEAL THAN ITS CREDENTIALS NAME: it was made from another output of stockpot"
        }
        None => {
            "a face in these frames was drawn by stockpot; the credentials that said so are gone"
        }
    };
    pair(
        "in pixels",
        &format!("an invisible mark of seal {}: {means}", mark.seal),
    );
    let scaled = match (mark.scale_percent - 100.0).abs() < 1.0 {
        true => String::new(),
        false => format!(", scaled to {:.0} %", mark.scale_percent),
    };
    let mirrored = if mark.mirrored { ", mirrored" } else { "" };
    let frames = match mark.frames {
        1 => "one frame".into(),
        n => format!("{n} frames"),
    };
    pair(
        "",
        &format!(
            "read from {frames}, {:.1} deviations above chance{scaled}{mirrored}",
            mark.score
        ),
    );
    match (&found.credentials_in, told) {
        (Some(file), _) => pair(
            "",
            &format!("the credentials of this seal are in {}", file.display()),
        ),
        (None, None) => pair(
            "",
            "who made it can find the credentials: `stockpot inspect` over the outputs shows the file of this seal",
        ),
        (None, Some(_)) => {}
    }
}

fn verdict(report: &Report) -> &'static str {
    match (report.verdict, report.holder) {
        (Verdict::Whole, Some(Holder::Beside)) => {
            "whole: as it was signed, by the file of credentials beside it"
        }
        (Verdict::Whole, _) => "whole: as it was signed",
        (Verdict::Broken, _) => "BROKEN: do not believe what it says",
        (Verdict::None, _) => "says nothing of itself: no content credentials",
    }
}

fn basis(basis: inspect::Basis) -> &'static str {
    match basis {
        inspect::Basis::OwnFace => "the maker's own face",
        inspect::Basis::Synthetic => "nobody real",
        inspect::Basis::File => "a document",
    }
}

fn line(out: &mut String, text: &str) {
    // Writing into a text cannot fail.
    let _ = writeln!(out, "{text}");
}
