//! The bytes of a checkpoint. `docs/formats/checkpoint.md` says the same in words.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpot_core::{ContentHash, PersonName};

use super::{Checkpoint, CheckpointMeta};
use crate::error::Error;
use crate::optim::Slots;
use crate::settings::TrainSettings;
use crate::state::{Position, TrainState};
use crate::trainer::LiteMark;

/// First bytes of every checkpoint.
pub const MAGIC: [u8; 8] = *b"STOCKCKP";
/// The newest format this program reads.
pub const FORMAT_VERSION: u32 = 2;
/// The format without lite persons, which is written where there are none.
const WITHOUT_LITE: u32 = 1;
/// A longer header is not read: some thousand persons fit in a tenth of it.
pub const MAX_HEADER_BYTES: usize = 16 << 20;

/// Magic, version, header length.
const PREFIX: usize = 16;
const HASH: usize = blake3::OUT_LEN;
/// Numbers converted at once.
const BLOCK: usize = 1 << 14;
/// Buffers of a network half, in the order of the file.
const SLOTS: [&str; 4] = ["weights", "first", "second", "ema"];

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderFile {
    family: String,
    settings: Value,
    parents: BTreeMap<String, ContentHash>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lite: BTreeMap<PersonName, LiteMark>,
    position: Position,
    persons: Vec<PersonName>,
    arrays: Vec<ArrayFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayFile {
    name: String,
    numbers: u64,
}

/// Writes a checkpoint; the caller flushes and syncs.
///
/// # Errors
/// What the sink says.
pub fn write(
    sink: &mut dyn Write,
    meta: &CheckpointMeta,
    state: &TrainState,
) -> std::io::Result<()> {
    let arrays = state
        .arrays()
        .map(|(name, data)| ArrayFile {
            name,
            numbers: data.len() as u64,
        })
        .collect();
    let header = HeaderFile {
        family: meta.family.clone(),
        settings: serde_json::to_value(&meta.settings)?,
        parents: meta.parents.clone(),
        lite: meta.lite.clone(),
        position: state.position.clone(),
        persons: state.persons.iter().map(|(name, _)| name.clone()).collect(),
        arrays,
    };
    let header = serde_json::to_vec(&header)?;
    let length = u32::try_from(header.len()).map_err(std::io::Error::other)?;
    sink.write_all(&MAGIC)?;
    let version = match meta.lite.is_empty() {
        true => WITHOUT_LITE,
        false => FORMAT_VERSION,
    };
    sink.write_all(&version.to_le_bytes())?;
    sink.write_all(&length.to_le_bytes())?;
    sink.write_all(&header)?;
    sink.write_all(blake3::hash(&header).as_bytes())?;
    let mut bytes = vec![0u8; 4 * BLOCK];
    for (_, data) in state.arrays() {
        let mut hasher = blake3::Hasher::new();
        for block in data.chunks(BLOCK) {
            let bytes = &mut bytes[..4 * block.len()];
            for (out, v) in bytes.chunks_exact_mut(4).zip(block) {
                out.copy_from_slice(&v.to_le_bytes());
            }
            hasher.update(bytes);
            sink.write_all(bytes)?;
        }
        sink.write_all(hasher.finalize().as_bytes())?;
    }
    Ok(())
}

/// Reads and checks a checkpoint. Nothing is allocated that the file is not long enough for.
///
/// # Errors
/// [`Error::BrokenCheckpoint`] if a byte is missing, too many or altered;
/// [`Error::NewerCheckpoint`]; [`Error::Io`].
pub fn read(path: &Path) -> Result<Checkpoint, Error> {
    let io = |source| Error::Io {
        action: "read the checkpoint",
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    read_from(&mut BufReader::with_capacity(4 * BLOCK, file), length, path)
}

fn read_from(source: &mut dyn Read, length: u64, path: &Path) -> Result<Checkpoint, Error> {
    let broken = |reason: String| Error::BrokenCheckpoint {
        reason,
        path: path.into(),
    };
    let mut reader = Reader { source, path };
    let prefix: [u8; PREFIX] = reader.bytes()?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| prefix[at + i]));
    if prefix[..8] != MAGIC {
        return Err(broken("it does not begin like one".into()));
    }
    let (version, header_bytes) = (word(8), word(12) as usize);
    if version > FORMAT_VERSION {
        let newest = FORMAT_VERSION;
        return Err(Error::NewerCheckpoint {
            found: version,
            newest,
            path: path.into(),
        });
    }
    if version == 0 || header_bytes > MAX_HEADER_BYTES || header_bytes as u64 > length {
        return Err(broken(format!(
            "format {version} with a header of {header_bytes} bytes"
        )));
    }
    let mut header = vec![0; header_bytes];
    reader.fill(&mut header)?;
    reader.check(blake3::hash(&header), "header")?;
    let header: HeaderFile =
        serde_json::from_slice(&header).map_err(|e| broken(format!("its header: {e}")))?;
    let wanted = expected_length(header_bytes, &header.arrays);
    if wanted != Some(length) {
        return Err(broken(format!(
            "{length} bytes long, its header asks for another length"
        )));
    }
    let mut arrays = header.arrays.iter();
    let mut slots = |owner: &str| -> Result<Slots, Error> {
        let mut next = |slot: &str| match arrays.next() {
            Some(array) if array.name == format!("{owner}/{slot}") => reader.array(array),
            other => Err(broken(format!("{owner}/{slot} wanted, found {other:?}"))),
        };
        let [weights, first, second, ema] = SLOTS;
        let slots = Slots {
            weights: next(weights)?,
            first: next(first)?,
            second: next(second)?,
            ema: next(ema)?,
        };
        let n = slots.weights.len();
        if [&slots.first, &slots.second, &slots.ema]
            .iter()
            .any(|s| s.len() != n)
        {
            return Err(broken(format!("the buffers of {owner} differ in length")));
        }
        Ok(slots)
    };
    let encoder = slots("encoder")?;
    let mut persons = Vec::new();
    for name in header.persons {
        let slots = slots(&format!("decoder/{name}"))?;
        persons.push((name, slots));
    }
    if let Some(extra) = arrays.next() {
        return Err(broken(format!("{} belongs to nobody", extra.name)));
    }
    let meta = CheckpointMeta {
        family: header.family,
        settings: TrainSettings::resolve(&[header.settings])?,
        parents: header.parents,
        lite: header.lite,
    };
    let state = TrainState {
        position: header.position,
        encoder,
        persons,
    };
    Ok(Checkpoint { meta, state })
}

/// The length of a file with this header, if it is a number at all.
fn expected_length(header_bytes: usize, arrays: &[ArrayFile]) -> Option<u64> {
    let start = (PREFIX + header_bytes + HASH) as u64;
    arrays.iter().try_fold(start, |total, array| {
        total
            .checked_add(array.numbers.checked_mul(4)?)?
            .checked_add(HASH as u64)
    })
}

struct Reader<'a> {
    source: &'a mut dyn Read,
    path: &'a Path,
}

impl Reader<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.source
            .read_exact(bytes)
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => Error::BrokenCheckpoint {
                    reason: "its end is missing".into(),
                    path: self.path.into(),
                },
                _ => Error::Io {
                    action: "read the checkpoint",
                    path: self.path.into(),
                    source,
                },
            })
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn check(&mut self, found: blake3::Hash, what: &str) -> Result<(), Error> {
        let wanted: [u8; HASH] = self.bytes()?;
        if found == wanted {
            return Ok(());
        }
        let reason = format!("the checksum of its {what} is wrong");
        Err(Error::BrokenCheckpoint {
            reason,
            path: self.path.into(),
        })
    }

    /// The caller has made sure that the file is long enough for `array`.
    fn array(&mut self, array: &ArrayFile) -> Result<Vec<f32>, Error> {
        let mut left = array.numbers as usize;
        let mut data = Vec::with_capacity(left);
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0u8; 4 * BLOCK];
        while left > 0 {
            let now = left.min(BLOCK);
            let bytes = &mut bytes[..4 * now];
            self.fill(bytes)?;
            hasher.update(bytes);
            let words = bytes.as_chunks::<4>().0;
            data.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
            left -= now;
        }
        self.check(hasher.finalize(), &array.name)?;
        Ok(data)
    }
}
