//! What a run tells about itself while it goes: lines of metrics and TensorBoard events.
//!
//! Knows files and numbers; knows nothing of networks. `docs/formats/checkpoint.md` describes the
//! lines. Start with [`metrics::MetricsLog`] and [`events::EventLog`].

pub mod events;
pub mod metrics;

pub use events::EventLog;
pub use metrics::{Line, MetricsLog, PersonLoss, Shares};
