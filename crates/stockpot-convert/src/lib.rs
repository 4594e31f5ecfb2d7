//! stockpot-convert
