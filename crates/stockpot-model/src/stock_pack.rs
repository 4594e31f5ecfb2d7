//! The packing of stock files: the same bytes in about seven tenths of the room.
//!
//! In bf16 the upper byte of a number, its sign and most of its exponent, takes few values and the
//! lower one all of them. So the two are parted, all even bytes of the file first and then all odd
//! ones, and deflated (RFC 1950). Nothing is lost. `docs/formats/stock.md` has the format.

use std::borrow::Cow;
use std::io::{Read, Write};

use crate::error::Error;

/// What a packed file begins with; the length of the unpacked file follows, u64 little-endian.
const MAGIC: &[u8; 8] = b"stkpack1";
/// Longest file that is unpacked, far above any stock: a header cannot ask for all memory.
const MOST_BYTES: u64 = 256 << 20;

/// Packs a file.
pub(crate) fn pack(file: &[u8]) -> Result<Vec<u8>, Error> {
    let (even, odd) = (file.iter().step_by(2), file.iter().skip(1).step_by(2));
    let parted: Vec<u8> = even.chain(odd).copied().collect();
    let mut packed = MAGIC.to_vec();
    packed.extend((file.len() as u64).to_le_bytes());
    let mut encoder = flate2::write::ZlibEncoder::new(packed, flate2::Compression::default());
    let written = encoder.write_all(&parted).and_then(|()| encoder.finish());
    written.map_err(|e| wrong(format!("it cannot be packed: {e}")))
}

/// Unpacks a packed file; other bytes come back as they are.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Ok(bytes.into());
    };
    let Some((length, packed)) = rest.split_first_chunk::<8>() else {
        return Err(wrong("it ends inside its header".into()));
    };
    let length = u64::from_le_bytes(*length);
    if length > MOST_BYTES {
        let most = MOST_BYTES >> 20;
        return Err(wrong(format!(
            "it says that it unpacks to {length} bytes, no stock has more than {most} MiB"
        )));
    }
    let mut parted = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(packed).take(length + 1);
    if let Err(e) = decoder.read_to_end(&mut parted) {
        return Err(wrong(format!("it cannot be unpacked: {e}")));
    }
    if parted.len() as u64 != length {
        return Err(wrong("it does not unpack to the length it says".into()));
    }
    let (even, odd) = parted.split_at(parted.len().div_ceil(2));
    let mut file = vec![0; parted.len()];
    for (pair, (at, even)) in file.chunks_mut(2).zip(even.iter().enumerate()) {
        pair[0] = *even;
        if let (Some(place), Some(odd)) = (pair.get_mut(1), odd.get(at)) {
            *place = *odd;
        }
    }
    Ok(file.into())
}

fn wrong(reason: String) -> Error {
    Error::NotWeights { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_and_numbers_take_less_room() {
        for length in [0usize, 1, 2, 7, 1000] {
            let file: Vec<u8> = (0..length).map(|i| (i * 37 % 251) as u8).collect();
            assert_eq!(*unpack(&pack(&file).unwrap()).unwrap(), file[..]);
            assert_eq!(*unpack(&file).unwrap(), file[..]);
        }
        let mut rng = stockpot_core::Rng::stream(1, "pack", 0);
        let numbers = (0..50_000).map(|_| (0.02 * rng.normal()).to_bits() >> 16);
        let file: Vec<u8> = numbers.flat_map(|n| (n as u16).to_le_bytes()).collect();
        assert!(pack(&file).unwrap().len() < file.len() * 3 / 4);
    }

    #[test]
    fn broken_packings_are_refused() {
        let packed = pack(&[7; 400]).unwrap();
        assert!(unpack(&packed[..12]).is_err());
        assert!(unpack(&packed[..packed.len() - 6]).is_err());
        for said in [399u64, 401, u64::MAX] {
            let mut lying = packed.clone();
            lying[8..16].copy_from_slice(&said.to_le_bytes());
            assert!(unpack(&lying).is_err(), "{said}");
        }
        let mut flipped = packed;
        flipped[20] ^= 0xff;
        assert!(unpack(&flipped).is_err());
    }
}
