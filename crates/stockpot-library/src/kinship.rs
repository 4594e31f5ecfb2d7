//! How two encoder states are related, by their records alone: what the lineage says before anything
//! is measured.

use std::collections::BTreeSet;

use stockpot_core::ContentHash;

use crate::error::Result;
use crate::library::Library;

/// How two encoder states are related.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// They are one and the same.
    Same,
    /// Both were trained from one state.
    Kin {
        /// The youngest state that both come from; may be one of the two.
        ancestor: ContentHash,
    },
    /// No state is known that both come from.
    Foreign {
        /// The oldest known state that the first comes from.
        first_root: ContentHash,
        /// The oldest known state that the second comes from.
        second_root: ContentHash,
    },
}

impl Library {
    /// How two encoder states are related. A parent whose record is gone ends the line there.
    ///
    /// # Errors
    /// If one of the two is missing, none, or damaged; if a record on the way is damaged.
    pub fn kinship(&self, first: &ContentHash, second: &ContentHash) -> Result<Kinship> {
        let (one, other) = (self.line_of(first)?, self.line_of(second)?);
        if first == second {
            return Ok(Kinship::Same);
        }
        let known: BTreeSet<&ContentHash> = one.iter().collect();
        let shared = other.iter().find(|state| known.contains(state));
        let root = |line: &[ContentHash], own: &ContentHash| *line.last().unwrap_or(own);
        Ok(match shared {
            Some(ancestor) => Kinship::Kin {
                ancestor: *ancestor,
            },
            None => Kinship::Foreign {
                first_root: root(&one, first),
                second_root: root(&other, second),
            },
        })
    }

    /// A state and all it was trained from, youngest first. A hash names its parent's bytes, so the
    /// line cannot come back to itself.
    fn line_of(&self, state: &ContentHash) -> Result<Vec<ContentHash>> {
        let mut line = vec![*state];
        let mut parent = self.encoder_state(state)?.record.parent;
        while let Some(hash) = parent {
            let found = match self.encoder_state(&hash) {
                Err(crate::Error::MissingRecord { .. }) => break,
                found => found?,
            };
            line.push(hash);
            parent = found.record.parent;
        }
        Ok(line)
    }
}
