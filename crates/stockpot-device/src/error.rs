//! Why a device cannot be used.

use crate::choice::Back;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that names no device.
    #[error("`{given}` is no device")]
    Unknown {
        /// As given.
        given: String,
    },
    /// A back end that this program was built without.
    #[error("This program was built without {back}{}", match built.as_slice() {
        [] => String::new(),
        some => format!("; it has {}", some.iter().map(Back::to_string).collect::<Vec<_>>().join(", ")),
    })]
    NotBuilt {
        /// What was asked for.
        back: Back,
        /// What it was built with.
        built: Vec<Back>,
    },
    /// No such device here.
    #[error("There is no {back} device {number} here{}", match *there {
        0 => String::from("; there is none at all"),
        1 => String::from("; there is one, number 0"),
        n => format!("; there are {n}, counted from 0"),
    })]
    Missing {
        /// Of which kind.
        back: Back,
        /// Which one was asked for.
        number: usize,
        /// How many there are.
        there: usize,
    },
    /// The driver or the library behind it gave up.
    #[error("The device failed: {reason}")]
    Failed {
        /// What it says.
        reason: String,
    },
    /// A batch or state that does not fit the device's training: our bug.
    #[error("Wrong length of {what}: {wanted} wanted, {found} found")]
    Shape {
        /// Which buffer.
        what: &'static str,
        /// Its length by the others.
        wanted: usize,
        /// Its length.
        found: usize,
    },
}

impl Error {
    /// The next thing to do, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => {
                Some("devices are `auto`, `cpu`, `vulkan`, `cuda`, `metal` and `wgpu`, a later one of a kind as in `vulkan:1`; `stockpot doctor` lists those here".into())
            }
            Self::NotBuilt { back, .. } => Some(format!(
                "build it in with `cargo build --release --package stockpot-cli --features {back}`, or use `--device cpu`"
            )),
            Self::Missing { .. } => Some(
                "`stockpot doctor` lists the devices here; a card needs its driver, Vulkan also the package `libvulkan1`".into(),
            ),
            Self::Failed { .. } => Some("use `--device cpu`, or a smaller `--batch` if its memory was short".into()),
            Self::Shape { .. } => None,
        }
    }
}
