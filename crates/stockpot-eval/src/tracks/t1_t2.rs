//! T1, reconstruct, and T2, swap truth.

use stockpot_jobs::JobError;

use super::Findings;
use crate::bench::World;

/// How well both persons' unseen frames are redrawn.
///
/// # Errors
/// If the pair cannot be made.
pub fn reconstruct(world: &mut World) -> Result<Findings, JobError> {
    world.pair()?;
    Ok(Findings::default())
}

/// How far swapped faces are from the truth.
///
/// # Errors
/// If the pair cannot be made.
pub fn swap_truth(world: &mut World) -> Result<Findings, JobError> {
    world.pair()?;
    Ok(Findings::default())
}
