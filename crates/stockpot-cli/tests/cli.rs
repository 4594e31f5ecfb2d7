//! The program as it is typed: help, exit codes, results and errors.
//!
//! Everything here goes through [`Stock::run`], which gives each test a home and a library of its
//! own.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// Every command that can be asked for help.
const COMMANDS: [&str; 32] = [
    "init",
    "person",
    "person add",
    "person list",
    "person show",
    "person remove",
    "extract",
    "faces",
    "faces list",
    "faces sort",
    "faces prune",
    "faces report",
    "train",
    "swap",
    "library",
    "library status",
    "library log",
    "library show",
    "library verify",
    "library gc",
    "library repair",
    "library export",
    "library import",
    "person sharing",
    "legacy",
    "legacy import",
    "legacy export",
    "models",
    "models install",
    "models list",
    "models verify",
    "doctor",
];

/// A home of its own for one test.
struct Stock {
    home: TempDir,
}

/// What a run of the program left.
struct Outcome {
    code: i32,
    /// Standard output, with the home's path replaced by `HOME`.
    out: String,
    /// Standard error, likewise.
    err: String,
}

impl Stock {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Runs `stockpot` with the words of `line`, in the home folder.
    fn run(&self, line: &str) -> Outcome {
        let output = Command::cargo_bin("stockpot")
            .unwrap()
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .output()
            .unwrap();
        let clean = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(&self.path().display().to_string(), "HOME")
        };
        Outcome {
            code: output.status.code().unwrap(),
            out: clean(&output.stdout),
            err: clean(&output.stderr),
        }
    }

    /// Runs a line that must succeed, and gives its standard output.
    fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.code, 0, "{line}: {}{}", outcome.out, outcome.err);
        outcome.out
    }

    /// Runs a line that must fail with `code` and say every one of `words` on standard error.
    fn fails(&self, line: &str, code: i32, words: &[&str]) {
        let outcome = self.run(line);
        assert_eq!(outcome.code, code, "{line}: {}{}", outcome.out, outcome.err);
        assert!(
            outcome.err.starts_with("error: "),
            "{line}: {}",
            outcome.err
        );
        for word in words {
            assert!(outcome.err.contains(word), "{line}: {}", outcome.err);
        }
    }

    fn json(&self, line: &str) -> serde_json::Value {
        let out = self.ok(&format!("{line} --json"));
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn every_command_explains_itself() {
    let stock = Stock::new();
    for command in COMMANDS {
        let help = stock.ok(&format!("{command} --help"));
        assert!(help.contains("Usage: stockpot"), "{command}: {help}");
        assert!(help.contains("--library <DIR>"), "{command}: {help}");
    }
    assert!(stock.ok("--help").contains("Commands:"));
    assert!(stock.ok("--version").starts_with("stockpot "));
}

#[test]
fn wrong_arguments_end_with_2() {
    let stock = Stock::new();
    let wrong: &[(&str, &str)] = &[
        ("frobnicate", "frobnicate"),
        ("person add anna", "--consent"),
        (
            "person add ../anna --consent self",
            "cannot be a person's name",
        ),
        ("extract a.mp4", "--person"),
        ("extract --person anna", "<INPUT>"),
        ("extract a.mp4 --person anna --max-side 20", "64"),
        ("extract a.mp4 --person anna --every 0", "1"),
        ("train", "<NAME>"),
        ("train anna --steps 0", "1"),
        ("train anna --minutes -1", "above 0"),
        ("train anna --minutes 5 --steps 9", "cannot be used with"),
        ("train anna --area nose", "narrow"),
        ("train anna --resume last", "cannot be used with"),
        ("faces prune anna", "--duplicates"),
        ("faces prune anna --blur-below 0", "above 0"),
        ("swap a.mp4 --to anna -o b.mp4 --face 0", "1"),
        ("swap a.mp4 -o b.mp4", "--to"),
        ("swap a.mp4 --to anna", "--output"),
        (
            "swap a.mp4 --to anna -o b.mp4 --from bert --face 1",
            "cannot be used with",
        ),
        ("swap a.mp4 --to anna -o b.mp4 --frames 9-3", "comes after"),
        ("swap a.mp4 --to anna -o b.mp4 --crf 52", "51"),
        ("demo --assets nowhere", "Cannot read the assets nowhere"),
        ("eval --assets nowhere", "Cannot read the assets nowhere"),
        (
            "stock make --assets nowhere --steps 1 --work w -o a.stock",
            "Cannot read the assets nowhere",
        ),
        ("init --seed many", "--seed"),
        ("init --quiet --verbose", "cannot be used with"),
    ];
    for (line, word) in wrong {
        stock.fails(line, 2, &[word]);
    }
    assert_eq!(stock.run("").code, 2);
    // Nothing was made on the way.
    assert_eq!(std::fs::read_dir(stock.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command as Plain, Stdio};
    let stock = Stock::new();
    stock.ok("init");
    let program = assert_cmd::cargo::cargo_bin("stockpot");
    let mut child = Plain::new(program)
        .args(["library", "status"])
        .current_dir(stock.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn a_library_is_made_once() {
    let stock = Stock::new();
    let made = stock.ok("init");
    assert!(made.contains("stock"), "{made}");
    stock.fails("init", 1, &["a stockpot library already", "stock"]);
    // A folder that holds other things is not taken.
    std::fs::create_dir(stock.path().join("photos")).unwrap();
    std::fs::write(stock.path().join("photos/a.txt"), "mine").unwrap();
    stock.fails("init --library photos", 1, &["a.txt"]);
}

#[test]
fn a_missing_library_is_named_with_the_command_that_makes_one() {
    let stock = Stock::new();
    for line in [
        "person list",
        "person add anna --consent self --entered-by me",
        "library status",
        "library verify",
        "train anna bert --steps 1",
        "swap a.mp4 --to anna -o b.mp4",
        "extract a.mp4 --person anna",
        "faces list anna",
    ] {
        stock.fails(line, 1, &["not a stockpot library", "hint: ", "init"]);
    }
}

#[test]
fn persons_come_with_consent_and_go() {
    let stock = Stock::new();
    stock.ok("init");
    assert_eq!(stock.json("person list"), serde_json::json!([]));
    std::fs::write(stock.path().join("agreed.txt"), "I agree. Bert").unwrap();
    stock.ok("person add anna --consent synthetic --entered-by me");
    stock.ok("person add bert --consent agreed.txt --entered-by me --note scanned");
    stock.fails(
        "person add anna --consent self --entered-by me",
        1,
        &["anna"],
    );
    stock.fails(
        "person add carl --consent lost.txt --entered-by me",
        1,
        &["lost.txt", "hint: "],
    );

    let list = stock.json("person list");
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(names, ["anna", "bert"]);
    assert_eq!(list[0]["consent"], "synthetic");
    assert_eq!(list[1]["consent"], "file agreed.txt");
    assert!(stock.ok("person show bert").contains("agreed.txt"));
    assert!(
        stock
            .ok("person list")
            .lines()
            .next()
            .unwrap()
            .starts_with("name")
    );

    stock.ok("person remove bert");
    stock.fails("person show bert", 2, &["bert"]);
    assert_eq!(stock.json("person list").as_array().unwrap().len(), 1);
    assert_eq!(stock.json("library verify")["sound"], true);
}

#[test]
fn errors_are_json_too_and_damage_fails_with_one_value() {
    let stock = Stock::new();
    let missing = stock.run("library status --json");
    assert_eq!(missing.code, 1);
    let reply: serde_json::Value = serde_json::from_str(&missing.out).unwrap();
    assert_eq!(reply["error"]["kind"], "failed");
    assert!(reply["error"]["hint"].as_str().unwrap().contains("init"));

    stock.ok("init");
    stock.ok("person add anna --consent self --entered-by me");
    let mut spoilt = 0;
    spoil_records(&stock.path().join("stock"), &mut spoilt);
    assert!(spoilt > 0, "a library with a person has records");
    let damaged = stock.run("library verify --json");
    assert_eq!(damaged.code, 1, "{}{}", damaged.out, damaged.err);
    let reply: serde_json::Value = serde_json::from_str(&damaged.out).unwrap();
    assert_eq!(reply["sound"], false);
    assert!(damaged.err.contains("damaged"), "{}", damaged.err);
}

/// Adds a byte to every file under `records`.
fn spoil_records(folder: &Path, spoilt: &mut u32) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil_records(&path, spoilt);
        } else if path.components().any(|c| c.as_os_str() == "records") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.push(b' ');
            std::fs::write(&path, bytes).unwrap();
            *spoilt += 1;
        }
    }
}

#[test]
fn the_library_is_found_by_flag_and_environment() {
    let stock = Stock::new();
    stock.ok("init --library elsewhere");
    assert!(stock.path().join("elsewhere").is_dir());
    assert!(!stock.path().join("stock").exists());
    let output = Command::cargo_bin("stockpot")
        .unwrap()
        .args(["library", "status", "--json"])
        .env("STOCKPOT_LIBRARY", stock.path().join("elsewhere"))
        .env("HOME", stock.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
}

#[test]
fn persons_without_consent_or_name_are_not_worked_on() {
    let stock = Stock::new();
    stock.ok("init");
    for line in [
        "train anna bert --steps 1",
        "swap a.mp4 --to anna -o b.mp4",
        "extract a.mp4 --person anna",
        "faces list anna",
    ] {
        stock.fails(line, 2, &["anna", "hint: "]);
    }
}

#[test]
fn a_person_goes_from_library_to_library_and_away() {
    let stock = Stock::new();
    stock.ok("init");
    stock.ok("init --library other");
    stock.ok("person add anna --consent synthetic --entered-by me");
    stock.ok("library export --person anna anna.bundle");
    stock.fails(
        "library export --person anna anna.bundle",
        1,
        &["there already"],
    );
    stock.fails(
        "library export --encoder e.bundle",
        1,
        &["nothing to export"],
    );
    stock.fails("library export anna.bundle", 2, &["--encoder"]);
    let planned = stock.json("library import anna.bundle --dry-run --library other");
    assert_eq!(planned["persons"][0]["outcome"], "new");
    assert!(stock.ok("person list --library other").contains("none"));
    stock.ok("library import anna.bundle --library other");
    assert!(stock.ok("person list --library other").contains("anna"));
    let again = stock.json("library import anna.bundle --library other");
    assert_eq!(again["persons"][0]["outcome"], "the same");
    // The same name with another consent.
    stock.ok("init --library third");
    stock.ok("person add anna --consent self --entered-by you --library third");
    let conflict = ["another consent", "--as NEWNAME"];
    stock.fails(
        "library import anna.bundle --library third --no-progress",
        1,
        &conflict,
    );
    stock.ok("library import anna.bundle --as anna-k --library third");
    assert!(stock.ok("person list --library third").contains("anna-k"));
    // A consent that says no.
    stock.ok("person sharing anna forbidden --entered-by me");
    let no = ["consent forbids it", "person sharing anna allowed"];
    stock.fails("library export --person anna b.bundle", 1, &no);
    // Damage, mending, room.
    let file = stock.path().join("anna.bundle");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    stock.fails("library import anna.bundle", 1, &["header is damaged"]);
    std::fs::write(stock.path().join("stock/objects/x.1.part"), "half").unwrap();
    let mended = stock.json("library repair");
    assert_eq!(mended["freed_bytes"], 4);
    assert_eq!(stock.json("library gc --dry-run")["freed_objects"], 0);
    assert_eq!(stock.json("library gc")["freed_bytes"], 0);
    let erased = stock.json("person remove anna --erase");
    assert_eq!(erased["erased"], "anna");
    stock.fails("person remove anna --erase", 2, &["knows no person"]);
    assert!(stock.json("library verify")["sound"].as_bool().unwrap());
}
