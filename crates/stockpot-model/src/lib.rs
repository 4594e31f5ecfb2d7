//! stockpot-model
