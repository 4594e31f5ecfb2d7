//! Coordinate spaces, points and affine transforms whose spaces are part of their type.
//!
//! Conventions, everywhere in stockpot: origin at the top left, x to the right, y down, and **pixel
//! centres at +0.5** (the first pixel covers `[0, 1)`, its centre is `0.5`). Transforms read from
//! right to left: `face_from_frame` takes a frame point and gives a face point.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Mul;

/// A marker type that names a coordinate space.
pub trait Space: Copy + Send + Sync + 'static {
    /// The word used in messages.
    const NAME: &'static str;
}

/// Pixels of a decoded, upright video frame or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame;
/// Units of the canonical face (see [`crate::face`]): the square `[0, 1]²` holds brows to lower lip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face;
/// Pixels of a stored face crop (the wide square that a faceset keeps).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop;
/// Pixels of a network's input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net;

impl Space for Frame {
    const NAME: &'static str = "frame";
}
impl Space for Face {
    const NAME: &'static str = "face";
}
impl Space for Crop {
    const NAME: &'static str = "crop";
}
impl Space for Net {
    const NAME: &'static str = "net";
}

/// A point of space `S`.
pub struct Point<S> {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
    space: PhantomData<S>,
}

impl<S> Point<S> {
    /// The point `(x, y)`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            space: PhantomData,
        }
    }

    /// Distance to another point of the same space, in its units.
    pub fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

impl<S> Clone for Point<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Point<S> {}
impl<S> PartialEq for Point<S> {
    fn eq(&self, other: &Self) -> bool {
        self.x == other.x && self.y == other.y
    }
}
impl<S: Space> fmt::Debug for Point<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:.3}, {:.3})", S::NAME, self.x, self.y)
    }
}

/// An affine map from space `From` to space `To`:
/// `x' = m[0] x + m[1] y + m[2]`, `y' = m[3] x + m[4] y + m[5]`.
pub struct Affine<To, From> {
    m: [f64; 6],
    spaces: PhantomData<(To, From)>,
}

impl<To, From> Clone for Affine<To, From> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<To, From> Copy for Affine<To, From> {}
impl<To, From> PartialEq for Affine<To, From> {
    fn eq(&self, other: &Self) -> bool {
        self.m == other.m
    }
}
impl<To: Space, From: Space> fmt::Debug for Affine<To, From> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_from_{}{:?}", To::NAME, From::NAME, self.m)
    }
}

/// A transform or a set of points from which no invertible transform can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The transform is singular: its points coincide or its scale is zero")]
pub struct Singular;

impl<To, From> Affine<To, From> {
    /// The map with these six numbers, row by row.
    pub const fn from_rows(m: [f64; 6]) -> Self {
        Self {
            m,
            spaces: PhantomData,
        }
    }

    /// The six numbers, row by row.
    pub const fn rows(&self) -> [f64; 6] {
        self.m
    }

    /// `p' = scale * p + (tx, ty)`.
    pub const fn scale_then_shift(scale: f64, tx: f64, ty: f64) -> Self {
        Self::from_rows([scale, 0.0, tx, 0.0, scale, ty])
    }

    /// Where `p` goes.
    pub fn apply(&self, p: Point<From>) -> Point<To> {
        let m = &self.m;
        Point::new(
            m[0] * p.x + m[1] * p.y + m[2],
            m[3] * p.x + m[4] * p.y + m[5],
        )
    }

    /// The map back.
    ///
    /// # Errors
    /// [`Singular`] if the determinant is zero or not finite.
    pub fn inverse(&self) -> Result<Affine<From, To>, Singular> {
        let [a, b, c, d, e, f] = self.m;
        let det = a * e - b * d;
        if !det.is_finite() || det.abs() < 1e-12 {
            return Err(Singular);
        }
        let (ia, ib, id, ie) = (e / det, -b / det, -d / det, a / det);
        Ok(Affine::from_rows([
            ia,
            ib,
            -(ia * c + ib * f),
            id,
            ie,
            -(id * c + ie * f),
        ]))
    }

    /// By how much lengths grow on average: the square root of the absolute determinant.
    pub fn mean_scale(&self) -> f64 {
        (self.m[0] * self.m[4] - self.m[1] * self.m[3]).abs().sqrt()
    }

    /// The similarity (rotation, uniform scale, shift; no mirror) that takes `from[i]` to `to[i]`
    /// with the least weighted squared error.
    ///
    /// Closed form in the plane; equals Umeyama 1991 without reflection.
    ///
    /// # Errors
    /// [`Singular`] if fewer than two distinct points carry weight, or a number is not finite.
    pub fn fit_similarity(
        from: &[Point<From>],
        to: &[Point<To>],
        weights: &[f64],
    ) -> Result<Self, Singular> {
        let n = from.len().min(to.len()).min(weights.len());
        let total: f64 = weights[..n].iter().sum();
        if n < 2 || !total.is_finite() || total <= 0.0 {
            return Err(Singular);
        }
        let (mut fx, mut fy, mut tx, mut ty) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..n {
            let w = weights[i] / total;
            fx += w * from[i].x;
            fy += w * from[i].y;
            tx += w * to[i].x;
            ty += w * to[i].y;
        }
        let (mut dot, mut cross, mut var) = (0.0, 0.0, 0.0);
        for i in 0..n {
            let w = weights[i] / total;
            let (ax, ay) = (from[i].x - fx, from[i].y - fy);
            let (bx, by) = (to[i].x - tx, to[i].y - ty);
            dot += w * (ax * bx + ay * by);
            cross += w * (ax * by - ay * bx);
            var += w * (ax * ax + ay * ay);
        }
        let (a, b) = (dot / var, cross / var);
        if !(a.is_finite() && b.is_finite()) || a.hypot(b) < 1e-9 {
            return Err(Singular);
        }
        Ok(Self::from_rows([
            a,
            -b,
            tx - a * fx + b * fy,
            b,
            a,
            ty - b * fx - a * fy,
        ]))
    }
}

impl<To, Mid, From> Mul<Affine<Mid, From>> for Affine<To, Mid> {
    type Output = Affine<To, From>;

    fn mul(self, right: Affine<Mid, From>) -> Affine<To, From> {
        let (l, r) = (self.m, right.m);
        Affine::from_rows([
            l[0] * r[0] + l[1] * r[3],
            l[0] * r[1] + l[1] * r[4],
            l[0] * r[2] + l[1] * r[5] + l[2],
            l[3] * r[0] + l[4] * r[3],
            l[3] * r[1] + l[4] * r[4],
            l[3] * r[2] + l[4] * r[5] + l[5],
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn inverse_undoes(a in -3.0..3.0f64, b in -3.0..3.0f64, tx in -99.0..99.0f64, ty in -99.0..99.0f64, x in -50.0..50.0f64, y in -50.0..50.0f64) {
            prop_assume!(a.hypot(b) > 0.1);
            let face_from_frame = Affine::<Face, Frame>::from_rows([a, -b, tx, b, a, ty]);
            let frame_from_face = face_from_frame.inverse().unwrap();
            let p = Point::<Frame>::new(x, y);
            prop_assert!(frame_from_face.apply(face_from_frame.apply(p)).distance(p) < 1e-6);
            let id = frame_from_face * face_from_frame;
            prop_assert!(id.apply(p).distance(p) < 1e-6);
        }

        #[test]
        fn similarity_is_found_again(s in 0.2..4.0f64, r in -3.0..3.0f64, tx in -9.0..9.0f64, ty in -9.0..9.0f64) {
            let (a, b) = (s * r.cos(), s * r.sin());
            let truth = Affine::<Face, Frame>::from_rows([a, -b, tx, b, a, ty]);
            let from: Vec<_> = [(0.0, 0.0), (3.0, 1.0), (-2.0, 5.0)].map(|(x, y)| Point::new(x, y)).to_vec();
            let to: Vec<_> = from.iter().map(|p| truth.apply(*p)).collect();
            let fit = Affine::fit_similarity(&from, &to, &[1.0, 2.0, 0.5]).unwrap();
            for (f, t) in fit.rows().iter().zip(truth.rows()) {
                prop_assert!((f - t).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn coinciding_points_are_an_error() {
        let p = vec![Point::<Frame>::new(1.0, 1.0); 3];
        let q = vec![Point::<Face>::new(0.0, 0.0); 3];
        assert_eq!(Affine::fit_similarity(&p, &q, &[1.0; 3]), Err(Singular));
        assert_eq!(
            Affine::<Face, Frame>::from_rows([0.0; 6]).inverse(),
            Err(Singular)
        );
    }
}
