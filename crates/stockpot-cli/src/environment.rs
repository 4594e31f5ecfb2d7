//! Every environment variable that stockpot looks at, in one place.
//!
//! [`LIBRARY`], [`MODELS`], [`IDENTITY`], [`PROJECT`] and [`TIME_STAMP`] are read by the argument parser, so that a flag
//! wins over them; the others are conventions of the system.

use std::ffi::OsString;
use std::path::PathBuf;

/// The library's folder.
pub(crate) const LIBRARY: &str = "STOCKPOT_LIBRARY";
/// The folder of the face models.
pub(crate) const MODELS: &str = "STOCKPOT_MODELS";
/// The folder of the certificate and key that outputs are signed with.
pub(crate) const IDENTITY: &str = "STOCKPOT_IDENTITY";

/// What the work is done for.
pub(crate) const PROJECT: &str = "STOCKPOT_PROJECT";

/// The address of the time-stamping authority of swaps.
pub(crate) const TIME_STAMP: &str = "STOCKPOT_TIME_STAMP";

/// What was typed, for records of measurements: `stockpot` and its arguments.
pub(crate) fn command_line() -> String {
    let arguments = std::env::args_os().skip(1);
    let words = arguments.map(|a| a.to_string_lossy().into_owned());
    std::iter::once("stockpot".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether the user asked for output without colour (any value that is not empty).
pub(crate) fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether the terminal cannot move its cursor, so that a progress bar would leave a mess.
pub(crate) fn dumb_terminal() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// The name the user is logged in with. Services and containers often set no variable for it; then
/// the system's table of users is asked.
pub(crate) fn login_name() -> Option<String> {
    let told = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        (!value.trim().is_empty()).then_some(value)
    });
    told.or_else(account_name)
}

/// The owner of this process, by Linux's process folder and the table of users; `None` where either
/// is missing.
#[cfg(unix)]
fn account_name() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // `.ok()`: without these files there simply is no name to be had, and the caller says so.
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    name_of(uid, &std::fs::read_to_string("/etc/passwd").ok()?)
}

#[cfg(not(unix))]
fn account_name() -> Option<String> {
    None
}

/// The name of user `uid` in a table with lines `name:password:uid:…`.
#[cfg(unix)]
fn name_of(uid: u32, table: &str) -> Option<String> {
    let uid = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    })
}

/// Where face models go unless said otherwise: `stockpot/models` in the user's data folder.
/// `None` where no home folder is known.
pub(crate) fn default_models_dir() -> Option<PathBuf> {
    data_dir(&|name| std::env::var_os(name)).map(|dir| dir.join("stockpot").join("models"))
}

/// Where the certificate and key go unless said otherwise: `stockpot/identity` in the user's data
/// folder. `None` where no home folder is known.
pub(crate) fn default_identity_dir() -> Option<PathBuf> {
    data_dir(&|name| std::env::var_os(name)).map(|dir| dir.join("stockpot").join("identity"))
}

/// Where things are kept that can be made again: `stockpot` in the user's cache folder. `None` where
/// no home folder is known.
pub(crate) fn default_cache_dir() -> Option<PathBuf> {
    cache_dir(&|name| std::env::var_os(name)).map(|dir| dir.join("stockpot"))
}

fn cache_dir(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    user_dir(variable, "XDG_CACHE_HOME", ".cache", "Library/Caches")
}

fn data_dir(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    user_dir(
        variable,
        "XDG_DATA_HOME",
        ".local/share",
        "Library/Application Support",
    )
}

/// A folder of the user's: the one that `named` tells, or the usual one in the home folder, here or
/// on macOS.
fn user_dir(
    variable: &dyn Fn(&str) -> Option<OsString>,
    named: &str,
    usual: &str,
    on_macos: &str,
) -> Option<PathBuf> {
    // An empty or relative value is as good as none: it would depend on where the command runs.
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    absolute(named).or_else(|| {
        let inside = if cfg!(target_os = "macos") {
            on_macos
        } else {
            usual
        };
        absolute("HOME").map(|home| home.join(inside))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Option<PathBuf> {
        data_dir(&|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn users_are_found_by_number() {
        let table = "root:x:0:0::/:/bin/sh\n\nanna:x:1000:1000::/h:/bin/sh\n";
        assert_eq!(name_of(0, table).as_deref(), Some("root"));
        assert_eq!(name_of(1000, table).as_deref(), Some("anna"));
        assert_eq!(name_of(7, table), None);
    }

    #[test]
    fn the_data_folder_follows_the_system() {
        assert_eq!(
            with(&[("HOME", "/h")]),
            Some(PathBuf::from("/h/.local/share"))
        );
        let both = [("XDG_DATA_HOME", "/data"), ("HOME", "/h")];
        assert_eq!(with(&both), Some(PathBuf::from("/data")));
        let cache = cache_dir(&|name| (name == "HOME").then(|| "/h".into()));
        assert_eq!(cache, Some(PathBuf::from("/h/.cache")));
        let relative = [("XDG_DATA_HOME", "data"), ("HOME", "/h")];
        assert_eq!(with(&relative), Some(PathBuf::from("/h/.local/share")));
        assert_eq!(with(&[("HOME", "")]), None);
        assert_eq!(with(&[]), None);
    }
}
