//! Reads the log of uses and tells whether it is whole: every line changed, taken out, added or cut
//! off is named, and what a kill leaves is told apart from that.

use std::collections::BTreeSet;
use std::fmt;

use stockpot_core::ContentHash;

use crate::audit::{BadLine, Deed, Line, SealFound, names, read_log};
use crate::error::Result;
use crate::layout::Layout;
use crate::library::Library;
use crate::run_id::RunId;
use crate::signing::{self, PublicKey};

/// A line of the log as a door can print it.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLine {
    /// Its number, from 1.
    pub n: u64,
    /// When, in seconds since 1970 UTC.
    pub at_secs: u64,
    /// What was done.
    pub what: Deed,
    /// Who: the name, what stands for somebody who was erased, or the first digits of a record that
    /// is not here.
    pub persons: Vec<String>,
    /// The consent records, in the order of the persons.
    pub consents: Vec<ContentHash>,
    /// The record of the encoder state.
    pub encoder: Option<ContentHash>,
    /// The records of the decoder states.
    pub decoders: Vec<ContentHash>,
    /// The run.
    pub run: Option<RunId>,
    /// The BLAKE3 of the file that came of it.
    pub output: Option<ContentHash>,
    /// The name of that file; `None` also after it was taken out.
    pub file: Option<String>,
    /// Anything else.
    pub note: Option<String>,
    /// The software that did it.
    pub software: String,
}

/// The log, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditReport {
    /// The lines that are whole, oldest first.
    pub lines: Vec<AuditLine>,
    /// What was found.
    pub findings: Vec<AuditFinding>,
    /// The key that signs it; `None`: the library has not begun one.
    pub key: Option<PublicKey>,
    /// The hash of the last line that is sealed. Written down elsewhere, it shows later that nothing
    /// up to there was replaced, whoever has the key.
    pub head: Option<ContentHash>,
}

impl AuditReport {
    /// Whether nothing was tampered with or lost. Half a line of a stopped program is no harm.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(AuditFinding::is_damage)
    }
}

/// One thing found in the log. Numbers are those of lines, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditFinding {
    /// The line was changed after it was written.
    Changed(u64),
    /// The line does not read.
    Unreadable(u64),
    /// The line was not signed by this library.
    NotOurs(u64),
    /// Lines are missing: the first and the last of them.
    Missing(u64, u64),
    /// The line stands at the wrong place, or twice.
    OutOfOrder(u64),
    /// The line does not follow the one before it.
    Unchained(u64),
    /// The name of a file was taken out of the line, and no erasure says so.
    FileTakenOut(u64),
    /// There is no seal.
    SealMissing,
    /// The seal was changed.
    SealChanged,
    /// The seal is of another last line.
    SealOfAnother,
    /// There is a key and no log.
    LogMissing,
    /// Half a line, of a program that was stopped.
    Torn,
    /// The last line is not sealed yet: the program was stopped just then.
    NotSealed(u64),
}

impl AuditFinding {
    /// Whether something is lost or was tampered with.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Torn | Self::NotSealed(_))
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(n) => write!(f, "Line {n} was changed after it was written"),
            Self::Unreadable(n) => write!(f, "Line {n} does not read"),
            Self::NotOurs(n) => write!(f, "Line {n} was not signed by this library"),
            Self::Missing(a, b) if a == b => write!(f, "Line {a} is missing"),
            Self::Missing(a, b) => write!(f, "Lines {a} to {b} are missing"),
            Self::OutOfOrder(n) => write!(f, "Line {n} stands at the wrong place, or twice"),
            Self::Unchained(n) => write!(f, "Line {n} does not follow the one before it"),
            Self::FileTakenOut(n) => write!(
                f,
                "The name of a file was taken out of line {n}, and no erasure says so"
            ),
            Self::SealMissing => f.write_str("The seal of the log is missing"),
            Self::SealChanged => f.write_str("The seal of the log was changed"),
            Self::SealOfAnother => f.write_str("The seal of the log is of another last line"),
            Self::LogMissing => f.write_str("The log is missing"),
            Self::Torn => f.write_str("Half a line of a program that was stopped"),
            Self::NotSealed(n) => {
                write!(f, "Line {n} is not sealed yet: the program was stopped")
            }
        }
    }
}

impl Library {
    /// The log of uses, checked line by line. Needs no lock; a line that is just being written may
    /// show as half of one.
    ///
    /// # Errors
    /// What the machine refuses. Damage is a finding.
    pub fn audit(&self) -> Result<AuditReport> {
        let (lines, mut report) = check(&self.layout)?;
        let names = names(self)?;
        let name = |hash: &ContentHash| match names.get(hash) {
            Some(name) => name.to_string(),
            None => hash.short(),
        };
        report.lines = lines
            .into_iter()
            .map(|line| AuditLine {
                n: line.n,
                at_secs: line.at_secs,
                what: line.what,
                persons: line.said.who.iter().map(|w| name(&w.person)).collect(),
                consents: line.said.who.iter().filter_map(|w| w.consent).collect(),
                encoder: line.said.encoder,
                decoders: line.said.decoders,
                run: line.said.run,
                output: line.said.output,
                file: line.said.file.map(|file| file.name),
                note: line.said.note,
                software: line.software,
            })
            .collect();
        Ok(report)
    }
}

/// The lines that are whole, and what is wrong with the others.
pub(crate) fn check(layout: &Layout) -> Result<(Vec<Line>, AuditReport)> {
    let mut report = AuditReport::default();
    let Some(key) = public_key(layout)? else {
        return Ok((Vec::new(), report));
    };
    report.key = Some(key);
    // The seal first: what it counts can only gain company while we look.
    let seal = SealFound::read(layout, &key)?;
    let bytes = read_log(layout)?;
    let mut lines: Vec<Line> = Vec::new();
    let mut place = 0;
    for text in bytes.split_inclusive(|b| *b == b'\n') {
        place += 1;
        let Some(text) = text.strip_suffix(b"\n") else {
            report.findings.push(AuditFinding::Torn);
            continue;
        };
        let line = match Line::read(text, &key) {
            Ok(line) => line,
            Err(bad) => {
                report.findings.push(match bad {
                    BadLine::Unreadable => AuditFinding::Unreadable(place),
                    BadLine::Changed => AuditFinding::Changed(place),
                    BadLine::NotOurs => AuditFinding::NotOurs(place),
                });
                continue;
            }
        };
        let due = lines.last().map_or(1, |before| before.n + 1);
        let follows = lines.last().map_or(line.n == 1, |b| b.hash == line.prev);
        if line.n < due {
            report.findings.push(AuditFinding::OutOfOrder(place));
            continue;
        }
        if line.n > due {
            // A line that was told above is not told again as missing.
            let told = |n: &u64| {
                !report.findings.iter().any(|f| match f {
                    AuditFinding::Changed(m) | AuditFinding::Unreadable(m) => m == n,
                    AuditFinding::NotOurs(m) => m == n,
                    _ => false,
                })
            };
            let gone: Vec<u64> = (due..line.n).filter(told).take(1_000_000).collect();
            if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
                let missing = AuditFinding::Missing(*first, *last);
                report.findings.push(missing);
            }
        } else if !follows {
            report.findings.push(AuditFinding::Unchained(place));
        }
        lines.push(line);
    }
    check_files(&lines, &mut report);
    check_seal(layout, seal, &lines, &mut report);
    report.findings.sort();
    report.findings.dedup();
    Ok((lines, report))
}

/// The key that signs the log; also of one whose making was stopped just before the end.
fn public_key(layout: &Layout) -> Result<Option<PublicKey>> {
    if let Some(key) = signing::read_public(layout)? {
        return Ok(Some(key));
    }
    if !layout.audit_log().exists() {
        return Ok(None);
    }
    // A reader who may not see the secret half simply knows nothing of such a log.
    Ok(signing::Keys::read(layout)
        .ok()
        .flatten()
        .map(|keys| keys.public()))
}

/// Names of files go only with an erasure that says so.
fn check_files(lines: &[Line], report: &mut AuditReport) {
    let cleared: BTreeSet<u64> = lines
        .iter()
        .filter(|line| line.what == Deed::Erase)
        .flat_map(|line| line.said.cleared.iter().copied())
        .collect();
    for line in lines {
        let said = &line.said;
        if said.file_seal.is_some() && said.file.is_none() && !cleared.contains(&line.n) {
            report.findings.push(AuditFinding::FileTakenOut(line.n));
        }
    }
}

fn check_seal(layout: &Layout, seal: SealFound, lines: &[Line], report: &mut AuditReport) {
    let last = lines.last();
    let published = layout.public_key().exists();
    let finding = match (seal, last) {
        (SealFound::Bad, _) => Some(AuditFinding::SealChanged),
        (SealFound::Missing, None) if published => Some(AuditFinding::LogMissing),
        (SealFound::Missing, Some(_)) if published => Some(AuditFinding::SealMissing),
        (SealFound::Missing, last) => last.map(|line| AuditFinding::NotSealed(line.n)),
        (SealFound::Good(seal), None) => {
            report.head = Some(seal.hash);
            Some(match layout.audit_log().exists() {
                true => AuditFinding::Missing(1, seal.lines),
                false => AuditFinding::LogMissing,
            })
        }
        (SealFound::Good(seal), Some(last)) => {
            report.head = Some(seal.hash);
            let sealed = lines.iter().find(|line| line.n == seal.lines);
            match sealed {
                Some(line) if line.hash != seal.hash => Some(AuditFinding::SealOfAnother),
                Some(_) if last.n > seal.lines => Some(AuditFinding::NotSealed(last.n)),
                Some(_) => None,
                // A line that is damaged where it stands is told already.
                None if last.n < seal.lines => {
                    let told = report.findings.iter().any(|f| {
                        matches!(f, AuditFinding::Changed(n) | AuditFinding::Unreadable(n)
                            | AuditFinding::NotOurs(n) if *n == seal.lines)
                    });
                    let from = last.n + 1;
                    (!told).then_some(AuditFinding::Missing(from, seal.lines))
                }
                None => None,
            }
        }
    };
    report.findings.extend(finding);
}
