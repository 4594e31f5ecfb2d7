//! Credentials as users meet them: sealed files, and files that somebody has been at.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

mod authority;
mod damage;
mod formats;
mod identities;
mod times;
mod tools;
