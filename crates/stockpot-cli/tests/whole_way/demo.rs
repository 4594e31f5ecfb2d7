//! The demo, with a few frames and steps: from nothing to a page that stands by itself.

use std::fs;

use serde_json::Value;

use crate::tools::{Stock, skip};

/// Frames of the clip that a tiny demo swaps.
const FRAMES: u64 = 12;

#[test]
fn a_demo_leaves_a_page_that_needs_nothing_else() {
    let Some(stock) = Stock::empty() else { return };
    if !stock.has_heads() {
        skip("the head data of made-up people is not installed (`stockpot models install`)");
        return;
    }
    let reply = stock.ok("demo --tiny --out shown");
    assert_eq!(reply["steps"], 4, "{reply:#}");
    let figures = reply["figures"].as_object().unwrap();
    let numbers: Vec<f64> = figures.values().filter_map(Value::as_f64).collect();
    assert!(numbers.iter().all(|n| n.is_finite()), "{reply:#}");
    for name in [
        "difference",
        "difference_unswapped",
        "difference_perfect",
        "detail",
    ] {
        assert!(figures[name].as_f64().unwrap() > 0.0, "{name}: {reply:#}");
    }
    for name in ["ssim", "ssim_unswapped", "ssim_perfect"] {
        let ssim = figures[name].as_f64().unwrap();
        assert!(-1.0 < ssim && ssim < 1.0, "{name}: {reply:#}");
    }
    let compared = figures["frames"].as_u64().unwrap();
    let without = figures["without_face"].as_u64().unwrap();
    assert!(compared > 0, "{reply:#}");
    assert_eq!(compared + without, FRAMES);

    for clip in ["a.mp4", "b-truly.mp4", "a-as-b.mp4", "side-by-side.mp4"] {
        let packets = |kind: &str| {
            let line = format!(
                "-count_packets -select_streams {kind} -show_entries stream=codec_name,nb_read_packets shown/{clip}"
            );
            stock.ffprobe(&line)
        };
        assert_eq!(
            packets("v").trim(),
            format!("stream,h264,{FRAMES}"),
            "{clip}"
        );
        assert!(packets("a").starts_with("stream,aac,"), "{clip}");
    }

    let page = fs::read_to_string(stock.path("shown/report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for word in [
        "data:video/mp4;base64,",
        "data:image/jpeg;base64,",
        "<polyline",
        "<b>Nobody in these pictures exists.</b>",
        "drawn by a model",
    ] {
        assert!(page.contains(word), "no {word:?}");
    }
    for word in [
        "http:", "https:", "file:", "<script", "<link", "@import", "url(", "NaN<", ">NaN", "NaN,",
    ] {
        assert!(!page.contains(word), "{word:?} is in the page");
    }
    // Whatever is shown is in the page itself.
    for attribute in ["src=\"", "href=\""] {
        for value in page.split(attribute).skip(1) {
            assert!(value.starts_with("data:"), "{attribute}{value:.60}");
        }
    }
    let persons = stock.ok("--library shown/stock person list");
    for person in persons.as_array().unwrap() {
        assert_eq!(person["consent"], "synthetic", "{persons:#}");
    }
}

#[test]
fn a_demo_leaves_other_folders_alone() {
    let Some(stock) = Stock::empty() else { return };
    fs::create_dir(stock.path("mine")).unwrap();
    fs::write(stock.path("mine/letter.txt"), "dear").unwrap();
    stock.fails(
        "demo --tiny --out mine",
        2,
        &["something else", "--out DIR"],
    );
    assert_eq!(stock.list("mine"), ["letter.txt"]);
}

/// Two steps over one group of people, then a third from the checkpoint; the file is whole.
#[test]
fn a_stock_is_made_and_gone_on_with() {
    let Some(stock) = Stock::empty() else { return };
    if !stock.has_heads() {
        skip("the head data of made-up people is not installed (`stockpot models install`)");
        return;
    }
    let make = "stock make --preset comb-s-64 --people 8 --batch 4 --work work -o made.stock";
    let reply = stock.ok(&format!("{make} --steps 2"));
    assert_eq!(reply["score"]["step"], 2, "{reply:#}");
    for name in ["same", "swapped", "copied"] {
        let difference = reply["score"][name].as_f64().unwrap();
        assert!(0.0 < difference && difference < 1.0, "{name}: {reply:#}");
    }
    let length = fs::metadata(stock.path("made.stock")).unwrap().len();
    assert_eq!(reply["bytes"], length, "{reply:#}");
    let again = stock.ok(&format!("{make} --steps 3"));
    assert_eq!(again["score"]["step"], 3, "{again:#}");
    let lines = fs::read_to_string(stock.path("work/comb-s-64/scores.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    stock.fails(
        "stock make --preset classic-4x1024 --steps 1 --work none -o none.stock",
        2,
        &["no trunk", "comb-s-96"],
    );
}
