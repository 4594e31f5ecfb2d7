//! A person plays a moment: poses the scene, finds what each sample sees, shades and lights it.
//!
//! Start with [`draw`]. Everything is a pure function of its arguments. Solid surfaces are settled
//! first; thin ones (strands, glass) before them are then laid over, the farthest first. A surface is
//! shaded once for the samples of a pixel that see it.

use std::ops::Range;
use std::sync::LazyLock;

use rayon::prelude::*;
use stockpot_core::image::{Gray8, GrayF32, Rgb8, Size, unit_to_u8};

use crate::Error;
use crate::assets::{Class, HeadData};
use crate::backdrop::Scenery;
use crate::landmarks::{self, Landmark};
use crate::performance::Moment;
use crate::person::Person;
use crate::props;
use crate::raster::{self, NOTHING, Seen};
use crate::scene;
use crate::shade::{Shader, Spot};
use crate::vec3::{Turn, Vec3, add, scale, smooth, turned};

/// Samples per pixel along each axis.
const SAMPLES: usize = 2;
/// Samples per pixel.
const ALL: usize = SAMPLES * SAMPLES;
/// Rows of pixels that are worked on as one.
const BAND: usize = 8;
/// A thin surface that covers more than this is solid, less than the rest is nothing.
const SOLID: f32 = 0.85;
const NOTICED: f32 = 0.06;

/// A drawn frame and the truth about it.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The picture.
    pub rgb: Rgb8,
    /// A [`Class`] number per pixel: that of most of its samples, the lower on a tie.
    pub classes: Gray8,
    /// Share of each pixel that is the person or an occluder, 255 for all of it.
    pub alpha: Gray8,
    /// Mean distance along the view axis in decimetres; 0 where nothing is. Thin surfaces count where
    /// they cover more than half.
    pub depth_dm: GrayF32,
    /// Exact landmarks; none for [`HeadData::stand_in`].
    pub landmarks: Vec<Landmark>,
    /// Seed of the person.
    pub person: u64,
}

/// A thin surface before a sample.
struct Veil {
    /// Number of the pixel in its band.
    pixel: u32,
    sample: u32,
    alpha: f32,
    seen: Seen,
}

/// A sample being put together.
#[derive(Clone, Copy)]
struct Sample {
    colour: Vec3,
    class: Class,
    depth: f32,
    alpha: f32,
}

/// What is drawn at what scale.
struct Canvas<'a> {
    shader: Shader<'a>,
    scenery: Scenery,
    places: Vec<Vec3>,
    /// Pixels.
    wide: usize,
    high: usize,
}

/// Draws `person` playing `moment`.
///
/// # Errors
/// [`Error::BadSize`] if a side of `size` is not 16 to 2048 pixels.
pub fn draw(data: &HeadData, person: &Person, moment: &Moment, size: Size) -> Result<Drawn, Error> {
    draw_in_stages(data, person, moment, size, |_| {})
}

/// As [`draw`]; `done` is told the name of each stage when it is over, for those who measure.
///
/// # Errors
/// As [`draw`].
pub fn draw_in_stages(
    data: &HeadData,
    person: &Person,
    moment: &Moment,
    size: Size,
    mut done: impl FnMut(&'static str),
) -> Result<Drawn, Error> {
    if [size.width, size.height]
        .iter()
        .any(|s| !(16..=2048).contains(s))
    {
        return Err(Error::BadSize { found: size });
    }
    let (wide, high) = (size.width as usize, size.height as usize);
    let cells = [wide * SAMPLES, high * SAMPLES];
    let focal = cells[1] as f32 * moment.camera.distance_dm / moment.camera.view_dm;
    let held = props::occluder(data, person, moment);
    let posed = scene::pose(data, person, &held, moment);
    done("pose");
    let shadows = scene::shadows(&posed, moment);
    done("shadow maps");
    let place = |p: &Vec3| raster::project(*p, focal, cells.map(|c| c as f32));
    let canvas = Canvas {
        places: posed.points.iter().map(place).collect(),
        shader: Shader {
            data,
            person,
            moment,
            posed: &posed,
            shadows,
            pixel_dm: moment.camera.view_dm / high as f32,
            turn: Turn::new(moment.turn_rad),
            gaze: turned(
                [0.0, 0.0, 1.0],
                [moment.gaze_rad[0], moment.gaze_rad[1], 0.0],
            ),
            detail: smooth(95.0, 170.0, high as f32 / moment.camera.view_dm),
        },
        scenery: Scenery::new(&moment.backdrop, [wide, high]),
        wide,
        high,
    };
    let shown = (0u32..).zip(posed.facets.iter().map(|f| f.corners));
    // The head is closed: of its surface only what is turned to the camera can be seen.
    let shown = shown.filter(|(number, corners)| {
        posed.facets[*number as usize].part > 0
            || raster::area(corners.map(|i| canvas.places[i as usize])) < 0.0
    });
    let bands = raster::bands(&canvas.places, shown, cells, BAND * SAMPLES);
    done("project");
    let mut drawn = Drawn {
        rgb: Rgb8::new(size),
        classes: Gray8::new(size),
        alpha: Gray8::new(size),
        depth_dm: GrayF32::new(size),
        landmarks: Vec::new(),
        person: person.seed,
    };
    let rows = drawn.rgb.data_mut().par_chunks_mut(BAND * wide * 3);
    let rows = rows.zip(drawn.classes.data_mut().par_chunks_mut(BAND * wide));
    let rows = rows.zip(drawn.alpha.data_mut().par_chunks_mut(BAND * wide));
    let rows = rows.zip(drawn.depth_dm.data_mut().par_chunks_mut(BAND * wide));
    rows.zip(&bands).enumerate().for_each(
        |(number, ((((rgb, classes), alphas), depths), band))| {
            let first = number * BAND;
            let pixels = canvas.band(band, first..(first + BAND).min(high));
            for (i, samples) in pixels.iter().enumerate() {
                let (mut sum, mut depth, mut near, mut alpha) = ([0.0; 3], 0.0, 0.0f32, 0.0);
                let mut votes = [0u8; 10];
                // Most pixels are of one colour.
                let even = samples.iter().all(|s| s.colour == samples[0].colour);
                if even {
                    sum = scale(samples[0].colour.map(encoded), ALL as f32);
                }
                for sample in samples {
                    if !even {
                        sum = add(sum, sample.colour.map(encoded));
                    }
                    votes[sample.class as usize] += 1;
                    alpha += sample.alpha;
                    if sample.depth.is_finite() {
                        depth += sample.depth;
                        near += 1.0;
                    }
                }
                for (out, value) in rgb[i * 3..][..3].iter_mut().zip(sum) {
                    *out = unit_to_u8(value / ALL as f32);
                }
                let best = (1..10).fold(0, |best, i| if votes[i] > votes[best] { i } else { best });
                classes[i] = best as u8;
                alphas[i] = unit_to_u8(alpha / ALL as f32);
                depths[i] = depth / near.max(1.0);
            }
        },
    );
    done("cover and shade");
    let base = canvas.places[..posed.base].iter();
    let base = base.map(|[x, y, z]| [x / SAMPLES as f32, y / SAMPLES as f32, *z]);
    drawn.landmarks = landmarks::find(data, &base.collect::<Vec<_>>(), &drawn.depth_dm);
    done("landmarks");
    Ok(drawn)
}

impl Canvas<'_> {
    /// The samples of the pixels of `rows`, in which the triangles `numbers` lie.
    fn band(&self, numbers: &[u32], rows: Range<usize>) -> Vec<[Sample; ALL]> {
        let pixels = rows.len() * self.wide;
        let (mut solid, mut veils) = (vec![[NOTHING; ALL]; pixels], Vec::new());
        let facets = &self.shader.posed.facets;
        let thin = |number: u32| {
            let part = (facets[number as usize].part as usize).checked_sub(1)?;
            let surface = &self.shader.posed.parts[part].surface;
            surface.is_thin().then_some(surface)
        };
        let cells = rows.start * SAMPLES..rows.end * SAMPLES;
        let index = |x: usize, y: usize| {
            let pixel = (y / SAMPLES - rows.start) * self.wide + x / SAMPLES;
            (pixel, y % SAMPLES * SAMPLES + x % SAMPLES)
        };
        let corners = |number: u32| {
            let facet = facets[number as usize];
            facet.corners.map(|i| self.places[i as usize])
        };
        for &triangle in numbers.iter().filter(|n| thin(**n).is_none()) {
            let wide = self.wide * SAMPLES;
            raster::cover(
                corners(triangle),
                wide,
                &cells,
                1.0,
                |x, y, depth, shares| {
                    let (pixel, sample) = index(x, y);
                    let before = &mut solid[pixel][sample];
                    if depth < before.depth {
                        *before = Seen {
                            triangle,
                            depth,
                            shares,
                        };
                    }
                },
            );
        }
        for &triangle in numbers {
            let Some(surface) = thin(triangle) else {
                continue;
            };
            let wide = self.wide * SAMPLES;
            raster::cover(
                corners(triangle),
                wide,
                &cells,
                1.0,
                |x, y, depth, shares| {
                    let (pixel, sample) = index(x, y);
                    let before = &mut solid[pixel][sample];
                    if depth >= before.depth {
                        return;
                    }
                    let alpha = surface.cover(
                        self.shader.uv(Spot { triangle, shares }),
                        self.shader.pixel_dm,
                    );
                    let seen = Seen {
                        triangle,
                        depth,
                        shares,
                    };
                    if alpha > SOLID {
                        *before = seen;
                    } else if alpha > NOTICED {
                        veils.push(Veil {
                            pixel: pixel as u32,
                            sample: sample as u32,
                            alpha,
                            seen,
                        });
                    }
                },
            );
        }
        let mut out: Vec<[Sample; ALL]> = solid
            .iter()
            .enumerate()
            .map(|(pixel, seen)| {
                self.solid(seen, pixel % self.wide, rows.start + pixel / self.wide)
            })
            .collect();
        veils.retain(|v| v.seen.depth < solid[v.pixel as usize][v.sample as usize].depth);
        // By pixel, then the farthest first; equal depths keep the order of triangles.
        veils.sort_by(|a, b| {
            let depth = b.seen.depth.total_cmp(&a.seen.depth);
            a.pixel.cmp(&b.pixel).then(depth)
        });
        for veils in veils.chunk_by(|a, b| a.pixel == b.pixel) {
            self.veil(&mut out[veils[0].pixel as usize], veils);
        }
        out
    }

    /// The samples of the pixel at `x`, `y` without what is laid over them.
    fn solid(&self, seen: &[Seen; ALL], x: usize, y: usize) -> [Sample; ALL] {
        let behind = Sample {
            colour: [0.0; 3],
            class: Class::Background,
            depth: f32::INFINITY,
            alpha: 0.0,
        };
        let mut out = [behind; ALL];
        let mut done = [false; ALL];
        let facets = &self.shader.posed.facets;
        let close = 3.0 * self.shader.moment.camera.view_dm / self.high as f32;
        for i in 0..ALL {
            if done[i] {
                continue;
            }
            let first = seen[i];
            let Some(facet) = facets.get(first.triangle as usize) else {
                out[i].colour = self.scenery.colour([x, y]);
                for j in i..ALL {
                    if seen[j].triangle == u32::MAX {
                        out[j] = out[i];
                        done[j] = true;
                    }
                }
                continue;
            };
            // Samples of one triangle are one spot.
            let mut spots = [Spot {
                triangle: first.triangle,
                shares: first.shares,
            }; ALL];
            let mut members = [i; ALL];
            let (mut count, mut places) = (1, 1);
            for j in i + 1..ALL {
                let other = seen[j];
                let alike = facets.get(other.triangle as usize).is_some_and(|f| {
                    f.part == facet.part
                        && f.class == facet.class
                        && (other.triangle == first.triangle
                            || (other.depth - first.depth).abs() < close)
                });
                if alike && !done[j] {
                    members[count] = j;
                    count += 1;
                    let same = (0..places).find(|p| spots[*p].triangle == other.triangle);
                    if let Some(same) = same {
                        spots[same].shares = add(spots[same].shares, other.shares);
                    } else {
                        spots[places] = Spot {
                            triangle: other.triangle,
                            shares: other.shares,
                        };
                        places += 1;
                    }
                }
            }
            for spot in &mut spots[..places] {
                spot.shares = scale(spot.shares, 1.0 / count as f32);
            }
            let shaded = self.shader.shade(&spots[..places]);
            for j in &members[..count] {
                done[*j] = true;
                out[*j] = Sample {
                    colour: shaded.colour,
                    class: shaded.class,
                    depth: seen[*j].depth,
                    alpha: 1.0,
                };
            }
        }
        out
    }

    /// Lays `veils`, the farthest first, over the samples of one pixel.
    fn veil(&self, samples: &mut [Sample; ALL], veils: &[Veil]) {
        let mut shaded: Vec<(u32, Vec3, Class)> = Vec::with_capacity(8);
        for veil in veils {
            let triangle = veil.seen.triangle;
            let known = shaded.iter().find(|s| s.0 == triangle).copied();
            let (_, colour, class) = known.unwrap_or_else(|| {
                let spot = Spot {
                    triangle,
                    shares: veil.seen.shares,
                };
                let found = self.shader.shade(&[spot]);
                shaded.push((triangle, found.colour, found.class));
                (triangle, found.colour, found.class)
            });
            let sample = &mut samples[veil.sample as usize];
            sample.colour = add(
                scale(sample.colour, 1.0 - veil.alpha),
                scale(colour, veil.alpha),
            );
            sample.alpha += veil.alpha * (1.0 - sample.alpha);
            if veil.alpha > 0.5 {
                sample.class = class;
                sample.depth = veil.seen.depth;
            }
        }
    }
}

/// Linear light to the picture's encoding, with a soft shoulder for what is too bright; by table, for
/// it is done for every sample.
fn encoded(linear: f32) -> f32 {
    // By the root of the light, because the curve is steep where it is dark.
    let at = (linear.clamp(0.0, MOST_LIGHT) / MOST_LIGHT).sqrt() * (CURVE_STEPS - 1) as f32;
    let low = (at as usize).min(CURVE_STEPS - 2);
    let (a, b) = (CURVE[low], CURVE[low + 1]);
    a + (b - a) * (at - low as f32)
}

/// Brighter light is drawn like this.
const MOST_LIGHT: f32 = 4.0;
const CURVE_STEPS: usize = 2048;
static CURVE: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let step = |i: usize| MOST_LIGHT * (i as f32 / (CURVE_STEPS - 1) as f32).powi(2);
    (0..CURVE_STEPS).map(|i| curve(step(i))).collect()
});

fn curve(linear: f32) -> f32 {
    let soft = (1.0 - (-1.6 * linear).exp()) / (1.0 - (-1.6f32).exp());
    soft.powf(1.0 / 2.2)
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
    fn the_table_is_the_curve() {
        for i in 0..4000 {
            let light = i as f32 * 1e-3;
            assert!((encoded(light) - curve(light)).abs() < 1e-3, "{light}");
        }
        assert_eq!(encoded(9.0), encoded(MOST_LIGHT));
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
        let Some(data) = crate::assets::installed() else {
            return;
        };
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
        assert_eq!(frame.landmarks.len(), 468);
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
