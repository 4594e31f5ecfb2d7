//! What can go wrong in training, grouped by who can act.

use std::path::PathBuf;

use stockpot_core::{ContentHash, PersonName};

/// Why training could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- the user's settings ---
    /// A setting that does not exist.
    #[error("There is no training setting `{key}`{}", nearest.as_ref().map(|n| format!("; the nearest is `{n}`")).unwrap_or_default())]
    UnknownSetting {
        /// What was given.
        key: String,
        /// The closest known name, if any is close.
        nearest: Option<String>,
    },
    /// A setting with a value of the wrong kind or outside its range.
    #[error("Training setting `{key}` is {value}, but {wanted} is wanted")]
    BadSetting {
        /// Which setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        wanted: &'static str,
    },
    /// Settings that are no table of names and values, or a value of the wrong type.
    #[error("The training settings cannot be read: {reason}")]
    UnreadableSettings {
        /// What the reader says.
        reason: String,
    },
    /// Nobody to train.
    #[error("A training needs at least one person, and each person once; `{found}` were given")]
    Persons {
        /// Names as given.
        found: String,
    },

    // --- the user's data ---
    /// The loss or a gradient was not finite again and again, from the same state.
    #[error(
        "The loss is not finite: step {step}, batch {batch}{}, {times} times in a row although the learning rate was lowered to {rate:.1e}{}",
        person.as_ref().map(|p| format!(", person `{p}`")).unwrap_or_default(),
        checkpoint.as_ref().map(|p| format!("; the last good checkpoint is {}", p.display())).unwrap_or_default()
    )]
    NotFinite {
        /// The step that could not be made.
        step: u64,
        /// The batch it was tried on.
        batch: u64,
        /// Whose loss it was, if the loss itself was not finite.
        person: Option<PersonName>,
        /// Incidents without a good snapshot between them.
        times: u32,
        /// The last learning rate tried.
        rate: f64,
        /// Where to go back to.
        checkpoint: Option<PathBuf>,
    },
    /// The caller's feed of batches ended or failed.
    #[error("No batch {batch} to train on")]
    Feed {
        /// Its number.
        batch: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller's preview could not be drawn.
    #[error("The preview of step {step} cannot be drawn")]
    Preview {
        /// At which step.
        step: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A checkpoint that is torn, altered, or none at all.
    #[error("This is not a whole checkpoint: {reason}: {}", path.display())]
    BrokenCheckpoint {
        /// What is wrong with it.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
    /// A checkpoint of a later program.
    #[error("The checkpoint has format {found}, this program reads up to {newest}: {}", path.display())]
    NewerCheckpoint {
        /// Its format.
        found: u32,
        /// Ours.
        newest: u32,
        /// Which file.
        path: PathBuf,
    },
    /// A folder in which no checkpoint is whole.
    #[error("None of the {broken} checkpoints is whole: {}", folder.display())]
    NoGoodCheckpoint {
        /// How many were tried.
        broken: usize,
        /// Where.
        folder: PathBuf,
    },
    /// A checkpoint that belongs to other networks or persons.
    #[error("The checkpoint has {what} {found}, the training has {wanted}")]
    ForeignCheckpoint {
        /// Network family, persons, or the length of something.
        what: &'static str,
        /// In the checkpoint.
        found: String,
        /// In the training.
        wanted: String,
    },
    /// A lite person whose base was not handed in.
    #[error("`{person}` is a lite person on the decoder {}, which is not here", base.short())]
    MissingBase {
        /// Whose.
        person: PersonName,
        /// The object that the base is.
        base: ContentHash,
    },
    /// A checkpoint of a network whose widths have changed since.
    #[error(
        "The checkpoint has {found} {what}, {family} has {wanted}: another version of stockpot made it"
    )]
    OtherVersion {
        /// Encoder or decoder weights.
        what: &'static str,
        /// The network.
        family: String,
        /// As many as it has.
        found: usize,
        /// As many as the network has now.
        wanted: usize,
    },

    // --- the user's machine ---
    /// Asked to compute in a format that this processor does not multiply.
    #[error(
        "This processor does not multiply bf16 by itself (that takes AVX-512 BF16), and emulating it would be many times slower than f32"
    )]
    NoBf16,
    /// A training that cannot be made on a device.
    #[error("This training {what}, which steps on {device} cannot do")]
    NotOnDevice {
        /// What stands in the way.
        what: &'static str,
        /// Which device.
        device: String,
    },
    /// The device failed: gone, out of memory, or its driver did.
    #[error("Training on {device} failed")]
    Device {
        /// Which one.
        device: String,
        /// What its library says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody asked to stop before there was anything to save.
    #[error("Stopped on request")]
    Cancelled,
    /// A file or folder cannot be read or written.
    #[error("Cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A preview cannot be encoded or written.
    #[error("Cannot save the preview of step {step}")]
    Picture {
        /// At which step.
        step: u64,
        /// Why.
        source: stockpot_core::picture::PictureError,
    },

    // --- our bug ---
    /// Pictures smaller than the window of SSIM.
    #[error("Pictures of {side} px are too small for the loss: at least {least} px are wanted")]
    PictureTooSmall {
        /// Their side.
        side: usize,
        /// The least that works.
        least: usize,
    },
    /// Buffers that do not fit each other.
    #[error("Wrong length of {what}: {wanted} wanted, {found} found")]
    Shape {
        /// Which buffer.
        what: &'static str,
        /// Its length by the others.
        wanted: usize,
        /// Its length.
        found: usize,
    },
    /// Somebody who is not part of this training.
    #[error("`{person}` is not part of this training")]
    UnknownPerson {
        /// Who.
        person: PersonName,
    },
    /// The thread that writes checkpoints is gone.
    #[error("The checkpoint writer ended unexpectedly")]
    WriterGone,
}

impl Error {
    /// The next thing to do, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownSetting { .. } | Self::BadSetting { .. } => {
                Some("`stockpot train --help` lists every setting with its range".into())
            }
            Self::Persons { .. } => {
                Some("name each person once, as in `stockpot train anna ben`".into())
            }
            Self::NotFinite { person, .. } => Some(match person {
                Some(person) => format!(
                    "look for broken crops with `stockpot faces report {person}`, or start again with a lower `learning_rate`"
                ),
                None => "start again with a lower `learning_rate` or a smaller `clip_norm`".into(),
            }),
            Self::NoBf16 => Some(
                "use `--precision f32`; with `--resume` a run that was begun in bf16 goes on in f32".into(),
            ),
            Self::NotOnDevice { .. } => Some("use `--device cpu`".into()),
            Self::Device { .. } => {
                Some("`--resume` goes on from the last checkpoint; with `--device cpu` without the device, or with a smaller `--batch` if its memory was short".into())
            }
            Self::NewerCheckpoint { .. } => Some("install the newer stockpot that wrote it".into()),
            Self::BrokenCheckpoint { .. } => {
                Some("resume from the one before it: `latest_good` does so by itself".into())
            }
            Self::NoGoodCheckpoint { .. } => {
                Some("start the training again; the library still has its last states".into())
            }
            Self::OtherVersion { .. } => Some(
                "train again, in a new library, or go on with the stockpot that made it".into(),
            ),
            Self::ForeignCheckpoint { .. } => {
                Some("resume with the persons and preset the run was started with".into())
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("make room on the disk, then resume the run; if it had no checkpoint yet, start it again".into())
            }
            _ => None,
        }
    }
}
