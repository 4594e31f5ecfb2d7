//! Where everything lies inside a library's folder.

use std::path::{Path, PathBuf};

use stockpot_core::{ContentHash, PersonName};

/// Folders made by `init`, beside the file `stockpot.json`.
pub(crate) const FOLDERS: [&str; 7] = [
    "objects",
    "records",
    "refs",
    "refs/persons",
    "facesets",
    "runs",
    "cache",
];

/// The paths of one library.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }
    pub(crate) fn library_file(&self) -> PathBuf {
        self.root.join("stockpot.json")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
    pub(crate) fn secret_key(&self) -> PathBuf {
        self.keys().join("library.key")
    }
    pub(crate) fn public_key(&self) -> PathBuf {
        self.keys().join("library.pub")
    }
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.root.join("audit.jsonl")
    }
    pub(crate) fn audit_seal(&self) -> PathBuf {
        self.root.join("audit.seal")
    }
    pub(crate) fn audit_lock(&self) -> PathBuf {
        self.root.join("audit.lock")
    }
    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }
    pub(crate) fn object(&self, hash: &ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.objects().join(&name[..2]).join(name)
    }
    pub(crate) fn records(&self) -> PathBuf {
        self.root.join("records")
    }
    pub(crate) fn record(&self, hash: &ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.records().join(&name[..2]).join(format!("{name}.json"))
    }
    pub(crate) fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }
    pub(crate) fn ref_persons(&self) -> PathBuf {
        self.refs().join("persons")
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.refs().join(".commit")
    }
    pub(crate) fn damaged_journal(&self) -> PathBuf {
        self.refs().join(".commit.damaged")
    }
    pub(crate) fn faceset(&self, person: &PersonName) -> PathBuf {
        self.root.join("facesets").join(person.as_str())
    }
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}

/// A hash as a file name; unlike the general parser it takes exactly what we write (lower case).
pub(crate) fn hash_of_name(name: &str) -> Option<ContentHash> {
    let hash: ContentHash = name.parse().ok()?; // not a hash is the answer `None`
    (hash.to_string() == name).then_some(hash)
}
