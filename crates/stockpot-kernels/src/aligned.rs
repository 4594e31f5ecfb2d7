//! Memory that begins with a cache line.
#![expect(unsafe_code, reason = "a slice of lines seen as one of numbers")]

use std::ops::{Deref, DerefMut};

/// Numbers of a cache line.
const LINE: usize = 16;

/// Numbers of four bytes from the beginning of a cache line on, so that a register's worth of them
/// never lies in two lines: such loads take twice as long. What the allocator gives is aligned to
/// 16 bytes.
#[derive(Debug, Clone, Default)]
pub struct Aligned<T> {
    lines: Vec<CacheLine<T>>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine<T>([T; LINE]);

impl<T: Copy + Default> Aligned<T> {
    /// Nothing, without memory.
    pub const fn new() -> Self {
        const { assert!(size_of::<T>() == 4) };
        Self {
            lines: Vec::new(),
            len: 0,
        }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut new = Self::new();
        new.resize(len);
        new
    }

    /// Makes it `len` long, keeping the memory it has; lines that are new hold zeros.
    pub fn resize(&mut self, len: usize) {
        let line = CacheLine([T::default(); LINE]);
        self.lines.resize(len.div_ceil(LINE), line);
        self.len = len;
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `lines` are whole arrays of `T`, side by side, with room for `len` of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_a_line_and_keeps_what_it_has() {
        let mut numbers = Aligned::<f32>::zeros(17);
        assert_eq!(numbers.as_ptr().addr() % 64, 0);
        numbers.fill(1.0);
        numbers.resize(40);
        assert_eq!(numbers.as_ptr().addr() % 64, 0);
        assert_eq!(numbers[..17], [1.0; 17]);
        assert_eq!(numbers[32..], [0.0; 8]);
        numbers.resize(0);
        assert!(numbers.is_empty());
    }
}
