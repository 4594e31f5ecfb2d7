//! Reads `.mhclo` files from untrusted bytes: how the points of a mesh lean on those of the base mesh.
//!
//! Each line below `verts` is three vertices of the base mesh, their shares, and an offset; a single
//! number is a vertex on which the point lies. Offsets are stretched along each axis by how much
//! farther apart two vertices of a person are than on the mesh that the file was made for
//! (`x_scale A B DISTANCE`). Knows nothing of people.

use crate::Error;
use crate::parse::{MAX_VERTICES, numbers, text_of};
use crate::vec3::{Vec3, add, scale};

/// Tags kept of a file.
const MAX_TAGS: usize = 32;

/// On what a point leans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lean {
    /// Vertices, by the numbers of the package's mesh.
    pub(crate) on: [u32; 3],
    pub(crate) shares: Vec3,
    pub(crate) offset: Vec3,
    /// Line of the file, for messages.
    pub(crate) line: u32,
}

/// Two vertices and their distance along an axis on the mesh that the file was made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ruler {
    pub(crate) ends: [u32; 2],
    pub(crate) length: f32,
    /// Line of the file, for messages.
    pub(crate) line: u32,
}

/// What a file holds.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Clothes {
    /// Lower case.
    pub(crate) tags: Vec<String>,
    pub(crate) leans: Vec<Lean>,
    /// For x, y and z.
    pub(crate) rulers: [Option<Ruler>; 3],
}

/// Reads a file.
pub(crate) fn clothes(bytes: &[u8], name: &str) -> Result<Clothes, Error> {
    let text = text_of(bytes, name)?;
    let mut out = Clothes::default();
    let mut in_verts = false;
    for (at, line) in text.lines().enumerate() {
        let number = at as u32 + 1;
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else {
            continue;
        };
        let bad = |reason| Error::Broken {
            reason,
            line: at + 1,
            name: name.into(),
        };
        if first.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            if !in_verts {
                continue;
            }
            let lean = lean(line, number).ok_or_else(|| {
                bad("a line below `verts` needs a vertex, or three with three shares and an offset")
            })?;
            if out.leans.len() == MAX_VERTICES {
                return Err(bad("it has more than 200,000 points"));
            }
            out.leans.push(lean);
            continue;
        }
        // Names may stand between `verts` and its lines; these have lines of another meaning.
        in_verts = match first {
            "verts" => true,
            "delete_verts" | "weights" => false,
            _ => in_verts,
        };
        let axis = ["x_scale", "y_scale", "z_scale"].iter();
        if let Some(axis) = axis.into_iter().position(|n| *n == first) {
            let ruler = ruler(&mut words, number)
                .ok_or_else(|| bad("a scale needs two vertices and a distance above 0"))?;
            out.rulers[axis] = Some(ruler);
        } else if first == "tag" && out.tags.len() < MAX_TAGS {
            out.tags.extend(words.next().map(str::to_lowercase));
        }
    }
    if out.leans.is_empty() {
        return Err(Error::Broken {
            reason: "it has no lines below `verts`",
            line: 0,
            name: name.into(),
        });
    }
    Ok(out)
}

fn vertex(word: &str) -> Option<u32> {
    let number: u32 = word.parse().ok()?;
    ((number as usize) < MAX_VERTICES).then_some(number)
}

fn lean(line: &str, number: u32) -> Option<Lean> {
    let mut words = line.split_whitespace();
    let first = vertex(words.next()?)?;
    let Some(second) = words.next() else {
        return Some(Lean {
            on: [first; 3],
            shares: [1.0, 0.0, 0.0],
            offset: [0.0; 3],
            line: number,
        });
    };
    let on = [first, vertex(second)?, vertex(words.next()?)?];
    let shares = numbers(&mut words)?;
    let offset = numbers(&mut words)?;
    Some(Lean {
        on,
        shares,
        offset,
        line: number,
    })
}

fn ruler(words: &mut std::str::SplitWhitespace<'_>, line: u32) -> Option<Ruler> {
    let ends = [vertex(words.next()?)?, vertex(words.next()?)?];
    let [length] = numbers(words)?;
    (length > 1e-6).then_some(Ruler { ends, length, line })
}

/// Where the points lie on a mesh whose vertices are `points`; `stretch` is that of the offsets.
/// `leans` must lean on vertices that are there.
pub(crate) fn fitted(leans: &[Lean], points: &[Vec3], stretch: Vec3) -> Vec<Vec3> {
    let place = |lean: &Lean| {
        let on = lean.on.map(|i| points[i as usize]);
        let sum = (0..3).fold([0.0; 3], |sum, i| add(sum, scale(on[i], lean.shares[i])));
        add(sum, [0, 1, 2].map(|k| lean.offset[k] * stretch[k]))
    };
    leans.iter().map(place).collect()
}

/// How much the offsets are stretched on a neutral face with these `points`: taken from a moved face,
/// a wide open mouth would make the hair higher.
pub(crate) fn stretch(rulers: &[Option<Ruler>; 3], points: &[Vec3]) -> Vec3 {
    std::array::from_fn(|k| {
        rulers[k].map_or(1.0, |ruler| {
            let [a, b] = ruler.ends.map(|i| points[i as usize][k]);
            (a - b).abs() / ruler.length
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# a note\nname a\ntag Short\ntag Male # x\nx_scale 0 1 2\nverts 0\n\
        material a.mhmat\n0 1 2 .5 .25 .25 0 1 0\n 2\ndelete_verts\n7 8\n";

    #[test]
    fn a_file_is_read_and_fitted() {
        let file = clothes(FILE.as_bytes(), "a.mhclo").unwrap();
        assert_eq!(file.tags, ["short", "male"]);
        assert_eq!(file.leans.len(), 2);
        assert_eq!(file.leans[0].line, 8);
        let points = [[0.0; 3], [4.0, 0.0, 0.0], [0.0, 0.0, 8.0]];
        let stretch = stretch(&file.rulers, &points);
        assert_eq!(stretch, [2.0, 1.0, 1.0]);
        let fitted = fitted(&file.leans, &points, [2.0, 3.0, 1.0]);
        assert_eq!(fitted, [[1.0, 3.0, 2.0], [0.0, 0.0, 8.0]]);
    }

    #[test]
    fn bad_files_say_the_line() {
        for (text, line) in [
            ("verts 0\n1 2 3 .5 .5", 2),
            ("verts 0\n1 2 3 .5 .5 0 0 nan 0", 2),
            ("\nverts 0\n999999999", 3),
            ("x_scale 1 2 0", 1),
            ("x_scale 1 -2 1", 1),
            ("name a\n", 0),
        ] {
            let error = clothes(text.as_bytes(), "bad.mhclo").unwrap_err();
            let wanted = format!("line {line}): bad.mhclo");
            assert!(error.to_string().contains(&wanted), "{error}");
        }
        assert!(clothes(&[0xff, 0xfe], "bad.mhclo").is_err());
    }
}
