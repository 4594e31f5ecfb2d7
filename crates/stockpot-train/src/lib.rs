//! Training: losses, quality measures, the optimiser, checkpoints, the step and the run.
//!
//! Knows `stockpot-model`'s networks and plain buffers of faces; does not know where faces come
//! from, what a library is, or how progress looks. In reading order: [`settings`] says what can be
//! chosen, [`loss`] what is minimised, [`trainer`] makes one step, [`run`] makes many with
//! reports, previews and checkpoints.

pub mod batch;
pub mod batch_size;
pub mod checkpoint;
pub mod error;
pub mod forecast;
pub mod guard;
pub mod log;
pub mod loss;
pub mod meter;
pub mod metrics;
pub mod optim;
pub mod plateau;
pub mod pretrain;
pub mod run;
pub mod settings;
mod ssim;
pub mod state;
pub mod trainer;

pub use batch::{Batch, FaceBatch};
pub use checkpoint::{Checkpoint, CheckpointMeta, latest_good};
pub use error::Error;
pub use meter::{Advice, FeedWork};
pub use run::{Feed, Preview, RunIo, RunOutcome, StoppedBy, run};
pub use settings::TrainSettings;
pub use trainer::{
    Accelerator, Clock, Distillation, Evaluation, KEPT_CODES_BYTES, LiteMark, LitePerson,
    LitePersons, StepNumbers, StepOrder, StepReport, TrainSpec, Trainer,
};
