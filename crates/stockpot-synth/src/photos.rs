//! Reads the optional asset folder: photographed skins, hair and brows, in the layout of MakeHuman's
//! CC0 assets (`docs/formats/assets.md`).
//!
//! What is there is used, what is missing is not asked for; what is there and broken is an error with
//! file and line. Start with [`Photos::open`], then [`crate::assets::HeadData::with_photos`]. Knows
//! nothing of persons.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpot_core::picture;

use crate::Error;
use crate::assets::{Class, HeadData};
use crate::mhclo::{self, Lean, Ruler};
use crate::parse;
use crate::texture::Texture;
use crate::vec3::{Vec3, add, cross, dot, scale, sub};

/// Folders with more files than this are refused: they are no asset folder.
const MAX_FILES: usize = 4096;
/// More skins, hairs or brows than this are passed over.
const MAX_OF_A_KIND: usize = 64;
/// Pictures wider or higher than this are refused; those of MakeHuman have 2048 px and less.
const MAX_SIDE: u32 = 4096;
/// Larger texts are refused.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// How old the person on a photograph is, by its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Young,
    Middle,
    Old,
}

/// A photographed skin.
#[derive(Debug)]
pub(crate) struct SkinFile {
    pub(crate) name: String,
    /// 0 female, 1 male; the number of the macro targets.
    pub(crate) sex: usize,
    pub(crate) age: Option<Age>,
    pub(crate) texture: Arc<Texture>,
    /// Mean colour of the face in linear light; set when it is laid on the head.
    pub(crate) tone: Vec3,
    /// Texels a decimetre in the face; set when it is laid on the head.
    pub(crate) texels_per_dm: f32,
}

/// A mesh that lies on the head, with its picture.
#[derive(Debug)]
pub(crate) struct MeshFile {
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    /// Of each point of the mesh; by numbers of kept vertices once it is laid on the head.
    pub(crate) leans: Vec<Lean>,
    pub(crate) rulers: [Option<Ruler>; 3],
    /// One per point.
    pub(crate) uv: Vec<[f32; 2]>,
    pub(crate) triangles: Vec<[u32; 3]>,
    pub(crate) texture: Arc<Texture>,
    /// Mean brightness of the picture, linear light.
    pub(crate) brightness: f32,
}

/// Photographed CC0 skins, hair and brows, read from a folder.
#[derive(Debug, Default)]
pub struct Photos {
    pub(crate) skins: Vec<SkinFile>,
    pub(crate) hairs: Vec<Arc<MeshFile>>,
    pub(crate) brows: Vec<Arc<MeshFile>>,
    passed_over: Vec<String>,
}

impl Photos {
    /// Reads `folder`. Files are taken in the order of their names.
    ///
    /// # Errors
    /// [`Error::AssetIo`] if the folder or a file in it cannot be read, [`Error::AssetPicture`] and
    /// [`Error::AssetBroken`] if a file is not what it should be, or if there is neither skin nor hair.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let names = names_in(folder)?;
        let mut out = Self::default();
        for name in &names {
            if let Some((sex, age)) = skin_of(name) {
                if out.skins.len() == MAX_OF_A_KIND {
                    out.pass_over(name, "there are 64 skins already");
                    continue;
                }
                out.skins.push(SkinFile {
                    name: name.clone(),
                    sex,
                    age,
                    texture: texture(&folder.join(name))?,
                    tone: [0.0; 3],
                    texels_per_dm: 0.0,
                });
            } else if let Some(stem) = name.strip_suffix(".mhclo") {
                let brows = stem.starts_with("eyebrow");
                let pictures = if brows {
                    vec![format!("{stem}.png")]
                } else {
                    vec![format!("{stem}_diffuse.png")]
                };
                // Eyes, lashes, teeth and tongues have no such picture, and are drawn by code.
                let Some(picture) = pictures.iter().find(|p| names.contains(*p)) else {
                    continue;
                };
                let obj = format!("{stem}.obj");
                if !names.contains(&obj) {
                    out.pass_over(name, "its mesh is not there");
                    continue;
                }
                let all = if brows {
                    &mut out.brows
                } else {
                    &mut out.hairs
                };
                if all.len() == MAX_OF_A_KIND {
                    out.pass_over(name, "there are 64 of its kind already");
                    continue;
                }
                let file = MeshFile::open(folder, stem, &obj, picture)?;
                all.push(Arc::new(file));
            }
        }
        if out.skins.is_empty() && out.hairs.is_empty() {
            return Err(Error::AssetBroken {
                reason: "it holds neither a skin (such as young_lightskinned_male_diffuse.jpg) nor \
                    hair (such as short01.mhclo with short01.obj and short01_diffuse.png)",
                line: 0,
                path: folder.into(),
            });
        }
        Ok(out)
    }

    /// Skins, hairs and brows that can be used.
    pub fn counts(&self) -> [usize; 3] {
        [self.skins.len(), self.hairs.len(), self.brows.len()]
    }

    /// Files that were passed over, and why.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    fn pass_over(&mut self, name: &str, why: &str) {
        self.passed_over.push(format!("{name}: {why}"));
    }

    /// The same by the vertices of `data`: what leans on others is passed over.
    pub(crate) fn on(mut self, data: &HeadData) -> Self {
        let kept: BTreeMap<u32, u32> = data.numbers.iter().copied().zip(0u32..).collect();
        let drawn = data.rest.len() as u32;
        let all = std::mem::take(&mut self.hairs);
        self.hairs = self.laid(all, |i| kept.get(&i).copied());
        let all = std::mem::take(&mut self.brows);
        // Brows move with the face, so they lean on what is drawn of it.
        self.brows = self.laid(all, |i| kept.get(&i).copied().filter(|i| *i < drawn));
        let face = Face::of(data);
        if face.places.is_empty() {
            for skin in std::mem::take(&mut self.skins) {
                self.pass_over(&skin.name, "the head has no texture plane");
            }
        }
        for skin in &mut self.skins {
            skin.tone = face.tone(&skin.texture);
            let [wide, high] = skin.texture.sides();
            skin.texels_per_dm = face.planes_per_dm * (wide * high).sqrt();
        }
        self
    }

    fn laid(
        &mut self,
        all: Vec<Arc<MeshFile>>,
        kept: impl Fn(u32) -> Option<u32>,
    ) -> Vec<Arc<MeshFile>> {
        let mut out = Vec::new();
        for file in all {
            match file.laid(&kept) {
                Ok(file) => out.push(Arc::new(file)),
                Err(line) => {
                    let why = format!("line {line} leans on a vertex that is not on the head");
                    self.pass_over(&format!("{}.mhclo", file.name), &why);
                }
            }
        }
        out
    }
}

impl MeshFile {
    fn open(folder: &Path, stem: &str, obj: &str, picture: &str) -> Result<Self, Error> {
        let name = format!("{stem}.mhclo");
        let clothes = mhclo::clothes(&text(&folder.join(&name))?, &name);
        let clothes = clothes.map_err(|e| in_folder(e, folder))?;
        let mesh = parse::obj(&text(&folder.join(obj))?, obj).map_err(|e| in_folder(e, folder))?;
        let broken = |reason| Error::AssetBroken {
            reason,
            line: 0,
            path: folder.join(obj),
        };
        if mesh.vertices.len() != clothes.leans.len() {
            return Err(broken(
                "it has not as many vertices as its .mhclo has lines",
            ));
        }
        // A vertex at a seam of the picture has several places in it and becomes several points.
        let mut points: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        let (mut leans, mut uv, mut triangles) = (Vec::new(), Vec::new(), Vec::new());
        for polygon in &mesh.polygons {
            if polygon.texture.is_empty() {
                return Err(broken("a face has no places in the picture"));
            }
            let corners = polygon.corners.iter().zip(&polygon.texture);
            let corners: Vec<u32> = corners
                .map(|(vertex, place)| {
                    *points.entry((*vertex, *place)).or_insert_with(|| {
                        leans.push(clothes.leans[*vertex]);
                        uv.push(mesh.texture[*place]);
                        leans.len() as u32 - 1
                    })
                })
                .collect();
            for i in 1..corners.len() - 1 {
                triangles.push([corners[0], corners[i], corners[i + 1]]);
            }
        }
        let texture = texture(&folder.join(picture))?;
        Ok(Self {
            name: stem.into(),
            tags: clothes.tags,
            leans,
            rulers: clothes.rulers,
            uv,
            triangles,
            brightness: texture.brightness(),
            texture,
        })
    }

    /// The same by numbers of kept vertices, or the first line that leans on another.
    fn laid(&self, kept: impl Fn(u32) -> Option<u32>) -> Result<Self, u32> {
        let mut out = Self {
            name: self.name.clone(),
            tags: self.tags.clone(),
            leans: self.leans.clone(),
            rulers: self.rulers,
            uv: self.uv.clone(),
            triangles: self.triangles.clone(),
            texture: self.texture.clone(),
            brightness: self.brightness,
        };
        for lean in &mut out.leans {
            for on in &mut lean.on {
                *on = kept(*on).ok_or(lean.line)?;
            }
        }
        for ruler in out.rulers.iter_mut().flatten() {
            for end in &mut ruler.ends {
                *end = kept(*end).ok_or(ruler.line)?;
            }
        }
        Ok(out)
    }
}

/// Places of the front of the face in the texture plane.
struct Face {
    places: Vec<[f32; 2]>,
    /// Square root of the share of the texture plane that a square decimetre takes.
    planes_per_dm: f32,
}

impl Face {
    fn of(data: &HeadData) -> Self {
        let (mut places, mut plane, mut world) = (Vec::new(), 0.0f32, 0.0f32);
        for (triangle, uv) in data.triangles.iter().zip(&data.texture) {
            let [a, b, c] = triangle.corners.map(|i| data.rest[i as usize]);
            let middle = scale(add(add(a, b), c), 1.0 / 3.0);
            let front = middle[2] > 0.9 && (6.75..7.95).contains(&middle[1]);
            if triangle.class != Class::Skin || !front {
                continue;
            }
            let area = cross(sub(b, a), sub(c, a));
            world += dot(area, area).sqrt();
            plane += area_of(*uv);
            places.push([0, 1].map(|k| (uv[0][k] + uv[1][k] + uv[2][k]) / 3.0));
        }
        Self {
            places,
            planes_per_dm: (plane / world.max(1e-6)).sqrt(),
        }
    }

    /// Median of each channel: brows, lips and nostrils have no say.
    fn tone(&self, texture: &Texture) -> Vec3 {
        let colours: Vec<Vec3> = self
            .places
            .iter()
            .map(|uv| texture.sample(*uv, 2.0).colour)
            .collect();
        std::array::from_fn(|k| {
            let mut values: Vec<f32> = colours.iter().map(|c| c[k]).collect();
            values.sort_by(f32::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        })
    }
}

/// Twice the area of a triangle of the texture plane.
pub(crate) fn area_of([a, b, c]: [[f32; 2]; 3]) -> f32 {
    ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs()
}

/// Sex and age of a skin by its file name, such as `old_darkskinned_male_diffuse2.jpg`; `None` if the
/// file is no skin.
fn skin_of(name: &str) -> Option<(usize, Option<Age>)> {
    let (stem, ending) = name.rsplit_once('.')?;
    let words: Vec<&str> = stem.split('_').collect();
    if !matches!(ending, "jpg" | "jpeg" | "png") || !words.iter().any(|w| w.starts_with("diffuse"))
    {
        return None;
    }
    let sex = match () {
        () if words.contains(&"female") => 0,
        () if words.contains(&"male") => 1,
        () => return None,
    };
    let age = words.iter().find_map(|word| match *word {
        "young" => Some(Age::Young),
        "middleage" => Some(Age::Middle),
        "old" => Some(Age::Old),
        _ => None,
    });
    Some((sex, age))
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let io = |source| Error::AssetIo {
        path: folder.into(),
        source,
    };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        // Names that are not Unicode are no assets.
        if let Ok(name) = entry.map_err(io)?.file_name().into_string() {
            names.insert(name);
        }
        if names.len() > MAX_FILES {
            return Err(Error::AssetBroken {
                reason: "it has more than 4096 files; an asset folder has some hundred",
                line: 0,
                path: folder.into(),
            });
        }
    }
    Ok(names)
}

fn text(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| Error::AssetIo {
            path: path.into(),
            source,
        })?;
    Ok(bytes)
}

fn texture(path: &Path) -> Result<Arc<Texture>, Error> {
    let picture = picture::load_rgba(path, MAX_SIDE)?;
    Ok(Arc::new(Texture::new(picture)))
}

/// An error of a reader as one of the asset folder.
fn in_folder(error: Error, folder: &Path) -> Error {
    match error {
        Error::Broken { reason, line, name } => Error::AssetBroken {
            reason,
            line,
            path: PathBuf::from(folder).join(name),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_skin_is() {
        let old = Some((1, Some(Age::Old)));
        assert_eq!(skin_of("old_darkskinned_male_diffuse.jpg"), old);
        assert_eq!(
            skin_of("young_lightskinned_female_diffuse2.png"),
            Some((0, Some(Age::Young)))
        );
        assert_eq!(skin_of("male_diffuse.jpg"), Some((1, None)));
        for name in [
            "tongue01_diffuse.jpg",
            "short01_diffuse.png",
            "old_male.jpg",
            "male_diffuse.tif",
            "male_diffuse",
        ] {
            assert_eq!(skin_of(name), None, "{name}");
        }
    }
}
