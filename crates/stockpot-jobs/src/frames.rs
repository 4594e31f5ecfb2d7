//! Frames ahead of the work: a thread reads the source while the job works on earlier frames.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use stockpot_media::{Error, MediaInfo, Opener, VideoFrame, Warning};

/// Frames that may wait between reader and job: 6 MB each at 1080x1920.
const AHEAD: usize = 4;

enum Item {
    Frame(Box<VideoFrame>),
    Warning(Warning),
    Error(Error),
}

/// A source being read ahead.
pub(crate) struct FramesAhead {
    info: MediaInfo,
    items: Option<Receiver<Item>>,
    reader: Option<JoinHandle<()>>,
    warnings: Vec<Warning>,
}

impl FramesAhead {
    /// Opens a source and begins to read.
    pub(crate) fn open(opener: &Opener, path: &Path, range: Range<u64>) -> Result<Self, Error> {
        let mut source = opener.open(path, range)?;
        let info = source.info().clone();
        let (send, items) = sync_channel(AHEAD);
        let reader = std::thread::spawn(move || {
            loop {
                let next = source.next_frame();
                for warning in source.take_warnings() {
                    if send.send(Item::Warning(warning)).is_err() {
                        return;
                    }
                }
                let item = match next {
                    Ok(Some(frame)) => Item::Frame(Box::new(frame)),
                    Ok(None) => return,
                    Err(error) => Item::Error(error),
                };
                let last = matches!(item, Item::Error(_));
                if send.send(item).is_err() || last {
                    return;
                }
            }
        });
        Ok(Self {
            info,
            items: Some(items),
            reader: Some(reader),
            warnings: Vec::new(),
        })
    }

    /// What is in the source.
    pub(crate) fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// The next frame; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<VideoFrame>, Error> {
        let Some(items) = &self.items else {
            return Ok(None);
        };
        loop {
            match items.recv() {
                Ok(Item::Frame(frame)) => return Ok(Some(*frame)),
                Ok(Item::Warning(warning)) => self.warnings.push(warning),
                Ok(Item::Error(error)) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
    }

    /// What was done, but not as asked, since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

impl Drop for FramesAhead {
    fn drop(&mut self) {
        // The reader stops at its next frame, when nobody takes it.
        self.items = None;
        if let Some(reader) = self.reader.take() {
            // A panic of the reader was printed when it happened; there is nobody left to tell.
            let _ = reader.join();
        }
    }
}
