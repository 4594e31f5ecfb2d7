//! TensorBoard event files, written by hand.
//!
//! A file is a row of records: length (u64), masked CRC-32C of the length, data, masked CRC-32C
//! of the data, all little-endian. The data is a protocol-buffer `Event`; the field numbers used
//! here are those of `tensorflow/core/util/event.proto` and `framework/summary.proto`:
//! `Event { 1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log }`,
//! `Summary { 1 value { 1 tag, 2 simple_value, 4 image { 1 height, 2 width, 3 colorspace, 4 png } } }`,
//! `SessionLog { 1 status }`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use stockpot_core::Size;

use crate::error::Error;

/// Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};
/// `SessionLog.SessionStatus.START`: TensorBoard drops what earlier files have from its step on.
const SESSION_START: u64 = 1;
/// `Image.colorspace` of RGB.
const COLORSPACE_RGB: u64 = 3;

/// An event file of one part of a run.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
}

impl EventLog {
    /// Makes a new file in `folder` (made if missing). `unix_secs` and `step` say when and where
    /// this part of the run starts; what earlier files of the folder have from `step` on is
    /// replaced by this one in TensorBoard's view.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(folder: &Path, unix_secs: f64, step: u64) -> Result<Self, Error> {
        let name = format!(
            "events.out.tfevents.{:010}.stockpot.{step}",
            unix_secs as u64
        );
        let path = folder.join(name);
        let io = |source| Error::Io {
            action: "make",
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let file = File::create(&path).map_err(io)?;
        let mut log = Self { file, path };
        let mut version = Message::event(unix_secs, 0);
        version.bytes(3, b"brain.Event:2");
        log.append(&version)?;
        log.restart(unix_secs, step)?;
        Ok(log)
    }

    /// Says that everything from `step` on is told anew.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn restart(&mut self, unix_secs: f64, step: u64) -> Result<(), Error> {
        let mut status = Message::default();
        status.varint(1, SESSION_START);
        let mut event = Message::event(unix_secs, step);
        event.bytes(7, &status.0);
        self.append(&event)
    }

    /// Numbers of one step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalars(
        &mut self,
        unix_secs: f64,
        step: u64,
        scalars: &[(String, f64)],
    ) -> Result<(), Error> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, *value as f32);
            summary.bytes(1, &entry.0);
        }
        let mut event = Message::event(unix_secs, step);
        event.bytes(5, &summary.0);
        self.append(&event)
    }

    /// A picture.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn image(
        &mut self,
        unix_secs: f64,
        step: u64,
        tag: &str,
        size: Size,
        png: &[u8],
    ) -> Result<(), Error> {
        let mut image = Message::default();
        image.varint(1, u64::from(size.height));
        image.varint(2, u64::from(size.width));
        image.varint(3, COLORSPACE_RGB);
        image.bytes(4, png);
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.bytes(4, &image.0);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        let mut event = Message::event(unix_secs, step);
        event.bytes(5, &summary.0);
        self.append(&event)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, event: &Message) -> Result<(), Error> {
        let data = &event.0;
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        let io = |source| Error::Io {
            action: "write to",
            path: self.path.clone(),
            source,
        };
        self.file.write_all(&record).map_err(io)
    }
}

/// A protocol-buffer message under construction.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn event(unix_secs: f64, step: u64) -> Self {
        let mut event = Self::default();
        event.key(1, 1);
        event.0.extend(unix_secs.to_le_bytes());
        event.varint(2, step);
        event
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.raw_varint(field << 3 | wire);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8;
    !bytes.iter().fold(!0, step)
}

/// The mask that TFRecord files put on a checksum.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_known_vectors() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
    }

    /// Fields of a message: number and value (numbers as little-endian bytes).
    fn parse(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return value;
                }
            }
            panic!("endless varint");
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => varint(&mut bytes).to_le_bytes().to_vec(),
                wire => {
                    let length = match wire {
                        1 => 8,
                        5 => 4,
                        _ => varint(&mut bytes) as usize,
                    };
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    value.to_vec()
                }
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    fn field(message: &[u8], number: u64) -> Vec<u8> {
        parse(message)
            .into_iter()
            .find(|(n, _)| *n == number)
            .unwrap()
            .1
    }

    #[test]
    fn a_file_parses_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 1.7e9, 40).unwrap();
        let scalars = [("loss/anna".to_owned(), 0.5), ("rate".to_owned(), 1e-3)];
        log.scalars(1.7e9 + 1.0, 300, &scalars).unwrap();
        log.image(1.7e9 + 2.0, 301, "preview", Size::new(7, 200), b"png bytes")
            .unwrap();
        let bytes = std::fs::read(log.path()).unwrap();
        let mut rest = &bytes[..];
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(
                rest[12 + length..16 + length],
                masked_crc(data).to_le_bytes()
            );
            events.push(data.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 4);
        assert_eq!(field(&events[0], 3), b"brain.Event:2");
        assert_eq!(field(&events[0], 1), 1.7e9f64.to_le_bytes());
        assert_eq!(field(&events[1], 2), 40u64.to_le_bytes());
        assert_eq!(field(&field(&events[1], 7), 1), 1u64.to_le_bytes());
        let summary = parse(&field(&events[2], 5));
        assert_eq!(summary.len(), 2);
        assert_eq!(field(&summary[0].1, 1), b"loss/anna");
        assert_eq!(field(&summary[0].1, 2), 0.5f32.to_le_bytes());
        assert_eq!(field(&events[2], 2), 300u64.to_le_bytes());
        let image = field(&field(&field(&events[3], 5), 1), 4);
        assert_eq!(field(&image, 1), 200u64.to_le_bytes());
        assert_eq!(field(&image, 2), 7u64.to_le_bytes());
        assert_eq!(field(&image, 4), b"png bytes");
    }
}
