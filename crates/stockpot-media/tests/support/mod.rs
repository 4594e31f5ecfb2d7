//! Clips made by `ffmpeg`, and what `ffprobe` says of files.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use stockpot_core::Rgb8;
use stockpot_media::{
    ALL_FRAMES, Error, Opener, OutputSettings, Preset, VideoFrame, VideoWriter, Written,
    open_direct,
};

/// A temporary folder for clips.
pub(crate) struct Scratch(tempfile::TempDir);

/// `None`, with the reason printed, where the programs are not installed.
pub(crate) fn scratch() -> Option<Scratch> {
    for program in ["ffmpeg", "ffprobe"] {
        if Command::new(program).arg("-version").output().is_err() {
            println!("skipped: the program `{program}` is not on the PATH");
            return None;
        }
    }
    Some(Scratch(tempfile::tempdir().unwrap()))
}

impl Scratch {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `ffmpeg ARGS NAME`.
    pub(crate) fn make(&self, name: &str, args: &[&str]) -> PathBuf {
        let path = self.path(name);
        let mut args = args.to_vec();
        args.push(path.to_str().unwrap());
        ffmpeg(&args);
        path
    }

    /// Everything in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn ffmpeg(args: &[&str]) {
    let fixed = ["-v", "error", "-nostdin", "-y"];
    let output = Command::new("ffmpeg")
        .args(fixed)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ffmpeg {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn ffprobe(args: &[&str]) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "ffprobe {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `name=value` lines of one stream.
pub(crate) fn probe_stream(path: &Path, stream: &str, entries: &str) -> String {
    let entries = if entries.starts_with("side_data") {
        format!("stream_{entries}")
    } else {
        format!("stream={entries}")
    };
    let path = path.to_str().unwrap();
    ffprobe(&[
        "-select_streams",
        stream,
        "-show_entries",
        &entries,
        "-of",
        "default=noprint_wrappers=1",
        path,
    ])
}

/// One line for each packet, values between commas in the order of `entries`.
pub(crate) fn probe_packets(path: &Path, stream: &str, entries: &str) -> Vec<String> {
    let show = format!("packet={entries}");
    let path = path.to_str().unwrap();
    // JSON, because other forms print side data in the middle of a line.
    let text = ffprobe(&[
        "-select_streams",
        stream,
        "-show_data_hash",
        "md5",
        "-show_entries",
        &show,
        "-of",
        "json",
        path,
    ]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let line = |packet: &serde_json::Value| {
        let value = |name: &str| match &packet[name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        entries.split(',').map(value).collect::<Vec<_>>().join(",")
    };
    json["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

/// What `ffmpeg` computes over all audio packets.
pub(crate) fn audio_md5(path: &Path) -> String {
    let path = path.to_str().unwrap();
    let output = Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The worker program: this crate's example, which `cargo test` builds.
pub(crate) fn worker() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("media_worker{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "the worker is not built: `cargo build -p stockpot-media --examples`"
    );
    path
}

/// Settings that cost little time.
pub(crate) fn quick() -> OutputSettings {
    OutputSettings {
        preset: Preset::Ultrafast,
        ..OutputSettings::default()
    }
}

/// All frames of a whole file.
pub(crate) fn frames(path: &Path) -> Vec<VideoFrame> {
    open_direct(path, ALL_FRAMES)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

pub(crate) fn first_frame(path: &Path) -> Rgb8 {
    open_direct(path, 0..1)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .pixels
        .to_rgb8()
}

/// The numbers of one frame.
pub(crate) fn frame_values(path: &Path, index: u64) -> Vec<u8> {
    let mut source = open_direct(path, index..index + 1).unwrap();
    source.next().unwrap().unwrap().pixels.to_rgb8().into_vec()
}

/// Writes the frames of `source` in `range` unchanged.
pub(crate) fn convert(
    source: &Path,
    target: &Path,
    settings: &OutputSettings,
    opener: &Opener,
    range: Range<u64>,
) -> Written {
    try_convert(source, target, settings, opener, range).unwrap()
}

pub(crate) fn try_convert(
    source: &Path,
    target: &Path,
    settings: &OutputSettings,
    opener: &Opener,
    range: Range<u64>,
) -> Result<Written, Error> {
    let mut source = opener.open(source, range)?;
    let mut writer = VideoWriter::create(target, source.info(), settings, opener)?;
    while let Some(frame) = source.next_frame()? {
        writer.write(frame)?;
    }
    let written = writer.finish()?;
    // Only here: the program names its outputs where they are sealed.
    std::fs::rename(written.part.path(), &written.target).unwrap();
    Ok(written)
}
