//! What a swap says of itself: from what the job knows to the statement that goes into the output.
//!
//! Pure but for the library's records; signing is `stockpot-provenance`'s. Start with [`Words`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use stockpot_core::{Area, ContentHash, Size};
use stockpot_library::{ConsentBasis, Consented, Library};
use stockpot_provenance::{
    Basis, FaceBox, MAX_STRETCHES, Model, Origin, SealId, SourceType, Statement, Swap,
    VisibleLabel, stretches,
};

use crate::analyse::FoundFace;
use crate::error::JobError;
use crate::marking;

/// Ancestors of an encoder state that are told.
const MOST_ANCESTORS: usize = 64;

/// Who is drawn, by which states, on whose word.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) model: Model,
    pub(crate) consent: ContentHash,
    pub(crate) basis: Basis,
}

impl Drawn {
    /// # Errors
    /// If a record of the encoder's ancestors is damaged.
    pub(crate) fn new(
        library: &Library,
        consent: &Consented,
        family: String,
        encoder: ContentHash,
        decoder: ContentHash,
    ) -> Result<Self, JobError> {
        let mut lineage = Vec::new();
        let mut next = library.encoder_state(&encoder)?.record.parent;
        while let Some(parent) = next {
            lineage.push(parent);
            if lineage.len() == MOST_ANCESTORS {
                break;
            }
            next = library.encoder_state(&parent)?.record.parent;
        }
        Ok(Self {
            model: Model {
                family,
                encoder,
                lineage,
                decoder,
            },
            consent: consent.record(),
            basis: match consent.basis() {
                ConsentBasis::OwnFace => Basis::OwnFace,
                ConsentBasis::Synthetic => Basis::Synthetic,
                ConsentBasis::File { .. } => Basis::File,
            },
        })
    }
}

/// All that an output of a swap will be told to say.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// The number of this seal.
    pub(crate) seal: SealId,
    /// Who is drawn.
    pub(crate) drawn: Drawn,
    /// The video, picture or folder that is swapped.
    pub(crate) input: PathBuf,
    /// The pictures of the folder by number, if it is one.
    pub(crate) pictures: Vec<PathBuf>,
    /// The size of the frames.
    pub(crate) frame_size: Size,
    /// Where the face is, by the input's frame number.
    pub(crate) places: BTreeMap<u64, FaceBox>,
    /// The input's frame that is the output's first.
    pub(crate) first: u64,
    /// The label that everybody sees.
    pub(crate) label: Option<VisibleLabel>,
    /// Whether masks and parameters are exported beside it.
    pub(crate) research: bool,
}

impl Words {
    /// Of a whole video.
    pub(crate) fn of_video(&self) -> Statement {
        let faces: Vec<(u64, FaceBox)> = self
            .places
            .iter()
            .map(|(frame, place)| (frame.saturating_sub(self.first), *place))
            .collect();
        let about = "A face was replaced by one that a trained network drew";
        self.statement(Origin::Edited(self.input.clone()), about, &faces)
    }

    /// Of the picture with the number `index`, which may show nobody: it is part of a sequence that
    /// does, and says so.
    pub(crate) fn of_picture(&self, index: u64, size: Size) -> Statement {
        let source = usize::try_from(index)
            .ok()
            .and_then(|i| self.pictures.get(i));
        let origin = Origin::Edited(source.unwrap_or(&self.input).clone());
        let place = self.places.get(&index).map(|place| (0, *place));
        let mark = marking::told(self.seal, size);
        if place.is_none() {
            let about = "Part of a sequence in which a face was replaced; none in this picture";
            return Statement {
                source_type: None,
                swaps: Vec::new(),
                mark,
                ..self.statement(origin, about, &[])
            };
        }
        let about = "A face was replaced by one that a trained network drew";
        let mut statement = self.statement(origin, about, place.as_slice());
        statement.mark = mark;
        for swap in &mut statement.swaps {
            swap.frame_size = size;
        }
        statement
    }

    /// Of a contact sheet of `count` frames.
    pub(crate) fn of_sheet(&self, count: usize, size: Size) -> Statement {
        // Of a folder, no single file is the one that is seen.
        let seen = match self.pictures.is_empty() {
            true => vec![self.input.clone()],
            false => Vec::new(),
        };
        let about = format!(
            "A contact sheet of {count} frames, each as it was and with a face that a trained \
             network drew"
        );
        let mut statement = self.statement(Origin::Created(seen), &about, &[]);
        statement.mark = marking::told(self.seal, size);
        for swap in &mut statement.swaps {
            swap.frame_size = size;
        }
        statement
    }

    fn statement(&self, origin: Origin, about: &str, faces: &[(u64, FaceBox)]) -> Statement {
        Statement {
            seal: self.seal,
            origin,
            source_type: Some(SourceType::CompositeWithTrained),
            about: about.into(),
            swaps: vec![Swap {
                model: self.drawn.model.clone(),
                consent: self.drawn.consent,
                basis: self.drawn.basis,
                frame_size: self.frame_size,
                faces: stretches(faces, MAX_STRETCHES),
            }],
            mark: marking::told(self.seal, self.frame_size),
            label: self.label.clone(),
            research: self.research,
        }
    }
}

/// The part of the frame that a swap may change: the square that the network draws. `None` for a
/// face that is nowhere in the frame, or landmarks in one point.
pub(crate) fn place_of(face: &FoundFace, area: Area, frame: Size) -> Option<FaceBox> {
    let net_from_frame = area.net_from_face(1) * face.landmarks.face_from_frame().ok()?;
    let frame_from_net = net_from_frame.inverse().ok()?;
    let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
        .map(|(x, y)| frame_from_net.apply(stockpot_core::Point::new(x, y)));
    let span = |values: [f64; 4], limit: u32| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let low = low.floor().clamp(0.0, f64::from(limit)) as u32;
        let high = high.ceil().clamp(0.0, f64::from(limit)) as u32;
        (high > low).then_some((low, high - low))
    };
    let (x, width) = span(corners.map(|c| c.x), frame.width)?;
    let (y, height) = span(corners.map(|c| c.y), frame.height)?;
    Some(FaceBox {
        x,
        y,
        width,
        height,
    })
}
