//! stockpot-faces
