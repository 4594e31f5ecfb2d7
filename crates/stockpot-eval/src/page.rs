//! The result as one self-contained page.

use stockpot_jobs::JobError;

use crate::bench::Reply;

/// The page.
///
/// # Errors
/// If a picture cannot be packed.
pub(crate) fn html(reply: &Reply) -> Result<String, JobError> {
    Ok(format!("<!doctype html><pre>{}</pre>", reply.text()))
}
