//! From an id to signs and back: a checksum of 24 bits and a convolutional code of rate 1/3, read
//! softly.
//!
//! 48 bits of id and 24 of checksum are followed by 8 zeros that bring the encoder back to its
//! first state; each of the 80 steps gives three code bits. Constraint length 9, generators 557,
//! 663 and 711 octal (the best of that length and rate: Larsen 1973; 3GPP TS 25.212 uses them).
//! The checksum is the CRC-24 of OpenPGP (RFC 4880, section 6.1). Knows nothing of pictures.

use crate::MarkId;

const CHECK_BITS: usize = 24;
const MEMORY: usize = 8;
const STATES: usize = 1 << MEMORY;
const STEPS: usize = MarkId::BITS + CHECK_BITS + MEMORY;
const GENERATORS: [u32; 3] = [0o557, 0o663, 0o711];

/// Code bits of a mark.
pub(crate) const CODE_BITS: usize = STEPS * GENERATORS.len();

/// The signs of an id's code bits, +1 or -1.
pub(crate) fn encode(id: MarkId) -> [f32; CODE_BITS] {
    let mut signs = [0.0; CODE_BITS];
    let mut register = 0;
    for (step, out) in signs.chunks_exact_mut(GENERATORS.len()).enumerate() {
        register = (register << 1 | bit(&message(id), step)) & (2 * STATES as u32 - 1);
        for (sign, generator) in out.iter_mut().zip(GENERATORS) {
            *sign = output(register, generator);
        }
    }
    signs
}

/// The id whose code is nearest to these signs, if its checksum is right. `soft` holds for each
/// code bit how much speaks for +1, in any common unit.
pub(crate) fn decode(soft: &[f32; CODE_BITS]) -> Option<MarkId> {
    let outputs = register_outputs();
    // The metric of each state, and for each step and state the bit that fell out of the register.
    let mut metrics = [f32::NEG_INFINITY; STATES];
    metrics[0] = 0.0;
    let mut dropped = vec![[0u8; STATES]; STEPS];
    for (three, dropped) in soft.chunks_exact(GENERATORS.len()).zip(&mut dropped) {
        let mut next = [f32::NEG_INFINITY; STATES];
        for (to, (best, dropped)) in next.iter_mut().zip(dropped.iter_mut()).enumerate() {
            for old in 0..2 {
                // The register holds the state it came from and the new bit, which is bit 0 of `to`.
                let register = old << MEMORY | to;
                let gain: f32 = outputs[register]
                    .iter()
                    .zip(three)
                    .map(|(o, s)| o * s)
                    .sum();
                let metric = metrics[register >> 1] + gain;
                if metric > *best {
                    (*best, *dropped) = (metric, old as u8);
                }
            }
        }
        metrics = next;
    }
    let mut bytes = [0u8; (MarkId::BITS + CHECK_BITS) / 8];
    let mut state = 0;
    for step in (0..STEPS).rev() {
        if step < bytes.len() * 8 {
            bytes[step / 8] |= ((state & 1) as u8) << (7 - step % 8);
        }
        state = (usize::from(dropped[step][state]) << MEMORY | state) >> 1;
    }
    let mut id = [0; MarkId::BITS / 8];
    id.copy_from_slice(&bytes[..MarkId::BITS / 8]);
    let id = MarkId::new(id);
    (message(id) == bytes).then_some(id)
}

fn register_outputs() -> Vec<[f32; 3]> {
    (0..2 * STATES as u32)
        .map(|register| GENERATORS.map(|generator| output(register, generator)))
        .collect()
}

fn output(register: u32, generator: u32) -> f32 {
    if (register & generator).count_ones().is_multiple_of(2) {
        1.0
    } else {
        -1.0
    }
}

/// Id and checksum.
fn message(id: MarkId) -> [u8; (MarkId::BITS + CHECK_BITS) / 8] {
    let [a, b, c, d, e, f] = id.bytes();
    let [_, x, y, z] = crc24(&id.bytes()).to_be_bytes();
    [a, b, c, d, e, f, x, y, z]
}

/// Bit number `at` of the message, highest first; zeros after its end.
fn bit(message: &[u8], at: usize) -> u32 {
    message
        .get(at / 8)
        .map_or(0, |byte| u32::from(byte >> (7 - at % 8) & 1))
}

fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;

    use super::*;

    fn some_id(n: u64) -> MarkId {
        let [a, b, c, d, e, f, ..] = Rng::stream(3, "mark test id", n).next_u64().to_be_bytes();
        MarkId::new([a, b, c, d, e, f])
    }

    #[test]
    fn the_checksum_is_openpgps() {
        // The check value of CRC-24/OPENPGP in Greg Cook's catalogue.
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
    }

    #[test]
    fn codes_survive_noise_and_noise_alone_is_nothing() {
        let mut read = 0;
        for n in 0..40 {
            let id = some_id(n);
            let mut rng = Rng::stream(3, "mark test noise", n);
            let clean = encode(id);
            assert_eq!(decode(&clean), Some(id));
            // Each code bit at 0 dB: one in six is wrong by its sign.
            let noisy = clean.map(|s| s + 1.0 * rng.normal());
            read += usize::from(decode(&noisy) == Some(id));
            assert_eq!(decode(&clean.map(|_| rng.normal())), None);
        }
        assert!(read >= 38, "{read} of 40");
        assert_eq!(decode(&[f32::NAN; CODE_BITS]), None);
    }
}
