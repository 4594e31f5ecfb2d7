//! Where swapped frames go: a video, a folder of pictures, or one picture. Videos are encoded on
//! their own thread, so that the network does not wait for the encoder.
//!
//! Nothing here names a file: what is encoded goes to the sealer, which puts in what it says of
//! itself and gives it its name.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use stockpot_media::{MediaInfo, Opener, OutputSettings, SourceKind, VideoFrame, VideoWriter};
use stockpot_provenance::{Sealed, Sealer};

use crate::error::{JobError, io};
use crate::sealing::Words;

/// Frames that may wait for the encoder.
const WAITING: usize = 4;

enum Message {
    Frame(Box<VideoFrame>),
    Finish,
}

/// What seals an output, and what it is told to say.
#[derive(Clone)]
pub(crate) struct Seal {
    pub(crate) sealer: Sealer,
    pub(crate) words: Words,
}

/// What became of an output.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What is not as in the source.
    pub(crate) remarks: Vec<String>,
    /// Where the credentials of a format are that cannot hold them.
    pub(crate) sidecar: Option<PathBuf>,
}

impl Finished {
    fn add(&mut self, sealed: Sealed) {
        for source in &sealed.unread {
            self.remarks.push(format!(
                "The source's own credentials could not be read and are not kept: {}",
                source.display()
            ));
        }
        if let Some(sidecar) = sealed.sidecar {
            self.remarks.push(format!(
                "This format holds no credentials; they are beside it and belong with it: {}",
                sidecar.display()
            ));
            self.sidecar = Some(sidecar);
        }
    }
}

/// A running output. Dropped before [`Sink::finish`], it leaves no video behind.
pub(crate) struct Sink {
    messages: Option<SyncSender<Message>>,
    writer: Option<JoinHandle<Result<Finished, JobError>>>,
}

impl Sink {
    /// Begins the output that fits the source: a folder for a folder, a picture for a picture.
    pub(crate) fn begin(
        output: &Path,
        source: &MediaInfo,
        settings: &OutputSettings,
        opener: &Opener,
        seal: Seal,
    ) -> Result<Self, JobError> {
        let (messages, inbox) = sync_channel(WAITING);
        let output = output.to_owned();
        let writer = match source.kind {
            SourceKind::Video => {
                let (source, settings, opener) = (source.clone(), settings.clone(), opener.clone());
                std::thread::spawn(move || {
                    video(&output, &source, &settings, &opener, &seal, &inbox)
                })
            }
            SourceKind::PictureFolder => {
                let make = |e| io("make the folder", &output, &e);
                std::fs::create_dir_all(&output).map_err(make)?;
                std::thread::spawn(move || {
                    pictures(&inbox, &seal, |index| {
                        output.join(format!("{index:06}.png"))
                    })
                })
            }
            SourceKind::Picture => {
                std::thread::spawn(move || pictures(&inbox, &seal, |_| output.clone()))
            }
        };
        Ok(Self {
            messages: Some(messages),
            writer: Some(writer),
        })
    }

    /// Adds a frame; frames come in order.
    pub(crate) fn write(&mut self, frame: VideoFrame) -> Result<(), JobError> {
        self.send(Message::Frame(Box::new(frame)))
    }

    /// Ends the output.
    pub(crate) fn finish(mut self) -> Result<Finished, JobError> {
        self.send(Message::Finish)?;
        self.join()
    }

    fn send(&mut self, message: Message) -> Result<(), JobError> {
        let gone = match &self.messages {
            Some(messages) => messages.send(message).is_err(),
            None => true,
        };
        if gone {
            // The writer stops early only with an error: hand that out.
            self.join()?;
            return Err(JobError::failed("The output ended before its last frame"));
        }
        Ok(())
    }

    fn join(&mut self) -> Result<Finished, JobError> {
        self.messages = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(JobError::failed(
                "The writing thread crashed: this is a bug",
            )),
            None => Ok(Finished::default()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Only reached unfinished on an error or a stop, which is what the user is told about.
        let _ = self.join();
    }
}

fn video(
    output: &Path,
    source: &MediaInfo,
    settings: &OutputSettings,
    opener: &Opener,
    seal: &Seal,
    inbox: &Receiver<Message>,
) -> Result<Finished, JobError> {
    let mut writer = VideoWriter::create(output, source, settings, opener)?;
    let mut finished = Finished::default();
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Frame(frame) => writer.write(*frame)?,
            Message::Finish => {
                let written = writer.finish()?;
                let told = written.warnings.iter().map(ToString::to_string);
                finished.remarks.extend(told);
                let statement = seal.words.of_video();
                let sealed = seal
                    .sealer
                    .seal(written.part, &written.target, &statement)?;
                finished.add(sealed);
                return Ok(finished);
            }
        }
    }
    Ok(finished)
}

/// Each picture is sealed by itself: it may be shown without the others, and then says what it is.
fn pictures(
    inbox: &Receiver<Message>,
    seal: &Seal,
    path_of: impl Fn(u64) -> PathBuf,
) -> Result<Finished, JobError> {
    let mut finished = Finished::default();
    while let Ok(Message::Frame(frame)) = inbox.recv() {
        let picture = frame.pixels.to_rgb8();
        let statement = seal.words.of_picture(frame.index, picture.size());
        let target = path_of(frame.index);
        finished.add(seal.sealer.seal_picture(&picture, &target, &statement)?);
    }
    Ok(finished)
}
