//! stockpot-library
