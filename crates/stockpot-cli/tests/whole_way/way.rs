//! Everything goes well: extract, train, swap, train another person, swap pictures.

use std::fs;

use serde_json::Value;

use crate::tools::{QUICK, Stock};

#[test]
fn two_persons_are_extracted_and_trained() {
    let Some((stock, replies)) = Stock::trained() else {
        return;
    };
    for reply in &replies.extracted {
        let source = &reply["sources"][0];
        assert_eq!(source["frames"], 50, "{reply:#}");
        assert_eq!(source["frames_with_face"], 50, "{reply:#}");
        assert!(number(&source["training_faces"]) >= 30.0, "{reply:#}");
        assert!(number(&source["held_out_faces"]) >= 1.0, "{reply:#}");
    }
    let trained = &replies.trained;
    assert_eq!(trained["steps"], 6);
    assert_eq!(trained["stopped_by"], "steps");
    assert_eq!(trained["others"], serde_json::json!([]));
    for person in trained["persons"].as_array().unwrap() {
        assert_eq!(person["started_from"], "scratch");
        let ssim = number(&person["held_out_ssim"]);
        assert!(0.0 < ssim && ssim < 1.0, "{trained:#}");
    }

    let status = stock.ok("library status");
    assert_eq!(status["family"], "comb-s-64");
    assert_eq!(status["encoder"], trained["encoder"]);
    assert_eq!(status["encoder_steps"], 6);
    assert_eq!(status["problems"], serde_json::json!([]));
    let persons = status["persons"].as_array().unwrap();
    for (row, (name, reply)) in persons.iter().zip([("a", 0), ("d", 1)]) {
        assert_eq!(row["person"], name);
        assert_eq!(row["consent"], "synthetic");
        assert_eq!(row["decoder"], trained["persons"][reply]["decoder"]);
        assert_eq!(row["encoder"], trained["encoder"]);
        assert_eq!(row["verdict"], "same");
    }
    assert_eq!(persons.len(), 2);
    stock.is_sound();
}

#[test]
fn a_swapped_video_keeps_everything_but_the_face() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let reply = stock.ok("swap a.mp4 --from a --to d -o out.mp4");
    assert_eq!(reply["frames"], 50);
    assert_eq!(reply["swapped_frames"], 50);
    assert_eq!(reply["remarks"], serde_json::json!([]));
    // The log tells who was drawn by what, who was looked for, and which file came of it.
    let audit = stock.ok("library audit");
    let used = audit["uses"].as_array().unwrap();
    let what: Vec<&str> = used.iter().filter_map(|u| u["what"].as_str()).collect();
    let wanted = [
        "begun", "consent", "consent", "extract", "extract", "train", "swap",
    ];
    assert_eq!(what, wanted);
    let swap = &used[6];
    assert_eq!(swap["persons"], serde_json::json!(["d", "a"]));
    assert_eq!(swap["file"], "out.mp4");
    assert_eq!(swap["output"].as_str().map(str::len), Some(64));
    assert_eq!(swap["encoder"], used[5]["encoder"]);
    assert_eq!(used[5]["persons"], serde_json::json!(["a", "d"]));

    let times = video_times(&stock, "a.mp4");
    assert_eq!(times.len(), 50 + 1);
    assert_eq!(video_times(&stock, "out.mp4"), times);
    let tags = "-select_streams v -show_entries stream=width,height,pix_fmt,color_range,color_space,\
                color_transfer,color_primaries,time_base,avg_frame_rate,r_frame_rate,\
                sample_aspect_ratio,nb_frames";
    let of = |file: &str| stock.ffprobe(&format!("{tags} {file}"));
    assert!(of("a.mp4").contains("bt709"), "{}", of("a.mp4"));
    assert_eq!(of("out.mp4"), of("a.mp4"));
    let sound = "-select_streams a -show_entries packet=pts,duration,size,data_hash \
                 -show_data_hash md5";
    let of = |file: &str| stock.ffprobe(&format!("{sound} {file}"));
    assert!(of("a.mp4").lines().count() > 80);
    assert_eq!(of("out.mp4"), of("a.mp4"));
    // The picture itself is another one.
    let pixels = |file: &str| {
        stock.ffmpeg(&format!("-i {file} -frames:v 1 -y first.png"));
        fs::read(stock.path("first.png")).unwrap()
    };
    assert_ne!(pixels("a.mp4"), pixels("out.mp4"));
}

#[test]
fn previews_and_clips_are_parts_of_the_whole() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let reply = stock.ok("swap a.mp4 --to d -o look.png --preview 3");
    assert_eq!(reply["swapped_frames"], 3);
    let png = fs::read(stock.path("look.png")).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    // Original and swap side by side, one frame below the other; big-endian in the header.
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let (width, height) = (side(16), side(20));
    assert!(width >= 2 * 480 && height >= 3 * 480, "{width} x {height}");

    let reply = stock.ok("swap a.mp4 --to d -o clip.mp4 --frames 10-19");
    assert_eq!(reply["frames"], 10);
    assert_eq!(reply["swapped_frames"], 10);
    let durations = |times: &[i64]| times.windows(2).map(|t| t[1] - t[0]).collect::<Vec<_>>();
    let (clip, whole) = (
        video_times(&stock, "clip.mp4"),
        video_times(&stock, "a.mp4"),
    );
    assert_eq!(clip.len(), 10 + 1);
    assert_eq!(durations(&clip), durations(&whole[10..=20]));
}

#[test]
fn a_third_person_starts_from_the_library() {
    let Some((stock, replies)) = Stock::trained() else {
        return;
    };
    // `d` in the mirror, who is somebody else to the library.
    stock.ffmpeg("-i d.mp4 -vf hflip -an c.mp4");
    stock.ok("person add c --consent synthetic");
    stock.ok("extract c.mp4 --person c");
    let reply = stock.ok(&format!("train c a --steps 2 {QUICK}"));
    let persons = reply["persons"].as_array().unwrap();
    assert_eq!(persons[0]["person"], "c");
    let (c, a) = (&persons[0]["started_from"], &persons[1]["started_from"]);
    let state = replies.trained["persons"][0]["decoder"].as_str().unwrap();
    assert_eq!(*a, format!("its state {state}"));
    assert!(
        c != "scratch" && !c.as_str().unwrap().is_empty(),
        "{reply:#}"
    );
    assert_eq!(reply["others"][0]["person"], "d");
    assert!(reply["others"][1].is_null());

    let status = stock.ok("library status");
    assert_eq!(status["encoder"], reply["encoder"]);
    assert_eq!(status["encoder_steps"], 8);
    let log = stock.ok("library log");
    let rows = log.as_array().unwrap();
    assert_eq!(rows.len(), 6, "{log:#}");
    let row = rows.iter().find(|r| r["record"] == reply["encoder"]);
    assert_eq!(row.unwrap()["parent"], replies.trained["encoder"]);
    assert_eq!(row.unwrap()["current"], true);
    stock.is_sound();

    // Frozen, `c` keeps its weights and gets the encoder that learned beside it; the export has both.
    let steps = |status: &serde_json::Value| status["persons"][1]["steps"].clone();
    let before = steps(&stock.ok("library status"));
    let reply = stock.ok(&format!("train a c --freeze c --steps 2 {QUICK}"));
    let status = stock.ok("library status");
    assert_eq!(status["persons"][1]["person"], "c");
    assert_eq!(steps(&status), before);
    assert_eq!(status["persons"][1]["verdict"], "same");
    let export = stock.ok("export c --format dfm -o c.dfm");
    assert_eq!(export["encoder"], reply["encoder"]);
    stock.fails("export c --format onnx -o c.dfm", 1, &["already"]);
    stock.is_sound();

    // `d` still has the encoder state that it was trained with, and `c` the new one.
    for person in ["c", "d"] {
        let reply = stock.ok(&format!(
            "swap a.mp4 --to {person} -o {person}.png --preview 1"
        ));
        assert_eq!(reply["swapped_frames"], 1);
    }
}

#[test]
fn nobody_is_trained_or_drawn_without_consent() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.fails("extract a.mp4 --person c", 2, &["`c`", "person add c"]);
    stock.fails("train a c --steps 1", 2, &["`c`", "person add c"]);
    stock.ok("person remove d");
    stock.fails("train a d --steps 1", 2, &["`d`", "person add d"]);
    stock.fails("swap a.mp4 --to d -o out.mp4", 2, &["`d`", "person add d"]);
    stock.fails("swap a.mp4 --from d --to a -o out.mp4", 2, &["`d`"]);
    assert!(!stock.path("out.mp4").exists());
    assert_eq!(stock.list("stock/runs"), [""; 0]);
    // Entered again, a person has their faces, but no decoder from before.
    stock.ok("person add d --consent synthetic");
    stock.fails(
        "swap a.mp4 --to d -o out.mp4",
        1,
        &["no decoder", "train d"],
    );
    stock.ok("person withdraw a");
    let withdrawn = ["`a`", "withdrawn", "person remove a --erase"];
    stock.fails("extract a.mp4 --person a", 1, &withdrawn);
    stock.fails("train a --steps 1", 1, &withdrawn);
    stock.fails("swap a.mp4 --to a -o out.mp4", 1, &withdrawn);
    assert_eq!(stock.list("stock/runs"), [""; 0]);
    stock.is_sound();
}

#[test]
fn pictures_are_swapped_and_broken_ones_told() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.ffmpeg("-i a.mp4 -frames:v 1 one.png");
    let reply = stock.ok("swap one.png --to d -o swapped.png");
    assert_eq!(reply["swapped_frames"], 1);
    assert_eq!(size(&stock, "swapped.png"), "png,256,256");

    fs::create_dir(stock.path("many")).unwrap();
    stock.ffmpeg("-i a.mp4 -frames:v 3 many/%d.png");
    let whole = fs::read(stock.path("many/2.png")).unwrap();
    fs::write(stock.path("many/2.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(stock.path("many/9.jpg"), "no picture").unwrap();
    let outcome = stock.run("swap many --to d -o done --quiet --json");
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert_eq!(outcome.json()["swapped_frames"], 2);
    // The last one too, which nothing comes after.
    for broken in ["warning: ", "many/2.png", "many/9.jpg"] {
        assert!(outcome.err.contains(broken), "{}", outcome.err);
    }
    let done = stock.list("done");
    assert_eq!(done.len(), 2, "{done:?}");
    for name in done {
        assert_eq!(size(&stock, &format!("done/{name}")), "png,256,256");
    }
}

/// When every frame is shown, in ticks, and after them the end of the last one: what the container
/// says, whatever the stream inside it does.
fn video_times(stock: &Stock, file: &str) -> Vec<i64> {
    let ask = |what: &str| {
        let shown = stock.ffprobe(&format!("-select_streams v -show_entries {what} {file}"));
        let fields = |line: &str| line.split(',').nth(1).unwrap().parse().unwrap();
        shown.lines().map(fields).collect::<Vec<i64>>()
    };
    let mut times = ask("packet=pts");
    times.sort_unstable();
    let length = ask("stream=duration_ts")[0];
    times.push(times[0] + length);
    times
}

/// `codec,width,height` of a picture.
fn size(stock: &Stock, file: &str) -> String {
    let shown = stock.ffprobe(&format!(
        "-show_entries stream=codec_name,width,height {file}"
    ));
    shown.trim().trim_start_matches("stream,").to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
