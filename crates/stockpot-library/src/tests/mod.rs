//! The tests of the whole library.
