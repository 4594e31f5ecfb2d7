//! The roofline picture: how many products a second each layer makes, over how many it makes for
//! each byte it touches, below the two ceilings of the machine (Williams, Waterman and Patterson
//! 2009). Both axes are logarithmic. A drawing in SVG, coloured by the page.

use std::fmt::Write as _;

use stockpot_model::Family;
use stockpot_train::settings::Precision;

use super::Reply;
use super::layers::Layer;
use super::text::{number, percent};
use stockpot_core::html::escape;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 48.0;

/// A logarithmic axis between two powers of ten or their halves.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// 1, 2, 5, 10 … inside.
    fn marks(&self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let powers = (first..=last).flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)));
        powers
            .filter(|m| (self.low..=self.high).contains(m))
            .collect()
    }
}

/// The picture of one network's layers.
pub(super) fn roofline(reply: &Reply, family: Family) -> String {
    let layers: Vec<&Layer> = reply.layers.iter().filter(|l| l.family == family).collect();
    let ceilings = &reply.ceilings;
    let memory = ceilings.memory();
    let ways = || layers.iter().flat_map(|l| [l.forward, l.backward]);
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        let usable = values.filter(|v| v.is_finite() && *v > 0.0);
        usable.fold((f64::INFINITY, 0.0f64), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let (least, most) = ends(&mut ways().map(|w| w.intensity));
    let (slowest, _) = ends(&mut ways().map(|w| w.gflops.median));
    let (f32, bf16) = (ceilings.gflops(false), ceilings.gflops(true));
    let top = f32.max(bf16);
    let ridge = f32 / memory;
    let x = Axis {
        low: least.min(ridge) / 1.6,
        high: most.max(2.0 * ridge) * 1.6,
        from: LEFT,
        to: WIDTH - RIGHT,
    };
    let y = Axis {
        low: slowest.min(top / 10.0) / 1.5,
        high: top * 1.35,
        from: HEIGHT - BOTTOM,
        to: TOP,
    };
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Roofline of {family}\">"
    );
    grid(&mut out, &x, &y);
    let mut roof = |gflops: f64, name: &str, class: &str| {
        let bend = (gflops / memory).max(x.low);
        let start = (memory * x.low).min(gflops);
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<polyline class=\"roof {class}\" points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\"/>\
             <text class=\"label {class}\" x=\"{:.1}\" y=\"{:.1}\">{name} {} GFLOP/s</text>",
            x.at(x.low),
            y.at(start),
            x.at(bend),
            y.at(gflops),
            x.at(x.high),
            y.at(gflops),
            // Layers gather at the other end; above the lower line the slope goes on.
            x.at(bend) + 6.0,
            y.at(gflops) + if gflops < top { 14.0 } else { -6.0 },
            number(gflops),
        );
    };
    roof(f32, "f32", "f32");
    if ceilings.bf16_all.is_some() {
        roof(bf16, "bf16", "bf16");
    }
    // Where the slope has room beside it.
    let at = x.low * 1.15;
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">memory {} GB/s</text>",
        x.at(at) + 12.0,
        (y.at(memory * at) + 16.0).min(HEIGHT - BOTTOM - 6.0),
        number(memory)
    );
    for layer in &layers {
        for (way, name, class) in [
            (layer.forward, "forward", "forward"),
            (layer.backward, "backward", "backward"),
        ] {
            let format = match layer.precision {
                Precision::Bf16 => "bf16",
                Precision::F32 | Precision::Auto => "f32",
            };
            // Its area tells how much of the time it takes.
            let radius = 3.0 + 14.0 * (layer.share_of_step / 2.0).sqrt();
            let _ = write!(
                out,
                "<circle class=\"{class} {format}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\">\
                 <title>{} {name}, {format}: {} GFLOP/s, {} of the ceiling</title></circle>",
                x.at(way.intensity),
                y.at(way.gflops.median),
                escape(&layer.name),
                number(way.gflops.median),
                percent(way.share),
            );
        }
    }
    out.push_str("</svg>");
    out
}

fn grid(out: &mut String, x: &Axis, y: &Axis) {
    let bottom = HEIGHT - BOTTOM;
    for mark in x.marks() {
        let at = x.at(mark);
        let _ = write!(
            out,
            "<line class=\"grid-line\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark}</text>",
            bottom + 16.0
        );
    }
    for mark in y.marks() {
        let at = y.at(mark);
        let _ = write!(
            out,
            "<line class=\"grid-line\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = write!(
        out,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">operations for each byte touched</text>\
         <text class=\"tick\" x=\"{LEFT}\" y=\"{:.1}\">GFLOP/s</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        TOP - 7.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic_and_points_lie_where_they_should() {
        let axis = Axis {
            low: 1.0,
            high: 100.0,
            from: 0.0,
            to: 200.0,
        };
        assert!((axis.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!((axis.at(0.1), axis.at(1e9)), (0.0, 200.0));
        assert_eq!(axis.marks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let reply = super::super::tests::sample();
        let svg = roofline(&reply, Family::DEFAULT);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("encoder.stem forward, bf16: 300 GFLOP/s, 40 % of the ceiling"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
