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

/// `v` turned by roll (about z), then pitch (about x), then yaw (about y), in radians.
pub(crate) fn turned(v: Vec3, [yaw, pitch, roll]: Vec3) -> Vec3 {
    let (s, c) = roll.sin_cos();
    let v = [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]];
    let (s, c) = pitch.sin_cos();
    let v = [v[0], c * v[1] - s * v[2], s * v[1] + c * v[2]];
    let (s, c) = yaw.sin_cos();
    [c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]]
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
