//! `library passport`: makes the passports of encoder states, at commit or later.
//!
//! Start with [`run`].

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::ContentHash;
use stockpot_library::{Library, LogState, NewPassport, PassportRecord, Stored};
use stockpot_model::{Codes, Passport};

use super::calibration::{CalibrationFaces, CalibrationSource};
use super::find_encoder;
use super::measure::Encoder;
use crate::context::{Context, now_secs};
use crate::error::JobError;
use crate::person::PATIENCE;

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// One row per encoder state.
    pub passports: Vec<Row>,
}

/// The passport of one encoder state.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The encoder state.
    pub encoder: String,
    /// The passport's record.
    pub passport: String,
    /// Faces.
    pub faces: u64,
    /// Numbers of a code.
    pub code: usize,
    /// Its length on disk.
    pub size_bytes: usize,
    /// Seconds it took; none if it was there.
    pub took_secs: Option<f64>,
}

/// Makes the passports of one encoder state, or of all that lack one. Those over these faces that
/// are there already are left as they are.
///
/// # Errors
/// If the faces cannot be drawn, a state cannot be read, or nothing can be written.
pub fn run(
    ctx: &Context,
    source: &dyn CalibrationSource,
    encoder: Option<&str>,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let states = match encoder {
        Some(key) => vec![find_encoder(&library, key)?],
        None => all_encoders(&library)?,
    };
    let (mut drawn, mut all) = (Drawn::new(source), Passports::new(&library));
    let mut passports = Vec::new();
    for state in states {
        ctx.check_cancel()?;
        let begun = Instant::now();
        let (stored, made) = all.ensure(ctx, &mut drawn, &state)?;
        let bytes = library.get_object(&stored.record.object)?;
        passports.push(Row {
            encoder: state.short(),
            passport: stored.hash.short(),
            faces: stored.record.count,
            code: Passport::from_bytes(&bytes)?.codes.width(),
            size_bytes: bytes.len(),
            took_secs: made.then(|| begun.elapsed().as_secs_f64()),
        });
    }
    Ok(Reply { passports })
}

/// Trainings that took less than this many minutes do not wait for calibration faces to be drawn.
const WORTH_DRAWING: f64 = 5.0;

/// Makes the passport of the state that a training has just committed. The states are safe by then,
/// so what is in the way is only told, with how to make up for it.
pub fn after_training(ctx: &Context, source: &dyn CalibrationSource, reply: &crate::train::Reply) {
    let hint = "`stockpot library passport` makes it later";
    let made = || -> Result<bool, JobError> {
        let library = ctx.library()?;
        let state = find_encoder(&library, &reply.encoder)?;
        let encoder = Encoder::load(&library, &state)?;
        let resolution = encoder.network.family().resolution();
        if reply.minutes < WORTH_DRAWING && !source.at_hand(ctx, encoder.area, resolution)? {
            return Ok(false);
        }
        Passports::new(&library).ensure(ctx, &mut Drawn::new(source), &state)?;
        Ok(true)
    };
    match made() {
        Ok(true) => {}
        Ok(false) => ctx.info(format!("The new encoder state has no passport yet: {hint}")),
        Err(e) => ctx.info(format!(
            "The new encoder state has no passport yet ({}): {hint}",
            e.message
        )),
    }
}

/// Every encoder state whose weights are kept, parents before children.
pub(crate) fn all_encoders(library: &Library) -> Result<Vec<ContentHash>, JobError> {
    let mut out = Vec::new();
    for row in library.log()?.rows {
        if row.state != LogState::Encoder {
            continue;
        }
        let object = library.encoder_state(&row.hash)?.record.object;
        match library.get_object(&object) {
            Err(stockpot_library::Error::Absent { .. }) => {}
            found => {
                found?;
                out.push(row.hash);
            }
        }
    }
    Ok(out)
}

/// A source that is asked once for each kind of faces.
pub(crate) struct Drawn<'a> {
    source: &'a dyn CalibrationSource,
    faces: Vec<CalibrationFaces>,
}

impl<'a> Drawn<'a> {
    pub(crate) fn new(source: &'a dyn CalibrationSource) -> Self {
        Self {
            source,
            faces: Vec::new(),
        }
    }

    /// The faces that this encoder sees.
    pub(crate) fn of(
        &mut self,
        ctx: &Context,
        encoder: &Encoder,
    ) -> Result<&CalibrationFaces, JobError> {
        let (area, resolution) = (encoder.area, encoder.network.family().resolution());
        let known = |f: &CalibrationFaces| f.area == area && f.resolution == resolution;
        let at = match self.faces.iter().position(known) {
            Some(at) => at,
            None => {
                self.faces.push(self.source.faces(ctx, area, resolution)?);
                self.faces.len() - 1
            }
        };
        Ok(&self.faces[at])
    }
}

/// The passports of a library. To find them every record is read, so that is done once, when one is
/// first asked for; those made since are added.
pub(crate) struct Passports<'a> {
    library: &'a Library,
    all: Option<Vec<Stored<PassportRecord>>>,
}

impl<'a> Passports<'a> {
    /// Reads nothing yet.
    pub(crate) fn new(library: &'a Library) -> Self {
        Self { library, all: None }
    }

    /// Whose passports they are.
    pub(crate) fn library(&self) -> &'a Library {
        self.library
    }

    fn all(&mut self) -> Result<&mut Vec<Stored<PassportRecord>>, JobError> {
        let all = match self.all.take() {
            Some(all) => all,
            None => self.library.passports()?,
        };
        Ok(self.all.insert(all))
    }

    /// The passport of an encoder state over the faces that are drawn today; whether it was made now.
    pub(crate) fn ensure(
        &mut self,
        ctx: &Context,
        drawn: &mut Drawn<'_>,
        state: &ContentHash,
    ) -> Result<(Stored<PassportRecord>, bool), JobError> {
        let encoder = Encoder::load(self.library, state)?;
        let faces = drawn.of(ctx, &encoder)?;
        let same = |p: &&Stored<PassportRecord>| {
            p.record.encoder_state == *state && p.record.faces == faces.hash
        };
        if let Some(found) = self.all()?.iter().find(same) {
            return Ok((found.clone(), false));
        }
        ctx.phase("make a passport", 0);
        let card = BTreeMap::from([
            (
                "area".to_owned(),
                format!("{:?}", faces.area).to_lowercase(),
            ),
            ("faces".to_owned(), faces.hash.to_string()),
            ("encoder".to_owned(), state.to_string()),
        ]);
        let passport = Passport::of(&encoder.network, &encoder.params, faces.pictures(1), card)?;
        let now = now_secs();
        let writer = self.library.writer(now, PATIENCE)?;
        let stored = writer.put_passport(NewPassport {
            encoder_state: *state,
            bytes: passport.to_bytes()?,
            faces: faces.hash,
            count: faces.count() as u64,
            now_secs: now,
        })?;
        self.all()?.push(stored.clone());
        Ok((stored, true))
    }

    /// The codes of two encoder states for the same faces, from passports that are in the library;
    /// `None` if there is no such pair.
    pub(crate) fn stored_pair(
        &mut self,
        first: &ContentHash,
        second: &ContentHash,
    ) -> Result<Option<[Codes; 2]>, JobError> {
        let library = self.library;
        let all = self.all()?;
        let of = |state: &ContentHash| -> Vec<&Stored<PassportRecord>> {
            all.iter()
                .filter(|p| p.record.encoder_state == *state)
                .collect()
        };
        // Of several pairs the newest.
        for one in of(first).into_iter().rev() {
            let same = |p: &&&Stored<PassportRecord>| p.record.faces == one.record.faces;
            if let Some(other) = of(second).iter().rev().find(same) {
                return Ok(Some([codes(library, one)?, codes(library, other)?]));
            }
        }
        Ok(None)
    }

    /// The same, made first where they are missing.
    pub(crate) fn pair(
        &mut self,
        ctx: &Context,
        drawn: &mut Drawn<'_>,
        first: &ContentHash,
        second: &ContentHash,
    ) -> Result<[Codes; 2], JobError> {
        if let Some(found) = self.stored_pair(first, second)? {
            return Ok(found);
        }
        let (one, _) = self.ensure(ctx, drawn, first)?;
        let (other, _) = self.ensure(ctx, drawn, second)?;
        if one.record.faces != other.record.faces {
            return Err(JobError::failed(format!(
                "The encoder states {} and {} see other faces: another part of the head, or another number of pixels",
                first.short(),
                second.short()
            ))
            .with_hint("only encoders that were trained on the same area can be compared"));
        }
        Ok([codes(self.library, &one)?, codes(self.library, &other)?])
    }
}

fn codes(library: &Library, stored: &Stored<PassportRecord>) -> Result<Codes, JobError> {
    let bytes = library.get_object(&stored.record.object)?;
    let passport = Passport::from_bytes(&bytes)?;
    let names = |key: &str, hash: &ContentHash| passport.card.get(key) == Some(&hash.to_string());
    let record = &stored.record;
    if !names("faces", &record.faces) || !names("encoder", &record.encoder_state) {
        return Err(JobError::failed(format!(
            "The passport {} names other faces or another encoder state than its record",
            stored.hash.short()
        ))
        .with_hint("run `stockpot library verify`"));
    }
    Ok(passport.codes)
}
