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
const COMMANDS: [&str; 36] = [
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
    "inspect",
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
    "person consent",
    "person withdraw",
    "library audit",
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

/// What each command says of a person whose consent does not cover it.
#[test]
fn a_consent_that_does_not_cover_a_use_stops_every_command() {
    let stock = Stock::new();
    stock.ok("init");
    std::fs::write(stock.path().join("agreed.txt"), "I agree. Bert").unwrap();
    let add = "person add bert --consent agreed.txt --entered-by me";
    let reply = stock.json(&format!(
        "{add} --until 2037-12-31 --for filmX --allow train,swap"
    ));
    assert_eq!(reply["allows"], "train, swap; for filmX; until 2037-12-31");
    stock.ok("person add anna --consent self --entered-by me");
    let train = "train anna bert --steps 1";
    let grow = "grow anna bert --steps 1";
    let swap = "swap agreed.txt --to bert -o b.mp4";
    let from = "swap agreed.txt --to anna --from bert -o b.mp4";
    let extract = "extract agreed.txt --person bert";
    let export = "library export --person bert b.bundle";
    let refit = "library refit bert";
    let stitch = "library stitch bert --to current";
    let legacy = "legacy export folder --a anna --b bert";
    let legacy_in = "legacy import folder --a anna --b bert";
    let model = "export bert --format onnx -o bert.onnx";
    let all = [
        train, grow, swap, from, extract, export, model, refit, stitch, legacy, legacy_in,
    ];
    let refused = |lines: &[&str], words: &[&str]| {
        for line in lines {
            stock.fails(line, 1, words);
        }
    };
    // Out of scope: another project, or none; then what was not allowed.
    refused(
        &all,
        &["is for `filmX`", "no project", "hint: ", "--project"],
    );
    let other: Vec<String> = all.iter().map(|l| format!("{l} --project filmY")).collect();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    refused(&other, &["`filmX`", "`filmY`"]);
    let named = |line: &str| format!("{line} --project filmX");
    stock.fails(&named(export), 1, &["may not be given", "hint: "]);
    stock.fails(&named(legacy), 1, &["may not be given"]);
    // Past the consent: what is missing then is something else.
    stock.fails(&named(train), 1, &[]);
    assert!(!stock.run(&named(train)).err.contains("consent"));
    stock.ok("person consent bert --for anything --allow rehearsal --entered-by me");
    let scope = [
        "does not cover",
        "it allows: rehearsal",
        "hint: ",
        "person consent bert --allow",
    ];
    let others: Vec<&str> = all
        .iter()
        .copied()
        .filter(|l| ![export, legacy, model].contains(l))
        .collect();
    refused(&others, &scope);
    stock.ok("person consent bert --allow share,train --entered-by me");
    stock.ok(export);
    stock.fails(swap, 1, &["does not cover swapping"]);
    // Over.
    stock.ok("person consent bert --until 2020-01-31 --entered-by me");
    refused(
        &all,
        &[
            "ended on 2020-02-01 00:00:00 UTC",
            "hint: ",
            "person consent bert --until",
        ],
    );
    assert!(
        stock
            .ok("person list")
            .contains("nothing: ended with 2020-01-31")
    );
    stock
        .ok("person consent bert --until never --allow train,swap,rehearsal,share --entered-by me");
    stock.ok("library export --person bert --with-rehearsal c.bundle");
    // Withdrawn.
    let reply = stock.json("person withdraw bert --note phone --entered-by me");
    assert_eq!(reply["next"], "stockpot person remove bert --erase");
    refused(
        &all,
        &["was withdrawn on", "hint: ", "person remove bert --erase"],
    );
    let renew = "person consent bert --until 2037-12-31 --entered-by me";
    stock.fails(renew, 1, &["was withdrawn"]);
    stock.fails(
        "person sharing bert allowed --entered-by me",
        1,
        &["was withdrawn"],
    );
    assert_eq!(
        stock.json("library export --all all.bundle")["persons"][0],
        "anna"
    );
    // Missing.
    std::fs::remove_file(stock.path().join("stock/refs/persons/bert/consent")).unwrap();
    refused(
        &all,
        &["bert", "consent", "hint: ", "person add bert --consent"],
    );
    stock.ok("person add bert --consent agreed.txt --entered-by me");
    let shown = stock.json("person show bert");
    assert_eq!(shown["consents"][0]["signed_by"], "this library");
    for line in [
        "person add carl --consent self --until 2027-02-30",
        "person add carl --consent self --allow draw",
        "person add carl --consent self --for anything --for x --entered-by me",
    ] {
        stock.fails(line, 2, &[]);
    }
    assert_eq!(stock.json("library verify")["sound"], true);
}

/// The log of uses, and that an edited record and an edited log are found.
#[test]
fn edited_records_and_logs_are_found() {
    let stock = Stock::new();
    stock.ok("init");
    stock.ok("person add anna --consent synthetic --entered-by me");
    stock.ok("person consent anna --until 2037-12-31 --entered-by me");
    stock.ok("library export --person anna a.bundle");
    let audit = stock.json("library audit");
    let what: Vec<_> = audit["uses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["what"])
        .collect();
    assert_eq!(what, ["begun", "consent", "consent", "export"]);
    assert_eq!(audit["uses"][3]["file"], "a.bundle");
    assert!(stock.ok("library audit --person anna").contains("a.bundle"));
    let nobody = stock.json("library audit --person nobody");
    assert_eq!(nobody["uses"], serde_json::json!([]));
    let shown = stock.json("person show anna");
    assert_eq!(shown["consents"].as_array().unwrap().len(), 2);
    assert_eq!(
        shown["allows"],
        "train, swap, rehearsal, share; until 2037-12-31"
    );
    // A consent is edited in the export, and all hashes and lengths made to fit: see the library's
    // own tests. Here the plain edits, by hand.
    let log = stock.path().join("stock/audit.jsonl");
    let good = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    for bad in [
        lines[..3].concat(),
        lines[1..].concat(),
        good.replace("a.bundle", "b.bundle"),
        good.replacen("\"what\":\"export\"", "\"what\":\"extract\"", 1),
    ] {
        std::fs::write(&log, &bad).unwrap();
        stock.fails("library audit --quiet", 1, &["log of uses", "hint: "]);
        let told = stock.run("library audit --json");
        assert_eq!(told.code, 1);
        let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(told["findings"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(stock.run("library verify").code, 1);
    }
    // Half a line of a program that was killed is no tampering, and mended.
    std::fs::write(&log, format!("{good}{{\"n\":5,\"at")).unwrap();
    let torn = stock.json("library audit");
    assert_eq!(
        torn["findings"][0],
        "Half a line of a program that was stopped"
    );
    let mended = stock.json("library repair");
    assert!(
        mended["mended"][0]
            .as_str()
            .unwrap()
            .contains("log of uses")
    );
    assert_eq!(std::fs::read_to_string(&log).unwrap(), good);
    let record = shown["consents"][0]["record"].as_str().unwrap();
    let path = format!("stock/records/{}/{record}.json", &record[..2]);
    let path = stock.path().join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"train\",", "")).unwrap();
    stock.fails("swap a.mp4 --to anna -o b.mp4", 1, &["damaged", "hint: "]);
    assert_eq!(stock.run("library verify").code, 1);
    std::fs::write(&path, text).unwrap();
    assert_eq!(stock.json("library verify")["sound"], true);
    stock.ok("person remove anna --erase");
    assert_eq!(stock.json("library audit")["sound"], true);
}
