//! stockpot-jobs
