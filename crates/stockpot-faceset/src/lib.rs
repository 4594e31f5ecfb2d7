//! stockpot-faceset
