//! Reads an ONNX file back, knowing nothing of what wrote it: field numbers as in `onnx.proto`.

use std::collections::BTreeMap;

/// A file's model.
pub(super) struct Model {
    pub(super) ir_version: u64,
    pub(super) opset: u64,
    pub(super) words: BTreeMap<String, String>,
    pub(super) nodes: Vec<Node>,
    pub(super) constants: BTreeMap<String, Constant>,
    pub(super) inputs: Vec<Described>,
    pub(super) outputs: Vec<Described>,
}

pub(super) struct Node {
    pub(super) op: String,
    pub(super) inputs: Vec<String>,
    pub(super) output: String,
    pub(super) ints: BTreeMap<String, Vec<i64>>,
    pub(super) floats: BTreeMap<String, f32>,
    pub(super) texts: BTreeMap<String, String>,
}

pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
}

pub(super) enum Values {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// Name and dimensions; `None` is the batch.
#[derive(Debug, PartialEq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) dims: Vec<Option<usize>>,
}

enum Field<'a> {
    Int(u64),
    Data(&'a [u8]),
    Fixed(u32),
}

impl<'a> Field<'a> {
    fn int(&self) -> u64 {
        match self {
            Self::Int(v) => *v,
            _ => panic!("a whole number is wanted"),
        }
    }

    fn data(&self) -> &'a [u8] {
        match self {
            Self::Data(v) => v,
            _ => panic!("bytes are wanted"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.data().to_vec()).unwrap()
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without an end");
}

fn fields(bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut at = 0;
    let mut out = Vec::new();
    while at < bytes.len() {
        let key = varint(bytes, &mut at);
        let field = match key & 7 {
            0 => Field::Int(varint(bytes, &mut at)),
            2 => {
                let len = varint(bytes, &mut at) as usize;
                at += len;
                Field::Data(&bytes[at - len..at])
            }
            5 => {
                at += 4;
                Field::Fixed(u32::from_le_bytes(bytes[at - 4..at].try_into().unwrap()))
            }
            other => panic!("wire type {other}"),
        };
        out.push((key >> 3, field));
    }
    assert_eq!(at, bytes.len());
    out
}

fn texts(fields: &[(u64, Field<'_>)], number: u64) -> Vec<String> {
    let found = fields.iter().filter(|(n, _)| *n == number);
    found.map(|(_, field)| field.text()).collect()
}

fn text(fields: &[(u64, Field<'_>)], number: u64) -> String {
    texts(fields, number).swap_remove(0)
}

impl Model {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut out = Self {
            ir_version: 0,
            opset: 0,
            words: BTreeMap::new(),
            nodes: Vec::new(),
            constants: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for (number, field) in fields(bytes) {
            match number {
                1 => out.ir_version = field.int(),
                8 => out.opset = fields(field.data())[1].1.int(),
                14 => {
                    let entry = fields(field.data());
                    out.words.insert(text(&entry, 1), text(&entry, 2));
                }
                7 => out.read_graph(field.data()),
                2 | 3 => {}
                other => panic!("field {other} of a model"),
            }
        }
        out
    }

    fn read_graph(&mut self, bytes: &[u8]) {
        for (number, field) in fields(bytes) {
            match number {
                1 => self.nodes.push(node(field.data())),
                5 => {
                    let (name, tensor) = constant(field.data());
                    assert!(self.constants.insert(name, tensor).is_none());
                }
                11 => self.inputs.push(described(field.data())),
                12 => self.outputs.push(described(field.data())),
                2 => {}
                other => panic!("field {other} of a graph"),
            }
        }
    }
}

fn node(bytes: &[u8]) -> Node {
    let parts = fields(bytes);
    let mut out = Node {
        op: text(&parts, 4),
        inputs: texts(&parts, 1),
        output: text(&parts, 2),
        ints: BTreeMap::new(),
        floats: BTreeMap::new(),
        texts: BTreeMap::new(),
    };
    for (_, field) in parts.iter().filter(|(n, _)| *n == 5) {
        let inner = fields(field.data());
        let name = text(&inner, 1);
        let kind = inner.iter().find(|(n, _)| *n == 20).unwrap().1.int();
        let of = |number| inner.iter().filter(move |(n, _)| *n == number);
        let ints = |number| of(number).map(|(_, v)| v.int().cast_signed()).collect();
        match kind {
            1 => {
                let Some((_, Field::Fixed(bits))) = of(2).next() else {
                    panic!("a number of 32 bits is wanted")
                };
                out.floats.insert(name, f32::from_bits(*bits));
            }
            2 => drop(out.ints.insert(name, ints(3))),
            3 => drop(out.texts.insert(name, text(&inner, 4))),
            7 => drop(out.ints.insert(name, ints(8))),
            other => panic!("an attribute of the kind {other}"),
        }
    }
    out
}

fn constant(bytes: &[u8]) -> (String, Constant) {
    let parts = fields(bytes);
    let of = |number| parts.iter().filter(move |(n, _)| *n == number);
    let dims: Vec<usize> = of(1).map(|(_, v)| v.int() as usize).collect();
    let raw = of(9).next().unwrap().1.data();
    let values = match of(2).next().unwrap().1.int() {
        1 => Values::Floats(
            raw.chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect(),
        ),
        7 => Values::Ints(
            raw.chunks_exact(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
                .collect(),
        ),
        other => panic!("numbers of the type {other}"),
    };
    let found = match &values {
        Values::Floats(v) => v.len(),
        Values::Ints(v) => v.len(),
    };
    assert_eq!(found, dims.iter().product::<usize>());
    (text(&parts, 8), Constant { dims, values })
}

fn described(bytes: &[u8]) -> Described {
    let parts = fields(bytes);
    let inner = |bytes: &[u8], number: u64| -> Vec<Vec<u8>> {
        let parts = fields(bytes);
        let found = parts.iter().filter(|(n, _)| *n == number);
        found.map(|(_, field)| field.data().to_vec()).collect()
    };
    let kind = parts.iter().find(|(n, _)| *n == 2).unwrap().1.data();
    let tensor = &inner(kind, 1)[0];
    assert_eq!(fields(tensor)[0].1.int(), 1, "32-bit numbers");
    let dims = inner(&inner(tensor, 2)[0], 1)
        .iter()
        .map(|dim| match &fields(dim)[..] {
            [(1, size)] => Some(size.int() as usize),
            [(2, name)] => {
                assert_eq!(name.text(), "batch");
                None
            }
            _ => panic!("a dimension"),
        })
        .collect();
    Described {
        name: text(&parts, 1),
        dims,
    }
}
