//! A small fingerprint to tell whether something changed. Not for security: what must be proof
//! against forgery is hashed with BLAKE3 in the library.

/// FNV-1a with 128 bits, with the parameters that Fowler, Noll and Vo published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of nothing.
    pub(crate) const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// With these bytes appended.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    /// As 16 bytes for a file header.
    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_value() {
        let mut print = Fingerprint::new();
        print.add(b"a");
        // The test vector of the algorithm's authors for the single letter `a`.
        assert_eq!(print.0, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
