//! T11, speed: how quickly this machine trains and converts. Timings never fail anything.

use stockpot_jobs::JobError;

use super::Findings;
use crate::bench::World;

/// Measures.
///
/// # Errors
/// If the user stopped.
pub fn speed(world: &mut World) -> Result<Findings, JobError> {
    world.check_cancel()?;
    Ok(Findings::default())
}
