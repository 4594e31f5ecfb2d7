//! Protocol buffers, the half of them that writing ONNX needs: numbers, texts and messages in
//! messages. Field numbers are the callers' business. Weights are kept as they are and turned to
//! bytes while they are written, so that a model is in memory once.
//!
//! Source of the encoding: the public description of protocol buffers ("Encoding").

use std::io::Write;

/// A message that grows field by field.
#[derive(Debug, Default)]
pub(super) struct Message {
    parts: Vec<Part>,
    bytes: u64,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

/// How a field's value lies in the file.
#[derive(Debug, Clone, Copy)]
enum Wire {
    Varint = 0,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A whole number.
    pub(super) fn int(&mut self, field: u32, value: u64) {
        self.key(field, Wire::Varint);
        self.varint(value);
    }

    /// A number that may be negative, as `int64` has it.
    pub(super) fn signed(&mut self, field: u32, value: i64) {
        self.int(field, value.cast_unsigned());
    }

    /// A 32-bit number.
    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.key(field, Wire::Fixed32);
        self.raw(&value.to_le_bytes());
    }

    /// A text.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.data(field, value.as_bytes());
    }

    /// Bytes.
    pub(super) fn data(&mut self, field: u32, value: &[u8]) {
        self.key(field, Wire::Length);
        self.varint(value.len() as u64);
        self.raw(value);
    }

    /// Numbers as one field of bytes, little-endian.
    pub(super) fn floats(&mut self, field: u32, values: Vec<f32>) {
        let bytes = 4 * values.len() as u64;
        self.key(field, Wire::Length);
        self.varint(bytes);
        self.bytes += bytes;
        self.parts.push(Part::Floats(values));
    }

    /// A message in this one.
    pub(super) fn message(&mut self, field: u32, inner: Self) {
        self.key(field, Wire::Length);
        self.varint(inner.bytes);
        self.bytes += inner.bytes;
        self.parts.extend(inner.parts);
    }

    /// Writes all of it.
    pub(super) fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => out.write_all(bytes)?,
                Part::Floats(values) => {
                    // A few pages at a time: the writer may pass each piece on to the system.
                    for some in values.chunks(1 << 14) {
                        let bytes: Vec<u8> = some.iter().flat_map(|v| v.to_le_bytes()).collect();
                        out.write_all(&bytes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    fn varint(&mut self, mut value: u64) {
        let mut bytes = [0; 10];
        let mut len = 0;
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            bytes[len] = low | if value == 0 { 0 } else { 0x80 };
            len += 1;
            if value == 0 {
                break;
            }
        }
        self.raw(&bytes[..len]);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Part::Bytes(bytes.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        message.write_to(&mut out).unwrap();
        assert_eq!(out.len() as u64, message.bytes());
        out
    }

    /// Examples of the public description, and its rules worked by hand.
    #[test]
    fn fields_are_encoded_as_described() {
        let mut a = Message::default();
        a.int(1, 150);
        assert_eq!(written(&a), [0x08, 0x96, 0x01]);
        let mut b = Message::default();
        b.text(2, "testing");
        assert_eq!(written(&b), b"\x12\x07testing");
        let mut c = Message::default();
        c.message(3, a);
        assert_eq!(written(&c), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut d = Message::default();
        d.signed(1, -1);
        let minus_one = [0xff; 9].into_iter().chain([1]);
        assert_eq!(
            written(&d),
            [0x08].into_iter().chain(minus_one).collect::<Vec<u8>>()
        );
        let mut e = Message::default();
        e.float(2, 1.0);
        e.floats(16, vec![0.5, -2.0]);
        // Field 16 has a key of two bytes.
        let bytes = [
            0x15, 0, 0, 0x80, 0x3f, 0x82, 0x01, 8, 0, 0, 0, 0x3f, 0, 0, 0, 0xc0,
        ];
        assert_eq!(written(&e), bytes);
    }

    #[test]
    fn lengths_of_every_size_are_right() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut inner = Message::default();
            inner.data(1, &vec![7; len]);
            let inner_bytes = inner.bytes();
            let mut outer = Message::default();
            outer.floats(9, vec![1.5; len]);
            outer.message(2, inner);
            let bytes = written(&outer);
            assert!(bytes.len() as u64 > inner_bytes + 4 * len as u64);
            assert_eq!(&bytes[bytes.len() - len..], vec![7; len]);
        }
    }
}
