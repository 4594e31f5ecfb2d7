//! Shapes that parts are made of: ribbons, tubes and balls.
//!
//! Knows nothing of people.

use crate::assets::Class;
use crate::scene::{Bind, Part, Surface};
use crate::vec3::{Vec3, add, cross, scale, sub, unit};

impl Part {
    /// An empty part.
    pub(crate) fn new(bind: Bind, surface: Surface, class: Class) -> Self {
        Self {
            points: Vec::new(),
            triangles: Vec::new(),
            uv: Vec::new(),
            bind,
            surface,
            class,
        }
    }

    /// Adds a ribbon along `line`, `half` wide to each side at its root; `outwards` gives its face at
    /// each place and `lane` the place of its strands among all.
    pub(crate) fn ribbon(&mut self, line: &[Vec3], outwards: &[Vec3], half: f32, lane: f32) {
        if line.len() < 2 || line.len() != outwards.len() {
            return;
        }
        let first = self.points.len() as u32;
        let last = line.len() - 1;
        for i in 0..=last {
            let along = unit(sub(line[(i + 1).min(last)], line[i.saturating_sub(1)]));
            let side = unit(cross(along, outwards[i]));
            let t = i as f32 / last as f32;
            let wide = half * (1.0 - 0.55 * t * t);
            for (u, way) in [(0.0, -1.0), (1.0, 1.0)] {
                self.points.push(add(line[i], scale(side, way * wide)));
                self.uv.push([lane + u, t]);
            }
        }
        for i in 0..last as u32 {
            let a = first + 2 * i;
            self.triangles.push([a, a + 1, a + 2]);
            self.triangles.push([a + 1, a + 3, a + 2]);
        }
    }

    /// Adds a round tube of `radius` along `line`, with closed ends.
    pub(crate) fn tube(&mut self, line: &[Vec3], radius: &[f32]) {
        const ROUND: u32 = 8;
        if line.len() < 2 || line.len() != radius.len() {
            return;
        }
        let first = self.points.len() as u32;
        let last = line.len() - 1;
        for i in 0..=last {
            let along = unit(sub(line[(i + 1).min(last)], line[i.saturating_sub(1)]));
            let other = if along[1].abs() > 0.9 {
                [1.0, 0.0, 0.0]
            } else {
                [0.0, 1.0, 0.0]
            };
            let (a, b) = (unit(cross(along, other)), along);
            let c = cross(b, a);
            for k in 0..ROUND {
                let round = std::f32::consts::TAU * k as f32 / ROUND as f32;
                let out = add(scale(a, round.cos()), scale(c, round.sin()));
                self.points.push(add(line[i], scale(out, radius[i])));
                self.uv
                    .push([k as f32 / ROUND as f32, i as f32 / last as f32]);
            }
        }
        for i in 0..last as u32 {
            for k in 0..ROUND {
                let (a, b) = (first + i * ROUND + k, first + i * ROUND + (k + 1) % ROUND);
                self.triangles.push([a, b, a + ROUND]);
                self.triangles.push([b, b + ROUND, a + ROUND]);
            }
        }
        for (row, _) in [(0, 0), (last as u32, 1)] {
            let start = first + row * ROUND;
            for k in 1..ROUND - 1 {
                self.triangles.push([start, start + k, start + k + 1]);
            }
        }
    }

    /// Adds an ellipsoid.
    pub(crate) fn ball(&mut self, middle: Vec3, radii: Vec3) {
        const ROWS: u32 = 10;
        const COLUMNS: u32 = 14;
        let first = self.points.len() as u32;
        for row in 0..=ROWS {
            let down = std::f32::consts::PI * row as f32 / ROWS as f32;
            for column in 0..COLUMNS {
                let round = std::f32::consts::TAU * column as f32 / COLUMNS as f32;
                let way = [
                    down.sin() * round.cos(),
                    down.cos(),
                    down.sin() * round.sin(),
                ];
                let off: Vec3 = std::array::from_fn(|i| way[i] * radii[i]);
                self.points.push(add(middle, off));
                // A knot's locks go round it, each a card of its own.
                self.uv
                    .push([row as f32 * 0.5, 0.1 + 0.5 * column as f32 / COLUMNS as f32]);
            }
        }
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let at = |r: u32, c: u32| first + r * COLUMNS + c % COLUMNS;
                let (a, b) = (at(row, column), at(row, column + 1));
                let (c, d) = (at(row + 1, column), at(row + 1, column + 1));
                self.triangles.push([a, c, d]);
                self.triangles.push([a, d, b]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_whole() {
        let plain = Surface::Plain {
            colour: [0.1; 3],
            gloss: 0.1,
            sharpness: 9,
        };
        let mut part = Part::new(Bind::Body, plain, Class::Occluder);
        part.tube(&[[0.0; 3], [0.0, 1.0, 0.0]], &[0.1, 0.1]);
        part.ball([0.0; 3], [1.0, 2.0, 3.0]);
        part.ribbon(
            &[[0.0; 3], [0.0, 1.0, 0.0]],
            &[[0.0, 0.0, 1.0]; 2],
            0.1,
            0.0,
        );
        let n = part.points.len();
        assert_eq!(part.uv.len(), n);
        assert!(part.triangles.iter().flatten().all(|i| (*i as usize) < n));
        assert!(part.points.iter().flatten().all(|v| v.is_finite()));
        // A line of one place is no line.
        part.ribbon(&[[0.0; 3]], &[[0.0; 3]], 0.1, 0.0);
        assert_eq!(part.points.len(), n);
    }
}
