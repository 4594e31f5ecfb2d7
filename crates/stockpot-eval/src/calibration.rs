//! The calibration faces: made-up strangers drawn from fixed seeds, on which encoder states are
//! compared. Many people, poses and lights; nothing in front of the face.
//!
//! Drawn once per network and kept in the user's cache folder; what is drawn again is the same to the
//! bit, as long as the renderer and its head data are. `docs/formats/passport.md` has the format.
//! Start with [`Renderer`].

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use stockpot_convert::{Placement, cut};
use stockpot_core::image::{Size, unit_to_u8};
use stockpot_core::{Area, FaceLandmarks, Progress, Rng, picture};
use stockpot_jobs::compat::{CalibrationFaces, CalibrationSource};
use stockpot_jobs::{Context, JobError};
use stockpot_library::hash_of;
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Performance, Person, draw};

use crate::bench::cannot;

/// How many faces a passport is made of.
pub const FACES: usize = 1000;
/// Faces of each stranger: many people matter more than many looks at one.
const EACH: usize = 2;
/// Decides who they are, and what they play.
const SEED: u64 = 20_261_123;
/// Side of a drawn frame in pixels: a face fills about 128 of them.
const FRAME: u32 = 256;
/// Faces that are drawn to tell whether the renderer still draws what it drew.
const PROBES: [usize; 3] = [0, 333, 998];
/// What a file begins with; the digit is its version.
const MAGIC: &[u8; 8] = b"SPCALIB1";
/// Magic, faces, side, hash of the pixels.
const HEADER: usize = 8 + 4 + 4 + 32;

/// Draws calibration faces, or reads them from the cache.
#[derive(Debug, Clone)]
pub struct Renderer {
    /// Where they are kept.
    pub cache_dir: PathBuf,
    /// How many; [`FACES`] but for tests.
    pub faces: usize,
}

impl CalibrationSource for Renderer {
    fn faces(
        &self,
        ctx: &Context,
        area: Area,
        resolution: u32,
    ) -> Result<CalibrationFaces, JobError> {
        let view = View { area, resolution };
        let (head, path) = self.open(ctx, view)?;
        if let Some(rgb) = read(ctx, &path, self.faces, resolution) {
            return CalibrationFaces::new(area, resolution, rgb);
        }
        let rgb = self.draw_all(ctx, &head, view)?;
        std::fs::create_dir_all(&self.cache_dir)
            .map_err(|e| cannot("make the folder", &self.cache_dir, &e))?;
        let bytes = to_file(&rgb, self.faces, resolution);
        picture::write_whole(&path, &bytes).map_err(|e| cannot("write", &path, &e))?;
        CalibrationFaces::new(area, resolution, rgb)
    }

    fn at_hand(&self, ctx: &Context, area: Area, resolution: u32) -> Result<bool, JobError> {
        let (_, path) = self.open(ctx, View { area, resolution })?;
        Ok(path.is_file())
    }
}

/// What of a face is seen, and how large.
#[derive(Debug, Clone, Copy)]
struct View {
    area: Area,
    resolution: u32,
}

impl Renderer {
    /// The head data, and where the faces drawn from them are kept.
    fn open(&self, ctx: &Context, view: View) -> Result<(HeadData, PathBuf), JobError> {
        let package = stockpot_faces::models::head_package(&ctx.models_dir)?;
        let head = HeadData::from_package(&package)
            .map_err(|e| JobError::failed(format!("The head data cannot be used: {e}")))?;
        let path = self.cache_dir.join(self.file_name(&head, &package, view)?);
        Ok((head, path))
    }

    /// Named by the hash of all that decides the pixels: the recipe, the head data, and what the
    /// renderer draws of some faces today.
    fn file_name(&self, head: &HeadData, package: &[u8], view: View) -> Result<String, JobError> {
        let probes: Vec<Vec<u8>> = PROBES
            .into_par_iter()
            .map(|n| face(head, n % self.faces.max(1), view))
            .collect::<Result<_, JobError>>()?;
        let recipe = format!(
            "calibration faces {:?} {} {} {SEED} {EACH} {FRAME} {} {}",
            view.area,
            view.resolution,
            self.faces,
            hash_of(package),
            hash_of(&probes.concat()),
        );
        Ok(format!("calibration-{}.faces", hash_of(recipe.as_bytes())))
    }

    fn draw_all(&self, ctx: &Context, head: &HeadData, view: View) -> Result<Vec<u8>, JobError> {
        /// Faces between looks at whether to stop.
        const GROUP: usize = 20;
        ctx.progress.send(Progress::Phase {
            name: "draw calibration faces",
            total: self.faces as u64,
        });
        let mut rgb = Vec::with_capacity(self.faces * 3 * view.resolution.pow(2) as usize);
        for first in (0..self.faces).step_by(GROUP) {
            if ctx.cancel.is_cancelled() {
                return Err(JobError::cancelled(
                    "Stopped while drawing calibration faces",
                ));
            }
            let group = first..(first + GROUP).min(self.faces);
            let drawn: Result<Vec<_>, JobError> =
                group.into_par_iter().map(|n| face(head, n, view)).collect();
            rgb.extend(drawn?.concat());
            ctx.progress.send(Progress::Step {
                done: (first + GROUP).min(self.faces) as u64,
                note: String::new(),
            });
        }
        Ok(rgb)
    }
}

/// Face `number`, `[R, R, 3]`, cut as a swap cuts it.
fn face(head: &HeadData, number: usize, view: View) -> Result<Vec<u8>, JobError> {
    let failed = |e: String| JobError::failed(format!("A face cannot be drawn: {e}"));
    let who = Rng::stream(SEED, "calibration people", (number / EACH) as u64).next_u64();
    let mut rng = Rng::stream(SEED, "calibration moments", number as u64);
    let performance = Performance {
        seed: rng.next_u64(),
    };
    let moment = performance.at(rng.range(0.0, 20.0));
    let person = Person::new(head, who);
    let mut drawn =
        draw(head, &person, &moment, Size::square(FRAME)).map_err(|e| failed(e.to_string()))?;
    drawn.landmarks.sort_by_key(|l| l.facemesh);
    let points = drawn.landmarks.iter();
    let points = points.map(|l| [l.place.x as f32, l.place.y as f32, 0.0]);
    let landmarks = FaceLandmarks::new(points.collect()).map_err(|e| failed(e.to_string()))?;
    let placement = Placement {
        face_from_frame: landmarks
            .face_from_frame()
            .map_err(|e| failed(e.to_string()))?,
        area: view.area,
        resolution: view.resolution,
    };
    let mut out = vec![0.0; placement.rgb_len()];
    cut(&drawn.rgb, &placement, &mut out)?;
    Ok(out.into_iter().map(unit_to_u8).collect())
}

fn to_file(rgb: &[u8], faces: usize, side: u32) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend((faces as u32).to_le_bytes());
    out.extend(side.to_le_bytes());
    out.extend(hash_of(rgb).0);
    out.extend(rgb);
    out
}

/// The pixels of a file; none if it is not there or not whole, which is told.
fn read(ctx: &Context, path: &Path, faces: usize, side: u32) -> Option<Vec<u8>> {
    // A missing file is the usual case: they are drawn then.
    let found = std::fs::metadata(path).ok()?;
    let wanted = HEADER + faces * 3 * (side as usize).pow(2);
    let whole = (found.len() == wanted as u64)
        .then(|| std::fs::read(path).ok())
        .flatten()
        .filter(|bytes| bytes.len() == wanted);
    let good = whole.and_then(|mut bytes| {
        let rgb = bytes.split_off(HEADER);
        (bytes == to_file(&rgb, faces, side)[..HEADER]).then_some(rgb)
    });
    if good.is_none() {
        ctx.progress.send(Progress::Warning(format!(
            "The calibration faces kept in {} are damaged; they are drawn again",
            path.display()
        )));
    }
    good
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stockpot_core::CancelToken;

    use super::*;

    /// A context with the installed models; none, after saying why, if the head data are not there.
    fn context(dir: &Path) -> Option<Context> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let data = || set("XDG_DATA_HOME").or_else(|| set("HOME").map(|h| h.join(".local/share")));
        let models_dir =
            set("STOCKPOT_MODELS").or_else(|| data().map(|d| d.join("stockpot/models")))?;
        if let Err(e) = stockpot_faces::models::head_package(&models_dir) {
            println!("skipped: {e} (run `stockpot models install`)");
            return None;
        }
        Some(Context {
            library_dir: dir.join("stock"),
            models_dir,
            identity_dir: dir.join("no-identity"),
            own_certificate: None,
            worker_exe: dir.join("no-worker"),
            progress: Arc::new(|_: Progress| {}),
            cancel: CancelToken::new(),
            seed: 0,
            project: None,
        })
    }

    #[test]
    fn faces_are_the_same_when_drawn_again_and_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let Some(ctx) = context(dir.path()) else {
            return;
        };
        let renderer = |folder: &str| Renderer {
            cache_dir: dir.path().join(folder),
            faces: 6,
        };
        let drawn = renderer("a").faces(&ctx, Area::Face, 64).unwrap();
        assert_eq!(drawn.count(), 6);
        // Of one stranger twice, of others once more; nobody alike.
        let faces: Vec<Vec<f32>> = drawn.pictures(1).collect();
        for (i, one) in faces.iter().enumerate() {
            for other in &faces[..i] {
                assert_ne!(one, other);
            }
        }
        let again = renderer("b").faces(&ctx, Area::Face, 64).unwrap();
        assert_eq!(again, drawn);
        assert_eq!(renderer("a").faces(&ctx, Area::Face, 64).unwrap(), drawn);
        let narrow = renderer("a").faces(&ctx, Area::Narrow, 64).unwrap();
        assert_ne!(narrow.hash, drawn.hash);
        // A damaged file is noticed and drawn again.
        let files = std::fs::read_dir(dir.path().join("a")).unwrap();
        for file in files {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[HEADER + 5] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        assert_eq!(renderer("a").faces(&ctx, Area::Face, 64).unwrap(), drawn);
    }

    #[test]
    fn without_head_data_the_error_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Context {
            library_dir: dir.path().join("stock"),
            models_dir: dir.path().join("no-models"),
            identity_dir: dir.path().join("no-identity"),
            own_certificate: None,
            worker_exe: dir.path().join("no-worker"),
            progress: Arc::new(|_: Progress| {}),
            cancel: CancelToken::new(),
            seed: 0,
            project: None,
        };
        let renderer = Renderer {
            cache_dir: dir.path().into(),
            faces: 4,
        };
        let error = renderer.faces(&ctx, Area::Face, 64).unwrap_err();
        assert!(error.hint.unwrap().contains("models install"));
    }
}
