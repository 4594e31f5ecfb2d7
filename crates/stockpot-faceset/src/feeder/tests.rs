use super::*;
use crate::record::Split;
use crate::sampler::tests::cache;
use crate::settings::SamplerSettings;

fn samplers() -> Vec<Arc<Sampler>> {
    let cache = cache(12);
    let make = |seed| {
        Sampler::new(
            Arc::clone(&cache),
            Split::Train,
            SamplerSettings::default(),
            seed,
        )
    };
    vec![Arc::new(make(1).unwrap()), Arc::new(make(2).unwrap())]
}

fn settings(workers: usize, first: u64) -> FeederSettings {
    FeederSettings {
        samples: 3,
        workers,
        ahead: 2,
        first,
        cycle: 0,
    }
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let samplers = samplers();
    let run = |workers, first, count| {
        let mut feeder = Feeder::new(samplers.clone(), &settings(workers, first)).unwrap();
        (0..count)
            .map(|_| feeder.next_batch().unwrap())
            .collect::<Vec<_>>()
    };
    let one = run(1, 0, 10);
    assert!(one.iter().map(|b| b.number).eq(0..10));
    assert_eq!(one, run(0, 0, 10));
    assert_eq!(one, run(4, 0, 10));
    let mut growing = Feeder::new(samplers.clone(), &settings(1, 0)).unwrap();
    let grown: Vec<Batch> = (0..10)
        .map(|_| {
            growing.add_worker().unwrap();
            growing.next_batch().unwrap()
        })
        .collect();
    assert_eq!(one, grown);
    let work = growing.work();
    assert_eq!(work.workers, 11);
    assert!(work.batches >= 10 && !work.busy.is_zero(), "{work:?}");
    // Resumed at 6: what an unbroken run would have seen.
    assert_eq!(one[6..], run(3, 6, 4));
}

#[test]
fn a_cycle_brings_the_same_faces_again() {
    let cycling = FeederSettings {
        cycle: 3,
        ..settings(2, 1)
    };
    let mut feeder = Feeder::new(samplers(), &cycling).unwrap();
    let batches: Vec<Batch> = (0..5).map(|_| feeder.next_batch().unwrap()).collect();
    assert!(batches.iter().map(|b| b.number).eq(1..6));
    let same = |a: &Batch, b: &Batch| a.input == b.input && a.target == b.target;
    assert!(same(&batches[0], &batches[3]) && same(&batches[1], &batches[4]));
    assert!(!same(&batches[0], &batches[1]) && !same(&batches[0], &batches[2]));
}

#[test]
fn layout_is_person_then_sample() {
    let samplers = samplers();
    let mut feeder = Feeder::new(samplers.clone(), &settings(2, 5)).unwrap();
    let batch = feeder.next_batch().unwrap();
    assert_eq!(
        (batch.number, batch.persons, batch.samples, batch.resolution),
        (5, 2, 3, 32)
    );
    let plane = 32 * 32;
    let mut alone = Batch::new(0, 1, 1, 32);
    samplers[1]
        .sample_into(5 * 3 + 2, alone.sample_mut(0, 0))
        .unwrap();
    let at = 3 + 2;
    assert_eq!(batch.input[at * 3 * plane..][..3 * plane], alone.input);
    assert_eq!(batch.weight[at * plane..][..plane], alone.weight);
}

#[test]
fn buffers_given_back_are_used_again() {
    let samplers = samplers();
    let mut feeder = Feeder::new(samplers, &settings(0, 0)).unwrap();
    let first = feeder.next_batch().unwrap();
    let (address, copy) = (first.input.as_ptr(), first.clone());
    feeder.give_back(first);
    let second = feeder.next_batch().unwrap();
    assert_eq!(second.input.as_ptr(), address);
    assert_ne!(second.input, copy.input);
    // A batch of another shape is not.
    feeder.give_back(Batch::new(0, 1, 1, 8));
    assert_eq!(feeder.next_batch().unwrap().input.len(), copy.input.len());
}

#[test]
fn the_queue_is_bounded_and_waiting_is_told() {
    let mut feeder = Feeder::new(samplers(), &settings(2, 0)).unwrap();
    let start = Instant::now();
    // One more than workers, which is more than the 2 asked for.
    while feeder.shared.lock().done.len() < 3 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(20));
    let state = feeder.shared.lock();
    assert_eq!((state.done.len(), state.to_make), (3, 3));
    drop(state);
    feeder.next_batch().unwrap();
    assert!(feeder.take_waited() > Duration::ZERO);
    assert_eq!(feeder.take_waited(), Duration::ZERO);
}

#[test]
fn dropping_stops_the_workers() {
    for taken in 0..3 {
        let mut feeder = Feeder::new(samplers(), &settings(3, 0)).unwrap();
        (0..taken).for_each(|_| drop(feeder.next_batch().unwrap()));
        let shared = Arc::downgrade(&feeder.shared);
        drop(feeder);
        assert!(shared.upgrade().is_none(), "a thread still runs");
    }
}

#[test]
fn a_dead_worker_is_an_error_not_a_hang() {
    let mut feeder = Feeder::new(samplers(), &settings(1, 0)).unwrap();
    while feeder.shared.lock().done.len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(Alarm {
        shared: &feeder.shared,
        is_armed: true,
    });
    // What is ready is still handed out; then either a new batch comes or the death is told.
    assert!(feeder.next_batch().is_ok());
    feeder.shared.lock().is_over = true;
    feeder.shared.room.notify_all();
    let last = (0..4).map(|_| feeder.next_batch()).find(Result::is_err);
    assert!(matches!(last, Some(Err(Error::Worker))));
}

#[test]
fn nonsense_is_refused() {
    let refused = |samplers, settings: &FeederSettings| {
        matches!(
            Feeder::new(samplers, settings),
            Err(Error::BadSetting { .. })
        )
    };
    assert!(refused(Vec::new(), &settings(1, 0)));
    let one = || vec![samplers().remove(0)];
    assert!(refused(
        one(),
        &FeederSettings {
            samples: 0,
            ..settings(1, 0)
        }
    ));
    assert!(refused(
        one(),
        &FeederSettings {
            ahead: 0,
            ..settings(1, 0)
        }
    ));
}
