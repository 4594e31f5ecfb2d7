//! A network as players of `.dfm` files read it: DeepFaceLive, and those that followed it.
//!
//! What they agree on (from their public readers): one input `in_face:0`, `[batch, D, D, 3]`; three
//! outputs in this order, `out_face_mask:0` `[batch, D, D, 1]` (the face that was filmed),
//! `out_celeb_face:0` `[batch, D, D, 3]` and `out_celeb_face_mask:0` `[batch, D, D, 1]` (the face
//! that is drawn); 32-bit numbers from 0 to 1, channels blue, green, red; D read from the input's
//! shape. They cut faces as DeepFaceLab's whole face, which is another square than our networks
//! see. So the graph cuts our square out of theirs, and puts what is drawn back into it; both are
//! upright squares of one face space, whence two small matrices do.

use std::collections::BTreeMap;

use stockpot_core::Area;

use super::graph::{Attribute, OnnxGraph, Value};
use super::resample::{Line, transposed};
use super::{OnnxModel, both_halves};
use crate::network::Network;
use crate::params::Params;

/// Side of DeepFaceLab's whole face in face units: it pads the unit square of the mean face, which is
/// ours too, by 0.4 on the diagonal: `2 * (0.4 * sqrt(2) + 0.5)`.
pub const DFM_SIDE: f64 = 0.8 * std::f64::consts::SQRT_2 + 1.0;
/// Its centre in face space: the middle of that square, moved up by 0.07 of its side.
pub const DFM_CENTRE: (f64, f64) = (0.5, 0.43);
/// Sides are multiples of this: players offer no others.
const STEP: usize = 16;

/// Side of the pictures that a player hands in and gets back, in pixels: the smallest that loses
/// nothing of the network's.
pub fn dfm_resolution(network: &Network, area: Area) -> usize {
    let wanted = f64::from(network.family().resolution()) * DFM_SIDE / area.side();
    (wanted / STEP as f64).ceil() as usize * STEP
}

/// Encoder and decoder as one graph for players; see the module for its inputs and outputs.
/// `area` is the square that the network was trained on.
///
/// The filmed face's mask is the drawn one: the network draws it in the filmed pose and knows no
/// other. A network without a mask gets a soft ellipse.
///
/// # Panics
/// If the weights belong to another network: a bug of the caller.
pub fn dfm(
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    area: Area,
    words: &BTreeMap<String, String>,
) -> OnnxModel {
    let side = dfm_resolution(network, area);
    let squares = Squares::new(network, area, side);
    let mut g = OnnxGraph::new("stockpot");
    g.input("in_face:0", &[None, Some(side), Some(side), Some(3)]);
    let theirs = g.transposed("in_face:0", [0, 3, 1, 2]);
    let swapped = g.ints(&[3], &[2, 1, 0]);
    let rgb = channels(&mut g, &theirs, &swapped);
    let [columns, rows] = squares.cut;
    let ours = resampled(&mut g, &rgb, rows, columns);
    let face = Value::map(ours, network.encoder().input_shape());
    let drawn = both_halves(&mut g, network, encoder, decoder, face);
    let [columns, rows] = squares.back;
    let cover = g.floats(&[1, 1, side, side], product(rows.cover(), columns.cover()));
    let limits = [0.0, 1.0].map(|v| g.floats(&[], vec![v]));

    let bgr = channels(&mut g, drawn.name(), &swapped);
    let bgr = resampled(&mut g, &bgr, rows, columns);
    let change = g.node("Sub", &[&bgr, &theirs], &[]);
    let change = g.node("Mul", &[&change, &cover], &[]);
    let celeb = g.node("Add", &[&theirs, &change], &[]);
    let celeb = clipped(&mut g, &celeb, &limits);

    let mask = if network.family().has_mask() {
        let third = g.ints(&[1], &[3]);
        let mask = channels(&mut g, drawn.name(), &third);
        let mask = resampled(&mut g, &mask, rows, columns);
        let mask = g.node("Mul", &[&mask, &cover], &[]);
        clipped(&mut g, &mask, &limits)
    } else {
        let oval = g.floats(&[1, 1, side, side], ellipse(rows, columns));
        // One per picture, however many there are.
        let first = g.ints(&[1], &[0]);
        let one = channels(&mut g, &theirs, &first);
        let nothing = g.floats(&[], vec![0.0]);
        let none = g.node("Mul", &[&one, &nothing], &[]);
        g.node("Add", &[&none, &oval], &[])
    };
    let perm = || [("perm", Attribute::Ints(vec![0, 2, 3, 1]))];
    for (name, value, depth) in [
        ("out_face_mask:0", &mask, 1),
        ("out_celeb_face:0", &celeb, 3),
        ("out_celeb_face_mask:0", &mask, 1),
    ] {
        g.output_of("Transpose", &[value], &perm(), name);
        g.output(name, &[None, Some(side), Some(side), Some(depth)]);
    }
    OnnxModel::new(g, words)
}

/// From their square to ours and back, columns first.
struct Squares {
    cut: [Line; 2],
    back: [Line; 2],
}

impl Squares {
    fn new(network: &Network, area: Area, side: usize) -> Self {
        let resolution = network.family().resolution() as usize;
        let centre = area.centre();
        // Pixels of theirs per pixel of ours.
        let step = (area.side() / resolution as f64) / (DFM_SIDE / side as f64);
        let line = |ours: f64, theirs: f64| {
            let ahead = (ours - area.side() / 2.0) - (theirs - DFM_SIDE / 2.0);
            // They count pixels from the middle of the first one, we from its edge.
            let start = ahead * side as f64 / DFM_SIDE + 0.5;
            let cut = Line {
                from: side,
                to: resolution,
                start,
                step,
            };
            let back = Line {
                from: resolution,
                to: side,
                start: -start / step,
                step: 1.0 / step,
            };
            (cut, back)
        };
        let (across, down) = (line(centre.x, DFM_CENTRE.0), line(centre.y, DFM_CENTRE.1));
        Self {
            cut: [across.0, down.0],
            back: [across.1, down.1],
        }
    }
}

fn channels(g: &mut OnnxGraph, name: &str, indices: &str) -> String {
    g.node("Gather", &[name, indices], &[("axis", 1.into())])
}

fn clipped(g: &mut OnnxGraph, name: &str, [least, most]: &[String; 2]) -> String {
    g.node("Clip", &[name, least, most], &[])
}

/// A map on another grid.
fn resampled(g: &mut OnnxGraph, name: &str, rows: Line, columns: Line) -> String {
    let down = g.floats(&[rows.to, rows.from], rows.matrix());
    let across = transposed(&columns.matrix(), columns.from);
    let across = g.floats(&[columns.from, columns.to], across);
    let tall = g.node("MatMul", &[&down, name], &[]);
    g.node("MatMul", &[&tall, &across], &[])
}

fn product(rows: Vec<f32>, columns: Vec<f32>) -> Vec<f32> {
    rows.iter()
        .flat_map(|r| columns.iter().map(move |c| r * c))
        .collect()
}

/// The ellipse in our square, soft over the outer eighth of its radius.
fn ellipse(rows: Line, columns: Line) -> Vec<f32> {
    const SOFT: f64 = 0.125;
    let place = |line: Line, i: usize| {
        let half = line.from as f64 / 2.0;
        (line.start + (i as f64 + 0.5) * line.step - half) / half
    };
    let mut out = Vec::with_capacity(rows.to * columns.to);
    for row in 0..rows.to {
        for column in 0..columns.to {
            let radius = place(rows, row).hypot(place(columns, column));
            out.push(((1.0 - radius) / SOFT).clamp(0.0, 1.0) as f32);
        }
    }
    out
}
