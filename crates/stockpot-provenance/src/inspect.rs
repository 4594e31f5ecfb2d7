//! Any file in, what it says of itself out.
//!
//! A file that is nonsense is an answer and not an error; errors are for files that cannot be read
//! at all. Nothing is fetched, nothing executed. Start with [`Inspector::inspect`].

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use c2pa::jumbf_io::load_jumbf_from_stream;
use c2pa::validation_status::{SIGNING_CREDENTIAL_UNTRUSTED, ValidationStatus};
use c2pa::{Manifest, Reader, ValidationState};
use serde_json::Value;

use crate::attest;
use crate::container::{self, MAX_SIDECAR_BYTES, sidecar_of};
use crate::error::{Error, Result};
use crate::guard::{Refusal, guarded};
use crate::identity::{Anchors, pem_bodies};
use crate::notes::{GAPS_LABEL, GapsNote, SEAL_LABEL, SealNote, VERSION};
use crate::report::{
    ActionNote, Credentials, Fault, Holder, Ingredient, Known, Report, Signer, SwapNote, TimeNote,
    Verdict, clean,
};
use crate::statement::{MAX_STRETCHES, VisibleLabel};
use crate::strict::{self, beside_signature};
use crate::words;

/// Pictures are held in memory while they are looked at.
const MAX_PICTURE_BYTES: u64 = 1 << 30;
/// Faults, actions and ingredients that are told at most.
const MOST_TOLD: usize = 200;

/// Reads credentials.
#[derive(Debug, Clone)]
pub struct Inspector {
    anchors: Anchors,
}

impl Inspector {
    /// Knows the signers of the identity folder `folder`, which need not be there.
    ///
    /// # Errors
    /// If a certificate in it cannot be read.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            anchors: Anchors::read(folder)?,
        })
    }

    /// Reads and verifies what `path` says of itself.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::TooLarge`].
    pub fn inspect(&self, path: &Path) -> Result<Report> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let found = file.metadata().map_err(Error::io("read", path))?;
        if !found.is_file() {
            let source = std::io::Error::other("it is no file");
            return Err(Error::io("read", path)(source));
        }
        let mime = container::mime_of(path, &mut file).map_err(Error::io("read", path))?;
        if !mime.starts_with("video/") && found.len() > MAX_PICTURE_BYTES {
            return Err(Error::TooLarge {
                what: "A picture",
                found_bytes: found.len(),
                limit_bytes: MAX_PICTURE_BYTES,
                path: path.into(),
            });
        }
        let inside = guarded(|| {
            let reader = Reader::from_context(self.anchors.context()?);
            reader.with_stream(&mime, &mut file)
        });
        let error = match inside {
            Ok(reader) => return Ok(self.report(path, &mime, &mut file, &reader, None)),
            Err(error) => error,
        };
        if !is_absent(&error) {
            return Ok(unreadable(path, Holder::Inside, &error));
        }
        let sidecar = sidecar_of(path);
        if sidecar.is_file() && sidecar != path {
            return self.beside(path, &sidecar, &mime, &mut file);
        }
        let mut report = Report::new(path.into(), Verdict::None);
        if let Refusal::Error(error) = &error
            && let c2pa::Error::RemoteManifestUrl(address) = &**error
        {
            report.elsewhere = Some(clean(address));
        }
        Ok(report)
    }

    fn beside(&self, path: &Path, sidecar: &Path, mime: &str, file: &mut File) -> Result<Report> {
        let read = container::read_sidecar(sidecar).map_err(Error::io("read", sidecar))?;
        let Some(bytes) = read else {
            return Err(Error::TooLarge {
                what: "A file of credentials",
                found_bytes: sidecar.metadata().map_or(0, |m| m.len()),
                limit_bytes: MAX_SIDECAR_BYTES,
                path: sidecar.into(),
            });
        };
        file.rewind().map_err(Error::io("read", path))?;
        let read = guarded(|| {
            let reader = Reader::from_context(self.anchors.context()?);
            reader.with_manifest_data_and_stream(&bytes, mime, &mut *file)
        });
        Ok(match read {
            Ok(reader) => self.report(path, mime, file, &reader, Some(&bytes)),
            Err(error) => unreadable(path, Holder::Beside, &error),
        })
    }

    fn report(
        &self,
        path: &Path,
        mime: &str,
        file: &mut File,
        reader: &Reader,
        beside: Option<&[u8]>,
    ) -> Report {
        let state = reader.validation_state();
        let mut report = Report::new(path.into(), Verdict::Whole);
        report.holder = Some(match beside {
            Some(_) => Holder::Beside,
            None => Holder::Inside,
        });
        if state == ValidationState::Invalid {
            report.verdict = Verdict::Broken;
            report.faults = faults(reader);
        }
        report.remarks = remarks(reader);
        let store = store(mime, file, beside);
        match reader.active_manifest() {
            Some(manifest) => {
                let time = self.time(manifest, store.as_deref());
                let faults = [
                    gap_fault(manifest, file),
                    frame_fault(manifest, mime, file, store.as_deref(), beside.is_some()),
                    time_fault(manifest, store.as_deref(), time.is_some()),
                ];
                for fault in faults.into_iter().flatten() {
                    report.verdict = Verdict::Broken;
                    report.faults.push(fault);
                }
                let trusted = state == ValidationState::Trusted;
                report.credentials = Some(self.credentials(reader, manifest, trusted, time));
            }
            None => {
                report.verdict = Verdict::Broken;
                report
                    .faults
                    .push(Fault::new(words::NO_ACTIVE_MANIFEST, None));
            }
        }
        report
    }

    fn credentials(
        &self,
        reader: &Reader,
        manifest: &Manifest,
        trusted: bool,
        time: Option<(String, TimeNote)>,
    ) -> Credentials {
        Credentials {
            label: clean(reader.active_label().unwrap_or_default()),
            title: manifest.title().map(clean),
            software: software(manifest),
            signer: self.signer(manifest, trusted, time),
            actions: actions(manifest),
            ingredients: ingredients(manifest),
            swap: swap(manifest),
        }
    }

    /// When it was signed, by whose word.
    fn time(&self, manifest: &Manifest, store: Option<&[u8]>) -> Option<(String, TimeNote)> {
        match store.and_then(beside_signature) {
            Some(beside) => attest::read(&beside, &self.anchors),
            // Other programs may write other forms, in which we do not see whose word it is.
            None => manifest.time().map(|time| {
                let nobody = TimeNote {
                    name: None,
                    known: Known::Unknown,
                };
                (clean(&time), nobody)
            }),
        }
    }

    fn signer(
        &self,
        manifest: &Manifest,
        trusted: bool,
        time: Option<(String, TimeNote)>,
    ) -> Option<Signer> {
        let info = manifest.signature_info()?;
        let own = pem_bodies(&self.anchors.own);
        let is_own = || {
            pem_bodies(info.cert_chain())
                .iter()
                .any(|c| own.contains(c))
        };
        let known = match trusted {
            true if is_own() => Known::Own,
            true => Known::Listed,
            false => Known::Unknown,
        };
        let (time, time_by) = time.unzip();
        Some(Signer {
            name: info.common_name.as_deref().map(clean),
            issuer: info.issuer.as_deref().map(clean),
            algorithm: info.alg.map(|a| format!("{a:?}")),
            time,
            time_by,
            known,
        })
    }
}

/// Whether an error only says that there are no credentials.
fn is_absent(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Error(error) => matches!(
            **error,
            c2pa::Error::JumbfNotFound
                | c2pa::Error::UnsupportedType
                | c2pa::Error::RemoteManifestUrl(_)
                | c2pa::Error::ProvenanceMissing
        ),
        Refusal::Crash => false,
    }
}

fn unreadable(path: &Path, holder: Holder, refusal: &Refusal) -> Report {
    let mut report = Report::new(path.into(), Verdict::Broken);
    report.holder = Some(holder);
    let detail = refusal.to_string();
    report
        .faults
        .push(Fault::new(words::UNREADABLE, Some(&detail)));
    report
}

fn faults(reader: &Reader) -> Vec<Fault> {
    let failed = reader.validation_status().unwrap_or_default();
    let mut out: Vec<Fault> = failed
        .iter()
        // Not knowing the signer is no fault of the file.
        .filter(|status| status.code() != SIGNING_CREDENTIAL_UNTRUSTED)
        .take(MOST_TOLD)
        .map(fault)
        .collect();
    if out.is_empty() {
        out.push(Fault::new(words::INVALID, None));
    }
    out
}

/// What is no failure by the standard, and takes something from what the credentials are worth.
fn remarks(reader: &Reader) -> Vec<Fault> {
    let told = reader
        .validation_results()
        .and_then(|results| results.active_manifest())
        .map(|codes| codes.informational().as_slice());
    told.unwrap_or_default()
        .iter()
        .filter(|status| words::is_remark(status.code()))
        .take(MOST_TOLD)
        .map(fault)
        .collect()
}

fn fault(status: &ValidationStatus) -> Fault {
    let (code, detail) = (status.code(), status.explanation());
    match status.ingredient_uri() {
        None => Fault::new(code, detail),
        Some(_) => Fault::in_ingredient(code, detail),
    }
}

/// Compares what the standard leaves unhashed with what was noted when the file was sealed.
fn gap_fault(manifest: &Manifest, file: &mut File) -> Option<Fault> {
    let note: GapsNote = manifest.find_assertion(GAPS_LABEL).ok()?;
    match container::gaps(file) {
        Err(e) => Some(Fault::new(words::UNREADABLE, Some(&e.to_string()))),
        Ok(found) if found.as_ref() == Some(&note.sha256) => None,
        Ok(_) => Some(Fault::new(words::GAPS_MISMATCH, None)),
    }
}

/// The credentials as they stand in the file, or `beside` it; `None` if they cannot be had a second
/// time.
fn store(mime: &str, file: &mut File, beside: Option<&[u8]>) -> Option<Vec<u8>> {
    if let Some(credentials) = beside {
        return Some(credentials.to_vec());
    }
    guarded(|| {
        file.rewind()?;
        load_jumbf_from_stream(mime, &mut *file)
    })
    .ok()
}

/// Looks at the bytes that nobody signs, in what stockpot wrote.
fn frame_fault(
    manifest: &Manifest,
    mime: &str,
    file: &mut File,
    store: Option<&[u8]>,
    is_beside: bool,
) -> Option<Fault> {
    // Others may leave things there.
    swap(manifest)?;
    let plain = guarded(|| {
        let Some(credentials) = store.filter(|s| beside_signature(s).is_some()) else {
            return Ok(false);
        };
        if is_beside {
            return Ok(true);
        }
        match mime {
            "image/png" | "image/jpeg" => {
                let mut bytes = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut bytes)?;
                strict::picture_is_plain(mime, &bytes, credentials)
            }
            _ => Ok(strict::iso_is_plain(file)?),
        }
    });
    // What cannot be read a second time has been changed meanwhile.
    (!plain.unwrap_or(false)).then(|| Fault::new(words::FRAME_MISMATCH, None))
}

/// A time stamp that does not fit, in what stockpot wrote: it would not have kept it. For others such
/// a stamp is as good as none (C2PA, "Time-stamps").
fn time_fault(manifest: &Manifest, store: Option<&[u8]>, attested: bool) -> Option<Fault> {
    swap(manifest)?;
    store.and_then(beside_signature)?.stamp?;
    (!attested).then(|| Fault::new(words::TIME_MISMATCH, None))
}

fn software(manifest: &Manifest) -> Option<String> {
    let told = manifest.claim_generator_info.as_ref()?.first()?;
    let mut text = told.name.clone();
    if let Some(version) = &told.version {
        text += " ";
        text += version;
    }
    Some(clean(&text))
}

fn actions(manifest: &Manifest) -> Vec<ActionNote> {
    let lists = manifest
        .assertions()
        .iter()
        .filter(|a| a.label().starts_with("c2pa.actions"));
    let text = |v: &Value| v.as_str().map(clean);
    lists
        .filter_map(|list| list.value().ok()?.get("actions")?.as_array())
        .flatten()
        .take(MOST_TOLD)
        .filter_map(|action| {
            Some(ActionNote {
                action: text(action.get("action")?)?,
                source_type: action.get("digitalSourceType").and_then(|v| {
                    let address = v.as_str()?;
                    Some(clean(address.rsplit('/').next().unwrap_or(address)))
                }),
                about: action.get("description").and_then(text),
            })
        })
        .collect()
}

fn ingredients(manifest: &Manifest) -> Vec<Ingredient> {
    let told = manifest.ingredients().iter().take(MOST_TOLD);
    told.map(|ingredient| Ingredient {
        title: ingredient.title().map(clean),
        format: ingredient.format().map(clean),
        relation: match ingredient.relationship() {
            c2pa::Relationship::ParentOf => "parentOf",
            c2pa::Relationship::ComponentOf => "componentOf",
            c2pa::Relationship::InputTo => "inputTo",
        }
        .to_owned(),
        verdict: ingredient_verdict(ingredient),
    })
    .collect()
}

fn ingredient_verdict(ingredient: &c2pa::Ingredient) -> Verdict {
    if ingredient.active_manifest().is_none() {
        return Verdict::None;
    }
    let results = ingredient.validation_results();
    let failed = results.is_some_and(|r| r.validation_state() == ValidationState::Invalid);
    // Older credentials note only what failed.
    let noted = ingredient.validation_status().unwrap_or_default();
    let noted = noted
        .iter()
        .any(|s| s.code() != SIGNING_CREDENTIAL_UNTRUSTED);
    match failed || (results.is_none() && noted) {
        true => Verdict::Broken,
        false => Verdict::Whole,
    }
}

fn swap(manifest: &Manifest) -> Option<SwapNote> {
    // Another program may use our label for anything: what does not fit is not ours.
    let note: SealNote = manifest.find_assertion(SEAL_LABEL).ok()?;
    if note.version != VERSION {
        return None;
    }
    let binding = manifest
        .assertions()
        .iter()
        .find(|a| a.label() == "c2pa.soft-binding");
    let mut swaps = note.swaps;
    for swap in &mut swaps {
        swap.model.family = clean(&swap.model.family);
        swap.model.lineage.truncate(MOST_TOLD);
        swap.faces.truncate(MAX_STRETCHES);
    }
    swaps.truncate(MOST_TOLD);
    let label = note.label.map(|label| VisibleLabel {
        text: clean(&label.text),
        preset: label.preset.as_deref().map(clean),
        secs: label.secs,
    });
    Some(SwapNote {
        seal: note.seal,
        about: clean(&note.about),
        source_sha256: note.source_sha256.as_deref().map(clean),
        mark: binding.and_then(|b| Some(clean(b.value().ok()?.get("alg")?.as_str()?))),
        swaps,
        label,
        research: note.research,
    })
}
