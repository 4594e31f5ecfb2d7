//! The evaluation, as typed: a tiny bench from rendering to the page, and clips against the truth.

use std::fs;

use serde_json::Value;

use crate::tools::{Stock, skip};

#[test]
fn a_tiny_bench_goes_the_whole_way() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    if !stock.has_heads() {
        skip("the head data are not installed (`stockpot models install`)");
        return;
    }
    let line = "eval --tiny --seed 7 --tracks T1,T2,T3,T4,T5,T6,T7 -o report --quiet --json";
    let outcome = stock.run(line);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    // Twenty pictures leave none to hold out, for the lite person and for the full one.
    let warning =
        "warning: new has no held-out faces: how good the decoder gets cannot be measured\n";
    assert_eq!(outcome.err, warning.repeat(2));
    let reply = outcome.json();
    assert_eq!(reply["seed"], 7);
    assert_eq!(reply["failed"], serde_json::json!([]), "{reply:#}");
    let outcomes = reply["outcomes"].as_array().unwrap();
    let tracks: Vec<&Value> = outcomes.iter().map(|o| &o["track"]).collect();
    assert_eq!(tracks, ["T1", "T2", "T3", "T4", "T5", "T6", "T7"]);
    for (outcome, least) in outcomes.iter().zip([8, 12, 5, 4, 4]) {
        let measures = outcome["measures"].as_array().unwrap();
        assert!(measures.len() >= least, "{outcome:#}");
        for measure in measures {
            assert!(measure["value"].is_f64(), "{measure:#}");
        }
    }
    let measure = |track: usize, name: &str| {
        let measures = outcomes[track]["measures"].as_array().unwrap();
        measures.iter().find(|m| m["name"] == name).unwrap()
    };
    let value = |track: usize, name: &str| measure(track, name)["value"].as_f64().unwrap();
    assert_eq!(value(0, "frames with A found"), 100.0);
    // Two steps are nothing from fresh weights, but from the stock a face is there already.
    let end = "held-out difference at the end";
    let cold = measure(2, end)["toys"][0]["value"].as_f64().unwrap();
    assert!(cold > 0.1 && value(2, end) < 0.7 * cold, "{reply:#}");
    assert_eq!(value(2, "fewer steps"), 2.0);
    // Through the stitch a decoder must not be worse off than under the other encoder as it is.
    for name in ["A", "B"] {
        let swap = measure(5, &format!("swap to {name}, against its own lineage"));
        let crossed = swap["toys"][0]["value"].as_f64().unwrap();
        assert!(swap["value"].as_f64().unwrap() < crossed, "{reply:#}");
    }
    assert!(value(6, "difference") > 0.0 && value(6, "SSIM") < 1.0);
    // Two steps move an encoder little, but somebody else's decoder is somebody else's.
    let off = measure(3, "mean off the diagonal");
    let shuffled = off["toys"][0]["value"].as_f64().unwrap();
    assert!(off["value"].as_f64().unwrap() < 0.9 * shuffled, "{reply:#}");
    assert!(
        value(4, "mean change of earlier persons") < 20.0,
        "{reply:#}"
    );

    let text = fs::read_to_string(stock.path("report/eval.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), reply);
    let page = fs::read_to_string(stock.path("report/eval.html")).unwrap();
    assert!(page.matches("data:image/jpeg;base64,").count() >= 8);
    assert!(!page.contains("http:") && !page.contains("https:"));
    assert!(
        !stock.path("stock").exists(),
        "the user's library is not touched"
    );
}

#[test]
fn ways_to_train_race_for_the_same_time() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    if !stock.has_heads() {
        skip("the head data are not installed (`stockpot models install`)");
        return;
    }
    let line = "eval race --tiny --minutes 0.02 --only scratch,lite -o report";
    let reply = stock.ok(line);
    let outcomes = reply["outcomes"].as_array().unwrap();
    let tracks: Vec<&Value> = outcomes.iter().map(|o| &o["track"]).collect();
    assert_eq!(tracks, ["scratch", "lite"]);
    let value = |way: usize, name: &str| {
        let measures = outcomes[way]["measures"].as_array().unwrap();
        let found = measures.iter().find(|m| m["name"] == name);
        found.unwrap()["value"].as_f64().unwrap()
    };
    // After a second there is a face only where one was to begin with, and a small file.
    assert!(value(1, "difference, A redrawn") < 0.7 * value(0, "difference, A redrawn"));
    assert!(value(1, "a person's file") < 2.0 && value(0, "a person's file") > 10.0);
    let page = fs::read_to_string(stock.path("report/eval.html")).unwrap();
    assert!(page.matches("data:image/jpeg;base64,").count() >= 4 * 4);

    let wrong = stock.run("eval race --tiny --only fast");
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.err.contains("stock-128"), "{}", wrong.err);
    let unasked = stock.run("eval race clip.mp4");
    assert_eq!(unasked.code, Some(2), "{}", unasked.err);
    assert!(unasked.err.contains("--consent"), "{}", unasked.err);
}

#[test]
fn the_mark_and_the_credentials_are_measured() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    if !stock.has_heads() {
        skip("the head data are not installed (`stockpot models install`)");
        return;
    }
    let reply = stock.ok("eval --tiny --seed 7 --tracks T12");
    assert_eq!(reply["failed"], serde_json::json!([]), "{reply:#}");
    let measures = reply["outcomes"][0]["measures"].as_array().unwrap();
    let value = |name: &str| {
        let found = measures
            .iter()
            .find(|m| m["name"].as_str().unwrap().starts_with(name));
        found.unwrap_or_else(|| panic!("no {name:?} in {reply:#}"))["value"]
            .as_f64()
            .unwrap()
    };
    assert!(value("PSNR") > 35.0 && value("SSIM") > 0.97, "{reply:#}");
    assert_eq!(value("bits right, pictures, JPEG 75"), 100.0);
    assert_eq!(value("bits right, pictures, cropped 10 %"), 100.0);
    assert_eq!(value("false alarms"), 0.0);
    assert_eq!(value("sealed files that are whole"), 100.0);
    assert_eq!(value("changed bytes"), 100.0);
}

#[test]
fn clips_are_compared_with_the_truth() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    let same = stock.ok("eval video a.mp4 --truth a.mp4");
    assert_eq!(same["frames"], 50);
    assert_eq!(same["compared_frames"], 50);
    let clip = &same["clips"][0];
    for (name, wanted) in [
        ("difference", 0.0),
        ("psnr_db", 100.0),
        ("detail", 1.0),
        ("flicker_levels", 0.0),
        ("identity_to_truth", 0.0),
    ] {
        assert_eq!(clip[name], wanted, "{same:#}");
    }
    assert!((clip["ssim"].as_f64().unwrap() - 1.0).abs() < 1e-4);
    assert_eq!(clip["identity_to_source"], Value::Null);

    stock.ffmpeg("-i a.mp4 -vf hue=h=30 -c:v libx264 -crf 18 tinted.mp4");
    let other = stock.ok("eval video tinted.mp4 --truth a.mp4 --source a.mp4");
    let [result, source] = [0, 1].map(|i| &other["clips"][i]);
    assert_eq!([&result["clip"], &source["clip"]], ["result", "source"]);
    assert!(result["difference"].as_f64().unwrap() > 0.01, "{other:#}");
    assert_eq!(source["difference"], 0.0);
    assert_eq!(result["identity_to_truth"], result["identity_to_source"]);

    stock.ffmpeg("-i a.mp4 -frames:v 20 -c:v libx264 short.mp4");
    stock.ffmpeg("-i a.mp4 -vf scale=64:64 -c:v libx264 small.mp4");
    for pair in ["short.mp4 --truth a.mp4", "a.mp4 --truth short.mp4"] {
        stock.fails(
            &format!("eval video {pair}"),
            2,
            &["number of frames", "has 20", "has 50"],
        );
    }
    stock.fails("eval video small.mp4 --truth a.mp4", 2, &["64", "one size"]);
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    stock.fails("eval --tracks T13", 2, &["T13"]);
    let both = stock.run("eval --tracks T1 video a.mp4 --truth a.mp4");
    assert_eq!(both.code, Some(2), "{}", both.err);
}

#[test]
fn a_tiny_measure_of_speed_goes_the_whole_way() {
    let Some(stock) = Stock::empty() else {
        return;
    };
    if !stock.has_heads() {
        skip("the head data are not installed (`stockpot models install`)");
        return;
    }
    let reply = stock.ok("bench --tiny -o report");
    let median = |v: &Value| v["median"].as_f64().unwrap();
    let one = median(&reply["ceilings"]["f32_one"]);
    assert!(one > 1.0, "a machine of {one} GFLOP/s");
    let layers = reply["layers"].as_array().unwrap();
    assert!(layers.len() > 10 && layers.iter().all(|l| median(&l["forward"]["gflops"]) > 0.0));
    let shares = layers.iter().map(|l| l["share_of_step"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
    for part in ["steps", "looking", "feeding"] {
        assert_eq!(reply[part].as_array().unwrap().len(), 1, "{part}");
    }
    assert!(median(&reply["video"]["extract_frames_per_sec"]) > 0.0);
    assert!(median(&reply["video"]["swap_frames_per_sec"]) > 0.0);
    let page = fs::read_to_string(stock.path("report/bench.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("http:") && !page.contains("https:"));
    assert!(!page.contains("NaN"), "a figure that is none");
    let text = fs::read_to_string(stock.path("report/bench.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), reply);
    assert!(
        !stock.path("stock").exists(),
        "the user's library is not touched"
    );
}
