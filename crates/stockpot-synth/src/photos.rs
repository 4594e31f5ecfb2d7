//! Reads the optional asset folder: photographed skins and hair, in the layout of MakeHuman's CC0
//! assets (`docs/formats/assets.md`).
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
use crate::scene::eye_centres;
use crate::texture::Texture;
use crate::vec3::{Vec3, add, cross, dot, scale, sub};

/// Folders with more files than this are refused: they are no asset folder.
const MAX_FILES: usize = 4096;
/// More skins or hairs than this are passed over.
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
    /// The same of the forehead alone.
    pub(crate) forehead: Vec3,
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

/// Photographed CC0 skins and hair, read from a folder.
#[derive(Debug, Default)]
pub struct Photos {
    pub(crate) skins: Vec<SkinFile>,
    pub(crate) hairs: Vec<Arc<MeshFile>>,
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
                    forehead: [0.0; 3],
                    texels_per_dm: 0.0,
                });
            } else if let Some(stem) = name.strip_suffix(".mhclo") {
                let picture = format!("{stem}_diffuse.png");
                // Eyes, lashes, brows, teeth and tongues have no such picture, and are drawn by code.
                if !names.contains(&picture) {
                    continue;
                }
                let obj = format!("{stem}.obj");
                if !names.contains(&obj) {
                    out.pass_over(name, "its mesh is not there");
                    continue;
                }
                if out.hairs.len() == MAX_OF_A_KIND {
                    out.pass_over(name, "there are 64 hairs already");
                    continue;
                }
                let file = MeshFile::open(folder, stem, &obj, &picture)?;
                out.hairs.push(Arc::new(file));
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

    /// Skins and hairs that can be used.
    pub fn counts(&self) -> [usize; 2] {
        [self.skins.len(), self.hairs.len()]
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
        let all = std::mem::take(&mut self.hairs);
        let all = self.laid(all, |i| kept.get(&i).copied());
        let points: Vec<Vec3> = data.rest.iter().chain(&data.helpers).copied().collect();
        let eyes = eye_centres(data, &data.rest);
        for hair in all {
            if hair.hides(&eyes, &points) {
                self.pass_over(&format!("{}.mhclo", hair.name), "it hides an eye");
            } else {
                self.hairs.push(hair);
            }
        }
        let face = Face::of(data);
        if face.places.is_empty() {
            for skin in std::mem::take(&mut self.skins) {
                self.pass_over(&skin.name, "the head has no texture plane");
            }
        }
        for skin in &mut self.skins {
            skin.tone = tone(&face.places, &skin.texture);
            skin.forehead = tone(&face.forehead, &skin.texture);
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

    /// Whether it covers one of the `eyes` of a head with these `points`, seen from the front.
    fn hides(&self, eyes: &[Vec3], points: &[Vec3]) -> bool {
        let fitted = mhclo::fitted(&self.leans, points, mhclo::stretch(&self.rulers, points));
        let covered = |[x, y, z]: Vec3| {
            self.triangles.iter().any(|triangle| {
                let corners = triangle.map(|i| fitted[i as usize]);
                let Some(shares) = shares_at(corners, [x, y]) else {
                    return false;
                };
                let uv = triangle.map(|i| self.uv[i as usize]);
                let sum = |of: [f32; 3]| (0..3).map(|i| of[i] * shares[i]).sum::<f32>();
                let place = [0, 1].map(|k| sum(uv.map(|c| c[k])));
                sum(corners.map(|c| c[2])) > z && self.texture.alpha(place, 1.0) > 0.5
            })
        };
        eyes.iter().any(|eye| covered(*eye))
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
    /// Those of the forehead among them.
    forehead: Vec<[f32; 2]>,
    /// Square root of the share of the texture plane that a square decimetre takes.
    planes_per_dm: f32,
}

impl Face {
    fn of(data: &HeadData) -> Self {
        let (mut places, mut forehead) = (Vec::new(), Vec::new());
        let (mut plane, mut world) = (0.0f32, 0.0f32);
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
            let place = [0, 1].map(|k| (uv[0][k] + uv[1][k] + uv[2][k]) / 3.0);
            places.push(place);
            if middle[1] > 7.62 {
                forehead.push(place);
            }
        }
        Self {
            places,
            forehead,
            planes_per_dm: (plane / world.max(1e-6)).sqrt(),
        }
    }
}

/// Median of each channel at `places`: brows, lips and nostrils have no say.
fn tone(places: &[[f32; 2]], texture: &Texture) -> Vec3 {
    let colours: Vec<Vec3> = places.iter().map(|uv| texture.sample(*uv, 2.0)).collect();
    std::array::from_fn(|k| {
        let mut values: Vec<f32> = colours.iter().map(|c| c[k]).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    })
}

/// Shares of the corners of a triangle at a place before it, if it is hit from the front or back.
fn shares_at([a, b, c]: [Vec3; 3], [x, y]: [f32; 2]) -> Option<Vec3> {
    let side = |p: Vec3, q: Vec3| (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]);
    let shares = [side(b, c), side(c, a), side(a, b)];
    let sum: f32 = shares.iter().sum();
    let shares = shares.map(|s| s / sum);
    shares.iter().all(|s| *s >= 0.0).then_some(shares)
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
    use crate::{Moment, Person, draw};
    use stockpot_core::image::Size;

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

    fn write(folder: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    fn plain(colour: [u8; 4]) -> Vec<u8> {
        let mut picture = stockpot_core::image::Rgba8::new(Size::square(8));
        for y in 0..8 {
            for x in 0..8 {
                picture.set_pixel(x, y, colour);
            }
        }
        picture::rgba_to_png(&picture).unwrap()
    }

    const MESH: &[u8] = b"v 0 0 0\nv 0 0 0\nv 0 0 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n";

    /// Skins of both sexes and of two tones, and hair, all for the stand-in head.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (tone, colour) in [
            ("light", [224, 170, 150, 255]),
            ("dark", [120, 80, 60, 255]),
        ] {
            for sex in ["male", "female"] {
                let name = format!("young_{tone}skinned_{sex}_diffuse.png");
                write(dir.path(), &name, &plain(colour));
            }
        }
        // On the crown, a decimetre above the skin.
        let hair = "tag Short\nx_scale 0 400 1\nverts 0\n33 34 35 1 0 0 0 .5 0\n\
            41 42 43 1 0 0 0 .5 0\n49 50 51 1 0 0 0 .5 0\n";
        write(dir.path(), "short.mhclo", hair.as_bytes());
        write(dir.path(), "short.obj", MESH);
        write(dir.path(), "short_diffuse.png", &plain([90, 60, 40, 200]));
        write(dir.path(), "README", b"not an asset");
        dir
    }

    #[test]
    fn a_folder_is_read_and_worn_by_some() {
        let dir = folder();
        let photos = Photos::open(dir.path()).unwrap();
        assert_eq!(photos.counts(), [4, 1]);
        assert_eq!(photos.passed_over().len(), 0);
        let bare = HeadData::stand_in();
        let data = HeadData::stand_in().with_photos(photos);
        assert_eq!(data.photos().unwrap().counts(), [4, 1]);
        let mut worn = [0; 3];
        for seed in 0..32 {
            let (with, without) = (Person::new(&data, seed), Person::new(&bare, seed));
            let same = Person::new(&data, seed);
            assert_eq!(with.skin(), same.skin());
            assert_eq!(with.parts.len(), same.parts.len());
            assert_eq!(with.hair(), without.hair());
            let drawn = |data: &HeadData, person: &Person| {
                draw(data, person, &Moment::neutral(), Size::square(32)).unwrap()
            };
            let (a, b) = (drawn(&data, &with), drawn(&bare, &without));
            let [skin, hair] = [with.worn.skin.is_some(), with.worn.has_hair()];
            worn[0] += usize::from(skin);
            worn[1] += usize::from(hair);
            if skin {
                assert_ne!(with.skin(), without.skin());
                assert_ne!(a.rgb, b.rgb);
            } else {
                assert_eq!(with.skin(), without.skin());
            }
            if !(skin || hair) {
                worn[2] += 1;
                assert_eq!(a.rgb, b.rgb);
                assert_eq!(with.unlikeness(&without), 0.0);
            }
        }
        assert!(worn.iter().all(|n| *n > 0), "{worn:?}");
    }

    #[test]
    fn two_people_of_one_photograph_differ() {
        let dir = folder();
        let data = HeadData::stand_in().with_photos(Photos::open(dir.path()).unwrap());
        let people = (0..64).map(|seed| Person::new(&data, seed));
        let mut tones: Vec<[f32; 3]> = people
            .filter(|p| p.worn.skin.is_some())
            .map(|p| p.skin())
            .collect();
        let all = tones.len();
        tones.sort_by(|a, b| a[0].total_cmp(&b[0]));
        tones.dedup();
        assert!(all > 4);
        assert_eq!(tones.len(), all);
    }

    #[test]
    fn missing_pieces_are_no_error() {
        let dir = folder();
        std::fs::remove_file(dir.path().join("short.obj")).unwrap();
        write(dir.path(), "eyebrow1.mhclo", b"not read");
        write(dir.path(), "far.mhclo", b"verts 0\n1\n2\n19000\n");
        write(dir.path(), "far.obj", MESH);
        write(dir.path(), "far_diffuse.png", &plain([9; 4]));
        let photos = Photos::open(dir.path()).unwrap();
        assert_eq!(photos.counts(), [4, 1]);
        assert_eq!(photos.passed_over(), ["short.mhclo: its mesh is not there"]);
        let data = HeadData::stand_in().with_photos(photos);
        let photos = data.photos().unwrap();
        assert_eq!(photos.counts(), [4, 0]);
        assert!(photos.passed_over()[1].starts_with("far.mhclo: line 4 "));
        assert!(!Person::new(&data, 1).worn.has_hair());
    }

    #[test]
    fn broken_files_are_named_with_their_line() {
        let tried: [(&str, &[u8], &str); 6] = [
            ("short.mhclo", b"verts 0\n1 2\n", "(line 2)"),
            ("short.obj", b"v 0 0\n", "(line 1)"),
            ("short.obj", b"v 0 0 0\n", "(line 0)"),
            (
                "short.obj",
                b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n",
                "(line 0)",
            ),
            ("short_diffuse.png", b"no picture", "not a readable"),
            ("old_male_diffuse.jpg", b"", "not a readable"),
        ];
        for (name, bytes, wanted) in tried {
            let dir = folder();
            write(dir.path(), name, bytes);
            let error = Photos::open(dir.path()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(wanted) && text.contains(name), "{text}");
            assert!(error.hint().is_some());
        }
        let empty = tempfile::tempdir().unwrap();
        let error = Photos::open(empty.path()).unwrap_err().to_string();
        assert!(error.contains("neither a skin"), "{error}");
        assert!(Photos::open(&empty.path().join("none")).is_err());
    }

    #[test]
    fn hair_before_an_eye_is_seen() {
        let dir = folder();
        let photos = Photos::open(dir.path()).unwrap();
        let points = [[-1.0, -1.0, 1.0], [3.0, -1.0, 1.0], [-1.0, 3.0, 1.0]];
        let mut hair = photos.hairs[0].laid(|_| Some(0)).unwrap();
        for (lean, on) in hair.leans.iter_mut().zip(0..) {
            lean.on = [on; 3];
            lean.offset = [0.0; 3];
        }
        assert!(hair.hides(&[[0.0, 0.0, 0.5]], &points));
        assert!(!hair.hides(&[[0.0, 0.0, 1.5]], &points));
        assert!(!hair.hides(&[[3.0, 3.0, 0.5]], &points));
        hair.texture = Arc::new(Texture::new(stockpot_core::image::Rgba8::new(
            Size::square(2),
        )));
        assert!(!hair.hides(&[[0.0, 0.0, 0.5]], &points));
    }
}
