//! Which device: what the user wrote, what was built in, what is here.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A way to a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Any card with a Vulkan driver: AMD, Intel, NVIDIA.
    Vulkan,
    /// NVIDIA cards.
    Cuda,
    /// Apple's.
    Metal,
    /// Any card by way of WGSL: slower than the others, and less picky about drivers.
    Wgpu,
    /// Burn's CPU back end, for tests.
    Flex,
}

impl Back {
    /// All of them, in the order in which `auto` looks for a card.
    pub const ALL: [Self; 5] = [
        Self::Cuda,
        Self::Metal,
        Self::Vulkan,
        Self::Wgpu,
        Self::Flex,
    ];

    /// Whether it was compiled in.
    pub fn is_built(self) -> bool {
        match self {
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Flex => cfg!(feature = "flex"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Wgpu => "wgpu",
            Self::Flex => "flex",
        }
    }
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One device of a back end, as in `vulkan:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// By which way.
    pub back: Back,
    /// Which of that kind, in the order in which the driver lists them.
    pub number: usize,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.back, self.number)
    }
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Unknown { given: text.into() };
        let (word, number) = match text.split_once(':') {
            Some((word, number)) => (word, number.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        let back = Back::ALL.into_iter().find(|back| back.word() == word);
        Ok(Self {
            back: back.ok_or_else(unknown)?,
            number,
        })
    }
}

/// A device that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How to ask for it.
    pub choice: Choice,
    /// How it names itself.
    pub name: String,
    /// Whether it is a card; software drivers, which run on the CPU, are not.
    pub is_card: bool,
}

/// Every device that this build can use, best first. Opens each of them, which takes a moment.
#[cfg(not(feature = "burn"))]
pub fn found() -> Vec<Found> {
    Vec::new()
}

/// Every device that this build can use, best first. Opens each of them, which takes a moment.
#[cfg(feature = "burn")]
pub fn found() -> Vec<Found> {
    let mut out = Vec::new();
    for back in Back::ALL.into_iter().filter(|back| back.is_built()) {
        for (number, device) in crate::session::devices(back).into_iter().enumerate() {
            let identity = crate::session::identity(&device);
            out.extend(identity.map(|(name, is_card)| Found {
                choice: Choice { back, number },
                name,
                is_card,
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_kind_and_number() {
        let read = |text: &str| text.parse::<Choice>();
        let vulkan = |number| Choice {
            back: Back::Vulkan,
            number,
        };
        assert_eq!(read("vulkan").unwrap(), vulkan(0));
        assert_eq!(read("vulkan:1").unwrap(), vulkan(1));
        assert_eq!(read("vulkan:1").unwrap().to_string(), "vulkan:1");
        for wrong in ["", "gpu", "vulkan:", "vulkan:-1", "cuda:x", "Vulkan"] {
            let error = read(wrong).unwrap_err();
            assert!(error.hint().unwrap().contains("`auto`"), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_built_in_says_how_to_build_it() {
        let missing = Back::ALL.into_iter().find(|back| !back.is_built());
        let Some(back) = missing else {
            return;
        };
        let network = stockpot_model::Network::new(stockpot_model::Family::DEFAULT);
        let choice = Choice { back, number: 0 };
        let error = crate::open(&choice, &network).unwrap_err();
        assert!(matches!(error, Error::NotBuilt { .. }));
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("--features {back}")), "{hint}");
    }
}
