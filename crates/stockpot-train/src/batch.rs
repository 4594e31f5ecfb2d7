//! What a step trains on: input and target faces of every person.
//!
//! Plain buffers, so that whoever makes them (a feeder, a test) needs nothing of ours but this.

/// Faces of one person, channels last, 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaceBatch {
    /// What the network sees (warped): `[faces, side, side, 3]`.
    pub input: Vec<f32>,
    /// What it should draw: `[faces, side, side, 3]`.
    pub target: Vec<f32>,
    /// Where the target's face is: `[faces, side, side]`.
    pub mask: Vec<f32>,
    /// What counts more than once (eyes and mouth): `[faces, side, side]`, or empty for 1
    /// everywhere.
    pub priority: Vec<f32>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Its number: with the seed, it decides every random choice that made it.
    pub number: u64,
    /// One entry per person, in the order of the training.
    pub persons: Vec<FaceBatch>,
}
