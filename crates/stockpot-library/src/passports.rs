//! Passports: what an encoder state's codes are on the calibration faces, kept beside the state.
//!
//! A record of its own, because it can also be made after the state was committed; the state's
//! record never changes. Which faces they are and what the bytes mean is not looked at here.

use serde::{Deserialize, Serialize};
use stockpot_core::ContentHash;

use crate::SOFTWARE;
use crate::error::Result;
use crate::library::{Library, Writer};
use crate::record::{Record, Stored};
use crate::store;

/// The passport of one encoder state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassportRecord {
    /// The record of the encoder state.
    pub encoder_state: ContentHash,
    /// The codes.
    pub object: ContentHash,
    /// The calibration faces, by the hash of their pixels: only passports over the same faces can be
    /// compared.
    pub faces: ContentHash,
    /// How many faces.
    pub count: u64,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that made it.
    pub software: String,
}

/// A passport to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPassport {
    /// The record of the encoder state.
    pub encoder_state: ContentHash,
    /// The codes as they are to lie on disk.
    pub bytes: Vec<u8>,
    /// The hash of the faces' pixels.
    pub faces: ContentHash,
    /// How many faces.
    pub count: u64,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

impl Library {
    /// All passports, by encoder state and then oldest first. Records that cannot be read are left
    /// out; `verify` reports them.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn passports(&self) -> Result<Vec<Stored<PassportRecord>>> {
        let mut out = Vec::new();
        for hash in store::list_records(&self.layout)? {
            if let Ok(Record::Passport(record)) = store::get_record(&self.layout, &hash) {
                out.push(Stored { hash, record });
            }
        }
        out.sort_by_key(|p| (p.record.encoder_state, p.record.created_secs, p.hash));
        Ok(out)
    }
}

impl Writer<'_> {
    /// Stores the passport of a kept encoder state.
    ///
    /// # Errors
    /// If the encoder state is missing or none, or what the machine refuses.
    pub fn put_passport(&self, passport: NewPassport) -> Result<Stored<PassportRecord>> {
        self.library.encoder_state(&passport.encoder_state)?;
        let record = PassportRecord {
            encoder_state: passport.encoder_state,
            object: self.put_object(&passport.bytes)?,
            faces: passport.faces,
            count: passport.count,
            created_secs: passport.now_secs,
            software: SOFTWARE.into(),
        };
        let hash = self.put_record(&Record::Passport(record.clone()))?;
        Ok(Stored { hash, record })
    }
}
