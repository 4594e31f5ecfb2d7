//! Where swapped frames go: a video, a folder of pictures, or one picture. Videos are encoded on
//! their own thread, so that the network does not wait for the encoder.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use stockpot_core::picture;
use stockpot_media::{MediaInfo, Opener, OutputSettings, SourceKind, VideoFrame, VideoWriter};

use crate::error::{JobError, io};

/// Frames that may wait for the encoder.
const WAITING: usize = 4;

enum Message {
    Frame(Box<VideoFrame>),
    Finish,
}

/// A running output. Dropped before [`Sink::finish`], it leaves no video behind.
pub(crate) struct Sink {
    messages: Option<SyncSender<Message>>,
    writer: Option<JoinHandle<Result<Vec<String>, JobError>>>,
}

impl Sink {
    /// Begins the output that fits the source: a folder for a folder, a picture for a picture.
    pub(crate) fn begin(
        output: &Path,
        source: &MediaInfo,
        settings: &OutputSettings,
        opener: &Opener,
    ) -> Result<Self, JobError> {
        let (messages, inbox) = sync_channel(WAITING);
        let output = output.to_owned();
        let writer = match source.kind {
            SourceKind::Video => {
                let (source, settings, opener) = (source.clone(), settings.clone(), opener.clone());
                std::thread::spawn(move || video(&output, &source, &settings, &opener, &inbox))
            }
            SourceKind::PictureFolder => {
                let make = |e| io("make the folder", &output, &e);
                std::fs::create_dir_all(&output).map_err(make)?;
                std::thread::spawn(move || {
                    pictures(&inbox, |index| output.join(format!("{index:06}.png")))
                })
            }
            SourceKind::Picture => std::thread::spawn(move || pictures(&inbox, |_| output.clone())),
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

    /// Ends the output and returns what is not as in the source.
    pub(crate) fn finish(mut self) -> Result<Vec<String>, JobError> {
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

    fn join(&mut self) -> Result<Vec<String>, JobError> {
        self.messages = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(JobError::failed(
                "The writing thread crashed: this is a bug",
            )),
            None => Ok(Vec::new()),
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
    inbox: &Receiver<Message>,
) -> Result<Vec<String>, JobError> {
    let mut writer = VideoWriter::create(output, source, settings, opener)?;
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Frame(frame) => writer.write(*frame)?,
            Message::Finish => {
                let written = writer.finish()?;
                return Ok(written.warnings.iter().map(ToString::to_string).collect());
            }
        }
    }
    Ok(Vec::new())
}

fn pictures(
    inbox: &Receiver<Message>,
    path_of: impl Fn(u64) -> PathBuf,
) -> Result<Vec<String>, JobError> {
    while let Ok(Message::Frame(frame)) = inbox.recv() {
        picture::save(&frame.pixels.to_rgb8(), &path_of(frame.index))?;
    }
    Ok(Vec::new())
}
