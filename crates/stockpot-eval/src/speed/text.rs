//! The result as tables for people.

use super::{Reply, Sample};

/// `12.3 (11.9 to 12.8)`
pub(super) fn spread(sample: Sample) -> String {
    format!(
        "{} ({} to {})",
        number(sample.median),
        number(sample.low),
        number(sample.high)
    )
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        v if v == 0.0 || v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        v if v >= 0.0995 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// `39 %`
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        p if p >= 9.95 => format!("{p:.0} %"),
        p if p >= 0.995 => format!("{p:.1} %"),
        p => format!("{p:.2} %"),
    }
}

/// A table: its title, the names of its columns, its rows.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// All tables, in the order of the bench.
pub(super) fn tables(reply: &Reply) -> Vec<Table> {
    let mut all = vec![ceilings(reply), steps(reply), layers(reply), looking(reply)];
    all.push(feeding(reply));
    if let Some(video) = &reply.video {
        let frames = format!(
            "{} x {}, {} frames",
            video.width, video.height, video.frames
        );
        all.push(Table {
            title: "Videos from end to end".into(),
            head: vec!["what", "frames/s", "of"],
            rows: vec![
                vec![
                    "extract".into(),
                    spread(video.extract_frames_per_sec),
                    frames.clone(),
                ],
                vec![
                    format!("swap, {}", video.preset),
                    spread(video.swap_frames_per_sec),
                    frames,
                ],
            ],
        });
    }
    all.retain(|t| !t.rows.is_empty());
    all
}

fn ceilings(reply: &Reply) -> Table {
    let c = &reply.ceilings;
    let mut rows = Vec::new();
    let mut row = |what: &str, one: Sample, all: Sample, unit: &str| {
        rows.push(vec![
            what.to_owned(),
            spread(one),
            spread(all),
            unit.to_owned(),
        ]);
    };
    row("f32 in registers", c.f32_one, c.f32_all, "GFLOP/s");
    if let (Some(one), Some(all)) = (c.bf16_one, c.bf16_all) {
        row("bf16 in registers", one, all, "GFLOP/s");
    }
    row("memory, a = b + s c", c.memory_one, c.memory_all, "GB/s");
    Table {
        title: format!("What this machine can do at most ({} threads)", c.threads),
        head: vec!["what", "one thread", "all threads", "unit"],
        rows,
    }
}

fn steps(reply: &Reply) -> Table {
    let rows = reply.steps.iter().map(|s| {
        let parts: Vec<String> = s
            .parts
            .iter()
            .map(|(name, share)| format!("{name} {}", percent(*share)))
            .collect();
        vec![
            s.family.to_string(),
            format!("2 x {}", s.batch),
            format!("{:?}", s.precision).to_lowercase(),
            spread(s.faces_per_sec),
            number(1e3 * s.step_secs.median),
            number(s.gflops.median),
            percent(s.share),
            parts.join(", "),
        ]
    });
    Table {
        title: "Training steps".into(),
        head: vec![
            "network",
            "faces",
            "format",
            "faces/s",
            "step ms",
            "GFLOP/s",
            "of ceiling",
            "where",
        ],
        rows: rows.collect(),
    }
}

fn layers(reply: &Reply) -> Table {
    let rows = reply.layers.iter().map(|l| {
        vec![
            l.family.to_string(),
            l.name.clone(),
            format!("{:?}", l.precision).to_lowercase(),
            percent(l.share_of_step),
            number(l.forward.gflops.median),
            percent(l.forward.share),
            number(l.backward.gflops.median),
            percent(l.backward.share),
        ]
    });
    Table {
        title: "Layers alone".into(),
        head: vec![
            "network",
            "layer",
            "format",
            "of the layers' time",
            "forward GFLOP/s",
            "of ceiling",
            "backward GFLOP/s",
            "of ceiling",
        ],
        rows: rows.collect(),
    }
}

fn looking(reply: &Reply) -> Table {
    let rows = reply.looking.iter().map(|l| {
        vec![
            l.family.to_string(),
            format!("2 x {}", l.batch),
            number(1e3 * l.copy_secs.median),
            number(1e3 * l.write_secs.median),
            number(1e3 * l.write_core_secs.median),
            percent(l.save_share),
            number(1e3 * l.evaluation_secs.median),
            percent(l.evaluation_share),
            number(1e3 * l.preview_secs.median),
            percent(l.preview_share),
        ]
    });
    Table {
        title: "Saving, measuring and drawing beside the steps".into(),
        head: vec![
            "network",
            "faces",
            "copy ms",
            "written behind, ms",
            "of a core, ms",
            "both, every 32 steps",
            "evaluation ms",
            "every 250",
            "preview ms",
            "every 250",
        ],
        rows: rows.collect(),
    }
}

fn feeding(reply: &Reply) -> Table {
    let rows = reply.feeding.iter().map(|f| {
        vec![
            f.family.to_string(),
            format!("{} px", f.resolution),
            spread(f.faces_per_sec_of_core),
            f.step_faces_per_sec.map(number).unwrap_or_default(),
            f.cores_for_step.map(percent).unwrap_or_default(),
        ]
    });
    Table {
        title: "Feeding alone".into(),
        head: vec![
            "network",
            "side",
            "faces/s of one core",
            "faces/s of the step",
            "of a core to keep up",
        ],
        rows: rows.collect(),
    }
}

/// Everything.
pub(super) fn text(reply: &Reply) -> String {
    let mut out = String::new();
    for table in tables(reply) {
        out.push_str(&table.title);
        out.push('\n');
        let rows: Vec<Vec<String>> = std::iter::once(table.head.iter().map(|h| (*h).to_owned()))
            .map(Iterator::collect)
            .chain(table.rows)
            .collect();
        let widths: Vec<usize> = (0..table.head.len())
            .map(|c| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0))
            .collect();
        for row in rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            out.push_str(format!("  {}", line.join("  ")).trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    for reason in &reply.not_measured {
        out.push_str(&format!("not measured: {reason}\n"));
    }
    out.push_str(&format!(
        "{}; {:.0} s\n",
        surroundings(reply),
        reply.seconds
    ));
    if let Some(page) = &reply.page {
        out.push_str(&format!("page: {}\n", page.display()));
    }
    out
}

/// Machine, and whether it was busy.
pub(super) fn surroundings(reply: &Reply) -> String {
    let load = match reply.load_before {
        Some(load) if load > 0.5 => {
            format!("; others were at work (load {load:.1}), so all figures are too low")
        }
        Some(load) => format!("; quiet (load {load:.1})"),
        None => String::new(),
    };
    format!(
        "medians with lowest and highest, ceilings by their highest, on {}{load}",
        reply.machine
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_all_figures_with_their_spread() {
        let text = text(&super::super::tests::sample());
        for words in [
            "450 (405 to 495)",
            "comb-s-96  2 x 16  bf16    40.0 (36.0 to 44.0)  800",
            "forward 30 %, backward 60 %",
            "encoder.stem",
            "5000 (4500 to 5500)",
            "swap, comb-s-96",
            "not measured: a <thing>: why",
            "others were at work (load 2.5)",
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
        assert_eq!(number(0.01234), "0.0123");
        assert_eq!(percent(0.0034), "0.34 %");
    }
}
