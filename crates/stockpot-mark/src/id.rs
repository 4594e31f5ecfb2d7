//! What the mark says: the id of a seal, 48 bits.

use std::fmt;
use std::str::FromStr;

use stockpot_core::ContentHash;

use crate::Error;

/// The id of a seal that a mark carries: 48 bits, written as 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkId([u8; 6]);

impl MarkId {
    /// Bits of an id.
    pub const BITS: usize = 48;

    /// An id of these bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The first 48 bits of a hash: how a seal's hash becomes the id of its mark.
    pub fn of_hash(hash: &ContentHash) -> Self {
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&hash.0[..6]);
        Self(bytes)
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MarkId({self})")
    }
}

impl FromStr for MarkId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::NotAnId {
            text: text.chars().take(40).collect(),
        };
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 6];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let id = MarkId::new([0, 0x1f, 0xa0, 3, 0xff, 9]);
        assert_eq!(id.to_string(), "001fa003ff09");
        assert_eq!("001FA003ff09".parse(), Ok(id));
        for bad in [
            "",
            "001fa003ff0",
            "001fa003ff099",
            "001fa003ff0g",
            "+01fa003ff09",
            "é1fa003ff09",
        ] {
            assert!(bad.parse::<MarkId>().is_err(), "{bad}");
        }
        let hash = ContentHash(std::array::from_fn(|i| i as u8));
        assert_eq!(MarkId::of_hash(&hash).to_string(), "000102030405");
    }
}
