//! Tests of the public interface: one binary, one module per question.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do; clippy exempts the test functions only"
)]

mod colour;
mod edges;
mod golden;
mod round_trip;
mod scene;
