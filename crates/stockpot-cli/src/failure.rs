//! Why a command ended without its result, and the exit code that says so.

use std::process::ExitCode;

pub(crate) use stockpot_jobs::{JobError as Failure, JobErrorKind as Kind};

use crate::interrupt::STOPPED;

/// 1 failed, 2 wrong arguments or settings, 130 stopped by the user.
pub(crate) fn exit_code(failure: &Failure) -> ExitCode {
    match failure.kind {
        Kind::Failed => ExitCode::from(1),
        Kind::Usage => ExitCode::from(2),
        Kind::Cancelled => ExitCode::from(STOPPED),
    }
}
