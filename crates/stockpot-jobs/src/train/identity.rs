//! Whose faces these are: the common accident that ruins a decoder is another person's faces under
//! somebody's name.
//!
//! A faceset has dlib's 128 numbers for each face. Their medians are compared with those that the
//! person's decoder was trained on, kept beside it as the attachment `identity`, and from video to
//! video within the faceset.

use std::collections::BTreeMap;

use stockpot_core::PersonName;
use stockpot_faceset::ops::SourceMedian;
use stockpot_faceset::{Faceset, ops};
use stockpot_library::Library;

use crate::context::Context;
use crate::error::JobError;

/// The attachment of a decoder state that holds the median identity of the faces it learned from:
/// 128 numbers, f32, little-endian.
pub(super) const ATTACHMENT: &str = "identity";
/// Medians farther apart than this are two people. dlib's threshold of 0.6 is for single pictures;
/// medians scatter less. Measured: one made-up person in two performances and lights 0.04 to 0.26,
/// two of twelve made-up people 0.38 to 0.69 (below 0.45 one pair in 20), two filmed people 0.52.
const TWO_PEOPLE: f32 = 0.45;
/// Medians of fewer faces than this scatter nearly as single pictures do, so dlib's own threshold holds.
const FEW_FACES: usize = 16;
/// Two single pictures farther apart than this show two people: the threshold that comes with dlib's
/// network.
const TWO_PEOPLE_IN_PICTURES: f32 = 0.6;
/// Medians nearer than this are one person, or twins.
const ONE_PERSON: f32 = 0.2;
/// How many parents are looked at for an identity: refits and stitches keep none of their own.
const ANCESTORS: usize = 64;

/// The identity of everybody's faceset, where it has one. Refuses faces that are not the person's,
/// unless `accept` says that they are.
pub(super) fn check(
    ctx: &Context,
    library: &Library,
    persons: &[PersonName],
    accept: bool,
) -> Result<BTreeMap<PersonName, Vec<f32>>, JobError> {
    let mut found: BTreeMap<PersonName, Vec<f32>> = BTreeMap::new();
    for person in persons {
        let faceset = Faceset::open(&library.facesets_dir(person))?;
        let Some(median) = ops::median_embedding(&faceset) else {
            ctx.info(format!(
                "Nothing tells who is seen in the faces of {person}, so nobody checks that it is {person}"
            ));
            continue;
        };
        let refuse = |what: String| {
            match accept {
            true => {
                ctx.warn(format!("{what}; trained all the same, as asked for"));
                Ok(())
            }
            false => Err(JobError::usage(what).with_hint(format!(
                "look with `stockpot faces report {person}`, take the wrong ones out with `stockpot faces prune {person} --far-from-median`; if it is {person} after all, say --accept-faces"
            ))),
        }
        };
        if let Some((number, apart, limit)) = odd_source(&ops::source_medians(&faceset)) {
            refuse(format!(
                "The faces of {person} from {} look like somebody else than most (distance {apart:.2}, two people from {limit} on)",
                faceset.sources()[number].info.name
            ))?;
        }
        let learned = match of_decoder(library, person) {
            Err(e) if accept => {
                ctx.warn(e.message);
                None
            }
            found => found?,
        };
        if let Some(before) = learned {
            let apart = distance(&before, &median);
            let known = ops::source_medians(&faceset).iter().map(|s| s.faces).sum();
            let limit = limit(known);
            if apart >= limit {
                refuse(format!(
                    "The faces of {person} look like somebody else than the decoder of {person} learned (distance {apart:.2}, two people from {limit} on)"
                ))?;
            }
        }
        if let Some((other, apart)) = nearest(&found, &median).filter(|(_, d)| *d < ONE_PERSON) {
            ctx.warn(format!(
                "{other} and {person} look like one person (distance {apart:.2}): did the same video go to both?"
            ));
        }
        found.insert(person.clone(), median);
    }
    Ok(found)
}

/// As an attachment.
pub(super) fn to_bytes(identity: &[f32]) -> Vec<u8> {
    identity.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let whole = rest.is_empty() && numbers.len() == stockpot_faceset::EMBEDDING;
    (whole && numbers.iter().all(|v| v.is_finite())).then_some(numbers)
}

/// Whom the current decoder of a person learned, by its own state or the nearest one before it that
/// says so.
fn of_decoder(library: &Library, person: &PersonName) -> Result<Option<Vec<f32>>, JobError> {
    let Some(state) = library.current_decoder(person)? else {
        return Ok(None);
    };
    let mut record = state.record;
    for _ in 0..ANCESTORS {
        // What was collected, or stayed behind when the person was carried here, says nothing.
        if let Some(object) = record.attachments.get(ATTACHMENT)
            && let Ok(bytes) = library.get_object(object)
        {
            return parse(person, &bytes).map(Some);
        }
        let Some(parent) = record.parent else { break };
        // Parents may have stayed behind when the person was carried here.
        match library.decoder_state(&parent) {
            Ok(state) if state.record.person == *person => record = state.record,
            _ => break,
        }
    }
    Ok(None)
}

fn parse(person: &PersonName, bytes: &[u8]) -> Result<Vec<f32>, JobError> {
    from_bytes(bytes).ok_or_else(|| {
        JobError::failed(format!(
            "What the decoder of {person} says of whom it learned is no identity"
        ))
        .with_hint("say --accept-faces to train without that check, after a look at the faces")
    })
}

/// Medians of so many faces are two people's from this distance on.
fn limit(faces: usize) -> f32 {
    match faces < FEW_FACES {
        true => TWO_PEOPLE_IN_PICTURES,
        false => TWO_PEOPLE,
    }
}

/// The source whose faces are the farthest beyond the limit from those of the one with most faces, if
/// they are somebody else's: with the distance and the limit.
fn odd_source(all: &[SourceMedian]) -> Option<(usize, f32, f32)> {
    let main = all.iter().max_by_key(|s| s.faces)?;
    let odd = all.iter().map(|s| {
        let apart = distance(&s.embedding, &main.embedding);
        (s.source, apart, limit(s.faces.min(main.faces)))
    });
    odd.filter(|(_, apart, limit)| apart >= limit)
        .max_by(|a, b| (a.1 - a.2).total_cmp(&(b.1 - b.2)))
}

fn nearest<'a>(
    known: &'a BTreeMap<PersonName, Vec<f32>>,
    identity: &[f32],
) -> Option<(&'a PersonName, f32)> {
    let apart = known.iter().map(|(name, i)| (name, distance(i, identity)));
    apart.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_and_other_bytes_do_not() {
        let identity: Vec<f32> = (0..128).map(|i| i as f32 * 0.01).collect();
        let bytes = to_bytes(&identity);
        assert_eq!(from_bytes(&bytes), Some(identity.clone()));
        assert_eq!(from_bytes(&bytes[..508]), None);
        assert_eq!(
            from_bytes(&[&bytes[..508], &f32::NAN.to_le_bytes()].concat()),
            None
        );
        assert_eq!(distance(&identity, &identity), 0.0);
        assert!((distance(&[0.0, 3.0], &[4.0, 0.0]) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn a_few_pictures_may_lie_farther_from_the_others_than_a_video() {
        let source = |source, faces, first| {
            let mut embedding = vec![0.0; 128];
            embedding[0] = first;
            SourceMedian {
                source,
                faces,
                embedding,
            }
        };
        let main = source(0, 300, 0.0);
        let odd = |other: SourceMedian| odd_source(&[main.clone(), other]).map(|o| o.0);
        assert_eq!(odd(source(1, 16, 0.46)), Some(1));
        assert_eq!(odd(source(1, 15, 0.46)), None);
        assert_eq!(odd(source(1, 5, 0.61)), Some(1));
        assert_eq!(odd(source(1, 300, 0.44)), None);
        // Where all are small, the largest of them says little.
        let few = [source(0, 5, 0.0), source(1, 5, 0.5)];
        assert_eq!(odd_source(&few), None);
        // The one that is farthest beyond its own limit is named.
        let three = [main.clone(), source(1, 4, 0.62), source(2, 40, 0.6)];
        assert_eq!(odd_source(&three).map(|o| o.0), Some(2));
    }
}
