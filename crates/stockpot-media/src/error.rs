//! What can go wrong with media, and what went through but not as asked.
//!
//! Both types cross the pipe from the worker process (see [`crate::worker`]), so causes are kept as
//! text: an `io::Error` cannot be sent.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockpot_core::Size;

use crate::info::TrackKind;

/// A source that cannot be read or an output that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    // ---- the user's input
    /// There is no such file or folder.
    #[error("There is no file or folder {}", path.display())]
    NotFound {
        /// Which.
        path: PathBuf,
    },
    /// The bytes are no video and no picture.
    #[error("Not a video or picture that can be read ({reason}): {}", path.display())]
    NotMedia {
        /// What the parser says.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
    /// The file ends before the index without which no frame can be found.
    #[error(
        "The file is cut short: at least {missing_bytes} bytes are missing, its index among them: {}",
        path.display()
    )]
    IndexMissing {
        /// Bytes the container announces but the file does not have.
        missing_bytes: u64,
        /// Which file.
        path: PathBuf,
    },
    /// Frames were delivered, then the file ended too early.
    #[error(
        "The video is cut short after {}: {}",
        last_good.map_or("no frame at all".into(), |i| format!("frame {i}")), path.display()
    )]
    Truncated {
        /// Index of the last frame that was delivered, if any.
        last_good: Option<u64>,
        /// Which file.
        path: PathBuf,
    },
    /// The file has sound or text, but no video.
    #[error("There is no video stream in {}", path.display())]
    NoVideo {
        /// Which file.
        path: PathBuf,
    },
    /// The video's codec has no decoder here.
    #[error("The video codec `{codec}` cannot be decoded by the installed libav: {}", path.display())]
    UnsupportedCodec {
        /// The codec's name.
        codec: String,
        /// Which file.
        path: PathBuf,
    },
    /// A kind of file that names other files (a playlist) or draws text.
    #[error("Files of the kind `{format}` are not opened, because they are no video themselves: {}", path.display())]
    RefusedFormat {
        /// The container's name.
        format: String,
        /// Which file.
        path: PathBuf,
    },
    /// The size or pixel format of the stream changes midway.
    #[error("The picture size or format changes at frame {index}, which is not supported: {}", path.display())]
    ChangedMidway {
        /// First frame of the new kind.
        index: u64,
        /// Which file.
        path: PathBuf,
    },
    /// The picture is larger than we agree to hold.
    #[error("Pictures of {size} are too large: at most 67 megapixels and 16384 a side are accepted: {}", path.display())]
    TooLarge {
        /// Its size.
        size: Size,
        /// Which file.
        path: PathBuf,
    },
    /// A folder without a picture that can be read.
    #[error("None of the {pictures} PNG or JPEG pictures in the folder can be read: {}", path.display())]
    NoPictures {
        /// How many there are.
        pictures: usize,
        /// Which folder.
        path: PathBuf,
    },
    /// libav's interface wants UTF-8 names.
    #[error("The file name is not valid UTF-8, which libav needs: {}", path.display())]
    NameNotUtf8 {
        /// Which file.
        path: PathBuf,
    },

    // ---- their settings
    /// The output's ending names no container we write.
    #[error("Cannot write a video with the ending `{ending}`; mp4, m4v, mov and mkv are accepted: {}", path.display())]
    UnsupportedOutput {
        /// The ending, may be empty.
        ending: String,
        /// The output.
        path: PathBuf,
    },
    /// A setting outside its range.
    #[error("The output setting {name} is {value}; {accepted} is accepted")]
    BadSetting {
        /// Which one.
        name: String,
        /// Its value.
        value: String,
        /// The range.
        accepted: String,
    },
    /// A frame that does not belong to the source the writer was made for.
    #[error("Frame {index} does not fit the output: wanted {wanted}, found {found}")]
    WrongFrame {
        /// Which frame.
        index: u64,
        /// Size, time base or order wanted.
        wanted: String,
        /// What came.
        found: String,
    },
    /// Finished before a frame was written.
    #[error("No frame was written, so there is no video to finish: {}", path.display())]
    NoFrames {
        /// The output.
        path: PathBuf,
    },

    // ---- their machine
    /// The file system refuses.
    #[error("Cannot {action} ({reason}): {}", path.display())]
    Io {
        /// `read`, `write`, `create` or `rename`.
        action: String,
        /// What the system says.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
    /// No room left. Nothing stands under the final name.
    #[error("The disk is full: {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// libav was built without an encoder we need.
    #[error("The installed libav has no encoder `{encoder}`")]
    EncoderMissing {
        /// Its libav name.
        encoder: String,
    },
    /// The child process that opens untrusted files did not start.
    #[error("Cannot start the media worker ({reason}): {}", program.display())]
    WorkerStart {
        /// What the system says.
        reason: String,
        /// The program.
        program: PathBuf,
    },

    // ---- the file or a bug in a codec: the child caught it
    /// The child process died while it read the file.
    #[error(
        "The media worker died ({how}) after {} of {}",
        last_good.map_or("no frame".into(), |i| format!("frame {i}")), path.display()
    )]
    WorkerDied {
        /// Signal or exit status.
        how: String,
        /// Index of the last frame that arrived whole, if any.
        last_good: Option<u64>,
        /// The file it read.
        path: PathBuf,
    },

    // ---- our bug, or libav's
    /// libav refuses a step that should have worked.
    #[error("libav cannot {action} ({reason}): {}", path.display())]
    Codec {
        /// The step.
        action: String,
        /// What libav says.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
    /// The worker's answer is not what `docs/formats/media-pipe.md` says.
    #[error("The media worker's answer is malformed ({reason}) for {}", path.display())]
    Pipe {
        /// What is wrong with it.
        reason: String,
        /// The file it read.
        path: PathBuf,
    },
}

impl Error {
    /// The next thing to do, best a command.
    pub fn hint(&self) -> Option<String> {
        let show = |p: &Path| format!("see what the file holds with `ffprobe '{}'`", p.display());
        Some(match self {
            Self::NotFound { .. } => "check the spelling, and that the drive is mounted".into(),
            Self::NotMedia { path, .. } => format!(
                "the ending does not make a video: {}",
                show(path)
            ),
            Self::IndexMissing { .. } => {
                "the download or recording was not finished: copy the file again".into()
            }
            Self::Truncated { last_good, .. } => match last_good {
                Some(i) => format!(
                    "copy the file again, or keep its first {} frames with `ffmpeg -i INPUT -frames:v {} OUTPUT`",
                    i + 1,
                    i + 1
                ),
                None => "copy the file again".into(),
            },
            Self::NoVideo { path } => show(path),
            Self::UnsupportedCodec { .. } | Self::ChangedMidway { .. } => {
                "make a copy that can be read: `ffmpeg -i INPUT -c:v libx264 -crf 12 -c:a copy COPY.mp4`"
                    .into()
            }
            Self::RefusedFormat { .. } => "give the video file itself".into(),
            Self::TooLarge { .. } => "scale it down first: `ffmpeg -i INPUT -vf scale=3840:-2 SMALLER.mp4`".into(),
            Self::NoPictures { .. } => "give a folder with .png, .jpg or .jpeg files".into(),
            Self::NameNotUtf8 { .. } => "rename the file or its folder".into(),
            Self::UnsupportedOutput { path, .. } => {
                format!("try `{}`", path.with_extension("mp4").display())
            }
            Self::NoFrames { .. } => "check the range given with `--frames`".into(),
            Self::Io { action, path, .. } if action == "read" => {
                format!("look at its rights with `ls -l '{}'`", path.display())
            }
            Self::Io { .. } => "choose a folder that exists and that you may write to".into(),
            Self::DiskFull { path } => format!(
                "make room (`df -h '{}'`) and run again; nothing half-written was left",
                path.parent().unwrap_or(path).display()
            ),
            Self::EncoderMissing { encoder } => {
                format!("install a libav with {encoder}: `apt-get install ffmpeg libavcodec-extra`")
            }
            Self::WorkerDied { path, .. } => format!(
                "the file is damaged or made to do harm; repair it with `ffmpeg -i '{}' -c copy REPAIRED.mkv` if you trust it",
                path.display()
            ),
            Self::BadSetting { .. }
            | Self::WrongFrame { .. }
            | Self::WorkerStart { .. }
            | Self::Codec { .. }
            | Self::Pipe { .. } => return None,
        })
    }

    /// An input or output error from the system.
    pub(crate) fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound if action == "read" => {
                Self::NotFound { path: path.into() }
            }
            std::io::ErrorKind::StorageFull => Self::DiskFull { path: path.into() },
            _ => Self::Io {
                action: action.into(),
                reason: error.to_string(),
                path: path.into(),
            },
        }
    }
}

/// Something that was done, but not as asked; the work goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Warning {
    /// A picture of a folder cannot be read; there is no frame of this index.
    #[error("Picture {index} is skipped: {reason}")]
    SkippedPicture {
        /// Its place in the folder.
        index: u64,
        /// Why, with the path.
        reason: String,
    },
    /// The decoder patched over damage.
    #[error("Frame {index} is damaged; the decoder filled in what was missing")]
    DamagedFrame {
        /// Which.
        index: u64,
    },
    /// A packet could not be decoded; its frame is missing.
    #[error("A damaged piece of video before frame {before} is skipped ({reason})")]
    DamagedPacket {
        /// Index of the next frame that can be shown.
        before: u64,
        /// What the decoder says.
        reason: String,
    },
    /// A frame without a time, or one not later than the frame before it.
    #[error("Frame {index} had no usable time and was put right after the one before")]
    TimeRepaired {
        /// Which.
        index: u64,
    },
    /// The display matrix is no quarter turn or mirror: it is carried, not applied.
    #[error("The display matrix is not a quarter turn; frames are handed out as stored")]
    OddRotation,
    /// A track is not in the output.
    #[error("Track {track} ({kind}, {codec}) is left out: {reason}")]
    TrackDropped {
        /// Stream number in the source.
        track: usize,
        /// What it is.
        kind: TrackKind,
        /// Its codec.
        codec: String,
        /// Why.
        reason: String,
    },
    /// Packets of a copied track that the container refuses.
    #[error("{packets} packets of track {track} have unusable times and are left out")]
    PacketsDropped {
        /// Stream number in the source.
        track: usize,
        /// How many.
        packets: u64,
    },
    /// The container keeps time in milliseconds.
    #[error("Frame times are rounded to milliseconds, because {container} cannot hold finer ones")]
    TimesRounded {
        /// The container.
        container: String,
    },
    /// H.264 and HEVC with 4:2:0 chroma need an even size.
    #[error(
        "The video is written as {to} instead of {from}: its last column or row is repeated, because the size must be even"
    )]
    PaddedToEven {
        /// Source.
        from: Size,
        /// Output.
        to: Size,
    },
    /// More than ten bits are written as ten.
    #[error("The output has {to} bits a channel, the source {from}")]
    DepthReduced {
        /// Source.
        from: u8,
        /// Output.
        to: u8,
    },
    /// The source has finer colour than 4:2:0.
    #[error("The colour of `{pixel_format}` is written at half resolution (4:2:0)")]
    ChromaReduced {
        /// The source's format.
        pixel_format: String,
    },
    /// The source stores RGB, the output YUV, so the matrix tag had to change.
    #[error("The source stores RGB; the output is YUV and says so in its colour tags")]
    MatrixTagChanged,
}
