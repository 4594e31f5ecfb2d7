//! The release gate: everybody's held-out faces under the new encoder state, directly and through a
//! stitch, beside what they were under their own; and whether that is good enough to release it.

use std::collections::BTreeMap;

use serde::Serialize;
use stockpot_core::image::unit_to_u8;
use stockpot_core::{ContentHash, PersonName, Rgb8, Size};
use stockpot_faceset::Batch;
use stockpot_library::{DecoderStateRecord, Library, Stored, Use};
use stockpot_model::{Codes, Network, Params, Passport};

use super::Growth;
use crate::compat::check::percent;
use crate::compat::measure::{Encoder, draw, held_out, load_decoder, score};
use crate::compat::passport::{Drawn, Passports};
use crate::compat::stitch::{last_trained, trial};
use crate::compat::wear::WORN_PERCENT;
use crate::context::Context;
use crate::error::{JobError, JobErrorKind};

/// What the mean of all earlier persons may have lost, in percent. Science.md 2.3 wants a gain of 1;
/// here a growth is already worth its release if it brings somebody new and takes nothing from the
/// others: their gains are too small beside the noise of 48 faces to wait for (decision 12).
pub(super) const MEAN_PERCENT: f64 = 0.0;

/// What a person was in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Trained for the first time.
    New,
    /// Trained again.
    Trained,
    /// Their kept faces took part, their decoder stayed as it is.
    Rehearsed,
    /// Took no part.
    Absent,
}

/// How a person comes to the new encoder state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// With the decoder that was trained.
    Trained,
    /// With the decoder as it was.
    Direct,
    /// With the decoder as it was, through a stitch.
    Stitched,
}

/// One person at the gate.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Who.
    pub person: PersonName,
    /// What they were in the run.
    pub part: Part,
    /// Held-out faces.
    pub faces: usize,
    /// Mean difference of held-out faces and what is drawn, 0 to 1, before, with the encoder state that
    /// the decoder belongs to; none for somebody new.
    pub before: Option<f64>,
    /// With the new encoder state: the decoder as it was, or as it was trained.
    pub direct: f64,
    /// With the new encoder state, the decoder as it was through a stitch; none for who was trained.
    pub stitched: Option<f64>,
    /// The better of the two.
    pub way: Way,
    /// What that changed, in percent; below 0 is better, none for somebody new.
    pub change_percent: Option<f64>,
    /// A face; what was drawn of it before, and what is drawn now.
    #[serde(skip)]
    pub(super) pictures: Vec<Rgb8>,
}

impl Row {
    #[cfg(test)]
    pub(super) fn now_for_tests(&self) -> f64 {
        self.now()
    }

    fn now(&self) -> f64 {
        match (self.way, self.stitched) {
            (Way::Stitched, Some(mae)) => mae,
            _ => self.direct,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether nobody and nothing stands against it.
    pub passed: bool,
    /// Who lost most, or gained least.
    pub worst: Option<PersonName>,
    /// How much, in percent; below 0 is a gain.
    pub worst_percent: Option<f64>,
    /// The mean over everybody who was there before, in percent.
    pub mean_percent: Option<f64>,
    /// Why not, if it did not pass.
    pub reasons: Vec<String>,
}

/// Everybody at the gate.
pub(super) struct Measured {
    pub(super) rows: Vec<Row>,
    /// Decoders through a stitch, where that is the better way.
    pub(super) stitched: BTreeMap<PersonName, Stitched>,
    /// Persons who stay with the encoder state they have, and why.
    pub(super) left_out: Vec<String>,
}

/// A decoder that reads the new codes through a map.
pub(super) struct Stitched {
    pub(super) decoder: Params,
    pub(super) made_from: ContentHash,
    pub(super) trained_with: ContentHash,
}

/// The rule.
pub(super) fn verdict(rows: &[Row]) -> Verdict {
    let changes: Vec<(&PersonName, f64)> = rows
        .iter()
        .filter_map(|row| Some((&row.person, row.change_percent?)))
        .collect();
    let mut reasons = Vec::new();
    for (person, change) in &changes {
        // Not a number is no pass.
        if change.is_nan() || *change > WORN_PERCENT {
            reasons.push(format!(
                "{person} would be {change:.1} % worse; {WORN_PERCENT} % is the most"
            ));
        }
    }
    let sum: f64 = changes.iter().map(|(_, change)| change).sum();
    let mean = (!changes.is_empty()).then(|| sum / changes.len() as f64);
    if let Some(mean) = mean.filter(|mean| mean.is_nan() || *mean > MEAN_PERCENT) {
        reasons.push(format!(
            "the mean of all would be {mean:.1} % worse; it must not be worse"
        ));
    }
    for row in rows.iter().filter(|row| !row.now().is_finite()) {
        reasons.push(format!("{} cannot be drawn", row.person));
    }
    let worst = changes.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    Verdict {
        passed: reasons.is_empty(),
        worst: worst.map(|(person, _)| (*person).clone()),
        worst_percent: worst.map(|(_, change)| *change),
        mean_percent: mean,
        reasons,
    }
}

/// The report in words: `anna +0.8 %, ben -2.1 %: released`. A plus is a gain.
pub(super) fn words(rows: &[Row], released: bool) -> String {
    let each = rows.iter().map(|row| {
        let person = &row.person;
        let way = match row.way {
            Way::Stitched => " (stitched)",
            Way::Trained | Way::Direct => "",
        };
        match row.change_percent {
            // A loss of the error is a gain of the person; no `-0.0`.
            Some(change) => format!("{person} {:+.1} %{way}", 0.0 - change),
            None => format!("{person} new"),
        }
    });
    let each: Vec<String> = each.collect();
    let end = match released {
        true => "released",
        false => "not released",
    };
    match each.is_empty() {
        true => format!("Nobody could be measured: {end}"),
        false => format!("{}: {end}", each.join(", ")),
    }
}

/// What the gate compares with.
pub(super) struct Gate<'a, 'b> {
    pub(super) ctx: &'a Context,
    pub(super) library: &'a Library,
    pub(super) drawn: &'a mut Drawn<'b>,
    pub(super) growth: &'a Growth,
    /// The new encoder.
    pub(super) encoder: &'a Params,
    /// Decoders that were trained.
    pub(super) trained: &'a BTreeMap<PersonName, Params>,
}

impl Gate<'_, '_> {
    /// Measures everybody.
    pub(super) fn measure(&mut self) -> Result<Measured, JobError> {
        let persons = self.library.persons()?;
        self.ctx.phase("measure everybody", persons.len() as u64);
        let guest = Encoder {
            // It has no record yet; a stitch does not ask for one.
            hash: ContentHash([0; 32]),
            network: self.growth.previous.network.clone(),
            area: self.growth.previous.area,
            params: self.encoder.clone(),
        };
        let pictures = self.growth.calibration.pictures(1);
        let passport = Passport::of(&guest.network, &guest.params, pictures, BTreeMap::new())?;
        let mut out = Measured {
            rows: Vec::new(),
            stitched: BTreeMap::new(),
            left_out: Vec::new(),
        };
        for (done, person) in (1..).zip(persons) {
            self.ctx.check_cancel()?;
            let found = match self.person(&person.name, &guest, &passport.codes) {
                // Somebody who took no part and is damaged keeps nobody from being released.
                Err(e)
                    if e.kind != JobErrorKind::Cancelled
                        && !self.trained.contains_key(&person.name) =>
                {
                    Err(e.message)
                }
                found => found?,
            };
            match found {
                Ok((row, stitched)) => {
                    if let Some(stitched) = stitched.filter(|_| row.way == Way::Stitched) {
                        out.stitched.insert(row.person.clone(), stitched);
                    }
                    out.rows.push(row);
                }
                Err(why) => out.left_out.push(format!("{}: {why}", person.name)),
            }
            self.ctx.step(done);
        }
        Ok(out)
    }

    /// One person, or why they are left out.
    fn person(
        &mut self,
        person: &PersonName,
        guest: &Encoder,
        codes: &Codes,
    ) -> Result<Result<(Row, Option<Stitched>), String>, JobError> {
        let state = self.library.current_decoder(person)?;
        let new = self.trained.get(person);
        if state.is_none() && new.is_none() {
            return Ok(Err("no decoder yet".into()));
        }
        if let Err(e) = self.ctx.consent(self.library, person, Use::Train) {
            return Ok(Err(e.message));
        }
        let Some(faces) = held_out(self.ctx, self.library, guest, person)? else {
            return Ok(Err("no held-out faces here".into()));
        };
        let network = &guest.network;
        let Some(state) = state else {
            let decoder = new.ok_or_else(|| lost(person))?;
            let direct = score(network, &guest.params, decoder, &faces)?.mae;
            let drawn = first(network, &draw_one(network, &guest.params, decoder, &faces))?;
            let row = Row {
                person: person.clone(),
                part: Part::New,
                faces: faces.samples,
                before: None,
                direct,
                stitched: None,
                way: Way::Trained,
                change_percent: None,
                pictures: vec![face_of(network, &faces)?, dark(), drawn],
            };
            return Ok(Ok((row, None)));
        };
        let home = Encoder::load(self.library, &state.record.encoder_state)?;
        if home.area != guest.area {
            return Ok(Err("their decoder draws another part of the head".into()));
        }
        let old = load_decoder(self.library, network, &state.record)?;
        let before = score(network, &home.params, &old, &faces)?.mae;
        let mut pictures = vec![face_of(network, &faces)?];
        pictures.push(first(
            network,
            &draw_one(network, &home.params, &old, &faces),
        )?);
        if let Some(new) = new {
            let direct = score(network, &guest.params, new, &faces)?.mae;
            pictures.push(first(
                network,
                &draw_one(network, &guest.params, new, &faces),
            )?);
            let row = Row {
                person: person.clone(),
                part: Part::Trained,
                faces: faces.samples,
                before: Some(before),
                direct,
                stitched: None,
                way: Way::Trained,
                change_percent: Some(percent(before, direct)),
                pictures,
            };
            return Ok(Ok((row, None)));
        }
        let direct = score(network, &guest.params, &old, &faces)?.mae;
        let (decoder, stitched) = self.stitch(&state, guest, codes)?;
        let mended = score(network, &guest.params, &decoder, &faces)?.mae;
        if state.record.encoder_state != self.growth.previous.hash && direct.min(mended) > before {
            return Ok(Err("drawn better with the encoder state they have".into()));
        }
        let way = match mended < direct {
            true => Way::Stitched,
            false => Way::Direct,
        };
        let now = match way {
            Way::Stitched => &decoder,
            _ => &old,
        };
        pictures.push(first(
            network,
            &draw_one(network, &guest.params, now, &faces),
        )?);
        let row = Row {
            person: person.clone(),
            part: match self.growth.file.rehearsed.contains_key(person) {
                true => Part::Rehearsed,
                false => Part::Absent,
            },
            faces: faces.samples,
            before: Some(before),
            direct,
            stitched: Some(mended),
            way,
            change_percent: Some(percent(before, direct.min(mended))),
            pictures,
        };
        Ok(Ok((
            row,
            Some(Stitched {
                decoder,
                ..stitched
            }),
        )))
    }

    /// A person's decoder, as it was last trained, through a map to the new codes.
    fn stitch(
        &mut self,
        state: &Stored<DecoderStateRecord>,
        guest: &Encoder,
        codes: &Codes,
    ) -> Result<(Params, Stitched), JobError> {
        let base = last_trained(self.library, state.clone())?;
        let home = Encoder::load(self.library, &base.record.encoder_state)?;
        let mut passports = Passports::new(self.library);
        let (own, _) = passports.ensure(self.ctx, self.drawn, &home.hash)?;
        let own = Passport::from_bytes(&self.library.get_object(&own.record.object)?)?;
        let decoder = load_decoder(self.library, &home.network, &base.record)?;
        let mended = trial(&home, &decoder, guest, &[own.codes, codes.clone()])?;
        let decoder = mended.halves.decoder;
        let stitched = Stitched {
            decoder: decoder.clone(),
            made_from: base.hash,
            trained_with: home.hash,
        };
        Ok((decoder, stitched))
    }
}

fn lost(person: &PersonName) -> JobError {
    JobError::failed(format!(
        "The trained weights of {person} are not there: this is a bug"
    ))
}

/// What is drawn of the first face.
fn draw_one(network: &Network, encoder: &Params, decoder: &Params, faces: &Batch) -> Vec<f32> {
    let one = network.encoder().input_shape().len();
    draw(network, encoder, decoder, &faces.input[..one])
}

fn first(network: &Network, drawn: &[f32]) -> Result<Rgb8, JobError> {
    picture(network, drawn, network.decoder().output_shape().c)
}

fn face_of(network: &Network, faces: &Batch) -> Result<Rgb8, JobError> {
    picture(network, &faces.target, 3)
}

fn picture(network: &Network, values: &[f32], channels: usize) -> Result<Rgb8, JobError> {
    let side = network.family().resolution();
    let pixels = values.chunks_exact(channels);
    let pixels = pixels.take((side * side) as usize);
    let rgb = pixels.flat_map(|p| [p[0], p[1], p[2]]).map(unit_to_u8);
    Rgb8::from_vec(Size::square(side), rgb.collect())
        .map_err(|e| JobError::failed(format!("A face cannot be shown: {e}")))
}

/// Where nothing was drawn.
fn dark() -> Rgb8 {
    Rgb8::new(Size::square(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(person: &str, change: Option<f64>) -> Row {
        Row {
            person: person.parse().unwrap(),
            part: Part::Absent,
            faces: 48,
            before: change.map(|_| 0.05),
            direct: 0.05 * (1.0 + change.unwrap_or(0.0) / 100.0),
            stitched: None,
            way: Way::Direct,
            change_percent: change,
            pictures: Vec::new(),
        }
    }

    #[test]
    fn nobody_may_lose_two_percent_and_the_mean_nothing() {
        let of = |changes: &[f64]| {
            let rows: Vec<Row> = changes.iter().map(|c| row("anna", Some(*c))).collect();
            verdict(&rows)
        };
        assert!(of(&[-1.0, 0.9]).passed);
        assert!(of(&[2.0, -2.5]).passed, "2 % is the most");
        let lost = of(&[2.1, -9.0]);
        assert!(!lost.passed && lost.reasons[0].contains("2.1 % worse"));
        assert_eq!(lost.worst_percent, Some(2.1));
        let mean = of(&[1.0, -0.5]);
        assert!(
            !mean.passed && mean.reasons[0].contains("mean"),
            "{:?}",
            mean.reasons
        );
        assert!(!of(&[f64::NAN]).passed);
        // A library in which nobody was there before has nobody to protect.
        let fresh = verdict(&[row("new", None)]);
        assert!(fresh.passed && fresh.worst.is_none() && fresh.mean_percent.is_none());
        let mut broken = row("new", None);
        broken.direct = f64::NAN;
        assert!(!verdict(&[broken]).passed);
    }

    #[test]
    fn the_report_reads_as_a_sentence() {
        let mut rows = [
            row("anna", Some(-0.8)),
            row("ben", Some(2.1)),
            row("carl", None),
        ];
        rows[1].way = Way::Stitched;
        assert_eq!(
            words(&rows, true),
            "anna +0.8 %, ben -2.1 % (stitched), carl new: released"
        );
        assert_eq!(words(&rows[..1], false), "anna +0.8 %: not released");
        assert_eq!(words(&[], true), "Nobody could be measured: released");
        assert_eq!(words(&[row("a", Some(0.0))], true), "a +0.0 %: released");
    }
}
