//! One description for every matrix product over neighbourhoods.
//!
//! A gather visits a grid of positions; at each it reads, for every *tap*, the channels of one
//! input pixel, and it names the output pixel that belongs to the position. A convolution forward,
//! its input gradient (one gather per stride phase), the phase-decomposed up-sampling convolution
//! and a dense layer are all gathers; they differ in strides, taps and where results are put.

/// Positions, taps and strides. Input and output are `[batch, height, width, channel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Channels of the input.
    pub in_c: usize,
    /// Rows of the grid of positions.
    pub grid_h: usize,
    /// Columns of the grid of positions.
    pub grid_w: usize,
    /// Input pixels from one position to the next, both axes.
    pub stride: usize,
    /// Offsets `[dy, dx]` added to `position * stride`; outside the input reads zero.
    pub taps: Vec<[i32; 2]>,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
    /// Channels of the output.
    pub out_c: usize,
    /// Output row and column of the first position.
    pub out_origin: [usize; 2],
    /// Output pixels from one position to the next, both axes.
    pub out_step: usize,
}

impl Gather {
    /// A dense layer: `batch` rows of `in_c` numbers to `out_c` numbers.
    pub fn dense(batch: usize, in_c: usize, out_c: usize) -> Self {
        Self {
            batch,
            in_h: 1,
            in_w: 1,
            in_c,
            grid_h: 1,
            grid_w: 1,
            stride: 1,
            taps: vec![[0, 0]],
            out_h: 1,
            out_w: 1,
            out_c,
            out_origin: [0, 0],
            out_step: 1,
        }
    }

    /// Number of positions over the whole batch: the rows of the matrix product.
    pub fn rows(&self) -> usize {
        self.batch * self.grid_h * self.grid_w
    }

    /// Numbers gathered per position: the depth of the matrix product.
    pub fn depth(&self) -> usize {
        self.taps.len() * self.in_c
    }

    /// Length of the input slice.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_h * self.in_w * self.in_c
    }

    /// Length of the output slice.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_h * self.out_w * self.out_c
    }

    /// Picture, grid row and grid column of position `row`.
    pub(crate) fn position(&self, row: usize) -> (usize, usize, usize) {
        let per_picture = self.grid_h * self.grid_w;
        let (picture, rest) = (row / per_picture, row % per_picture);
        (picture, rest / self.grid_w, rest % self.grid_w)
    }

    /// Where in the output the pixel of a position starts.
    pub(crate) fn output_at(&self, at: (usize, usize, usize)) -> usize {
        let y = self.out_origin[0] + at.1 * self.out_step;
        let x = self.out_origin[1] + at.2 * self.out_step;
        ((at.0 * self.out_h + y) * self.out_w + x) * self.out_c
    }

    /// Panics unless every output pixel of the grid lies inside the output: the promise on which
    /// the raw writes of the product rest.
    pub(crate) fn assert_output_fits(&self) {
        if self.rows() == 0 {
            return;
        }
        let last_y = self.out_origin[0] + (self.grid_h - 1) * self.out_step;
        let last_x = self.out_origin[1] + (self.grid_w - 1) * self.out_step;
        assert!(
            last_y < self.out_h && last_x < self.out_w,
            "gather writes outside its output: {self:?}"
        );
    }
}
