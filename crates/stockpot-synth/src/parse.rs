//! Reads the two text formats of the head data from untrusted bytes: Wavefront meshes and targets
//! (lines `index dx dy dz`). Every size is bounded before memory is taken.

use std::io::Read;

use crate::Error;
use crate::vec3::Vec3;

/// Larger texts are refused; the base mesh has 1.7 MB, the largest target 0.5 MB.
const MAX_TEXT_BYTES: u64 = 16 << 20;
/// More vertices than this are refused; the base mesh has 19,158.
pub(crate) const MAX_VERTICES: usize = 200_000;

/// A polygon: numbers of its vertices, and of their places in the texture plane if all have one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Polygon {
    pub(crate) corners: Vec<usize>,
    pub(crate) texture: Vec<usize>,
    pub(crate) group: usize,
}

/// What a mesh file holds.
#[derive(Debug, Default)]
pub(crate) struct Obj {
    pub(crate) vertices: Vec<Vec3>,
    /// Places in the texture plane: u to the right, v up, the picture from 0 to 1.
    pub(crate) texture: Vec<[f32; 2]>,
    pub(crate) polygons: Vec<Polygon>,
    pub(crate) groups: Vec<String>,
}

/// How far one vertex moves.
pub(crate) type Move = (usize, Vec3);

fn broken(name: &str, line: usize, reason: &'static str) -> Error {
    Error::Broken {
        reason,
        line,
        name: name.into(),
    }
}

/// The text in `bytes`, unpacked if it is gzip.
pub(crate) fn text_of(bytes: &[u8], name: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes)
            .take(MAX_TEXT_BYTES + 1)
            .read_to_string(&mut text)
    } else {
        bytes.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)
    };
    read.map_err(|_| broken(name, 0, "it is neither text nor gzip of text"))?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(broken(name, 0, "it is larger than 16 MiB"));
    }
    Ok(text)
}

/// A package as it is shipped.
pub(crate) type Archive<'a> = zip::ZipArchive<std::io::Cursor<&'a [u8]>>;

/// Opens a package.
pub(crate) fn archive(bytes: &[u8]) -> Result<Archive<'_>, Error> {
    zip::ZipArchive::new(std::io::Cursor::new(bytes))
        .map_err(|_| broken("the head package", 0, "it is no zip archive"))
}

/// The bytes of one file in a package.
pub(crate) fn member(archive: &mut Archive<'_>, name: &str) -> Result<Vec<u8>, Error> {
    let file = archive.by_name(name);
    let file = file.map_err(|_| broken(name, 0, "the package does not have it"))?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| broken(name, 0, "it cannot be unpacked"))?;
    Ok(bytes)
}

pub(crate) fn numbers<const N: usize>(words: &mut std::str::SplitWhitespace) -> Option<[f32; N]> {
    let mut out = [0.0f32; N];
    for value in &mut out {
        *value = words.next()?.parse().ok().filter(|v: &f32| v.is_finite())?;
    }
    Some(out)
}

/// Reads a mesh: `v`, `vt`, `g` and `f` lines; others are passed over.
pub(crate) fn obj(bytes: &[u8], name: &str) -> Result<Obj, Error> {
    let text = text_of(bytes, name)?;
    let mut mesh = Obj::default();
    let mut group = 0;
    for (at, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let bad = |reason| broken(name, at + 1, reason);
        match words.next() {
            Some("v") => {
                let v = numbers(&mut words).ok_or_else(|| bad("a vertex needs three numbers"))?;
                mesh.vertices.push(v);
            }
            Some("vt") => {
                let v = numbers(&mut words).ok_or_else(|| bad("a `vt` needs two numbers"))?;
                mesh.texture.push(v);
            }
            Some("g") => {
                group = mesh.groups.len();
                mesh.groups.push(words.next().unwrap_or_default().into());
            }
            Some("f") => {
                let polygon = polygon(words, &mesh, group).ok_or_else(|| {
                    bad("a face needs 3 to 8 corners among the vertices before it")
                })?;
                mesh.polygons.push(polygon);
            }
            _ => {}
        }
        if mesh
            .vertices
            .len()
            .max(mesh.texture.len())
            .max(mesh.polygons.len())
            > MAX_VERTICES
        {
            return Err(bad("it has more than 200,000 vertices or faces"));
        }
    }
    Ok(mesh)
}

fn polygon(words: std::str::SplitWhitespace, mesh: &Obj, group: usize) -> Option<Polygon> {
    let (mut corners, mut texture) = (Vec::new(), Vec::new());
    for word in words {
        let mut parts = word.split('/');
        let corner = parts.next()?.parse::<usize>().ok()?.checked_sub(1)?;
        if corner >= mesh.vertices.len() || corners.len() == 8 {
            return None;
        }
        if let Some(index) = parts.next().filter(|s| !s.is_empty()) {
            let index = index.parse::<usize>().ok()?.checked_sub(1)?;
            texture.push(index);
            mesh.texture.get(index)?;
        }
        corners.push(corner);
    }
    if texture.len() != corners.len() {
        texture.clear();
    }
    (corners.len() >= 3).then_some(Polygon {
        corners,
        texture,
        group,
    })
}

/// Reads a target for a mesh of `vertices` vertices.
pub(crate) fn target(bytes: &[u8], vertices: usize, name: &str) -> Result<Vec<Move>, Error> {
    let text = text_of(bytes, name)?;
    let mut moves = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |reason| broken(name, at + 1, reason);
        let mut words = line.split_whitespace();
        let index = words.next().and_then(|w| w.parse::<usize>().ok());
        let index = index.filter(|i| *i < vertices);
        let by = numbers(&mut words);
        let (Some(index), Some(by)) = (index, by) else {
            return Err(bad(
                "a target line needs a vertex of the mesh and three numbers",
            ));
        };
        if moves.len() == vertices {
            return Err(bad("it moves more vertices than there are"));
        }
        moves.push((index, by));
    }
    Ok(moves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const MESH: &str = "# a square\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 .5\nvt .25 .5\ng body\nf 1/1 2/1 3/1 4/1\nf 1/1 2 3\n";

    #[test]
    fn a_mesh_is_read() {
        let mesh = obj(MESH.as_bytes(), "a.obj").unwrap();
        assert_eq!(mesh.vertices[3], [0.0, 1.0, 0.5]);
        assert_eq!(mesh.groups, ["body"]);
        assert_eq!(mesh.polygons[0].corners, [0, 1, 2, 3]);
        assert_eq!(mesh.texture, [[0.25, 0.5]]);
        assert_eq!(mesh.polygons[0].texture, [0; 4]);
        assert_eq!(mesh.polygons[1].texture, [0usize; 0]);
    }

    #[test]
    fn bad_meshes_say_the_line() {
        for (text, line) in [
            ("v 0 0", 1),
            ("v 0 0 nan", 1),
            ("v 0 0 0\nf 1 1 2", 2),
            ("v 0 0 0\nf 0 1 1", 2),
            ("v 0 0 0\nf 1 1", 2),
            ("v 0 0 0\nf 1/9 1/9 1/9", 2),
        ] {
            let error = obj(text.as_bytes(), "bad.obj").unwrap_err();
            assert!(
                error.to_string().contains(&format!("line {line}")),
                "{error}"
            );
            assert!(error.hint().is_some());
        }
        assert!(obj(&[0xff, 0xfe, 0x00], "bad.obj").is_err());
    }

    #[test]
    fn targets_are_read_packed_and_plain() {
        let plain = b"# note\n2 0 -.5 1\n0 1 2 3\n";
        let wanted = vec![(2, [0.0, -0.5, 1.0]), (0, [1.0, 2.0, 3.0])];
        assert_eq!(target(plain, 3, "t").unwrap(), wanted);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(plain).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(target(&packed, 3, "t").unwrap(), wanted);
        assert!(target(&packed[..packed.len() / 2], 3, "t").is_err());
        assert!(target(b"3 0 0 0", 3, "t").is_err());
        assert!(target(b"1 0 0", 3, "t").is_err());
        assert!(target(b"0 1 1 1\n0 1 1 1", 1, "t").is_err());
    }
}
