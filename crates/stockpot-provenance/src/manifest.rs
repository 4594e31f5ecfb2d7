//! From a [`Statement`] to the credentials as the standard wants them.
//!
//! C2PA 2.x: the source is the parent ingredient with `c2pa.opened`, what was done is `c2pa.edited`
//! with its digital source type and places; what only stockpot knows stands in assertions of our
//! own. Start with [`ready`].

use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use c2pa::{Builder, BuilderIntent, DigitalSourceType, Ingredient, Relationship};
use serde_json::{Value, json};

use crate::container;
use crate::notes::{GAPS_LABEL, GapsNote, SEAL_LABEL, SealNote, VERSION};
use crate::statement::{Origin, SourceType, Statement, Swap, bridged};

/// The program's name in the credentials.
const SOFTWARE: &str = "stockpot";
/// Places that other readers are told; ours has them all.
const MOST_REGIONS: usize = 32;
/// Where the vocabulary of digital source types is defined.
const SOURCE_TYPES: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/";

/// What is known of the file itself, beside the statement.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// SHA-256 of what the standard leaves unhashed.
    pub(crate) gaps: Option<String>,
    /// Whether it has frames, so that places are told by frame.
    pub(crate) moving: bool,
}

/// Credentials that are ready to be signed.
pub(crate) struct Ready {
    pub(crate) builder: Builder,
    /// Sources that were left without credentials of their own, because these could not be read.
    pub(crate) unread: Vec<PathBuf>,
}

/// The credentials of an output called `title`.
pub(crate) fn ready(statement: &Statement, title: &str, extras: &Extras) -> c2pa::Result<Ready> {
    let mut unread = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    let mut context = c2pa::Context::new();
    context.settings_mut().core.allowed_network_hosts = Some(Vec::new());
    context
        .settings_mut()
        .core
        .backing_store_memory_threshold_in_mb = 64;
    let mut builder = Builder::from_context(context).with_definition(json!({
        "title": title,
        "claim_generator_info": [{ "name": SOFTWARE, "version": version }],
    }))?;
    let mut source_sha256 = None;
    match &statement.origin {
        Origin::Edited(source) => {
            builder.set_intent(BuilderIntent::Edit);
            source_sha256 = Some(container::sha256(&mut File::open(source)?)?);
            add_ingredient(&mut builder, source, "parentOf", &mut unread)?;
            let mut action = json!({
                "action": "c2pa.transcoded",
                "description": statement.about,
                "softwareAgent": { "name": SOFTWARE, "version": version },
            });
            if let Some(kind) = statement.source_type {
                action["action"] = "c2pa.edited".into();
                action["digitalSourceType"] = uri(kind).into();
                action["changes"] = regions(&statement.swaps, extras.moving).into();
            }
            builder.add_action(action)?;
        }
        Origin::Created(seen) => {
            builder.set_intent(BuilderIntent::Create(match statement.source_type {
                Some(SourceType::CompositeWithTrained) => {
                    DigitalSourceType::CompositeWithTrainedAlgorithmicMedia
                }
                Some(SourceType::Algorithmic) => DigitalSourceType::AlgorithmicMedia,
                None => DigitalSourceType::Empty,
            }));
            for source in seen {
                add_ingredient(&mut builder, source, "componentOf", &mut unread)?;
            }
        }
    }
    if let Some(label) = &statement.label {
        builder.add_action(json!({
            "action": "c2pa.addedText",
            "description": format!("A visible label: {}", label.text),
        }))?;
    }
    if let Some(mark) = &statement.mark {
        builder.add_action(json!({ "action": "c2pa.watermarked.bound" }))?;
        builder.add_assertion(
            "c2pa.soft-binding",
            &json!({
                "alg": mark.algorithm,
                "blocks": [{ "scope": {}, "value": mark.value }],
            }),
        )?;
    }
    let note = SealNote {
        version: VERSION,
        seal: statement.seal,
        about: statement.about.clone(),
        source_sha256,
        swaps: statement.swaps.clone(),
        label: statement.label.clone(),
        research: statement.research,
    };
    builder.add_assertion(SEAL_LABEL, &note)?;
    if let Some(sha256) = &extras.gaps {
        let note = GapsNote {
            version: VERSION,
            sha256: sha256.clone(),
        };
        builder.add_assertion(GAPS_LABEL, &note)?;
    }
    Ok(Ready { builder, unread })
}

/// The address of a digital source type.
fn uri(kind: SourceType) -> String {
    let name = match kind {
        SourceType::CompositeWithTrained => "compositeWithTrainedAlgorithmicMedia",
        SourceType::Algorithmic => "algorithmicMedia",
    };
    format!("{SOURCE_TYPES}{name}")
}

/// Adds a source with its own credentials.
fn add_ingredient(
    builder: &mut Builder,
    path: &Path,
    relation: &str,
    unread: &mut Vec<PathBuf>,
) -> c2pa::Result<()> {
    let mut file = File::open(path)?;
    let mime = container::mime_of(path, &mut file)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let told = json!({ "title": name, "relationship": relation, "format": mime });
    let relationship = match relation {
        "parentOf" => Relationship::ParentOf,
        _ => Relationship::ComponentOf,
    };
    let before = builder.definition.ingredients.len();
    let kept = match container::credentials_beside(path)? {
        Some(credentials) => match with_credentials(credentials, &mime, &mut file) {
            Ok(mut source) => {
                source.set_title(name.as_ref());
                source.set_relationship(relationship.clone());
                builder.add_ingredient(source);
                true
            }
            Err(_) => false,
        },
        None => builder
            .add_ingredient_from_stream(told.to_string(), &mime, &mut file)
            .is_ok(),
    };
    if !kept {
        unread.push(path.into());
        builder.definition.ingredients.truncate(before);
        let mut plain = Ingredient::new_v2(name.as_ref(), mime.as_str());
        plain.set_relationship(relationship);
        builder.add_ingredient(plain);
    }
    Ok(())
}

/// A source whose credentials lie beside it.
fn with_credentials(credentials: Vec<u8>, mime: &str, file: &mut File) -> c2pa::Result<Ingredient> {
    file.rewind()?;
    #[expect(
        deprecated,
        reason = "c2pa 0.90 has no other way from a sidecar to an ingredient; it warns of settings per thread, which are not used here"
    )]
    let made = Ingredient::from_manifest_and_asset_stream_async(credentials, mime, file);
    // Nothing in it waits: there is no network in this build of c2pa.
    match pin!(made).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ingredient) => ingredient,
        Poll::Pending => Err(c2pa::Error::OtherError(
            "reading credentials beside a file waits for something".into(),
        )),
    }
}

/// The places of the faces for readers that only know the standard: few, and so coarse.
fn regions(swaps: &[Swap], moving: bool) -> Vec<Value> {
    let per_swap = (MOST_REGIONS / swaps.len().max(1)).max(1);
    swaps
        .iter()
        .flat_map(|swap| bridged(&swap.faces, per_swap))
        .take(MOST_REGIONS)
        .map(|s| {
            let mut parts = vec![json!({
                "type": "spatial",
                "shape": {
                    "type": "rectangle",
                    "unit": "pixel",
                    "origin": { "x": f64::from(s.place.x), "y": f64::from(s.place.y) },
                    "width": f64::from(s.place.width),
                    "height": f64::from(s.place.height),
                },
            })];
            // Frame numbers of the standard have 32 bits with a sign.
            if let (true, Ok(first), Ok(last)) =
                (moving, i32::try_from(s.first), i32::try_from(s.last))
            {
                parts.push(json!({ "type": "frame", "frame": { "start": first, "end": last } }));
            }
            json!({ "region": parts })
        })
        .collect()
}
