//! Who signs: a key and certificate made at first use and kept with the user's data, or their own.
//!
//! The folder holds `own/` (`authority.pem`, `authority-key.pem`, `certificate.pem`, `key.pem`) and,
//! if somebody puts it there, `trusted/*.pem`: roots of others whose signatures count as known.
//! Keys never leave this module but into a signature. Start with [`Identity::open`].

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use c2pa::Signer;
use c2pa::jumbf_io::load_jumbf_from_stream;
use stockpot_core::{Image, Size, picture};

use crate::attest;
use crate::certificate;
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::manifest;
use crate::stamp::Stamps;
use crate::statement::{Origin, SealId, SourceType, Statement};
use crate::strict::beside_signature;

const OWN: &str = "own";
const TRUSTED: &str = "trusted";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority-key.pem";
/// The largest PEM file: C2PA's whole list of trusted authorities is smaller.
const MAX_PEM_BYTES: u64 = 4 << 20;
/// At most so many lists of authorities are read.
const MAX_LISTS: usize = 64;

/// A certificate of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// PEM: the signing certificate, then those above it.
    pub certificate: PathBuf,
    /// PEM: its key, not encrypted.
    pub key: PathBuf,
}

/// Who signs.
pub struct Identity {
    chain: String,
    key: String,
    algorithm: c2pa::SigningAlg,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must not get into a log.
        f.debug_struct("Identity")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity in `folder`, made now if there is none; or the user's own certificate. Either
    /// signs a picture of one pixel and reads it back, so that a certificate that is not fit is
    /// told before hours of work and not after.
    ///
    /// # Errors
    /// [`Error::BadCertificate`], [`Error::HalfAnIdentity`], [`Error::KeyIsOpen`], or what the file
    /// system says.
    pub fn open(folder: &Path, own: Option<&OwnCertificate>) -> Result<Self> {
        let files = match own {
            Some(own) => own.clone(),
            None => made_or_found(&folder.join(OWN))?,
        };
        let identity = Self::load(&files)?;
        identity.prove(&files.certificate)?;
        Ok(identity)
    }

    fn load(files: &OwnCertificate) -> Result<Self> {
        refuse_open_key(&files.key)?;
        let chain = read_pem("read the certificate", &files.certificate)?;
        if !chain.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Error::BadCertificate {
                what: "certificate",
                path: files.certificate.clone(),
                reason: "it holds no PEM certificate".into(),
            });
        }
        let key = read_pem("read the key", &files.key)?;
        let algorithm =
            certificate::algorithm_of(&key).map_err(|reason| Error::BadCertificate {
                what: "key",
                path: files.key.clone(),
                reason,
            })?;
        Ok(Self {
            chain,
            key,
            algorithm,
        })
    }

    /// What signs, with a stamp of `stamps` where there are some.
    pub(crate) fn signer(&self, stamps: Option<&Arc<Stamps>>) -> c2pa::Result<c2pa::BoxedSigner> {
        let (chain, key) = (self.chain.as_bytes(), self.key.as_bytes());
        let signer = c2pa::create_signer::from_keys(chain, key, self.algorithm, None)?;
        let certificates = signer.certs()?.iter().map(Vec::len).sum::<usize>();
        Ok(Box::new(Snug {
            reserve: certificates + ROOM_BYTES + stamps.map_or(0, |s| s.room()),
            signer,
            stamps: stamps.cloned(),
        }))
    }

    fn prove(&self, path: &Path) -> Result<()> {
        let bad = |reason: String| Error::BadCertificate {
            what: "certificate",
            path: path.into(),
            reason,
        };
        match self.pixel(None).map_err(bad)? {
            Pixel {
                failed: Some(codes),
                ..
            } => Err(bad(format!("what it signs does not verify ({codes})"))),
            Pixel { failed: None, .. } => Ok(()),
        }
    }

    /// Signs a picture of one pixel with a stamp, and reads it back.
    ///
    /// # Errors
    /// [`Error::NoTimeStamp`].
    pub(crate) fn prove_stamps(&self, stamps: &Arc<Stamps>) -> Result<()> {
        let none = |reason: String| Error::NoTimeStamp {
            address: stamps.address().to_owned(),
            reason,
        };
        let pixel = self
            .pixel(Some(stamps))
            .map_err(|told| none(stamps.trouble().unwrap_or(told)))?;
        match pixel {
            Pixel {
                failed: Some(codes),
                ..
            } => Err(none(format!("what it stamps does not verify ({codes})"))),
            Pixel { stamped: false, .. } => Err(none(
                "its certificate is not one for time stamps, or had no force when it stamped"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    fn pixel(&self, stamps: Option<&Arc<Stamps>>) -> std::result::Result<Pixel, String> {
        let pixel = picture::to_png(&Image::new(Size::square(1))).map_err(|e| e.to_string())?;
        let statement = Statement {
            seal: SealId::new([0; 6]),
            origin: Origin::Created(Vec::new()),
            source_type: Some(SourceType::Algorithmic),
            about: "A pixel that shows whether this certificate can sign".into(),
            swaps: Vec::new(),
            mark: None,
            label: None,
            research: false,
        };
        let sealed = guarded(|| {
            let mut ready = manifest::ready(&statement, "pixel", &manifest::Extras::default())?;
            let mut out = std::io::Cursor::new(Vec::new());
            let signer = self.signer(stamps)?;
            let mut input = std::io::Cursor::new(pixel);
            ready
                .builder
                .sign(&*signer, "image/png", &mut input, &mut out)?;
            Ok(out.into_inner())
        })
        .map_err(|e| e.to_string())?;
        let anchors = Anchors {
            own: self.chain.clone(),
            others: String::new(),
        };
        guarded(|| {
            let store = load_jumbf_from_stream("image/png", &mut std::io::Cursor::new(&sealed))?;
            let reader = c2pa::Reader::from_context(anchors.context()?);
            let reader = reader.with_stream("image/png", std::io::Cursor::new(&sealed))?;
            let failed = reader.validation_status().unwrap_or_default();
            let failed: Vec<&str> = failed.iter().map(|s| s.code()).collect();
            let invalid = reader.validation_state() == c2pa::ValidationState::Invalid;
            let beside = beside_signature(&store);
            Ok(Pixel {
                failed: invalid.then(|| failed.join(", ")),
                stamped: beside.is_some_and(|b| attest::read(&b, &anchors).is_some()),
            })
        })
        .map_err(|e| e.to_string())
    }
}

/// How a signed pixel reads.
struct Pixel {
    /// The standard's names for what does not fit.
    failed: Option<String>,
    /// Whether its time is attested.
    stamped: bool,
}

/// Room for a signature beside its certificates: the largest, of an RSA key of 4096 bits, has 512
/// bytes, and what stands around it some hundred.
const ROOM_BYTES: usize = 1024;

/// A signer that takes no more room than it needs; the usual one reserves 10 KB, also where no time
/// is stamped.
struct Snug {
    signer: c2pa::BoxedSigner,
    reserve: usize,
    stamps: Option<Arc<Stamps>>,
}

impl c2pa::Signer for Snug {
    fn sign(&self, data: &[u8]) -> c2pa::Result<Vec<u8>> {
        self.signer.sign(data)
    }

    fn alg(&self) -> c2pa::SigningAlg {
        self.signer.alg()
    }

    fn certs(&self) -> c2pa::Result<Vec<Vec<u8>>> {
        self.signer.certs()
    }

    fn reserve_size(&self) -> usize {
        self.reserve
    }

    fn time_authority_url(&self) -> Option<String> {
        self.stamps.as_ref().map(|s| s.address().to_owned())
    }

    fn send_timestamp_request(&self, message: &[u8]) -> Option<c2pa::Result<Vec<u8>>> {
        self.stamps.as_ref().map(|stamps| stamps.stamp(message))
    }
}

/// Certificates whose signatures are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anchors {
    /// Of this machine, as PEM.
    pub(crate) own: String,
    /// That somebody put beside it, as PEM.
    pub(crate) others: String,
}

impl Anchors {
    /// What the identity folder holds; nothing, where there is none.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut anchors = Self::default();
        for name in [AUTHORITY, CERTIFICATE] {
            let path = folder.join(OWN).join(name);
            if path.is_file() {
                anchors.own += &(read_pem("read the certificate", &path)? + "\n");
            }
        }
        let lists = folder.join(TRUSTED);
        if lists.is_dir() {
            let failed = |e| Error::io("read the list of authorities", &lists)(e);
            let entries = fs::read_dir(&lists).map_err(failed)?;
            let mut paths = entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<std::io::Result<Vec<_>>>()
                .map_err(Error::io("read the list of authorities", &lists))?;
            paths.retain(|p| p.extension().is_some_and(|e| e == "pem"));
            paths.sort();
            for path in paths.iter().take(MAX_LISTS) {
                anchors.others += &(read_pem("read the list of authorities", path)? + "\n");
            }
        }
        Ok(anchors)
    }

    /// How a file is read: these certificates are known, and nothing is fetched from anywhere.
    pub(crate) fn context(&self) -> c2pa::Result<c2pa::Context> {
        let both = format!("{}\n{}", self.own, self.others);
        let mut settings = c2pa::Settings::default();
        if !both.trim().is_empty() {
            settings.trust.trust_anchors = Some(both);
        }
        settings.core.allowed_network_hosts = Some(Vec::new());
        // Beyond so much, it works on disk.
        settings.core.backing_store_memory_threshold_in_mb = 64;
        settings.verify.remote_manifest_fetch = false;
        settings.verify.ocsp_fetch = false;
        c2pa::Context::new().with_settings(settings)
    }
}

/// The certificate bodies of a PEM text, without line ends.
pub(crate) fn pem_bodies(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN CERTIFICATE-----") {
        let Some((body, behind)) = after.split_once("-----END CERTIFICATE-----") else {
            break;
        };
        out.push(body.split_whitespace().collect());
        rest = behind;
    }
    out
}

fn made_or_found(folder: &Path) -> Result<OwnCertificate> {
    let files = OwnCertificate {
        certificate: folder.join(CERTIFICATE),
        key: folder.join(KEY),
    };
    match (files.certificate.is_file(), files.key.is_file()) {
        (true, true) => return Ok(files),
        (true, false) => return Err(half(folder, CERTIFICATE, KEY)),
        (false, true) => return Err(half(folder, KEY, CERTIFICATE)),
        (false, false) => {}
    }
    let failed = |reason: String| Error::BadCertificate {
        what: "certificate",
        path: files.certificate.clone(),
        reason,
    };
    let name = SealId::fresh().to_string();
    let made = certificate::make(&name[..8]).map_err(|e| failed(e.to_string()))?;
    let parent = folder.parent().unwrap_or(folder);
    make_private_folder(parent)?;
    // Whole or not at all, also if two programs are used for the first time at once.
    let beside = parent.join(format!(".{OWN}-{name}"));
    make_private_folder(&beside)?;
    let written = [
        (AUTHORITY, &made.authority),
        (AUTHORITY_KEY, &made.authority_key),
        (CERTIFICATE, &made.chain),
        (KEY, &made.key),
    ]
    .into_iter()
    .try_for_each(|(name, text)| write_private(&beside.join(name), text));
    let named = written.and_then(|()| {
        fs::rename(&beside, folder).map_err(Error::io("name the identity folder", folder))
    });
    if named.is_err() {
        // Best effort: the error that matters is told, or somebody else was first.
        let _ = fs::remove_dir_all(&beside);
    }
    match named {
        Err(_) if files.certificate.is_file() && files.key.is_file() => Ok(files),
        Err(error) => Err(error),
        Ok(()) => Ok(files),
    }
}

fn half(folder: &Path, there: &'static str, missing: &'static str) -> Error {
    Error::HalfAnIdentity {
        there,
        missing,
        folder: folder.into(),
    }
}

fn make_private_folder(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(Error::io("make the identity folder", folder))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = "write the identity";
    let mut file = options.open(path).map_err(Error::io(failed, path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Error::io(failed, path))
}

#[cfg(unix)]
fn refuse_open_key(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let found = fs::metadata(path).map_err(Error::io("read the key", path))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyIsOpen {
            mode,
            path: path.into(),
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_open_key(_path: &Path) -> Result<()> {
    // The user's data folder is the user's alone on such systems.
    Ok(())
}

fn read_pem(action: &'static str, path: &Path) -> Result<String> {
    let failed = |e| Error::io(action, path)(e);
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_PEM_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(Error::io(action, path))?;
    if text.len() as u64 > MAX_PEM_BYTES {
        return Err(Error::TooLarge {
            what: "A PEM file",
            found_bytes: text.len() as u64,
            limit_bytes: MAX_PEM_BYTES,
            path: path.into(),
        });
    }
    Ok(text)
}
