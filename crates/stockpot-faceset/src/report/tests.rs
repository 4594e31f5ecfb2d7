//! The page of a small made-up faceset: what is on it, and that it stands by itself.

use stockpot_core::Pose;

use super::*;
use crate::drawn;
use crate::record::{Reason, SourceInfo, Split};

/// Every opened element is closed in order; returns how many there are.
fn check_nesting(html: &str) -> usize {
    let (mut open, mut count) = (Vec::new(), 0);
    for tag in html
        .split('<')
        .skip(1)
        .map(|t| t.split('>').next().unwrap())
    {
        let name = tag.trim_end_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('!') || tag.ends_with('/') || matches!(name, "meta" | "img") {
            continue;
        }
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "in {}", &html[..300]),
            None => {
                open.push(name);
                count += 1;
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    count
}

#[test]
fn the_page_is_whole_and_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let source = SourceInfo {
        name: "<clip> & \"co\".mp4".into(),
        bytes: 5,
    };
    let mut writer = drawn::writer(dir.path(), &source);
    for n in 0..150 {
        let rejected = match n % 15 {
            3 => Some(Reason::Blurred),
            7 => Some(Reason::Duplicate),
            _ => None,
        };
        drawn::add(&mut writer, n, rejected);
    }
    writer.finish().unwrap();
    let set = Faceset::open(dir.path()).unwrap();
    let report = html(&set).unwrap();
    let page = &report.html;
    assert!(check_nesting(page) > 200);
    assert_eq!(
        page,
        &html(&set).unwrap().html,
        "the same faceset gives the same page"
    );
    assert!(!page.contains("<script") && !page.contains("http") && !page.contains("<clip>"));
    assert!(page.contains("&lt;clip&gt; &amp; &quot;co&quot;.mp4"));
    // 130 kept: 120 shown; 20 rejected with pictures.
    assert_eq!(page.matches("<img").count(), 140);
    assert_eq!(
        page.matches("src=\"data:image/jpeg;base64,/9j/").count(),
        140
    );
    assert!(page.contains("120 of 130, evenly spread"));
    assert!(
        page.contains("<b>130</b>faces kept") && page.contains("<b>10</b>duplicates among them")
    );
    assert!(page.contains("<tr><td>blurred</td><td class=\"n\">10</td></tr>"));
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.contains("class=\"held\""));
    let numbers = &report.numbers;
    assert_eq!((numbers.kept(), numbers.rejects()), (130, 20));
    assert_eq!(numbers.held_out, set.count(Split::HeldOut));
    assert_eq!((numbers.sharpness[0], numbers.sharpness[4]), (0.05, 0.199));
    assert!(report.advice[0].starts_with("Only ") && report.advice[0].contains("Film a minute"));
}

#[test]
fn an_empty_faceset_and_a_missing_crop_make_a_page_too() {
    let dir = tempfile::tempdir().unwrap();
    drawn::writer(dir.path(), &drawn::source("a.mp4"))
        .finish()
        .unwrap();
    let report = html(&Faceset::open(dir.path()).unwrap()).unwrap();
    check_nesting(&report.html);
    assert!(report.advice[0].contains("stockpot extract VIDEO --person anna"));

    drawn::faceset(dir.path(), 3);
    let set = Faceset::open(dir.path()).unwrap();
    std::fs::remove_file(set.path_of(&set.records()[1]).unwrap()).unwrap();
    let path = dir.path().join("report.html");
    write(&set, &path).unwrap();
    let page = std::fs::read_to_string(path).unwrap();
    check_nesting(&page);
    assert_eq!(
        (
            page.matches("<img").count(),
            page.matches("cannot be read").count()
        ),
        (2, 1)
    );
}

#[test]
fn advice_names_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    drawn::faceset(dir.path(), 3);
    let mut numbers = Numbers::of(&Faceset::open(dir.path()).unwrap());
    let pose = |yaw: f32, pitch: f32| Pose {
        yaw_rad: yaw,
        pitch_rad: pitch,
        roll_rad: 0.0,
    };
    let poses = |all: &[(f32, f32)]| {
        let all: Vec<Pose> = all.iter().map(|(y, p)| pose(*y, *p)).collect();
        crate::quality::PoseCoverage::of(&all)
    };
    (numbers.train, numbers.held_out) = (2000, 200);
    numbers.sources.push(("b.mp4".into(), 9, 9));
    numbers.sharpness = [0.05; 5];
    let check = |numbers: &Numbers, wanted: &[&str]| {
        let advice = numbers.advice(&drawn::name("anna"));
        assert_eq!(advice.len(), wanted.len(), "{advice:?}");
        for (text, word) in advice.iter().zip(wanted) {
            assert!(text.contains(word), "{text}");
        }
    };
    numbers.coverage = poses(&[(-0.5, 0.4), (0.5, -0.4), (0.0, 0.0)]);
    check(&numbers, &[]);
    numbers.coverage = poses(&[(0.5, 0.4), (0.5, 0.0), (0.0, 0.0)]);
    check(&numbers, &["look to the left", "look up"]);
    numbers.coverage = poses(&[(0.0, 0.0)]);
    check(&numbers, &["either side", "up or down"]);
    numbers.coverage = poses(&[(-0.5, 0.4), (0.5, -0.4)]);
    numbers.held_out = 0;
    numbers.sharpness = [0.005; 5];
    numbers.rejected.insert(Reason::OtherIdentity, 9000);
    check(
        &numbers,
        &["held out", "softer than 0.005", "--like PICTURE"],
    );
}

#[test]
fn even_choices_keep_first_and_last() {
    let all: Vec<u32> = (0..1000).collect();
    let some = evenly(&all, 7);
    assert_eq!((some.len(), some[0], some[6]), (7, 0, 999));
    assert_eq!(evenly(&all[..5], 7), [0, 1, 2, 3, 4]);
}
