//! A small TFLite file made here, with one of every operator, and what it must compute.

use stockpot_faces::tflite::Network;

/// Writes FlatBuffers front to back: every offset is patched once its target is known.
struct Writer {
    bytes: Vec<u8>,
}

/// A field of a table.
enum Field {
    None,
    U8(u8),
    I32(i32),
    /// To be patched: a table or vector follows.
    Offset,
}

impl Writer {
    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn word(&mut self, v: u32) {
        self.bytes.extend(v.to_le_bytes());
    }

    fn patch(&mut self, at: usize) {
        let offset = (self.bytes.len() - at) as u32;
        self.bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    }

    /// A table, pointed to from `from`; gives the places of its offset fields.
    fn table(&mut self, from: usize, fields: &[Field]) -> Vec<usize> {
        self.align();
        // The field list first; every field takes four bytes in the table.
        let vtable = self.bytes.len();
        let size = 4 + 4 * fields.len();
        for v in [4 + 2 * fields.len(), size] {
            self.bytes.extend((v as u16).to_le_bytes());
        }
        for (i, field) in fields.iter().enumerate() {
            let at = if matches!(field, Field::None) {
                0
            } else {
                4 + 4 * i
            };
            self.bytes.extend((at as u16).to_le_bytes());
        }
        self.align();
        self.patch(from);
        let table = self.bytes.len();
        self.word((table - vtable) as u32);
        let mut offsets = Vec::new();
        for field in fields {
            match field {
                Field::None => self.word(0),
                Field::U8(v) => self.word(u32::from(*v)),
                Field::I32(v) => self.word(*v as u32),
                Field::Offset => {
                    offsets.push(self.bytes.len());
                    self.word(0);
                }
            }
        }
        offsets
    }

    fn integers(&mut self, from: usize, values: &[i32]) {
        self.align();
        self.patch(from);
        self.word(values.len() as u32);
        values.iter().for_each(|v| self.word(*v as u32));
    }

    fn data(&mut self, from: usize, values: &[u8]) {
        self.align();
        self.patch(from);
        self.word(values.len() as u32);
        self.bytes.extend(values);
    }

    /// A vector of tables; gives the places of its elements.
    fn tables(&mut self, from: usize, count: usize) -> Vec<usize> {
        self.align();
        self.patch(from);
        self.word(count as u32);
        let first = self.bytes.len();
        (0..count).for_each(|_| self.word(0));
        (0..count).map(|i| first + 4 * i).collect()
    }
}

/// Shape, kind (0 f32, 1 f16, 2 i32) and constant bytes.
type Tensor = (&'static [i32], u8, Vec<u8>);
/// Operator number, inputs, output, options.
type Operator = (i32, &'static [i32], i32, Vec<Field>);

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn integers(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn write(tensors: &[Tensor], operators: &[Operator], outputs: &[i32]) -> Vec<u8> {
    use Field::{I32, None as Left, Offset, U8};
    let mut w = Writer { bytes: Vec::new() };
    w.word(0);
    w.bytes.extend(*b"TFL3");
    let model = w.table(0, &[I32(3), Offset, Offset, Left, Offset]);
    for (at, operator) in w
        .tables(model[0], operators.len())
        .into_iter()
        .zip(operators)
    {
        w.table(at, &[U8(operator.0 as u8), Left, I32(1), I32(operator.0)]);
    }
    let buffers: Vec<usize> = w.tables(model[2], tensors.len() + 1);
    w.table(buffers[0], &[]);
    for (at, tensor) in buffers[1..].iter().zip(tensors) {
        let data = w.table(*at, &[Offset]);
        w.data(data[0], &tensor.2);
    }
    let graph = w.tables(model[1], 1);
    let graph = w.table(graph[0], &[Offset, Offset, Offset, Offset]);
    let places = w.tables(graph[0], tensors.len());
    for (i, (at, tensor)) in places.into_iter().zip(tensors).enumerate() {
        let buffer = if tensor.2.is_empty() { 0 } else { i as i32 + 1 };
        let shape = w.table(at, &[Offset, U8(tensor.1), I32(buffer)]);
        w.integers(shape[0], tensor.0);
    }
    w.integers(graph[1], &[0]);
    w.integers(graph[2], outputs);
    let places = w.tables(graph[3], operators.len());
    for (i, (at, operator)) in places.into_iter().zip(operators).enumerate() {
        let fields = w.table(at, &[I32(i as i32), Offset, Offset, U8(1), Offset]);
        w.integers(fields[0], operator.1);
        w.integers(fields[1], &[operator.2]);
        w.table(fields[2], &operator.3);
    }
    w.bytes
}

/// Input `[1, 4, 4, 2]` through every operator to `[1, 8]` and `[1, 2, 2, 2]`.
pub(crate) fn made_model() -> Vec<u8> {
    use Field::{I32, None as Left, U8};
    let half = |v: u16| v.to_le_bytes();
    // 1.0 and 2.0 as 16-bit floats: the 1x1 convolution doubles one channel and adds the other.
    let conv: Vec<u8> = [0x4000, 0x3c00, 0x0000, 0x3c00].map(half).concat();
    let tensors: Vec<Tensor> = vec![
        (&[1, 4, 4, 2], 0, vec![]),                        // 0 input
        (&[2, 1, 1, 2], 1, conv),                          // 1
        (&[2, 1, 1, 2], 0, vec![]),                        // 2 as 32 bits
        (&[2], 0, floats(&[0.5, -8.0])),                   // 3
        (&[1, 4, 4, 2], 0, vec![]),                        // 4 convolved
        (&[1, 1, 2], 0, floats(&[0.5, 0.25])),             // 5
        (&[1, 4, 4, 2], 0, vec![]),                        // 6 prelu
        (&[1, 3, 3, 2], 0, floats(&[1.0; 18])),            // 7
        (&[2], 0, floats(&[0.0, 1.0])),                    // 8
        (&[1, 2, 2, 2], 0, vec![]),                        // 9 depthwise
        (&[1, 2, 2, 2], 0, vec![]),                        // 10 max pool of 6
        (&[1, 2, 2, 2], 0, vec![]),                        // 11 sum, relu
        (&[1, 2, 2, 2], 0, vec![]),                        // 12 mean pool of 6
        (&[2], 2, integers(&[4, 4])),                      // 13
        (&[1, 4, 4, 2], 0, vec![]),                        // 14 resized 11
        (&[1, 2, 2, 2], 0, vec![]),                        // 15 max pool of 14
        (&[1, 2, 2, 4], 0, vec![]),                        // 16 11 and 12 beside each other
        (&[4, 2], 2, integers(&[0, 0, 0, 0, 0, 0, 0, 2])), // 17
        (&[1, 2, 2, 4], 0, vec![]),                        // 18 15 with two zero channels
        (&[1, 2, 2, 4], 0, vec![]),                        // 19 16 + 18
        (&[1, 16], 0, vec![]),                             // 20
    ];
    let pool = || vec![U8(1), I32(2), I32(2), I32(2), I32(2), U8(0)];
    let operators: Vec<Operator> = vec![
        (6, &[1], 2, vec![]),
        (
            3,
            &[0, 2, 3],
            4,
            vec![U8(1), I32(1), I32(1), U8(0), I32(1), I32(1)],
        ),
        (54, &[4, 5], 6, vec![]),
        (
            4,
            &[6, 7, 8],
            9,
            vec![U8(0), I32(2), I32(2), I32(1), U8(0), I32(1), I32(1)],
        ),
        (17, &[6], 10, pool()),
        (0, &[9, 10], 11, vec![U8(1)]),
        (1, &[6], 12, pool()),
        (23, &[11, 13], 14, vec![Left, Left, U8(0), U8(1)]),
        (17, &[14], 15, pool()),
        (2, &[11, 12], 16, vec![I32(-1), U8(0)]),
        (34, &[15, 17], 18, vec![]),
        (0, &[16, 18], 19, vec![U8(0)]),
        (22, &[19], 20, vec![]),
    ];
    write(&tensors, &operators, &[20, 11])
}

#[test]
fn every_operator_by_hand() {
    let mut network = Network::from_bytes(&made_model()).unwrap();
    assert_eq!(network.input_shape(), [1, 4, 4, 2]);
    assert_eq!(
        network.output_shapes().collect::<Vec<_>>(),
        [&[1, 16][..], &[1, 2, 2, 2][..]]
    );
    // First channel 1, second channel the number of the row.
    for (at, v) in network.input_mut().iter_mut().enumerate() {
        *v = if at % 2 == 0 { 1.0 } else { (at / 8) as f32 };
    }
    network.run();
    // Convolution: (2 + row + 0.5, row - 8); prelu leaves the first, quarters the second.
    let first = |row: f32| 2.5 + row;
    let second = |row: f32| 0.25 * (row - 8.0);
    // "Same" 3x3 with stride 2 on 4: rows 0..=2 and 2..=3, columns likewise 3 and 2.
    let depthwise = |rows: &[f32], columns: f32, of: &dyn Fn(f32) -> f32, bias: f32| {
        columns * rows.iter().map(|r| of(*r)).sum::<f32>() + bias
    };
    let (top, bottom) = ([0.0, 1.0, 2.0], [2.0, 3.0]);
    let mut sum = Vec::new();
    for (rows, below) in [(&top[..], 1.0), (&bottom[..], 3.0)] {
        for columns in [3.0, 2.0] {
            sum.push((depthwise(rows, columns, &first, 0.0) + first(below)).max(0.0));
            sum.push((depthwise(rows, columns, &second, 1.0) + second(below)).max(0.0));
        }
    }
    assert_eq!(network.output(1), sum);
    // Mean pool of 6; the largest of each 2x2 of the resized picture is weighted 9, 3, 3, 1
    // towards the middle or the corner itself, whichever is larger.
    let at = |row: usize, column: usize, c: usize| sum[(row * 2 + column) * 2 + c];
    let mut wanted = Vec::new();
    for row in 0..2 {
        for column in 0..2 {
            for c in 0..2 {
                let here = at(row, column, c);
                let mut options = vec![here];
                let (r, k) = (at(1 - row, column, c), at(row, 1 - column, c));
                options.push(0.75 * here + 0.25 * r);
                options.push(0.75 * here + 0.25 * k);
                let cross = at(1 - row, 1 - column, c);
                options.push((9.0 * here + 3.0 * r + 3.0 * k + cross) / 16.0);
                wanted.push(here + options.into_iter().fold(f32::MIN, f32::max));
            }
            let rows = 2.0 * row as f32;
            wanted.push((first(rows) + first(rows + 1.0)) / 2.0);
            wanted.push((second(rows) + second(rows + 1.0)) / 2.0);
        }
    }
    for (found, wanted) in network.output(0).iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
    }
    let once = network.output(0).to_vec();
    let mut clone = network.clone();
    clone.input_mut().copy_from_slice(network.input_mut());
    clone.run();
    network.run();
    assert_eq!(network.output(0), once);
    assert_eq!(clone.output(0), once);
}
