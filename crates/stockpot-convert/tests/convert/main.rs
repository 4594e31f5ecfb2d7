//! Tests of the public interface: one binary, one module per question.

mod colour;
mod edges;
mod golden;
mod round_trip;
mod scene;
