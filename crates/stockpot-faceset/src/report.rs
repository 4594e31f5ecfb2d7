//! One page about a faceset: what is in it, what is missing, what was left out and why.
//!
//! The page is a single HTML file with its pictures inside: no script, no network, and the same
//! bytes for the same faceset. Start with [`html`]; [`numbers`] holds what the page says in words,
//! for whoever wants to say it elsewhere.

pub mod numbers;
mod page;

use std::path::Path;

use rayon::prelude::*;
use stockpot_core::face::CROP_SIDE;
use stockpot_core::{Area, Rgb8, picture};

use crate::error::Error;
use crate::faceset::Faceset;
use crate::record::FaceRecord;
use crate::resample;
use numbers::Numbers;

/// Faces on the contact sheet, at most.
const SHEET_FACES: usize = 120;
/// Rejected faces shown, at most.
const SHEET_REJECTS: usize = 36;
/// Side of a picture on the page in pixels.
const THUMB: u32 = 112;
const THUMB_QUALITY: u8 = 82;

/// A finished page.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The page.
    pub html: String,
    /// Its numbers.
    pub numbers: Numbers,
    /// What to do next, in sentences; empty if nothing is amiss.
    pub advice: Vec<String>,
}

/// A picture on the page.
struct Thumb<'a> {
    record: &'a FaceRecord,
    /// JPEG bytes; empty if the crop cannot be read.
    jpeg: Vec<u8>,
}

/// Makes the page. Decodes up to 156 crops, on the current rayon pool.
///
/// # Errors
/// Only if a thumbnail cannot be encoded, which is our bug; a crop that cannot be read is shown as
/// missing.
pub fn html(faceset: &Faceset) -> Result<Report, Error> {
    let numbers = Numbers::of(faceset);
    let advice = numbers.advice(faceset.person());
    let mut kept: Vec<&FaceRecord> = faceset.kept().map(|(_, r)| r).collect();
    kept.sort_by(|a, b| {
        a.source
            .cmp(&b.source)
            .then(a.time.secs().total_cmp(&b.time.secs()))
    });
    let mut rejects: Vec<&FaceRecord> = faceset
        .records()
        .iter()
        .filter(|r| r.rejected.is_some() && r.file.is_some())
        .collect();
    rejects.sort_by_key(|r| r.rejected);
    let faces = thumbs(faceset, &evenly(&kept, SHEET_FACES))?;
    let rejected = thumbs(faceset, &evenly(&rejects, SHEET_REJECTS))?;
    let html = page::page(faceset, &numbers, &advice, &faces, &rejected);
    Ok(Report {
        html,
        numbers,
        advice,
    })
}

/// Makes the page and writes it to `path`, whole.
///
/// # Errors
/// As [`html`], and [`Error::Io`].
pub fn write(faceset: &Faceset, path: &Path) -> Result<Report, Error> {
    let report = html(faceset)?;
    picture::write_whole(path, report.html.as_bytes()).map_err(Error::io("write", path))?;
    Ok(report)
}

/// At most `count` of `all`, evenly spread, first and last among them.
fn evenly<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    if all.len() <= count {
        return all.to_vec();
    }
    (0..count)
        .map(|i| all[i * (all.len() - 1) / (count - 1)])
        .collect()
}

fn thumbs<'a>(faceset: &Faceset, records: &[&'a FaceRecord]) -> Result<Vec<Thumb<'a>>, Error> {
    let make = |record: &&'a FaceRecord| {
        let jpeg = match faceset.load_crop(record) {
            Ok(Some(crop)) => picture::to_jpeg(&whole_face(&crop), THUMB_QUALITY)?,
            // The page says that it is missing.
            Ok(None) | Err(_) => Vec::new(),
        };
        Ok(Thumb { record, jpeg })
    };
    records.par_iter().map(make).collect()
}

/// The training area of a wide crop, small.
fn whole_face(crop: &Rgb8) -> Rgb8 {
    let side = f64::from(crop.size().width);
    let shown = side * Area::Face.side() / CROP_SIDE;
    let start = (side - shown) / 2.0;
    resample::scaled(crop, THUMB, shown / f64::from(THUMB), (start, start))
}

#[cfg(test)]
mod tests;
