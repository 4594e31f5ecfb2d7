//! `library status|log|show|verify`: what a library holds, and whether it is whole.

pub mod audit;
pub mod care;
pub mod share;

use std::collections::BTreeMap;

use serde::Serialize;
use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{LogState, Shown, Weights};

use crate::compat::measure::Encoder;
use crate::compat::passport::Passports;
use crate::compat::wear::{self, Standing};
use crate::consent::words;
use crate::context::Context;
use crate::error::JobError;

/// `library status`.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReply {
    /// The family of networks, once there is one.
    pub family: Option<String>,
    /// The current encoder state.
    pub encoder: Option<String>,
    /// Training steps it has had.
    pub encoder_steps: Option<u64>,
    /// One row per person.
    pub persons: Vec<PersonRow>,
    /// What is damaged.
    pub problems: Vec<String>,
}

/// One person of `library status`.
#[derive(Debug, Clone, Serialize)]
pub struct PersonRow {
    /// The name.
    pub person: PersonName,
    /// The ground of the consent.
    pub consent: Option<String>,
    /// The current decoder state.
    pub decoder: Option<String>,
    /// Training steps it has had.
    pub steps: Option<u64>,
    /// The encoder state that it was trained with, or stitched to.
    pub encoder: Option<String>,
    /// Mean difference of held-out faces and what is drawn, 0 to 1, with that encoder state.
    pub held_out_mae: Option<f64>,
    /// With the current encoder state; none if not measured.
    pub held_out_mae_current: Option<f64>,
    /// Whether it fits the current encoder state, and whether it gained or wore.
    pub verdict: Option<String>,
    /// Faces kept to rehearse while others train.
    pub rehearsal_faces: Option<u64>,
}

/// `library status`: one row per person. `measure`: first measure what is not known, which takes
/// seconds for each decoder that belongs to an earlier encoder state, and their faces.
///
/// # Errors
/// If the library cannot be read at all; damage is told in the reply.
pub fn status(ctx: &Context, measure: bool) -> Result<StatusReply, JobError> {
    let library = ctx.library()?;
    let report = library.status()?;
    let mut problems = report.problems;
    let current = report.encoder.as_ref().map(|e| e.hash);
    if let Some(hash) = current.filter(|_| measure) {
        let encoder = Encoder::load(&library, &hash)?;
        ctx.phase("measure", report.persons.len() as u64);
        for (done, p) in (1..).zip(&report.persons) {
            ctx.check_cancel()?;
            if let Some(decoder) = &p.decoder {
                let state = library.decoder_state(&decoder.hash)?;
                if !wear::measure(ctx, &library, &state, &encoder)? {
                    ctx.warn(format!(
                        "{}: there are no held-out faces to measure",
                        p.name
                    ));
                }
            }
            ctx.step(done);
        }
    }
    let mut passports = Passports::new(&library);
    let kept = library.rehearsals()?;
    let mut persons = Vec::new();
    for p in report.persons {
        problems.extend(p.problems.iter().map(|text| format!("{}: {text}", p.name)));
        let standing = match (&p.decoder, current) {
            (Some(decoder), Some(current)) => {
                let found = library
                    .decoder_state(&decoder.hash)
                    .map_err(JobError::from)
                    .and_then(|state| Standing::of(&mut passports, &state, &current));
                found
                    .map_err(|e| problems.push(format!("{}: {}", p.name, e.message)))
                    .ok()
            }
            _ => None,
        };
        let decoder = p.decoder.as_ref();
        persons.push(PersonRow {
            consent: p.consent.as_ref().map(words),
            decoder: decoder.map(|d| d.hash.short()),
            steps: decoder.map(|d| d.steps),
            encoder: decoder.map(|d| d.encoder_state.short()),
            held_out_mae: standing.as_ref().and_then(|s| s.own_mae),
            held_out_mae_current: standing.as_ref().and_then(|s| s.mae),
            verdict: standing.map(|s| s.words),
            rehearsal_faces: kept
                .iter()
                .find(|set| set.record.person == p.name)
                .map(|set| set.record.faces),
            person: p.name,
        });
    }
    Ok(StatusReply {
        family: report.family,
        encoder: report.encoder.as_ref().map(|e| e.hash.short()),
        encoder_steps: report.encoder.as_ref().map(|e| e.steps),
        persons,
        problems,
    })
}

/// One state of `library log`.
#[derive(Debug, Clone, Serialize)]
pub struct LogRow {
    /// The state, indented under its parent.
    pub state: String,
    /// Its record.
    pub record: String,
    /// The record of the state it was trained from.
    pub parent: Option<String>,
    /// The run that made it.
    pub run: String,
    /// Training steps since scratch.
    pub steps: u64,
    /// Similarity of held-out faces and their reconstruction, 0 to 1.
    pub held_out_ssim: Option<f64>,
    /// Why its weights are not here, where they are not.
    pub without_weights: Option<String>,
    /// Whether it is current.
    pub current: bool,
}

/// `library log`: every state, parents before children.
///
/// # Errors
/// If the library cannot be read.
pub fn log(ctx: &Context) -> Result<Vec<LogRow>, JobError> {
    let report = ctx.library()?.log()?;
    for text in &report.unreadable {
        ctx.warn(text.clone());
    }
    let row = |r: stockpot_library::LogRow| LogRow {
        state: match &r.state {
            LogState::Encoder => format!("{}encoder", "  ".repeat(r.line)),
            LogState::Decoder { person, form, .. } => {
                format!("{}  {person} ({form})", "  ".repeat(r.line))
            }
        },
        record: r.hash.short(),
        parent: r.parent.map(|h| h.short()),
        run: r.run.to_string(),
        steps: r.steps,
        held_out_ssim: r.metrics.get("heldout_ssim").copied(),
        without_weights: match r.weights {
            Weights::Here => None,
            Weights::Absent(reason) => Some(reason.word().to_owned()),
            Weights::Missing => Some("missing".to_owned()),
        },
        current: r.current,
    };
    Ok(report.rows.into_iter().map(row).collect())
}

/// `library show`.
#[derive(Debug, Clone, Serialize)]
pub struct ShowReply {
    /// `person`, the kind of record, or `object`.
    pub kind: String,
    /// Its hash, where it has one.
    pub hash: Option<ContentHash>,
    /// What it says.
    pub fields: BTreeMap<String, String>,
}

/// `library show`: a person, a run, the current `encoder`, or anything by the start of its hash.
///
/// # Errors
/// If nothing or more than one thing fits.
pub fn show(ctx: &Context, key: &str) -> Result<ShowReply, JobError> {
    let mut fields = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        fields.insert(name.to_owned(), value);
    };
    let (kind, hash) = match ctx.library()?.show(key)? {
        Shown::Person(p) => {
            put("name", p.name.to_string());
            put("faces", p.facesets_dir.display().to_string());
            for problem in &p.problems {
                ctx.warn(problem.clone());
            }
            if let Some(consent) = &p.consent {
                put("consent", words(&consent.record.basis));
                put("entered_by", consent.record.entered_by.clone());
            }
            if let Some(decoder) = &p.decoder {
                put("decoder", decoder.hash.to_string());
                put("steps", decoder.record.steps.to_string());
            }
            ("person".to_owned(), p.person.map(|r| r.hash))
        }
        Shown::Record { hash, record, refs } => {
            put("created_secs", record.created_secs().to_string());
            put("parents", list(&record.parents()));
            put("objects", list(&record.objects()));
            put("named_by", refs.join(", "));
            (record.kind().to_owned(), Some(hash))
        }
        Shown::Object {
            hash,
            size_bytes,
            used_by,
        } => {
            put("size_bytes", size_bytes.to_string());
            put("used_by", list(&used_by));
            ("object".to_owned(), Some(hash))
        }
    };
    Ok(ShowReply { kind, hash, fields })
}

fn list(hashes: &[ContentHash]) -> String {
    hashes
        .iter()
        .map(ContentHash::short)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `library verify`.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReply {
    /// Whether nothing is damaged.
    pub sound: bool,
    /// Objects hashed.
    pub objects: u64,
    /// Records hashed.
    pub records: u64,
    /// Refs followed.
    pub refs: u64,
    /// Bytes hashed.
    pub checked_bytes: u64,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

/// One thing that `library verify` found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Whether something is lost or wrong; if not, it only takes room.
    pub damage: bool,
    /// What, and the file.
    pub what: String,
}

/// `library verify`: hashes everything again.
///
/// # Errors
/// If the library cannot be read or the user stopped it. Damage is in the reply; the door turns an
/// unsound library into a failure.
pub fn verify(ctx: &Context) -> Result<VerifyReply, JobError> {
    let report = ctx.library()?.verify(&*ctx.progress, &ctx.cancel)?;
    Ok(VerifyReply {
        sound: report.is_sound(),
        objects: report.objects,
        records: report.records,
        refs: report.refs,
        checked_bytes: report.bytes,
        findings: report
            .findings
            .iter()
            .map(|f| Finding {
                damage: f.is_damage(),
                what: f.to_string(),
            })
            .collect(),
    })
}
