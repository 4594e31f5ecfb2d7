//! What cannot work: broken files, full and locked disks, libraries of tomorrow. The program says
//! what is wrong and what to do, and leaves the library sound and no half files.

use std::fs;

use crate::tools::{QUICK, Stock, copy_folder};

#[test]
fn broken_inputs_are_named() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let whole = fs::read(stock.path("a.mp4")).unwrap();
    fs::write(stock.path("text.mp4"), "this is no video\n").unwrap();
    fs::write(stock.path("zero.mp4"), "").unwrap();
    fs::write(stock.path("half.mp4"), &whole[..whole.len() / 2]).unwrap();
    // With its index in front a cut file still opens, and ends early.
    stock.ffmpeg("-i a.mp4 -c copy -movflags +faststart front.mp4");
    let front = fs::read(stock.path("front.mp4")).unwrap();
    fs::write(stock.path("cut.mp4"), &front[..front.len() * 2 / 3]).unwrap();
    stock
        .ffmpeg("-f lavfi -i testsrc2=size=256x256:rate=25:duration=1 -pix_fmt yuv420p noface.mp4");
    stock.ffmpeg("-i a.mp4 -vn -c copy sound.mp4");
    fs::create_dir(stock.path("empty")).unwrap();
    let files = stock.list(".");
    let inputs: &[(&str, &str)] = &[
        ("text.mp4", "Not a video or picture"),
        ("zero.mp4", "Not a video or picture"),
        ("half.mp4", "cut short"),
        ("cut.mp4", "cut short after frame"),
        ("noface.mp4", "No face found in the 25 frames"),
        ("sound.mp4", "no video stream"),
        ("empty", "pictures"),
        ("lost.mp4", "no file or folder"),
    ];
    let mut said = String::new();
    for (input, words) in inputs {
        said += &stock.fails(&format!("extract {input} --person a"), 1, &[words, input]);
        let swap = format!("swap {input} --to d -o out.mp4");
        said += &stock.fails(&swap, 1, &[words, input]);
    }
    assert_eq!(stock.list("."), files);
    // What is there of the cut one can be used, as its message says.
    let reply = stock.ok("swap cut.mp4 --to d -o out.mp4 --frames 0-4");
    assert_eq!(reply["swapped_frames"], 5);
    stock.is_sound();
    assert!(
        !said.contains("()"),
        "a message without its reason:\n{said}"
    );
}

#[test]
fn outputs_are_looked_at_first() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.ffmpeg("-i a.mp4 -frames:v 1 one.png");
    fs::create_dir(stock.path("many")).unwrap();
    fs::copy(stock.path("one.png"), stock.path("many/one.png")).unwrap();
    std::os::unix::fs::symlink("a.mp4", stock.path("link.mp4")).unwrap();
    let files = stock.list(".");
    let before = fs::read(stock.path("a.mp4")).unwrap();
    let picture = fs::read(stock.path("one.png")).unwrap();
    let wrong: &[(&str, &str, i32, &str)] = &[
        ("a.mp4", "a.mp4", 2, "replace the input"),
        ("a.mp4", "./a.mp4", 2, "replace the input"),
        ("a.mp4", "link.mp4", 2, "replace the input"),
        ("one.png", "./one.png", 2, "replace the input"),
        ("many", "./many/../many", 2, "replace the input"),
        ("a.mp4", "no/out.mp4", 1, "no/out.mp4"),
        ("a.mp4", "out.avi", 1, "`avi`"),
        ("a.mp4", "out.png", 1, "`png`"),
        (
            "a.mp4",
            "out.mp4 --frames 70-90",
            2,
            "None of the wanted frames",
        ),
    ];
    for (input, output, code, words) in wrong {
        stock.fails(&format!("swap {input} --to d -o {output}"), *code, &[words]);
    }
    for line in [
        "swap a.mp4 --to d --preview 3 -o out.mp4",
        "swap one.png --to d -o out.mp4",
    ] {
        let outcome = stock.run(&format!("{line} --quiet"));
        assert_eq!(outcome.code, Some(2), "{}", outcome.err);
        assert!(outcome.err.contains("end in .png"), "{}", outcome.err);
    }
    assert_eq!(stock.list("."), files);
    assert_eq!(fs::read(stock.path("a.mp4")).unwrap(), before);
    assert_eq!(fs::read(stock.path("one.png")).unwrap(), picture);
    assert_eq!(stock.list("many"), ["one.png"]);
}

#[test]
fn a_full_disk_ends_an_extraction() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let Some(_disk) = stock.small_disk("stock/facesets/e", "1m") else {
        return;
    };
    stock.ok("person add e --consent synthetic");
    stock.fails("extract a.mp4 --person e", 1, FULL);
    stock.is_sound();
}

#[test]
fn a_full_disk_ends_a_training_and_room_lets_it_go_on() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    {
        let Some(_disk) = stock.small_disk("stock/runs", "2m") else {
            return;
        };
        stock.fails(&format!("train a d --steps 1 {QUICK}"), 1, FULL);
        stock.is_sound();
    }
    // All steps made, and no room to commit them: 60 MB are there, the encoder takes 25. An object
    // that did fit would be gone with this disk, but not the record of it.
    let objects = stock.path("stock/objects");
    let aside = stock.path("aside");
    copy_folder(&objects, &aside);
    let disk = stock.small_disk("stock/objects", "70m").unwrap();
    copy_folder(&aside, &objects);
    stock.fails(
        &format!("train a d --steps 1 {QUICK}"),
        1,
        &["disk is full"],
    );
    stock.is_sound();
    assert_eq!(stock.ok("library status")["encoder_steps"], 6);
    drop(disk);
    let id = stock.list("stock/runs").pop().unwrap();
    let reply = stock.ok(&format!("train --resume {id}"));
    assert_eq!(reply["steps"], 1);
    assert_eq!(stock.ok("library status")["encoder_steps"], 7);
    stock.is_sound();
}

#[test]
fn full_and_locked_disks_end_a_swap() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let Some(disk) = stock.small_disk("disk", "32k") else {
        return;
    };
    stock.ffmpeg("-i a.mp4 -frames:v 1 one.png");
    let video = "swap a.mp4 --to d -o disk/out.mp4";
    let picture = "swap one.png --to d -o disk/out.png";
    let sheet = "swap a.mp4 --to d -o disk/out.png --preview 2";
    stock.fails(video, 1, &["disk is full", "disk/out.mp4"]);
    for line in [picture, sheet] {
        stock.fails(line, 1, FULL);
    }
    assert_eq!(stock.list("disk"), [""; 0]);
    disk.lock();
    for line in [video, picture, sheet] {
        stock.fails(line, 1, &["disk/out", "Read-only file system"]);
    }
    stock.is_sound();
}

#[test]
fn a_newer_library_is_left_alone() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let file = stock.path("stock/stockpot.json");
    let text = fs::read_to_string(&file).unwrap();
    let newer = text.replace("\"version\": 1", "\"version\": 2");
    assert_ne!(newer, text);
    fs::write(&file, &newer).unwrap();
    let lines = [
        "library status",
        "person add e --consent synthetic",
        "extract a.mp4 --person a",
        "train a d --steps 1",
        "swap a.mp4 --to d -o out.mp4",
    ];
    for line in lines {
        stock.fails(line, 1, &["version 2", "newer stockpot"]);
    }
    assert!(!stock.path("out.mp4").exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
    fs::write(&file, "{").unwrap();
    stock.fails("library status", 1, &["stockpot.json", "damaged"]);
    fs::write(&file, text).unwrap();
    stock.is_sound();
}

/// What a full disk is told as, where the message is not our own.
const FULL: &[&str] = &["Cannot write", "No space left on device"];
