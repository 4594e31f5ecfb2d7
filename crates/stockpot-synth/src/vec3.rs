//! Three numbers and what can be done with them; one unit is a decimetre, y up, z to the viewer.

/// A point or direction.
pub(crate) type Vec3 = [f32; 3];

pub(crate) fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn scale(a: Vec3, k: f32) -> Vec3 {
    a.map(|v| v * k)
}

pub(crate) fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Length 1, or zero if there is no direction.
pub(crate) fn unit(a: Vec3) -> Vec3 {
    let length = dot(a, a).sqrt();
    if length > 1e-12 {
        scale(a, 1.0 / length)
    } else {
        [0.0; 3]
    }
}

pub(crate) fn mix(a: Vec3, b: Vec3, t: f32) -> Vec3 {
    add(scale(a, 1.0 - t), scale(b, t))
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Length of `x`, `y`; for numbers of a head's size, which neither overflow nor vanish.
pub(crate) fn far(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// A turn by roll (about z), then pitch (about x), then yaw (about y).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn([Vec3; 3]);

impl Turn {
    /// By yaw, pitch and roll in radians.
    pub(crate) fn new([yaw, pitch, roll]: Vec3) -> Self {
        let ((sy, cy), (sp, cp), (sr, cr)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
        Self([
            [cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp],
            [cp * sr, cp * cr, -sp],
            [cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp],
        ])
    }

    /// `v` turned.
    pub(crate) fn of(&self, v: Vec3) -> Vec3 {
        self.0.map(|row| dot(row, v))
    }
}

/// `v` turned by yaw, pitch and roll in radians.
pub(crate) fn turned(v: Vec3, angles_rad: Vec3) -> Vec3 {
    Turn::new(angles_rad).of(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_the_documented_way() {
        let quarter = std::f32::consts::FRAC_PI_2;
        let close = |a: Vec3, b: Vec3| sub(a, b).iter().all(|v| v.abs() < 1e-6);
        assert!(close(
            turned([0.0, 0.0, 1.0], [quarter, 0.0, 0.0]),
            [1.0, 0.0, 0.0]
        ));
        assert!(close(
            turned([0.0, 0.0, 1.0], [0.0, quarter, 0.0]),
            [0.0, -1.0, 0.0]
        ));
        assert!(close(
            turned([1.0, 0.0, 0.0], [0.0, 0.0, quarter]),
            [0.0, 1.0, 0.0]
        ));
        assert!(close(
            cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
            [0.0, 0.0, 1.0]
        ));
        assert_eq!(unit([0.0; 3]), [0.0; 3]);
    }
}
