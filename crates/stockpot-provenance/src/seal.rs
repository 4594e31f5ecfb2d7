//! The one place where an output gets its name: credentials in, flush, rename.
//!
//! Nothing else in stockpot renames a swapped file into the user's folder (`cargo xtask tidy` looks).
//! An output that cannot be sealed is an error and leaves nothing. Start with [`Sealer::seal`].

use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpot_core::{Rgb8, Unsealed, picture};

use crate::container::{self, Kind, sidecar_of};
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::identity::Identity;
use crate::manifest::{self, Extras};
use crate::stamp::{Stamps, TimeAuthority};
use crate::statement::Statement;

/// Quality of JPEG outputs, as `stockpot_core::picture` has it.
const JPEG_QUALITY: u8 = 95;

/// Seals outputs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sealer {
    identity: Arc<Identity>,
    stamps: Option<Arc<Stamps>>,
}

/// An output that stands under its name and says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// Where.
    pub path: PathBuf,
    /// Where its credentials are, if the format cannot hold them.
    pub sidecar: Option<PathBuf>,
    /// How much larger it became, sidecar included.
    pub added_bytes: u64,
    /// Sources whose own credentials could not be read, and so are not kept.
    pub unread: Vec<PathBuf>,
}

impl Sealer {
    /// A sealer that signs as `identity`.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
            stamps: None,
        }
    }

    /// The same with a time stamp of `authority` on everything. It is asked once now, so that one
    /// that is out of reach is told before the work and not after.
    ///
    /// # Errors
    /// [`Error::NoTimeStamp`].
    pub fn stamped_by(self, authority: TimeAuthority) -> Result<Self> {
        let probing = Arc::new(Stamps::probing(authority));
        self.identity.prove_stamps(&probing)?;
        Ok(Self {
            stamps: Some(Arc::new(probing.proven())),
            ..self
        })
    }

    /// Whether an output called `target` can be sealed, before any work is put into it.
    ///
    /// # Errors
    /// [`Error::CannotHold`] for an ending that is not known, [`Error::SidecarTaken`].
    pub fn check(target: &Path) -> Result<()> {
        kind_of(target).map(drop)
    }

    /// Whether files of this name can be sealed at all.
    pub fn can_hold(path: &Path) -> bool {
        Kind::of_name(path).is_some()
    }

    /// Puts `statement` into the finished output `part` and gives it the name `target`. The bytes on
    /// disk are flushed first: a file under that name is whole and sealed.
    ///
    /// # Errors
    /// [`Error::CannotHold`], [`Error::SidecarTaken`], [`Error::Io`], [`Error::TimeStampLost`] or
    /// [`Error::Credentials`]; then there is no file.
    pub fn seal(&self, part: Unsealed, target: &Path, statement: &Statement) -> Result<Sealed> {
        let kind = kind_of(target)?;
        let mut input = File::open(part.path()).map_err(Error::io("read", part.path()))?;
        let length = |file: &File| file.metadata().map(|m| m.len());
        let before = length(&input).map_err(Error::io("read", part.path()))?;
        let extras = Extras {
            gaps: match kind {
                Kind::Iso(_) => {
                    container::gaps(&mut input).map_err(Error::io("read", part.path()))?
                }
                _ => None,
            },
            moving: !matches!(kind, Kind::Picture(_)),
        };
        let beside = Unsealed::create(target, ".seal").map_err(Error::io("create", target))?;
        let mut output = OpenOptions::new()
            .read(true)
            .write(true)
            .open(beside.path())
            .map_err(Error::io("create", beside.path()))?;
        let ready = self.ready(target, statement, &extras)?;
        let mut builder = ready.builder;
        let sidecar = matches!(kind, Kind::Beside(_)).then(|| sidecar_of(target));
        builder.set_no_embed(sidecar.is_some());
        let credentials = guarded(|| {
            let signer = self.identity.signer(self.stamps.as_ref())?;
            builder.sign(&*signer, kind.mime(), &mut input, &mut output)
        })
        .map_err(|e| self.unsigned(target, e))?;
        output.sync_all().map_err(Error::io("write", target))?;
        let after = length(&output).map_err(Error::io("write", target))?;
        if let Some(sidecar) = &sidecar {
            // First: a video without its credentials must not be seen, the other way round is
            // harmless.
            self.put_beside(sidecar, &credentials)?;
        }
        fs::rename(beside.path(), target).map_err(Error::io("rename", target))?;
        flush_folder(target);
        let beside_bytes = if sidecar.is_some() {
            credentials.len() as u64
        } else {
            0
        };
        Ok(Sealed {
            path: target.into(),
            sidecar,
            added_bytes: after.saturating_sub(before) + beside_bytes,
            unread: ready.unread,
        })
    }

    /// Encodes a picture, by the ending of `target`, seals it and gives it its name.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_picture(&self, rgb: &Rgb8, target: &Path, statement: &Statement) -> Result<Sealed> {
        let encoded = match kind_of(target)? {
            Kind::Picture("image/jpeg") => picture::to_jpeg(rgb, JPEG_QUALITY),
            Kind::Picture(_) => picture::to_png(rgb),
            Kind::Iso(_) | Kind::Beside(_) => {
                return Err(Error::CannotHold {
                    path: target.into(),
                });
            }
        };
        let bytes = encoded.map_err(|e| Error::credentials("written", target, e))?;
        let part = Unsealed::create(target, ".part").map_err(Error::io("create", target))?;
        let written = OpenOptions::new().write(true).open(part.path());
        written
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(Error::io("write", part.path()))?;
        self.seal(part, target, statement)
    }

    /// A JPEG that is shown inside of something else, such as a page: its bytes, sealed. `title`
    /// tells what it is.
    ///
    /// # Errors
    /// [`Error::Credentials`], [`Error::TimeStampLost`].
    pub fn seal_jpeg(
        &self,
        rgb: &Rgb8,
        quality: u8,
        title: &str,
        statement: &Statement,
    ) -> Result<Vec<u8>> {
        let name = Path::new(title);
        let jpeg =
            picture::to_jpeg(rgb, quality).map_err(|e| Error::credentials("written", name, e))?;
        let mut ready = self.ready(name, statement, &Extras::default())?;
        guarded(|| {
            let signer = self.identity.signer(self.stamps.as_ref())?;
            let mut output = Cursor::new(Vec::new());
            let mut input = Cursor::new(jpeg);
            ready
                .builder
                .sign(&*signer, "image/jpeg", &mut input, &mut output)?;
            Ok(output.into_inner())
        })
        .map_err(|e| self.unsigned(name, e))
    }

    /// Why `target` was not signed: the authority's doing, or the library's.
    fn unsigned(&self, target: &Path, refusal: impl std::fmt::Display) -> Error {
        let lost = |stamps: &Arc<Stamps>| {
            Some(Error::TimeStampLost {
                path: target.into(),
                address: stamps.address().to_owned(),
                reason: stamps.trouble()?,
            })
        };
        let lost = self.stamps.as_ref().and_then(lost);
        lost.unwrap_or_else(|| Error::credentials("written", target, refusal))
    }

    fn ready(
        &self,
        target: &Path,
        statement: &Statement,
        extras: &Extras,
    ) -> Result<manifest::Ready> {
        let title = target.file_name().unwrap_or_default().to_string_lossy();
        guarded(|| manifest::ready(statement, &title, extras))
            .map_err(|e| Error::credentials("written", target, e))
    }

    fn put_beside(&self, sidecar: &Path, credentials: &[u8]) -> Result<()> {
        let beside = Unsealed::create(sidecar, ".part").map_err(Error::io("create", sidecar))?;
        let written = OpenOptions::new().write(true).open(beside.path());
        written
            .and_then(|mut file| {
                file.write_all(credentials)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(beside.path(), sidecar))
            .map_err(Error::io("write", sidecar))
    }
}

fn kind_of(target: &Path) -> Result<Kind> {
    let kind = Kind::of_name(target).ok_or_else(|| Error::CannotHold {
        path: target.into(),
    })?;
    let sidecar = sidecar_of(target);
    // Beside a file of this name it belongs to that one, and both are replaced.
    if matches!(kind, Kind::Beside(_)) && sidecar.exists() && !target.exists() {
        return Err(Error::SidecarTaken {
            target: target.into(),
            path: sidecar,
        });
    }
    Ok(kind)
}

/// What was renamed survives a power cut only once its folder is flushed.
fn flush_folder(target: &Path) {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty());
    // Not every system lets a folder be opened; the file itself is safe already.
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}
