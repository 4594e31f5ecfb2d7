//! FlatBuffers with every access checked: tables, fields and vectors of a byte slice.
//!
//! Nothing here allocates, recurses or trusts a length. Positions are absolute.

use crate::Error;

/// The file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

/// A table: its position and its list of field offsets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: Bytes<'a>,
    at: usize,
    vtable: usize,
    vtable_bytes: usize,
}

/// A vector: position of the first element and number of elements, known to lie inside the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector<'a> {
    bytes: Bytes<'a>,
    start: usize,
    pub(super) len: usize,
}

const fn bad(reason: &'static str, at: usize) -> Error {
    Error::BadModel { reason, at }
}

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Error> {
        at.checked_add(N)
            .and_then(|end| self.0.get(at..end))
            .and_then(|s| s.try_into().ok()) // the length is N
            .ok_or(bad("the file ends too early", at))
    }

    fn u16(self, at: usize) -> Result<u16, Error> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Result<u32, Error> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn i32(self, at: usize) -> Result<i32, Error> {
        self.array(at).map(i32::from_le_bytes)
    }

    /// The position that the forward offset at `at` points to.
    fn follow(self, at: usize) -> Result<usize, Error> {
        let to = at.checked_add(self.u32(at)? as usize);
        to.filter(|to| *to < self.0.len())
            .ok_or(bad("an offset points outside the file", at))
    }

    /// The root table of a file with this identifier.
    pub(super) fn root(self, identifier: [u8; 4]) -> Result<Table<'a>, Error> {
        if self.array::<4>(4)? != identifier {
            return Err(bad("the identifier is missing", 4));
        }
        self.table(self.follow(0)?)
    }

    fn table(self, at: usize) -> Result<Table<'a>, Error> {
        let back = i64::from(self.i32(at)?);
        let vtable = usize::try_from(at as i64 - back)
            .ok()
            .filter(|v| *v < self.0.len())
            .ok_or(bad("a table's field list lies outside the file", at))?;
        let vtable_bytes = usize::from(self.u16(vtable)?);
        if vtable_bytes < 4 || vtable + vtable_bytes > self.0.len() {
            return Err(bad("a table's field list has a wrong length", vtable));
        }
        Ok(Table {
            bytes: self,
            at,
            vtable,
            vtable_bytes,
        })
    }
}

impl<'a> Table<'a> {
    /// Where field `id` lies; `None` if the table leaves it out.
    fn field(self, id: usize) -> Result<Option<usize>, Error> {
        let entry = 4 + 2 * id;
        if entry + 2 > self.vtable_bytes {
            return Ok(None);
        }
        let offset = usize::from(self.bytes.u16(self.vtable + entry)?);
        Ok((offset != 0).then_some(self.at + offset))
    }

    pub(super) fn u8(self, id: usize, default: u8) -> Result<u8, Error> {
        self.field(id)?
            .map_or(Ok(default), |at| self.bytes.array::<1>(at).map(|b| b[0]))
    }

    pub(super) fn u32(self, id: usize, default: u32) -> Result<u32, Error> {
        self.field(id)?.map_or(Ok(default), |at| self.bytes.u32(at))
    }

    pub(super) fn i32(self, id: usize, default: i32) -> Result<i32, Error> {
        self.field(id)?.map_or(Ok(default), |at| self.bytes.i32(at))
    }

    pub(super) fn table(self, id: usize) -> Result<Option<Table<'a>>, Error> {
        match self.field(id)? {
            None => Ok(None),
            Some(at) => self.bytes.table(self.bytes.follow(at)?).map(Some),
        }
    }

    /// The vector of field `id`, whose elements take `element_bytes`; empty if left out.
    pub(super) fn vector(self, id: usize, element_bytes: usize) -> Result<Vector<'a>, Error> {
        let Some(at) = self.field(id)? else {
            return Ok(Vector {
                bytes: self.bytes,
                start: 0,
                len: 0,
            });
        };
        let at = self.bytes.follow(at)?;
        let len = self.bytes.u32(at)? as usize;
        let start = at + 4;
        let room = self.bytes.0.len() - start.min(self.bytes.0.len());
        if len > room / element_bytes {
            return Err(bad("a list is longer than the file", at));
        }
        Ok(Vector {
            bytes: self.bytes,
            start,
            len,
        })
    }
}

impl<'a> Vector<'a> {
    pub(super) fn i32(self, index: usize) -> Result<i32, Error> {
        self.check(index)?;
        self.bytes.i32(self.start + 4 * index)
    }

    pub(super) fn table(self, index: usize) -> Result<Table<'a>, Error> {
        self.check(index)?;
        let at = self.start + 4 * index;
        self.bytes.table(self.bytes.follow(at)?)
    }

    /// First and past-the-end position of a vector of bytes.
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }

    const fn check(self, index: usize) -> Result<(), Error> {
        if index < self.len {
            Ok(())
        } else {
            Err(bad("a number points past the end of its list", self.start))
        }
    }
}
