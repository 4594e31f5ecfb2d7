//! One frame in, one frame out: cut the network's input from a frame, and put a decoded face back.
//!
//! Pure image maths: values in, values out. This crate must not know files, clocks, networks,
//! trackers or videos. Start at [`cut()`] and [`paste()`]; both take a [`Placement`], which says where
//! the face lies. Colours are matched in two steps: [`measure`] looks at one frame, a
//! [`ColourSmoother`] (or [`smooth_colour`]) turns the measurements of a track into the
//! [`ColourFix`] that `paste` applies, so that no frame is ever corrected by itself alone.
//!
//! ```
//! use stockpot_convert::{ColourFix, ConvertSettings, FacePatch, Placement, cut, paste};
//! use stockpot_core::face::Area;
//! use stockpot_core::image::{Rgb8, Size};
//! use stockpot_core::space::Affine;
//!
//! let mut frame = Rgb8::new(Size::new(320, 240));
//! let placement = Placement {
//!     face_from_frame: Affine::scale_then_shift(1.0 / 100.0, -1.0, -0.5),
//!     area: Area::Face,
//!     resolution: 64,
//! };
//! let mut input = vec![0.0; placement.rgb_len()];
//! cut(&frame, &placement, &mut input)?;
//! // The network would turn `input` into a patch and a mask here.
//! let mask = vec![1.0; placement.mask_len()];
//! let patch = FacePatch { placement, rgb: &input, mask: &mask, oval: None };
//! let settings = ConvertSettings { mask: stockpot_convert::MaskMode::Decoder, ..Default::default() };
//! let report = paste(&mut frame, &patch, &ColourFix::NONE, &settings)?;
//! assert!(report.pixels > 10_000 && report.bad_values == 0);
//! # Ok::<(), stockpot_convert::Error>(())
//! ```

mod error;
mod glyphs;
mod label;
mod settings;

mod placement;

mod colour;
mod cut;
mod digits;
mod mask;
mod paste;
mod preview;
mod smooth;

pub use colour::{ColourFix, ColourStats, measure};
pub use cut::cut;
pub use error::Error;
pub use label::Label;
pub use paste::{PasteReport, paste};
pub use placement::{Depth, FacePatch, Placement, face_oval};
pub use preview::{SheetRow, contact_sheet};
pub use settings::{Blend, ColourMatch, ConvertSettings, MaskMode};
pub use smooth::{ColourSmoother, smooth_colour};
