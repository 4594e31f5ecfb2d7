//! `library matrix`: every person's decoder under every kept encoder state, measured on held-out
//! faces, as it is and through a stitch; as a table, as JSON and as a page with a picture.
//!
//! Start with [`run`].

use std::path::PathBuf;

use serde::Serialize;
use stockpot_core::image::unit_to_u8;
use stockpot_core::{ContentHash, PersonName, Rgb8, Size, picture};
use stockpot_faceset::Batch;
use stockpot_library::Library;
use stockpot_model::Params;

use super::calibration::CalibrationSource;
use super::matrix_page;
use super::measure::{Encoder, draw, held_out, load_decoder, score};
use super::passport::{Drawn, Passports, all_encoders};
use super::relation::{Verdict, relation};
use super::stitch::{recovered, trial};
use crate::context::Context;
use crate::error::{JobError, io};

/// What to write.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The page; its folder is made.
    pub page: PathBuf,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The columns: every kept encoder state, parents before children.
    pub encoders: Vec<Column>,
    /// One entry per decoder and encoder state.
    pub cells: Vec<Cell>,
    /// Persons that could not be measured, and why.
    pub left_out: Vec<String>,
    /// The page.
    pub page: PathBuf,
}

/// An encoder state.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// The state.
    pub encoder: String,
    /// Training steps since scratch.
    pub steps: u64,
    /// Whether it is the current one.
    pub current: bool,
}

/// One decoder under one encoder state.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// Whose decoder.
    pub person: PersonName,
    /// The decoder state.
    pub decoder: String,
    /// The encoder state.
    pub encoder: String,
    /// Same, kin or foreign.
    pub verdict: Verdict,
    /// Mean difference of held-out faces and what is drawn, 0 to 1, as it is; none where the two see
    /// other parts of the head.
    pub mae: Option<f64>,
    /// The same through a stitch.
    pub mae_stitched: Option<f64>,
    /// Times the error under the decoder's own encoder state.
    pub times_own: Option<f64>,
    /// The same through a stitch.
    pub times_own_stitched: Option<f64>,
    /// How much of what crossing loses the stitch brings back, in percent.
    pub recovered_percent: Option<f64>,
    /// A face drawn as it is and through the stitch, for the page.
    #[serde(skip)]
    pub(crate) pictures: Vec<Rgb8>,
}

/// A row of the page: a person's decoder with the face that is drawn.
pub(crate) struct Row {
    pub(crate) person: PersonName,
    pub(crate) face: Rgb8,
    pub(crate) cells: Vec<Cell>,
}

/// Measures and writes the page.
///
/// # Errors
/// If the library holds no encoder, a state cannot be read, or the page cannot be written. A person
/// without held-out faces is left out and named.
pub fn run(
    ctx: &Context,
    source: &dyn CalibrationSource,
    settings: &Settings,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let states = all_encoders(&library)?;
    let Some(current) = library.current_encoder()? else {
        return Err(JobError::failed("This library has no encoder yet")
            .with_hint("train one with `stockpot train NAME OTHER`"));
    };
    let mut bench = Bench {
        ctx,
        library: &library,
        encoders: Vec::new(),
    };
    let mut tools = Tools {
        passports: Passports::new(&library),
        drawn: Some(Drawn::new(source)),
    };
    for state in &states {
        bench.encoders.push(Encoder::load(&library, state)?);
    }
    let persons = library.persons()?;
    ctx.phase("measure", (persons.len() * states.len()) as u64);
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for (number, person) in persons.iter().enumerate() {
        match bench.row(&person.name, number, &mut tools)? {
            Ok(row) => rows.push(row),
            Err(why) => left_out.push(format!("{}: {why}", person.name)),
        }
    }
    let mut encoders = Vec::new();
    for state in &states {
        encoders.push(Column {
            encoder: state.short(),
            steps: library.encoder_state(state)?.record.steps,
            current: *state == current.hash,
        });
    }
    let page = matrix_page::html(&encoders, &rows, &left_out)?;
    if let Some(folder) = settings.page.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| io("make the folder", folder, &e))?;
    }
    picture::write_whole(&settings.page, page.as_bytes())
        .map_err(|e| io("write the page", &settings.page, &e))?;
    Ok(Reply {
        encoders,
        cells: rows.into_iter().flat_map(|row| row.cells).collect(),
        left_out,
        page: settings.page.clone(),
    })
}

/// What rows are measured with.
struct Bench<'a> {
    ctx: &'a Context,
    library: &'a Library,
    encoders: Vec<Encoder>,
}

/// What is found and made on the way.
struct Tools<'a> {
    passports: Passports<'a>,
    /// None once the calibration faces turned out not to be at hand.
    drawn: Option<Drawn<'a>>,
}

/// A decoder, its own encoder and the faces it is measured on.
struct Subject<'a> {
    person: &'a PersonName,
    state: String,
    home: &'a Encoder,
    decoder: Params,
    faces: Batch,
    own_mae: f64,
}

impl Bench<'_> {
    /// The row of a person, or why there is none.
    fn row(
        &self,
        person: &PersonName,
        number: usize,
        tools: &mut Tools<'_>,
    ) -> Result<Result<Row, String>, JobError> {
        let Some(state) = self.library.current_decoder(person)? else {
            return Ok(Err("no decoder yet".to_owned()));
        };
        let own = state.record.encoder_state;
        let home = self
            .encoders
            .iter()
            .find(|e| e.hash == own)
            .ok_or_else(|| {
                JobError::failed(format!(
                    "The encoder state {} is not in the log",
                    own.short()
                ))
                .with_hint("run `stockpot library verify`")
            })?;
        let Some(faces) = held_out(self.ctx, self.library, home, person)? else {
            return Ok(Err("no held-out faces here".to_owned()));
        };
        let decoder = load_decoder(self.library, &home.network, &state.record)?;
        let own_mae = score(&home.network, &home.params, &decoder, &faces)?.mae;
        let subject = Subject {
            person,
            state: state.hash.short(),
            home,
            decoder,
            faces,
            own_mae,
        };
        let mut cells = Vec::new();
        for (at, guest) in self.encoders.iter().enumerate() {
            self.ctx.check_cancel()?;
            cells.push(self.cell(&subject, guest, tools)?);
            self.ctx
                .step((number * self.encoders.len() + at + 1) as u64);
        }
        let side = home.network.family().resolution() as usize;
        let face = first_picture(&subject.faces.target, side, 3)?;
        Ok(Ok(Row {
            person: person.clone(),
            face,
            cells,
        }))
    }

    fn cell(
        &self,
        subject: &Subject<'_>,
        guest: &Encoder,
        tools: &mut Tools<'_>,
    ) -> Result<Cell, JobError> {
        let home = subject.home;
        let fits = home.area == guest.area;
        let codes = match fits && guest.hash != home.hash {
            true => self.codes(tools, &home.hash, &guest.hash)?,
            false => None,
        };
        let mut cell = Cell {
            person: subject.person.clone(),
            decoder: subject.state.clone(),
            encoder: guest.hash.short(),
            verdict: relation(&mut tools.passports, &home.hash, &guest.hash)?.verdict,
            mae: None,
            mae_stitched: None,
            times_own: None,
            times_own_stitched: None,
            recovered_percent: None,
            pictures: Vec::new(),
        };
        if !fits {
            return Ok(cell);
        }
        let network = &home.network;
        let side = network.family().resolution() as usize;
        let channels = network.decoder().output_shape().c;
        let one = &subject.faces.input[..side * side * 3];
        let mae = score(network, &guest.params, &subject.decoder, &subject.faces)?.mae;
        let times = |mae: f64| mae / subject.own_mae.max(1e-12);
        (cell.mae, cell.times_own) = (Some(mae), Some(times(mae)));
        let picture = draw(network, &guest.params, &subject.decoder, one);
        cell.pictures.push(first_picture(&picture, side, channels)?);
        if let Some(codes) = codes {
            let halves = trial(home, &subject.decoder, guest, &codes)?.halves;
            let (encoder, decoder) = (&halves.encoder, &halves.decoder);
            let mended = score(network, encoder, decoder, &subject.faces)?.mae;
            cell.mae_stitched = Some(mended);
            cell.times_own_stitched = Some(times(mended));
            cell.recovered_percent = recovered(subject.own_mae, mae, mended);
            let picture = draw(network, encoder, decoder, one);
            cell.pictures.push(first_picture(&picture, side, channels)?);
        }
        Ok(cell)
    }

    /// Codes to stitch with; none, after one warning, if the calibration faces are not at hand.
    fn codes(
        &self,
        tools: &mut Tools<'_>,
        own: &ContentHash,
        other: &ContentHash,
    ) -> Result<Option<[stockpot_model::Codes; 2]>, JobError> {
        let Some(drawn) = &mut tools.drawn else {
            return Ok(None);
        };
        match tools.passports.pair(self.ctx, drawn, own, other) {
            Ok(codes) => Ok(Some(codes)),
            Err(e) if e.kind == crate::JobErrorKind::Cancelled => Err(e),
            Err(e) => {
                let why = e.message;
                self.ctx
                    .warn(format!("Nothing is measured through stitches: {why}"));
                tools.drawn = None;
                Ok(None)
            }
        }
    }
}

/// The first of some drawn faces `[n, side, side, channels]`.
fn first_picture(drawn: &[f32], side: usize, channels: usize) -> Result<Rgb8, JobError> {
    let pixels = drawn.chunks_exact(channels).take(side * side);
    let rgb = pixels.flat_map(|p| [p[0], p[1], p[2]]).map(unit_to_u8);
    Rgb8::from_vec(Size::square(side as u32), rgb.collect())
        .map_err(|e| JobError::failed(format!("A face cannot be shown: {e}")))
}
