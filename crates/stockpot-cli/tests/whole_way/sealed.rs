//! Every output says what it is: whatever a swap, a preview or the demo leaves in a folder is sealed,
//! and `inspect` tells whole from broken from nothing.

use std::fs;

use serde_json::Value;

use crate::tools::{Stock, skip};

/// The report on one file.
fn report(stock: &Stock, file: &str) -> (Option<i32>, Value) {
    let outcome = stock.run(&format!("inspect {file} --json --quiet"));
    (outcome.code, outcome.json()["files"][0].clone())
}

#[test]
fn nothing_a_swap_leaves_is_unsealed() {
    let Some((stock, replies)) = Stock::trained() else {
        return;
    };
    stock.ffmpeg("-i a.mp4 -frames:v 1 one.png");
    stock.ffmpeg("-i a.mp4 -frames:v 1 one.jpg");
    fs::create_dir(stock.path("many")).unwrap();
    stock.ffmpeg("-i a.mp4 -frames:v 3 many/%d.png");
    fs::create_dir(stock.path("out")).unwrap();
    // Every kind of output there is: container, codec, extent, picture, sequence, sheet.
    for line in [
        "a.mp4 -o out/whole.mp4",
        "a.mp4 -o out/clip.mov --frames 3-8",
        "a.mp4 -o out/clip.m4v --frames 0-2",
        "a.mp4 -o out/clip.mkv --frames 0-2",
        "one.png -o out/one.png",
        "one.jpg -o out/two.jpg",
        "many -o out/sequence",
        "a.mp4 -o out/sheet.png --preview 2",
        "a.mp4 -o out/sheet.jpeg --preview 2",
        "many -o out/many.png --preview 2",
    ] {
        let reply = stock.ok(&format!("swap {line} --to d"));
        assert_eq!(reply["seal"].as_str().unwrap().len(), 12, "{line}");
    }
    let mut files = stock.list("out");
    files.retain(|name| name != "sequence");
    files.extend(
        stock
            .list("out/sequence")
            .iter()
            .map(|n| format!("sequence/{n}")),
    );
    files.sort();
    assert_eq!(
        files,
        [
            "clip.c2pa",
            "clip.m4v",
            "clip.mkv",
            "clip.mov",
            "many.png",
            "one.png",
            "sequence/000000.png",
            "sequence/000001.png",
            "sequence/000002.png",
            "sheet.jpeg",
            "sheet.png",
            "two.jpg",
            "whole.mp4",
        ]
    );
    let decoder = replies.trained["persons"][1]["decoder"].as_str().unwrap();
    for name in files.iter().filter(|name| !name.ends_with(".c2pa")) {
        let (code, report) = report(&stock, &format!("out/{name}"));
        assert_eq!(code, Some(0), "{name}: {report:#}");
        assert_eq!(report["verdict"], "whole", "{name}");
        let credentials = &report["credentials"];
        assert_eq!(credentials["signer"]["known"], "own", "{name}");
        let kinds: Vec<&str> = credentials["actions"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|a| a["source_type"].as_str())
            .collect();
        assert_eq!(kinds, ["compositeWithTrainedAlgorithmicMedia"], "{name}");
        let swap = &credentials["swap"]["swaps"][0];
        assert!(
            swap["model"]["decoder"]
                .as_str()
                .unwrap()
                .starts_with(decoder),
            "{name}: {swap}"
        );
        assert_eq!(swap["basis"], "synthetic", "{name}");
        let ingredients = credentials["ingredients"].as_array().unwrap();
        let sheet = ["sheet", "many"].iter().any(|s| name.starts_with(s));
        match sheet {
            true => assert!(ingredients.len() <= 1, "{name}"),
            false => assert_eq!(ingredients[0]["relation"], "parentOf", "{name}"),
        }
        assert_eq!(
            swap["faces"].as_array().unwrap().is_empty(),
            sheet,
            "{name}: {swap}"
        );
        // Nobody's name goes out.
        assert!(!credentials.to_string().contains("\"d\""), "{name}");
    }
    let (_, whole) = report(&stock, "out/whole.mp4");
    let faces = &whole["credentials"]["swap"]["swaps"][0]["faces"];
    let last = faces.as_array().unwrap().last().unwrap();
    assert_eq!((&faces[0][0], &last[1]), (&0.into(), &49.into()), "{faces}");
    let (_, clip) = report(&stock, "out/clip.mov");
    let faces = &clip["credentials"]["swap"]["swaps"][0]["faces"];
    assert_eq!(
        (&faces[0][0], &faces[0][1]),
        (&0.into(), &5.into()),
        "{faces}"
    );

    // A folder is inspected as a whole, and its words can be read.
    let words = stock.run("inspect out/sequence out/whole.mp4 --quiet");
    assert_eq!(words.code, Some(0));
    for word in [
        "4 files: 4 whole",
        "partly made by a trained network",
        "nobody real",
    ] {
        assert!(words.out.contains(word), "no {word:?} in {}", words.out);
    }
}

#[test]
fn inspect_tells_whole_from_broken_from_nothing() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.ok("swap a.mp4 --to d -o x.mp4 --frames 0-3");
    // A swap of a swap keeps what the first one said.
    stock.ok("swap x.mp4 --to a -o again.mp4");
    let (code, report) = report(&stock, "again.mp4");
    assert_eq!(code, Some(0), "{report:#}");
    let parent = &report["credentials"]["ingredients"][0];
    assert_eq!(
        (&parent["title"], &parent["verdict"]),
        (&"x.mp4".into(), &"whole".into())
    );

    let mut bytes = fs::read(stock.path("x.mp4")).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 4;
    fs::write(stock.path("changed.mp4"), &bytes).unwrap();
    // What is wrong stands there in a sentence; the standard's code is for programs and the curious.
    let sentence = "The file was changed after it was signed.";
    let code = "assertion.bmffHash.mismatch";
    let words = stock.run("inspect changed.mp4 --mark never --page changed.html");
    assert_eq!(words.code, Some(1));
    assert!(
        words.out.contains(sentence) && !words.out.contains(code),
        "{}",
        words.out
    );
    let page = fs::read_to_string(stock.path("changed.html")).unwrap();
    let (sight, folded) = page.split_once("<details>").unwrap();
    assert!(sight.contains(sentence) && !sight.contains(code), "{sight}");
    assert!(folded.contains(code), "{folded}");
    let (_, told) = self::report(&stock, "changed.mp4 --mark never");
    let fault = &told["faults"][0];
    assert_eq!(
        (&fault["code"], &fault["kind"], &fault["sentence"]),
        (&code.into(), &"content-changed".into(), &sentence.into()),
        "{told:#}"
    );
    stock.ffmpeg("-i x.mp4 -c copy stripped.mp4");
    assert_eq!(stock.run("inspect stripped.mp4").code, Some(3));
    assert_eq!(stock.run("inspect x.mp4 stripped.mp4").code, Some(3));
    assert_eq!(
        stock.run("inspect x.mp4 stripped.mp4 changed.mp4").code,
        Some(1)
    );
    let missing = stock.run("inspect none.mp4");
    assert_eq!((missing.code, missing.out.as_str()), (Some(1), ""));

    // Elsewhere the signer is a stranger, and the file still whole.
    let outcome = stock.run("inspect x.mp4 --identity elsewhere");
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.out.contains("not known here"), "{}", outcome.out);
}

#[test]
fn a_stripped_swap_is_found_again_by_its_mark() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    let reply = stock.ok("swap a.mp4 --to d -o x.mp4");
    let seal = reply["seal"].clone();
    // Whole credentials speak for themselves; what the pixels say agrees.
    let (_, whole) = report(&stock, "x.mp4");
    assert_eq!(
        (&whole["searched"], &whole["mark"]),
        (&false.into(), &Value::Null)
    );
    let (_, whole) = report(&stock, "x.mp4 --mark always");
    assert_eq!(whole["mark"]["seal"], seal);
    assert_eq!(whole["credentials"]["swap"]["mark"], "org.stockpot.mark.1");
    // Encoded anew, the credentials are gone and the mark is not.
    stock.ffmpeg("-i x.mp4 -c:v libx264 -crf 24 -an stripped.mp4");
    let (code, stripped) = report(&stock, "stripped.mp4");
    assert_eq!((code, &stripped["verdict"]), (Some(3), &"none".into()));
    assert_eq!(stripped["mark"]["seal"], seal, "{stripped:#}");
    let words = stock.run("inspect stripped.mp4 x.mp4 --quiet");
    for word in [
        "was drawn by stockpot",
        "credentials of this seal are in x.mp4",
    ] {
        assert!(words.out.contains(word), "no {word:?} in {}", words.out);
    }
    let (_, unasked) = report(&stock, "stripped.mp4 --mark never");
    assert_eq!(
        (&unasked["searched"], &unasked["mark"]),
        (&false.into(), &Value::Null)
    );
    // A film that nobody swapped has none, and what is no film says why it was not searched.
    let (code, film) = report(&stock, "a.mp4");
    assert_eq!((code, &film["searched"]), (Some(3), &true.into()));
    assert_eq!(film["mark"], Value::Null);
    fs::write(stock.path("no.mp4"), "no film").unwrap();
    let (_, other) = report(&stock, "no.mp4");
    assert_eq!(other["searched"], false);
    assert!(other["not_searched"].is_string(), "{other:#}");

    // Single pictures, pictures of a sequence and sheets carry it too.
    fs::create_dir(stock.path("many")).unwrap();
    stock.ffmpeg("-i a.mp4 -frames:v 2 many/%d.png");
    for (line, file) in [
        ("many/1.png --to d -o one.jpg", "one.jpg"),
        ("many --to d -o sequence", "sequence/000001.png"),
        ("a.mp4 --to d -o sheet.png --preview 2", "sheet.png"),
    ] {
        let seal = stock.ok(&format!("swap {line}"))["seal"].clone();
        let (code, found) = report(&stock, &format!("{file} --mark always"));
        assert_eq!(
            (code, &found["mark"]["seal"]),
            (Some(0), &seal),
            "{file}: {found:#}"
        );
    }
    // Too small for it, and told so.
    stock.ffmpeg("-i many/1.png -vf scale=120:120 small.png");
    let small = stock.run("swap small.png --to d -o little.png --json --quiet");
    if small.code == Some(0) {
        let remarks = small.json()["remarks"].to_string();
        assert!(
            remarks.contains("too small for the invisible mark"),
            "{remarks}"
        );
        let (_, little) = report(&stock, "little.png");
        assert_eq!(little["credentials"]["swap"]["mark"], Value::Null);
    }
}

#[test]
fn what_an_output_is_can_be_shown() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    // A label for the first half second, a sheet and a folder for research; all of it is told.
    let reply = stock.ok(
        "swap a.mp4 --to d -o x.mp4 --frames 4-23 --label eu --label-time 0.5 --disclosure --sealed-research lab",
    );
    assert_eq!(reply["label"], "AI MODIFIED");
    assert_eq!(
        stock.list("."),
        stock
            .list(".")
            .into_iter()
            .filter(|n| !n.ends_with(".part") && !n.ends_with(".seal"))
            .collect::<Vec<_>>()
    );
    let (code, report) = report(&stock, "x.mp4 --mark always --page about.html");
    assert_eq!(code, Some(0), "{report:#}");
    let swap = &report["credentials"]["swap"];
    assert_eq!(swap["label"]["text"], "AI MODIFIED");
    assert_eq!(
        (&swap["label"]["secs"], &swap["label"]["preset"]),
        (&0.5.into(), &"eu".into())
    );
    assert_eq!(swap["research"], true);
    assert_eq!(report["mark"]["seal"], reply["seal"]);
    let sheet = fs::read_to_string(stock.path("x.mp4.disclosure.txt")).unwrap();
    let page = fs::read_to_string(stock.path("x.mp4.disclosure.html")).unwrap();
    let about = fs::read_to_string(stock.path("about.html")).unwrap();
    let seal = reply["seal"].as_str().unwrap();
    for word in [
        seal,
        "synthetic",
        "AI MODIFIED",
        "Decoder state",
        "Person who is drawn: d",
        "whole when",
    ] {
        assert!(sheet.contains(word), "no {word:?} in {sheet}");
        assert!(page.contains(word), "no {word:?} on the page");
    }
    for word in [
        seal,
        "data:image/jpeg;base64,",
        "Whole:",
        "a.mp4",
        "<svg class=\"time\"",
    ] {
        assert!(about.contains(word), "no {word:?} on the page");
    }
    for page in [&page, &about] {
        assert!(!page.contains("<script") && !page.contains("src=\"http"));
    }
    // One line for the job, one a frame, one for the end; a mask for every face.
    let lines: Vec<Value> = fs::read_to_string(stock.path("lab/frames.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 22);
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["seal"]),
        (&"job".into(), &reply["seal"])
    );
    assert_eq!(
        (&lines[1]["frame"], &lines[1]["output"]),
        (&4.into(), &0.into())
    );
    assert_eq!(
        (&lines[21]["faces"], &lines[21]["verdict"]),
        (&20.into(), &"whole".into())
    );
    assert_eq!(stock.list("lab/masks").len(), 20);
    let first =
        stock.ffprobe("-show_entries stream=width,pix_fmt -of csv=p=0 lab/masks/000004.png");
    assert_eq!(first.trim(), "256,gray");

    // What cannot be done is told before the work.
    for (line, word) in [
        ("a.mp4 --label china --label-time 1", "2 s or more"),
        ("a.mp4 --label künstlich", "cannot be drawn"),
        ("a.mp4 --sealed-research lab", "something in the folder"),
    ] {
        stock.fails(&format!("swap {line} --to d -o y.mp4"), 2, &[word]);
    }
    stock.fails("inspect x.mp4 a.mp4 --page p.html", 2, &["one file"]);
}

#[test]
fn without_a_key_nothing_is_written() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    stock.ok("swap a.mp4 --to d -o x.png --preview 1 --identity id");
    let own = "id/own";
    let key = fs::read(stock.path(&format!("{own}/key.pem"))).unwrap();
    fs::write(stock.path(&format!("{own}/key.pem")), "no key").unwrap();
    fs::create_dir(stock.path("out")).unwrap();
    for output in ["out/a.mp4", "out/a.mkv"] {
        stock.fails(
            &format!("swap a.mp4 --to d -o {output} --identity id"),
            2,
            &["key", "PEM"],
        );
    }
    assert!(stock.list("out").is_empty(), "{:?}", stock.list("out"));
    // Brought along, it is used.
    fs::write(stock.path("mine.pem"), key).unwrap();
    let open = fs::metadata(stock.path("mine.pem")).unwrap();
    assert!(open.len() > 0);
    stock.fails(
        &format!("swap a.mp4 --to d -o out/a.png --preview 1 --certificate {own}/certificate.pem --key mine.pem"),
        1,
        &["read by other users", "chmod 600"],
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(stock.path("mine.pem"), mode).unwrap();
    stock.ok(&format!("swap a.mp4 --to d -o out/a.png --preview 1 --certificate {own}/certificate.pem --key mine.pem"));
    assert_eq!(stock.run("inspect out/a.png --identity id").code, Some(0));
}

#[test]
fn without_its_authority_a_stamped_swap_is_not_begun() {
    let Some((stock, _)) = Stock::trained() else {
        return;
    };
    fs::create_dir(stock.path("out")).unwrap();
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/tsr", listener.local_addr().unwrap());
    drop(listener);
    let swap = "swap a.mp4 --to d -o out/x.mp4 --frames 0-1 --time-stamp";
    let said = stock.fails(
        &format!("{swap} {address}"),
        1,
        &[
            "no time stamp",
            &address,
            "not reached",
            "--time-stamp none",
        ],
    );
    assert!(!said.contains("out/x.mp4"), "{said}");
    stock.fails(
        &format!("{swap} ftp://a.example/"),
        2,
        &["ftp://", "https://"],
    );
    // One for each of many pictures is too much to ask of anybody.
    fs::create_dir(stock.path("many")).unwrap();
    stock.ffmpeg("-i a.mp4 -frames:v 1 many/0.png");
    for n in 1..101 {
        let name = format!("many/{n}.png");
        fs::copy(stock.path("many/0.png"), stock.path(&name)).unwrap();
    }
    stock.fails(
        &format!("swap many --to d -o out/many --time-stamp {address}"),
        2,
        &["101 pictures", "--frames"],
    );
    assert!(stock.list("out").is_empty(), "{:?}", stock.list("out"));
    stock.ok(&format!("{swap} none"));
    let told = stock.run("inspect out/x.mp4 --quiet");
    assert!(told.out.contains("not attested by anybody"), "{}", told.out);
}

#[test]
fn the_demo_says_what_is_rendered_and_what_is_swapped() {
    let Some(stock) = Stock::empty() else { return };
    if !stock.has_heads() {
        skip("the head data of made-up people is not installed (`stockpot models install`)");
        return;
    }
    stock.ok("demo --tiny --out shown");
    for (name, kind) in [
        ("a.mp4", "algorithmicMedia"),
        ("b-truly.mp4", "algorithmicMedia"),
        ("a-training.mp4", "algorithmicMedia"),
        ("b-training.mp4", "algorithmicMedia"),
        ("a-as-b.mp4", "compositeWithTrainedAlgorithmicMedia"),
        ("side-by-side.mp4", "compositeWithTrainedAlgorithmicMedia"),
    ] {
        let (code, report) = report(&stock, &format!("shown/{name}"));
        assert_eq!(code, Some(0), "{name}: {report:#}");
        let actions = report["credentials"]["actions"].as_array().unwrap();
        assert!(
            actions.iter().any(|a| a["source_type"] == kind),
            "{name}: {report:#}"
        );
    }
    let videos = |name: &String| name.ends_with(".mp4") || name.ends_with(".png");
    assert_eq!(stock.list("shown").iter().filter(|n| videos(n)).count(), 6);
}
