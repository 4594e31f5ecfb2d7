//! stockpot-train
