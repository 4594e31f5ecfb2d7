//! Things before the face: a hand with fingers, glasses, a microphone on a stick.
//!
//! Made for one person and moment; glasses sit on the person's own eyes, nose and ears.

use crate::assets::{Class, HeadData};
use crate::performance::{Moment, OccluderKind};
use crate::person::Person;
use crate::scene::{Bind, Part, Surface, eye_centres};
use crate::vec3::{Turn, Vec3, add, scale};

/// A surface that hardly shines.
fn matt(colour: Vec3) -> Surface {
    Surface::Plain {
        colour,
        gloss: 0.03,
        sharpness: 16,
    }
}

/// What `moment` puts before the face of `person`.
pub(crate) fn occluder(data: &HeadData, person: &Person, moment: &Moment) -> Vec<Part> {
    let Some(thing) = moment.occluder else {
        return Vec::new();
    };
    let eyes = eye_centres(data, &person.neutral);
    let middle = scale(add(eyes[0], eyes[1]), 0.5);
    let mut parts = match thing.kind {
        OccluderKind::Hand => vec![hand(thing.colour)],
        OccluderKind::Glasses => return glasses(data, person, eyes, thing.colour),
        OccluderKind::Microphone => microphone(thing.colour),
    };
    let [right, up] = thing.place_dm;
    let turn = Turn::new([0.0, 0.0, thing.turn_rad]);
    for part in &mut parts {
        for point in &mut part.points {
            *point = add(
                turn.of(*point),
                [middle[0] + right, middle[1] - 0.35 + up, middle[2] + 0.75],
            );
        }
    }
    parts
}

/// An open hand that points up, its palm at the origin, of natural size.
fn hand(colour: Vec3) -> Part {
    let mut part = Part::new(Bind::Body, matt(colour), Class::Occluder);
    part.ball([0.0, 0.0, 0.0], [0.42, 0.48, 0.14]);
    // Foot, length, lean and thickness of each finger.
    let fingers = [
        (-0.3, 0.36, 0.62, -0.16, 0.082),
        (-0.1, 0.42, 0.76, -0.05, 0.088),
        (0.1, 0.42, 0.7, 0.05, 0.086),
        (0.29, 0.34, 0.54, 0.17, 0.074),
    ];
    for (x, y, long, lean, thick) in fingers {
        let at = |t: f32| {
            [
                x + lean * long * t,
                y + long * t,
                0.02 + 0.1 * t * (1.0 - 2.0 * t),
            ]
        };
        let line = [-0.25, 0.0, 0.3, 0.55, 0.8, 0.94, 1.0].map(at);
        let radii = [1.0, 1.05, 0.95, 1.0, 0.9, 0.7, 0.3].map(|k| k * thick);
        part.tube(&line, &radii);
    }
    let thumb = [
        [-0.28, -0.25, 0.03],
        [-0.48, 0.0, 0.08],
        [-0.62, 0.22, 0.08],
        [-0.66, 0.38, 0.05],
    ];
    part.tube(&thumb, &[0.13, 0.11, 0.09, 0.04]);
    let wrist = [[0.0, -0.25, 0.0], [0.02, -0.6, -0.01], [0.05, -2.2, -0.05]];
    part.tube(&wrist, &[0.3, 0.26, 0.36]);
    part
}

fn microphone(colour: Vec3) -> Vec<Part> {
    let mut stick = Part::new(Bind::Body, matt(colour), Class::Occluder);
    stick.tube(
        &[[0.0, -0.2, 0.0], [0.0, -0.9, 0.03], [0.0, -2.6, 0.1]],
        &[0.12, 0.1, 0.085],
    );
    let metal = Surface::Plain {
        colour: [0.12, 0.12, 0.13],
        gloss: 0.3,
        sharpness: 24,
    };
    let mut head = Part::new(Bind::Body, metal, Class::Occluder);
    head.ball([0.0, 0.0, 0.0], [0.22, 0.26, 0.22]);
    head.tube(&[[0.0, -0.14, 0.0], [0.0, -0.22, 0.0]], &[0.235, 0.2]);
    vec![stick, head]
}

/// Frames with lenses before the eyes, a bridge over the nose and temples to the ears.
fn glasses(data: &HeadData, person: &Person, eyes: [Vec3; 2], colour: Vec3) -> Vec<Part> {
    let skin = data.rest.iter().zip(&person.neutral);
    // The foremost skin at the bridge of the nose and the outermost where the ears begin.
    let bridge = skin
        .clone()
        .filter(|(r, _)| r[0].abs() < 0.09 && (7.15..7.4).contains(&r[1]) && r[2] > 1.0)
        .map(|(_, p)| p[2])
        .fold(eyes[0][2] + 0.25, f32::max);
    let wide = skin
        .filter(|(r, _)| (7.15..7.45).contains(&r[1]) && (0.3..0.9).contains(&r[2]))
        .map(|(_, p)| p[0].abs())
        .fold(0.7, f32::max);
    let plain = Surface::Plain {
        colour,
        gloss: 0.4,
        sharpness: 40,
    };
    let mut frame = Part::new(Bind::Head, plain, Class::Occluder);
    let glass = Surface::Glass {
        colour: [0.75, 0.8, 0.85],
        alpha: 0.06,
    };
    let mut lens = Part::new(Bind::Head, glass, Class::Occluder);
    let front = bridge + 0.03;
    for eye in eyes {
        let out = eye[0].signum();
        let half = [0.245, 0.19];
        let middle = [eye[0] + out * 0.02, eye[1] - 0.05, front];
        let ring = |turn: f32| -> Vec3 {
            // A rounded square, bent back towards the temple.
            let round = |v: f32| v.signum() * v.abs().powf(0.75);
            let x = middle[0] + half[0] * round(turn.cos());
            let back = 0.12 * ((x * out) / 0.6).max(0.0).powi(2);
            [x, middle[1] + half[1] * round(turn.sin()), front - back]
        };
        let line: Vec<Vec3> = (0..=24)
            .map(|i| ring(std::f32::consts::TAU * i as f32 / 24.0))
            .collect();
        frame.tube(&line, &[0.018; 25]);
        let first = lens.points.len() as u32;
        lens.points.push([middle[0], middle[1], front - 0.03]);
        lens.points.extend(&line[..24]);
        for point in &lens.points[first as usize..] {
            lens.uv.push([point[0], point[1]]);
        }
        for i in 0..24 {
            lens.triangles
                .push([first, first + 1 + i, first + 1 + (i + 1) % 24]);
        }
        let hinge = [eye[0] + out * 0.265, eye[1] + 0.06, front - 0.12];
        let ear = [out * (wide + 0.03), eye[1] + 0.03, 0.45];
        let bend = [out * (wide + 0.02), eye[1] + 0.05, front - 0.4];
        let end = [out * wide, eye[1] - 0.3, 0.2];
        frame.tube(&[hinge, bend, ear, end], &[0.018; 4]);
    }
    let side = |x: f32| [x, eyes[0][1] + 0.01, front];
    let (a, b) = (eyes[0][0] + 0.225, eyes[1][0] - 0.225);
    let top = [(a + b) * 0.5, eyes[0][1] + 0.035, front + 0.02];
    frame.tube(&[side(a), top, side(b)], &[0.016; 3]);
    vec![frame, lens]
}

#[cfg(test)]
mod tests {
    use crate::assets::{Class, HeadData};
    use crate::{Moment, Occluder, OccluderKind, Person, draw};
    use stockpot_core::image::Size;

    #[test]
    fn occluders_hide_a_part_of_the_face() {
        let data = HeadData::stand_in();
        let person = Person::new(&data, 3);
        let kinds = [
            OccluderKind::Hand,
            OccluderKind::Glasses,
            OccluderKind::Microphone,
        ];
        for kind in kinds {
            let mut moment = Moment::neutral();
            let bare = draw(&data, &person, &moment, Size::square(96)).unwrap();
            moment.occluder = Some(Occluder {
                kind,
                colour: [0.2, 0.1, 0.08],
                place_dm: [0.1, -0.2],
                turn_rad: 0.2,
            });
            let frame = draw(&data, &person, &moment, Size::square(96)).unwrap();
            let pairs = frame.classes.data().iter().zip(bare.classes.data());
            let hidden = pairs
                .filter(|(now, then)| **now == Class::Occluder as u8 && **then == Class::Skin as u8)
                .count();
            assert!(hidden > 20, "{kind:?} hides {hidden}");
            assert!(!bare.classes.data().contains(&(Class::Occluder as u8)));
        }
    }
}
