//! A crash of the library that parses credentials is an answer, not the end of the program.
//!
//! Its input is anybody's file. It denies panics to itself, but its dependencies do not.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic inside becomes a reason in words.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> Result<T, c2pa::Error>,
) -> std::result::Result<T, Refusal> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Refusal::Error(Box::new(error))),
        Err(_) => Err(Refusal::Crash),
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It was refused.
    Error(Box<c2pa::Error>),
    /// The parser crashed.
    Crash,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::Crash => f.write_str("the parser crashed on it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal() {
        let crash = guarded(|| -> Result<(), c2pa::Error> {
            let empty: [u8; 0] = [];
            let nothing = std::hint::black_box(&empty[..]);
            let _first = nothing[0];
            Ok(())
        });
        assert_eq!(crash.unwrap_err().to_string(), "the parser crashed on it");
        assert_eq!(guarded(|| Ok(3)).unwrap(), 3);
        let refused = guarded(|| -> Result<(), c2pa::Error> { Err(c2pa::Error::JumbfNotFound) });
        assert!(matches!(refused, Err(Refusal::Error(_))));
    }
}
