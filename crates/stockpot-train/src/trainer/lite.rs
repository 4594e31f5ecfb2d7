//! Lite persons in a training: their few numbers are what is learned, saved and put back; only for a
//! forward pass are they folded into a whole decoder, and after a backward pass its gradient is
//! projected onto them.
//!
//! One buffer for a folded decoder and one for its gradient serve everybody in turn. Start with
//! [`LitePerson`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};
use stockpot_model::{Lite, LiteFile, Network, Params};

use crate::checkpoint::CheckpointMeta;
use crate::error::Error;
use crate::state::TrainState;

/// What a person's numbers are added to, and how.
#[derive(Debug, Clone)]
pub struct LitePerson {
    /// How they fold.
    pub lite: Arc<Lite>,
    /// The decoder they are added to.
    pub base: Arc<Params>,
    /// The object that the base is.
    pub base_hash: ContentHash,
}

/// What a checkpoint says of a lite person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiteMark {
    /// The object that the base is.
    pub base: ContentHash,
    /// Of the products of low rank.
    pub rank: usize,
}

/// Lite persons by name; whoever is not among them is full.
pub type LitePersons = BTreeMap<PersonName, LitePerson>;

/// What checkpoints say of these persons.
pub(super) fn marks(persons: &LitePersons) -> BTreeMap<PersonName, LiteMark> {
    let mark = |own: &LitePerson| LiteMark {
        base: own.base_hash,
        rank: own.lite.rank(),
    };
    let marks = persons.iter();
    marks.map(|(name, own)| (name.clone(), mark(own))).collect()
}

/// The lite persons that a checkpoint speaks of, with their bases.
pub(super) fn found(
    network: &Network,
    meta: &CheckpointMeta,
    bases: &BTreeMap<ContentHash, Arc<Params>>,
) -> Result<LitePersons, Error> {
    let mut out = LitePersons::new();
    for (name, mark) in &meta.lite {
        let base = bases.get(&mark.base).ok_or(Error::MissingBase {
            person: name.clone(),
            base: mark.base,
        })?;
        let lite = Lite::new(network.family(), mark.rank).ok_or_else(|| {
            let (found, wanted) = (mark.rank.to_string(), "one its network has".to_owned());
            Error::ForeignCheckpoint {
                what: "the rank of lite persons",
                found,
                wanted,
            }
        })?;
        let own = LitePerson {
            lite: Arc::new(lite),
            base: base.clone(),
            base_hash: mark.base,
        };
        out.insert(name.clone(), own);
    }
    Ok(out)
}

/// The lite persons of a training, in its order, and the buffers they share.
#[derive(Debug, Default)]
pub(super) struct Forms {
    persons: Vec<Option<LitePerson>>,
    folded: Vec<f32>,
    gradient: Vec<f32>,
}

impl Forms {
    /// # Errors
    /// [`Error::Shape`] if a base is of another decoder than `decoder` numbers long;
    /// [`Error::UnknownPerson`] if somebody is lite who is not trained.
    pub(super) fn new(
        state: &TrainState,
        decoder: usize,
        mut lite: LitePersons,
    ) -> Result<Self, Error> {
        let persons: Vec<_> = state
            .persons
            .iter()
            .map(|(name, _)| lite.remove(name))
            .collect();
        if let Some((person, _)) = lite.pop_first() {
            return Err(Error::UnknownPerson { person });
        }
        for own in persons.iter().flatten() {
            for (what, found) in [
                ("base of a lite person", own.base.data.len()),
                ("decoder of a lite person", own.lite.full_layout().len()),
            ] {
                if found != decoder {
                    return Err(Error::Shape {
                        what,
                        wanted: decoder,
                        found,
                    });
                }
            }
        }
        let any = persons.iter().any(Option::is_some);
        let numbers = if any { decoder } else { 0 };
        Ok(Self {
            persons,
            folded: vec![0.0; numbers],
            gradient: vec![0.0; numbers],
        })
    }

    /// How many numbers person `i` learns, if they are lite.
    pub(super) fn numbers(&self, i: usize) -> Option<usize> {
        self.persons[i].as_ref().map(|own| own.lite.layout().len())
    }

    /// Person `i`, if they are lite.
    pub(super) fn person(&self, i: usize) -> Option<&LitePerson> {
        self.persons.get(i)?.as_ref()
    }

    /// The decoder of person `i` whose numbers are `own`.
    pub(super) fn decoder<'a>(&'a mut self, i: usize, own: &'a [f32]) -> &'a [f32] {
        let Some(person) = &self.persons[i] else {
            return own;
        };
        person.lite.fold(&person.base.data, own, &mut self.folded);
        &self.folded
    }

    /// Where a backward pass adds the gradient of person `i`'s decoder.
    pub(super) fn gradient<'a>(&'a mut self, i: usize, own: &'a mut [f32]) -> &'a mut [f32] {
        match self.persons[i] {
            Some(_) => &mut self.gradient,
            None => own,
        }
    }

    /// Takes what a backward pass has left to the gradient of person `i`'s own numbers.
    pub(super) fn project(&mut self, i: usize, numbers: &[f32], own: &mut [f32]) {
        if let Some(person) = &self.persons[i] {
            let (lite, base) = (&person.lite, &person.base.data);
            lite.project(base, numbers, &self.gradient, own);
            self.gradient.fill(0.0);
        }
    }

    /// Bytes of the shared buffers.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.folded) + size_of_val(&*self.gradient)
    }
}

impl LitePerson {
    /// The person's numbers as a library keeps them.
    pub(super) fn kept(&self, numbers: &[f32]) -> Option<Params> {
        let params = Params::from_data(self.lite.layout().clone(), numbers.to_vec())?;
        LiteFile::rounded(&self.lite, &params)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, graphs, name, settings};
    use super::super::{Graphs, Trainer};
    use super::*;
    use crate::checkpoint::{self, Checkpoint};
    use crate::settings::TrainSettings;

    const NO_CLOCK: &dyn Fn() -> f64 = &|| 0.0;

    /// Anna is lite on a base, Ben is full.
    fn lite_of(graphs: &Graphs) -> LitePersons {
        let lite = Lite::of_layout(graphs.decoder.layout.clone(), 4, |n| !n.contains("draw"));
        let own = LitePerson {
            lite: Arc::new(lite.unwrap()),
            base: Arc::new(Params::init(graphs.decoder.layout.clone(), 2)),
            base_hash: ContentHash([3; 32]),
        };
        LitePersons::from([(name("anna"), own)])
    }

    fn trainer(settings: TrainSettings) -> Trainer {
        let graphs = graphs();
        let lite = lite_of(&graphs);
        let own = &lite[&name("anna")];
        let start = own.lite.start(&own.base, 1).unwrap();
        let ben = Params::init(graphs.decoder.layout.clone(), 3).data;
        let encoder = Params::init(graphs.encoder.layout.clone(), 1).data;
        let persons = vec![(name("anna"), start.data), (name("ben"), ben)];
        let meta = CheckpointMeta {
            family: "tiny".into(),
            settings,
            parents: BTreeMap::new(),
            lite: marks(&lite),
        };
        Trainer::assemble(graphs, meta, TrainState::new(encoder, persons), lite).unwrap()
    }

    #[test]
    fn it_begins_as_its_base_and_learns() {
        let mut trainer = trainer(settings());
        let anna = name("anna");
        let base = lite_of(&graphs())[&anna].base.clone();
        // All of it but what the file rounds: the private weights.
        let found = trainer.decoder(&anna).unwrap();
        let apart = found.data.iter().zip(&base.data);
        let most = apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 2e-3, "{most}");
        let mut losses = Vec::new();
        for number in 0..60 {
            let report = trainer.step(&batch(number), NO_CLOCK).unwrap();
            losses.push(report.losses[0].total);
        }
        assert!(losses[59] < 0.6 * losses[0], "{losses:?}");
        let (params, own) = trainer.lite(&anna).unwrap();
        assert_eq!(own.base_hash, ContentHash([3; 32]));
        assert!(params.layout().len() < base.layout().len());
        assert!(own.lite.folded(&own.base, &params) == trainer.decoder(&anna));
        assert!(trainer.lite(&name("ben")).is_none());
        assert_ne!(found.data, trainer.decoder(&anna).unwrap().data);
    }

    #[test]
    fn a_resumed_training_equals_an_unbroken_one_to_the_bit() {
        let mut whole = trainer(settings());
        let mut first = trainer(settings());
        for number in 0..5 {
            whole.step(&batch(number), NO_CLOCK).unwrap();
            first.step(&batch(number), NO_CLOCK).unwrap();
        }
        let mut bytes = Vec::new();
        checkpoint::write(&mut bytes, first.meta(), first.state()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        std::fs::write(&path, &bytes).unwrap();
        let read = checkpoint::read(&path).unwrap();
        assert_eq!(read.meta.lite.len(), 1);
        assert_eq!(read.meta.lite[&name("anna")].rank, 4);
        let graphs = graphs();
        let lite = lite_of(&graphs);
        let mut second = Trainer::resume_graphs(graphs, read, lite).unwrap();
        for number in 5..10 {
            whole.step(&batch(number), NO_CLOCK).unwrap();
            second.step(&batch(number), NO_CLOCK).unwrap();
        }
        assert!(whole.state() == second.state());
    }

    #[test]
    fn what_is_held_stays_and_what_is_not_finite_is_undone() {
        let frozen = TrainSettings {
            freeze_persons: vec![name("anna")],
            ..settings()
        };
        let mut trainer = trainer(frozen);
        let before = trainer.state().persons[0].1.clone();
        trainer.snapshot().unwrap();
        trainer.step(&batch(0), NO_CLOCK).unwrap();
        assert!(trainer.state().persons[0].1 == before);
        let mut poisoned = batch(1);
        poisoned.faces.target[0] = f32::NAN;
        let report = trainer.step(&poisoned, NO_CLOCK).unwrap();
        assert!(report.incident.is_some());
        let report = trainer.step(&batch(2), NO_CLOCK).unwrap();
        assert!(report.incident.is_none() && report.gradient_norm.is_finite());
    }

    #[test]
    fn a_checkpoint_without_its_base_is_refused() {
        let first = trainer(settings());
        let checkpoint = Checkpoint {
            meta: first.meta().clone(),
            state: first.state().clone(),
        };
        let network = Network::new(stockpot_model::Family::DEFAULT);
        let missing = found(&network, &checkpoint.meta, &BTreeMap::new());
        assert!(matches!(missing, Err(Error::MissingBase { .. })));
        // Read as full persons the lengths do not fit.
        let full = Trainer::resume_graphs(graphs(), checkpoint, LitePersons::new());
        assert!(full.is_err());
        let graphs = graphs();
        let mut lite = lite_of(&graphs);
        let own = lite.remove(&name("anna")).unwrap();
        lite.insert(name("nobody"), own);
        let state = first.state().clone();
        let refused = Trainer::assemble(graphs, first.meta().clone(), state, lite);
        assert!(refused.is_err());
    }
}
