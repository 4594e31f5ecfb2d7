//! stockpot-media
