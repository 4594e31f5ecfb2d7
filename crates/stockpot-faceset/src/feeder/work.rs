//! What making batches costs: a core's time and the clock's, summed over all workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the workers have done since the feeder began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeederWork {
    /// Worker threads; 0 if batches are made on the thread that asks.
    pub workers: usize,
    /// Batches made.
    pub batches: u64,
    /// Time of a core that they took. By the clock where the system does not tell.
    pub busy: Duration,
    /// Time by the clock: more than `busy` where workers waited for a core or for the disk.
    pub spent: Duration,
}

/// Sums that all workers add to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    batches: AtomicU64,
    busy_ns: AtomicU64,
    spent_ns: AtomicU64,
}

impl Sums {
    pub(super) fn read(&self, workers: usize) -> FeederWork {
        let of = |sum: &AtomicU64| Duration::from_nanos(sum.load(Ordering::Relaxed));
        FeederWork {
            workers,
            batches: self.batches.load(Ordering::Relaxed),
            busy: of(&self.busy_ns),
            spent: of(&self.spent_ns),
        }
    }
}

/// One batch being made on this thread.
pub(super) struct Watch {
    start: Instant,
    core_ns: Option<u64>,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            core_ns: core_ns(),
        }
    }

    pub(super) fn stop(self, sums: &Sums) {
        let spent = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let busy = match (self.core_ns, core_ns()) {
            // A kernel that does not count says 0 for ever; a new thread begins there.
            (Some(before), Some(after)) if after > 0 => after.saturating_sub(before),
            _ => spent,
        };
        sums.batches.fetch_add(1, Ordering::Relaxed);
        sums.busy_ns.fetch_add(busy, Ordering::Relaxed);
        sums.spent_ns.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Nanoseconds that this thread has had a core for, by Linux's scheduler; `None` elsewhere.
fn core_ns() -> Option<u64> {
    // `.ok()`: the file is missing on other systems, and then the clock has to do.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_is_spent_and_not_busy() {
        let sums = Sums::default();
        let watch = Watch::start();
        std::thread::sleep(Duration::from_millis(60));
        watch.stop(&sums);
        let work = sums.read(3);
        assert_eq!((work.workers, work.batches), (3, 1));
        assert!(work.spent >= Duration::from_millis(60), "{work:?}");
        if core_ns().is_some() {
            assert!(work.busy < Duration::from_millis(30), "{work:?}");
        }
    }
}
