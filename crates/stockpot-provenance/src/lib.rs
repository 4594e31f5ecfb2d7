//! What a file says of itself: content credentials (C2PA), written into every output and read back.
//!
//! The only home of C2PA, of certificates and of signing keys: none of their types show in a public
//! signature. It knows nothing of videos, faces, networks or libraries; what there is to say about
//! an output is a plain [`Statement`].
//!
//! Writing: an [`Identity`] makes a [`Sealer`], and [`Sealer::seal`] is the one place where an output
//! gets its name. The one thing that ever goes out is a question to a [`TimeAuthority`], where one is
//! named. Reading: [`Inspector::inspect`] takes any file at all.

mod attest;
mod certificate;
mod container;
mod error;
mod guard;
mod identity;
mod inspect;
mod manifest;
mod notes;
mod report;
mod seal;
mod stamp;
mod statement;
mod strict;
mod words;

pub use container::SIDECAR_ENDING;
pub use error::Error;
pub use identity::{Identity, OwnCertificate};
pub use inspect::Inspector;
pub use report::{
    ActionNote, Credentials, Fault, FaultKind, Holder, Ingredient, Known, Report, Signer, SwapNote,
    TimeNote, Verdict,
};
pub use seal::{Sealed, Sealer};
pub use stamp::TimeAuthority;
pub use statement::{
    Basis, FaceBox, FaceStretch, MAX_STRETCHES, Mark, Model, Origin, SealId, SourceType, Statement,
    Swap, VisibleLabel, stretches,
};
