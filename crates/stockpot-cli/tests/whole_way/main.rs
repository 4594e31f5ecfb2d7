//! The whole way from videos to a swapped video, through the program as it is typed.
//!
//! Faces are of two made-up people in `testdata/`. What this needs and finds missing (the face
//! models, ffmpeg, a mount of its own) it says, and passes. Start with [`tools::Stock`]; then `way`
//! (everything goes well), `demo` (made-up people), `eval` (measuring), `resume` (stopped and killed
//! trainings) and `bad` (what cannot work, and what the program says then).

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

mod bad;
mod demo;
mod eval;
mod resume;
mod sealed;
mod tools;
mod way;
