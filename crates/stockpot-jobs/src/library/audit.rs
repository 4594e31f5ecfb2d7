//! `library audit`: the log of uses, and whether it is whole.

use serde::Serialize;
use stockpot_core::{ContentHash, PersonName};
use stockpot_library::Deed;

use crate::context::Context;
use crate::error::JobError;

/// The log.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Whether nothing was changed, taken out or cut off.
    pub sound: bool,
    /// Lines in the whole log.
    pub lines: usize,
    /// The public half of the key that signs it.
    pub key: Option<String>,
    /// The hash of the last sealed line, in full: written down elsewhere, it shows later that nothing
    /// before it was replaced.
    pub head: Option<String>,
    /// What was found.
    pub findings: Vec<String>,
    /// The lines that were asked for, oldest first.
    pub uses: Vec<Row>,
}

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its number, from 1.
    pub n: u64,
    /// When.
    pub at_secs: u64,
    /// What was done.
    pub what: Deed,
    /// With whose faces.
    pub persons: Vec<String>,
    /// The records of their consents.
    pub consents: Vec<ContentHash>,
    /// The encoder state.
    pub encoder: Option<ContentHash>,
    /// The decoder states.
    pub decoders: Vec<ContentHash>,
    /// The run.
    pub run: Option<String>,
    /// The name of the file that came of it.
    pub file: Option<String>,
    /// The BLAKE3 of that file.
    pub output: Option<ContentHash>,
    /// Anything else.
    pub note: Option<String>,
}

/// The log, or the lines about one person.
///
/// # Errors
/// If the library cannot be read. Damage is in the reply; the door turns it into a failure.
pub fn run(ctx: &Context, person: Option<&PersonName>) -> Result<Reply, JobError> {
    let report = ctx.library()?.audit()?;
    let sound = report.is_sound();
    let lines = report.lines.len();
    let asked = |line: &stockpot_library::AuditLine| match person {
        Some(name) => line.persons.iter().any(|p| p == name.as_str()),
        None => true,
    };
    let row = |line: stockpot_library::AuditLine| Row {
        n: line.n,
        at_secs: line.at_secs,
        what: line.what,
        persons: line.persons,
        consents: line.consents,
        encoder: line.encoder,
        decoders: line.decoders,
        run: line.run.map(|run| run.to_string()),
        file: line.file,
        output: line.output,
        note: line.note,
    };
    Ok(Reply {
        sound,
        lines,
        key: report.key.map(|key| key.short()),
        // In halves, so that a table does not shorten it as it does other hashes.
        head: report.head.map(|hash| {
            let text = hash.to_string();
            format!("{} {}", &text[..32], &text[32..])
        }),
        findings: report.findings.iter().map(ToString::to_string).collect(),
        uses: report.lines.into_iter().filter(asked).map(row).collect(),
    })
}
