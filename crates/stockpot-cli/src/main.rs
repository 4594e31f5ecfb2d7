//! The `stockpot` program.
fn main() {}
