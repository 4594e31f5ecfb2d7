//! Families: a network kind with its preset. Shapes only ever match inside a family, and equal
//! shapes are never a proof that two halves belong together.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Widths of the comb network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CombSize {
    /// The small one: 384 numbers of code, for CPUs and small cards.
    S,
}

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The default: one encoder with a linear code, a trunk per person, RGB and mask out.
    Comb(CombSize),
    /// The network of 2018, exactly.
    Classic {
        /// Stride-2 convolutions of the encoder (FakeApp's "Layers"), 2 to 5.
        layers: u8,
        /// Width of the first dense layer (FakeApp's "Nodes"), 16 to 4096.
        nodes: u16,
        /// What every other width is divided by: 1 for the network itself, 2, 4, 8, 16 or 32 for
        /// its small copies.
        divisor: u8,
    },
}

/// A network kind and its resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Family {
    kind: Kind,
    resolution: u32,
}

impl Family {
    /// The default of new libraries.
    pub const DEFAULT: Self = Self {
        kind: Kind::Comb(CombSize::S),
        resolution: 96,
    };
    /// The network of the 2018 tools at their defaults.
    pub const CLASSIC: Self = Self {
        kind: Kind::Classic {
            layers: 4,
            nodes: 1024,
            divisor: 1,
        },
        resolution: 64,
    };
    /// Every comb preset, smallest first.
    pub const COMB: [Self; 3] = [
        Self {
            kind: Kind::Comb(CombSize::S),
            resolution: 64,
        },
        Self {
            kind: Kind::Comb(CombSize::S),
            resolution: 96,
        },
        Self {
            kind: Kind::Comb(CombSize::S),
            resolution: 128,
        },
    ];

    /// A classic network.
    ///
    /// # Errors
    /// [`Error::UnknownFamily`] outside 2 to 5 layers or 16 to 4096 nodes, or if the divisor is not
    /// a power of two up to 32.
    pub fn classic(layers: u8, nodes: u16, divisor: u8) -> Result<Self, Error> {
        let family = Self {
            kind: Kind::Classic {
                layers,
                nodes,
                divisor,
            },
            resolution: 64,
        };
        let known = (2..=5).contains(&layers)
            && (16..=4096).contains(&nodes)
            && divisor.is_power_of_two()
            && divisor <= 32;
        if known {
            return Ok(family);
        }
        Err(Error::UnknownFamily {
            name: family.to_string(),
        })
    }

    /// Which network.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Side of input and output in pixels.
    pub fn resolution(self) -> u32 {
        self.resolution
    }

    /// Arrays that tell an earlier network of this name from today's: names and shapes.
    /// `comb-s-64` began with widths of 64 and 48 at its finest maps and cost as much as
    /// `comb-s-96`.
    pub(crate) fn earlier_arrays(self) -> &'static [(&'static str, &'static [usize])] {
        match (self.kind, self.resolution) {
            (Kind::Comb(CombSize::S), 64) => &[
                ("encoder.stem.weight", &[3, 3, 12, 64]),
                ("decoder.head.weight", &[3, 3, 48, 4]),
            ],
            _ => &[],
        }
    }

    /// Whether decoders give a mask as a fourth channel.
    pub fn has_mask(self) -> bool {
        matches!(self.kind, Kind::Comb(_))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Comb(CombSize::S) => write!(f, "comb-s-{}", self.resolution),
            Kind::Classic {
                layers,
                nodes,
                divisor,
            } => {
                write!(f, "classic-{layers}x{nodes}")?;
                match divisor {
                    1 => Ok(()),
                    divisor => write!(f, "d{divisor}"),
                }
            }
        }
    }
}

impl FromStr for Family {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownFamily {
            name: text.chars().take(40).collect(),
        };
        if let Some(found) = Self::COMB.into_iter().find(|f| f.to_string() == text) {
            return Ok(found);
        }
        let rest = text.strip_prefix("classic-").ok_or_else(unknown)?;
        let (layers, nodes) = rest.split_once('x').ok_or_else(unknown)?;
        let (nodes, divisor) = nodes.split_once('d').unwrap_or((nodes, "1"));
        let layers = layers.parse().map_err(|_| unknown())?;
        let nodes = nodes.parse().map_err(|_| unknown())?;
        let divisor = divisor.parse().map_err(|_| unknown())?;
        let family = Self::classic(layers, nodes, divisor).map_err(|_| unknown())?;
        // One name per network: no leading zeros, no `d1`.
        if family.to_string() == text {
            Ok(family)
        } else {
            Err(unknown())
        }
    }
}

impl serde::Serialize for Family {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for Family {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let small = Family::classic(4, 128, 8).unwrap();
        assert_eq!(small.to_string(), "classic-4x128d8");
        for family in Family::COMB.into_iter().chain([Family::CLASSIC, small]) {
            assert_eq!(family.to_string().parse::<Family>().unwrap(), family);
        }
        for bad in [
            "",
            "comb-s-97",
            "classic-9x1024",
            "classic-4",
            "classic-4x70000",
            "classic-4x128d3",
            "classic-4x128d64",
            "classic-4x128d1",
            "classic-04x128",
            "x",
        ] {
            assert!(bad.parse::<Family>().is_err(), "{bad}");
        }
    }
}
