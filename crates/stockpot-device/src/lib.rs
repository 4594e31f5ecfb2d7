//! Training steps on a graphics card: the networks' graphs interpreted by Burn, the same loss and
//! the same optimiser as on the CPU, weights and the optimiser's memory on the card from one save to
//! the next.
//!
//! Knows the networks and the trainer's [`Accelerator`](stockpot_train::Accelerator); knows nothing
//! of files, libraries or the command line. Start with [`open`]; then [`network`] runs a graph, [`loss`]
//! compares faces, [`session`] makes the step.
//!
//! Burn is compiled in by the features `vulkan`, `cuda` and `metal` (and `flex`, for tests). Without
//! any, [`open`] says so.

mod choice;
mod error;
#[cfg(feature = "burn")]
mod loss;
#[cfg(feature = "burn")]
mod network;
#[cfg(feature = "burn")]
mod session;

pub use choice::{Back, Choice, Found, found};
pub use error::Error;
#[cfg(feature = "burn")]
pub use session::{Session, open};

/// Opens a device for a training.
///
/// # Errors
/// Always [`Error::NotBuilt`]: this program was built without any back end.
#[cfg(not(feature = "burn"))]
pub fn open(
    choice: &Choice,
    _network: &stockpot_model::Network,
) -> Result<Box<dyn stockpot_train::Accelerator>, Error> {
    Err(Error::NotBuilt {
        back: choice.back,
        built: Vec::new(),
    })
}
