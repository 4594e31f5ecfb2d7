//! Lite or full: which form a person's decoder gets in a run, and what a new lite person starts from.
//!
//! The base is the decoder of the shipped stock's mean person, never anybody's: so no person's file
//! leans on another person's, and erasing or giving away one says nothing of another.

use std::sync::Arc;

use stockpot_core::{Area, PersonName};
use stockpot_library::{DecoderForm, Library};
use stockpot_model::lite::RANK;
use stockpot_model::{Codes, Lite, Params, Plan, Stock, agreement};
use stockpot_train::LitePerson;

use super::start::{Start, Trial, tried_people};
use crate::compat::relation::KIN_AGREEMENT;
use crate::context::Context;
use crate::decoder;
use crate::error::JobError;
use crate::stock;

/// With fewer faces to learn from than this, a new person becomes lite by default: the few numbers of a
/// lite person do not overfit, and the file is a twentieth. With more, a full decoder has
/// room for what a long training finds (`docs/decisions/0011-lite-persons.md` has the figures).
const FEW_FACES: usize = 200;

/// How much of a decoder is to be the person's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// What a decoder is already; for somebody new, lite with few faces where there is a base, full
    /// otherwise.
    #[default]
    Auto,
    /// What is added to a shared base.
    Lite,
    /// A whole decoder; who was lite is folded into one first.
    Full,
}

impl Form {
    /// Whether somebody new with so many faces should be lite.
    pub(super) fn wants_lite(self, faces: usize) -> bool {
        match self {
            Self::Auto => faces < FEW_FACES,
            Self::Lite => true,
            Self::Full => false,
        }
    }
}

/// What lite persons of a stock are added to.
pub(super) fn of_stock(stock: &Stock) -> Result<LitePerson, JobError> {
    let misfit = || JobError::failed("The shipped stock does not fit itself: this is a bug");
    let lite = Lite::new(stock.family(), RANK).ok_or_else(misfit)?;
    let base = stock.person(&stock.mean_identity()).ok_or_else(misfit)?;
    Ok(LitePerson {
        lite: Arc::new(lite),
        base_hash: decoder::base_hash(stock.family(), &base)?,
        base: Arc::new(base),
    })
}

/// The numbers of a lite person who begins as `decoder`, which comes from the same trunk as the base.
pub(super) fn start(ctx: &Context, own: &LitePerson, decoder: &Params) -> Result<Params, JobError> {
    let start = own.lite.start(decoder, ctx.seed);
    start.ok_or_else(|| JobError::failed("A lite person does not fit their base: this is a bug"))
}

/// A person without a base to be added to, who was to be lite.
pub(super) fn no_base(person: &PersonName) -> JobError {
    JobError::usage(format!(
        "`{person}` cannot be lite: there is no base that fits this library's encoder"
    ))
    .with_hint("leave --person out; lite persons need a library that began with the shipped stock")
}

/// Refuses to make somebody lite who has a full decoder: what they have learned would be lost.
pub(super) fn refuse_shrinking(
    person: &PersonName,
    form: DecoderForm,
    asked: Form,
) -> Result<(), JobError> {
    if form == DecoderForm::Full && asked == Form::Lite {
        return Err(JobError::usage(format!(
            "`{person}` has a full decoder; what it has learned does not fit into a lite one"
        ))
        .with_hint("leave --person out"));
    }
    Ok(())
}

/// A lite start for somebody new under the library's encoder: of the stock's people, where that
/// encoder still speaks the stock's language, and of the library's other lite persons, whoever draws
/// them best. None without a base.
pub(super) fn new_person(
    ctx: &Context,
    library: &Library,
    start: &Start,
    trial: &mut Trial,
    person: &PersonName,
) -> Result<Option<(Params, LitePerson, String)>, JobError> {
    let mut best: Option<(f64, Params, LitePerson, String)> = None;
    let mut offer = |trial: &mut Trial, decoder: &Params, own: &LitePerson, numbers, words| {
        let mae = trial.difference(decoder)?;
        if best.as_ref().is_none_or(|(least, ..)| mae < *least) {
            best = Some((mae, numbers, own.clone(), words));
        }
        Ok::<(), JobError>(())
    };
    if let Some(stock) = stock_in_use(trial, start.area)? {
        let own = of_stock(&stock)?;
        for (name, identity) in tried_people(&stock) {
            let Some(decoder) = stock.person(&identity) else {
                continue;
            };
            let numbers = self::start(ctx, &own, &decoder)?;
            let words = format!("the shipped stock, {name}");
            offer(trial, &decoder, &own, numbers, words)?;
        }
    }
    for other in library.persons()? {
        let Some(state) = library.current_decoder(&other.name)? else {
            continue;
        };
        let record = state.record;
        if record.form != DecoderForm::Lite || Some(record.encoder_state) != start.expected.encoder
        {
            continue;
        }
        let (numbers, own) = decoder::load_lite(library, trial.network(), &record)?;
        let Some(decoder) = own.lite.folded(&own.base, &numbers) else {
            continue;
        };
        let words = format!("the decoder of {}", other.name);
        offer(trial, &decoder, &own, numbers, words)?;
    }
    Ok(best.map(|(mae, numbers, own, words)| {
        ctx.info(format!(
            "{person} becomes a lite person and starts from {words} (difference {mae:.4})"
        ));
        (numbers, own, words)
    }))
}

/// The shipped stock, if the library's encoder still means with its codes what the stock's means:
/// measured on the new person's faces.
fn stock_in_use(trial: &Trial, area: Area) -> Result<Option<Stock>, JobError> {
    let network = trial.network();
    if area != Area::Face {
        return Ok(None);
    }
    let Some(stock) = stock::shipped(network.family())? else {
        return Ok(None);
    };
    let mut encoder = Plan::inference(network.encoder().clone(), trial.faces().samples);
    encoder.load(&stock.encoder);
    let theirs = encoder.forward(&trial.faces().input).to_vec();
    let width = network.encoder().output_shape().len();
    let codes = Codes::new(width, trial.codes().to_vec()).zip(Codes::new(width, theirs));
    let agree = codes.and_then(|(own, theirs)| agreement(&own, &theirs));
    Ok(Some(stock).filter(|_| agree.is_some_and(|found| found >= KIN_AGREEMENT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_faces_make_a_person_lite_unless_asked_otherwise() {
        assert!(Form::Auto.wants_lite(20) && !Form::Auto.wants_lite(FEW_FACES));
        assert!(Form::Lite.wants_lite(5000) && !Form::Full.wants_lite(20));
        let anna: PersonName = "anna".parse().unwrap();
        let refused = refuse_shrinking(&anna, DecoderForm::Full, Form::Lite).unwrap_err();
        assert!(refused.message.contains("full decoder") && refused.hint.is_some());
        for (form, asked) in [
            (DecoderForm::Lite, Form::Lite),
            (DecoderForm::Lite, Form::Full),
            (DecoderForm::Full, Form::Auto),
        ] {
            refuse_shrinking(&anna, form, asked).unwrap();
        }
    }

    #[test]
    fn the_base_of_a_stock_is_the_same_object_every_time() {
        let stock = stock::shipped(stockpot_model::Family::DEFAULT).unwrap();
        let stock = stock.unwrap();
        let (one, two) = (of_stock(&stock).unwrap(), of_stock(&stock).unwrap());
        assert_eq!(one.base_hash, two.base_hash);
        assert!(one.base == two.base);
        // Whoever starts as one of the stock's people is them exactly.
        for (_, identity) in tried_people(&stock).into_iter().take(3) {
            let decoder = stock.person(&identity).unwrap();
            let numbers = one.lite.start(&decoder, 4).unwrap();
            assert!(one.lite.folded(&one.base, &numbers).unwrap() == decoder);
        }
    }
}
