//! What a step trains on: input and target faces of every person.
//!
//! Plain buffers, so that whoever makes them (a feeder, a test) needs nothing of ours but this,
//! and can move its own buffers in and out without a copy.

/// Faces, channels last, 0 to 1, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaceBatch {
    /// What the network sees (warped): `[faces, side, side, 3]`.
    pub input: Vec<f32>,
    /// What it should draw: `[faces, side, side, 3]`.
    pub target: Vec<f32>,
    /// Where the target's face is: `[faces, side, side]`.
    pub mask: Vec<f32>,
    /// What each pixel counts, 0 or more (eyes and mouth more than 1): `[faces, side, side]`, or
    /// empty for 1 everywhere.
    pub weight: Vec<f32>,
}

/// One batch of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Its number: with the seed, it decides every random choice that made it.
    pub number: u64,
    /// Which of the batches that come again and again it is; none if each comes once. All batches
    /// of one trainer with the same content must hold the same faces: a frozen encoder looks at
    /// them once and the trainer keeps their codes.
    pub content: Option<u64>,
    /// Faces of the first person, then of the second, …, in the order of the training and as many
    /// of each as the settings say.
    pub faces: FaceBatch,
}
