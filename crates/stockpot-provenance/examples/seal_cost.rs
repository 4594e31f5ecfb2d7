//! What a seal costs: `cargo run -p stockpot-provenance --example seal_cost -- [FILE…]`.
//!
//! Seals and inspects copies of the files, and a sequence of 1,000 pictures of 256 px, in a temporary
//! folder; prints milliseconds (median of five) and bytes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use stockpot_core::{Rgb8, Rng, Size, Unsealed, picture};
use stockpot_provenance::{
    Identity, Inspector, Origin, SealId, Sealer, SourceType, Statement, Verdict,
};

const ROUNDS: usize = 5;
const PICTURES: u64 = 1_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let sealer = Sealer::new(Identity::open(&folder.path().join("identity"), None)?);
    let inspector = Inspector::new(&folder.path().join("identity"))?;
    for source in std::env::args_os().skip(1).map(PathBuf::from) {
        file(folder.path(), &sealer, &inspector, &source)?;
    }
    sequence(folder.path(), &sealer, &inspector)
}

fn statement(source: &Path) -> Statement {
    Statement {
        seal: SealId::fresh(),
        origin: Origin::Edited(source.into()),
        source_type: Some(SourceType::CompositeWithTrained),
        about: "Sealed to see what it costs".into(),
        swaps: Vec::new(),
        mark: None,
        label: None,
        research: false,
    }
}

fn file(folder: &Path, sealer: &Sealer, inspector: &Inspector, source: &Path) -> Outcome<()> {
    let name = source.file_name().ok_or("a file is wanted")?;
    let target = folder.join(name);
    let (mut seal_ms, mut inspect_ms, mut added) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let part = Unsealed::create(&target, ".part")?;
        std::fs::copy(source, part.path())?;
        let start = Instant::now();
        added = sealer.seal(part, &target, &statement(source))?.added_bytes;
        seal_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let report = inspector.inspect(&target)?;
        inspect_ms.push(start.elapsed().as_secs_f64() * 1e3);
        if report.verdict != Verdict::Whole {
            return Err(format!("{report:?}").into());
        }
    }
    println!(
        "{}: {} bytes, seal {:.1} ms, inspect {:.1} ms, {added} bytes more",
        source.display(),
        std::fs::metadata(source)?.len(),
        median(seal_ms),
        median(inspect_ms)
    );
    Ok(())
}

fn sequence(folder: &Path, sealer: &Sealer, inspector: &Inspector) -> Outcome<()> {
    let size = Size::square(256);
    let pixels = 3 * size.width as usize * size.height as usize;
    let mut rng = Rng::stream(0, "pictures", 0);
    let source = folder.join("source.png");
    let (mut encode, mut seal, mut added) = (0.0, 0.0, 0);
    for index in 0..PICTURES {
        let data = (0..pixels).map(|_| (rng.next_u64() >> 60) as u8).collect();
        let drawn = Rgb8::from_vec(size, data)?;
        if index == 0 {
            std::fs::write(&source, picture::to_png(&drawn)?)?;
        }
        let start = Instant::now();
        picture::to_png(&drawn)?;
        encode += start.elapsed().as_secs_f64() * 1e3;
        let target = folder.join(format!("{index:06}.png"));
        let start = Instant::now();
        added += sealer
            .seal_picture(&drawn, &target, &statement(&source))?
            .added_bytes;
        seal += start.elapsed().as_secs_f64() * 1e3;
    }
    let start = Instant::now();
    let mut whole = 0;
    for index in 0..PICTURES {
        let report = inspector.inspect(&folder.join(format!("{index:06}.png")))?;
        whole += u64::from(report.verdict == Verdict::Whole);
    }
    let inspect = start.elapsed().as_secs_f64() * 1e3;
    let each = |ms: f64| ms / PICTURES as f64;
    println!(
        "{PICTURES} pictures of {size}: {whole} whole; each: encode {:.1} ms, encode and seal {:.1} ms, inspect {:.1} ms, {} bytes more",
        each(encode),
        each(seal),
        each(inspect),
        added / PICTURES
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
