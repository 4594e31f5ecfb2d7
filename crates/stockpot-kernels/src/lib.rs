//! stockpot-kernels
