//! `doctor`: what this machine has, and what is missing.

use std::path::PathBuf;

use serde::Serialize;
use stockpot_kernels::Isa;

use crate::context::Context;
use crate::{memory, models};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// This program.
    pub stockpot: String,
    /// Threads that work at once.
    pub threads: usize,
    /// Instruction set of the training kernels.
    pub instructions: &'static str,
    /// Devices beside the CPU that this build can train on, each with the word for `--device` and its
    /// name; none in a build without a feature for them.
    pub devices: Vec<String>,
    /// Memory in all, in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
    /// Memory that is free, in bytes, where the system tells.
    pub free_memory_bytes: Option<u64>,
    /// Where face models are looked for.
    pub models_dir: PathBuf,
    /// Face models that are missing or damaged.
    pub models_missing: usize,
    /// What to do; empty if nothing is amiss.
    pub advice: Vec<String>,
}

/// Looks around. Never fails: what cannot be found out is left out.
pub fn run(ctx: &Context) -> Reply {
    let memory = memory::now();
    // A file that cannot be read is as good as missing.
    let missing = models::list(ctx).map_or(1, |all| {
        all.iter().filter(|m| m.state != models::INSTALLED).count()
    });
    let mut advice = Vec::new();
    if missing > 0 {
        advice.push("stockpot models install".to_owned());
    }
    if Isa::best() == Isa::Portable {
        advice.push(
            "this processor has no AVX2: training will be slow; use another machine for it".into(),
        );
    }
    Reply {
        stockpot: env!("CARGO_PKG_VERSION").into(),
        threads: rayon::current_num_threads(),
        instructions: Isa::best().name(),
        devices: stockpot_device::found().iter().map(described).collect(),
        memory_bytes: memory.map(|m| m.total),
        free_memory_bytes: memory.map(|m| m.free),
        models_dir: ctx.models_dir.clone(),
        models_missing: missing,
        advice,
    }
}

fn described(device: &stockpot_device::Found) -> String {
    let software = match device.is_card {
        true => "",
        false => ", in software: slower than `--device cpu`",
    };
    format!("{}: {}{software}", device.choice, device.name)
}
