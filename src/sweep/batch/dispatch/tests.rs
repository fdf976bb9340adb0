use proptest::prelude::*;
use schema::{DataId, EnsembleId, KindId, RunId};

use super::*;
use crate::{config::Counts, plan::agenda::Turn};

const POLICY: Policy = Policy {
    cut: Cut {
        seconds: 100.0,
        spread: 1,
        array: 4,
    },
    retries: 2,
    most_failures: None,
};

fn run(number: usize) -> RunId {
    format!("{number:016x}").parse().unwrap()
}

fn spec(job: Job, waits_for: Vec<Job>) -> (JobSpec, f64) {
    let spec = JobSpec {
        job,
        waits_for,
        has_to_run: true,
        turn: Turn::of_training(50.0, 0),
        kind: KindId::of("any"),
        guess: None,
        device: Device::Cpu,
        needs: Counts::default(),
    };
    (spec, 50.0)
}

fn prepare() -> Job {
    let data: DataId = "00000000000000aa".parse().unwrap();
    Job::Prepare(data)
}

/// So many runs on one data set, and an ensemble of all.
fn jobs(runs: usize) -> Vec<(JobSpec, f64)> {
    let ensemble = Job::Ensemble(EnsembleId::of(&[run(0)]));
    let mut jobs = vec![spec(prepare(), Vec::new())];
    let mut measured = Vec::new();
    for number in 0..runs {
        let (train, evaluate) = (Job::Train(run(number)), Job::Evaluate(run(number)));
        jobs.push(spec(train, vec![prepare()]));
        jobs.push(spec(evaluate, vec![prepare(), train]));
        measured.push(evaluate);
    }
    jobs.push(spec(ensemble, measured));
    jobs
}

fn dispatcher(runs: usize) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(POLICY);
    dispatcher.add(jobs(runs));
    dispatcher
}

/// Lets seconds pass until something is submitted, and accepts it.
fn submitted(dispatcher: &mut Dispatcher) -> Option<(ArrayId, Chunks)> {
    for _ in 0..100 {
        for action in dispatcher.on(Input::Second) {
            if let Action::Submit(id, array) = action {
                dispatcher.on(Input::Accepted(id));
                return Some((id, array.chunks));
            }
        }
    }
    None
}

fn element(array: ArrayId, chunk: usize) -> ElementId {
    ElementId { array, chunk }
}

/// Ends an element whose first `done` jobs have results.
fn end(dispatcher: &mut Dispatcher, id: ElementId, end: End, done: usize) -> Vec<Action> {
    let settle = dispatcher.on(Input::Left(id, end));
    assert_eq!(settle, [Action::Settle(id, end)]);
    settled(dispatcher, id, end, done)
}

fn settled(dispatcher: &mut Dispatcher, id: ElementId, end: End, done: usize) -> Vec<Action> {
    let jobs = dispatcher.element(id).unwrap().jobs.clone();
    for &job in jobs.iter().take(done) {
        dispatcher.on(Input::Done(job));
    }
    dispatcher.on(Input::Settled {
        element: id,
        end,
        progressed: done > 0,
        tried: BTreeSet::new(),
    })
}

/// A dispatcher whose data is prepared, with its first array of runs.
fn with_runs(runs: usize) -> (Dispatcher, ArrayId, Chunks) {
    let mut dispatcher = dispatcher(runs);
    let (first, _) = submitted(&mut dispatcher).unwrap();
    end(&mut dispatcher, element(first, 0), End::Finished, 1);
    let (array, chunks) = submitted(&mut dispatcher).unwrap();
    (dispatcher, array, chunks)
}

#[test]
fn data_is_prepared_before_runs_are_submitted_and_ensembles_come_last() {
    let mut dispatcher = dispatcher(2);
    let (first, chunks) = submitted(&mut dispatcher).unwrap();
    assert_eq!(chunks, [[prepare()]]);
    assert_eq!(submitted(&mut dispatcher), None);
    end(&mut dispatcher, element(first, 0), End::Finished, 1);
    let (second, chunks) = submitted(&mut dispatcher).unwrap();
    assert_eq!(chunks.len(), 2);
    for chunk in 0..2 {
        assert_eq!(submitted(&mut dispatcher), None);
        end(&mut dispatcher, element(second, chunk), End::Finished, 2);
    }
    let (last, chunks) = submitted(&mut dispatcher).unwrap();
    assert!(matches!(chunks[0][..], [Job::Ensemble(_)]));
    end(&mut dispatcher, element(last, 0), End::Finished, 1);
    assert!(dispatcher.is_over());
    assert_eq!(dispatcher.tally().done, 6);
}

#[test]
fn one_observation_without_an_element_is_no_end_and_two_are() {
    let (mut dispatcher, array, chunks) = with_runs(1);
    let id = element(array, 0);
    let nothing = || Input::Observed(BTreeMap::new());
    let running = || Input::Observed(BTreeMap::from([(id, State::Running)]));
    for _ in 0..3 {
        assert!(dispatcher.on(nothing()).is_empty());
        assert!(dispatcher.is_in_doubt());
        assert!(dispatcher.on(running()).is_empty());
        assert!(!dispatcher.is_in_doubt());
    }
    dispatcher.on(nothing());
    assert_eq!(dispatcher.on(nothing()), [Action::Settle(id, End::Lost)]);
    // A third one does not settle it again.
    assert!(dispatcher.on(nothing()).is_empty());
    let actions = settled(&mut dispatcher, id, End::Lost, 0);
    assert!(
        actions.contains(&Action::Again(id, End::Lost, 2)),
        "{actions:?}"
    );
    assert_eq!(submitted(&mut dispatcher).unwrap().1, chunks);
}

#[test]
fn a_state_that_is_not_known_is_no_end() {
    let (mut dispatcher, array, _) = with_runs(1);
    let unknown = State::of("TELEPORTED");
    for _ in 0..5 {
        let states = BTreeMap::from([(element(array, 0), unknown.clone())]);
        assert!(dispatcher.on(Input::Observed(states)).is_empty());
    }
}

#[test]
fn an_array_in_doubt_is_adopted_when_slurm_has_it_and_submitted_again_when_not() {
    for has_it in [true, false] {
        let mut dispatcher = dispatcher(1);
        let actions = dispatcher.on(Input::Second);
        let [Action::Submit(array, _)] = actions[..] else {
            panic!("{actions:?}")
        };
        dispatcher.on(Input::InDoubt(array, "no answer".to_owned()));
        assert_eq!(submitted(&mut dispatcher), None);
        let states = match has_it {
            true => BTreeMap::from([(element(array, 0), State::Waiting)]),
            false => BTreeMap::new(),
        };
        dispatcher.on(Input::Observed(states.clone()));
        let actions = dispatcher.on(Input::Observed(states));
        assert_eq!(actions.contains(&Action::Close(array)), !has_it);
        assert_eq!(submitted(&mut dispatcher).is_some(), !has_it);
    }
}

#[test]
fn a_refusal_of_the_smallest_array_ends_the_session_with_what_slurm_said() {
    let mut dispatcher = dispatcher(1);
    for _ in 0..REFUSALS {
        assert!(!dispatcher.is_over());
        let actions = dispatcher.on(Input::Second);
        let [Action::Submit(array, _)] = actions[..] else {
            panic!("{actions:?}")
        };
        dispatcher.on(Input::InDoubt(array, "invalid partition".to_owned()));
        for _ in 0..2 {
            dispatcher.on(Input::Observed(BTreeMap::new()));
        }
    }
    assert!(dispatcher.is_over());
    let tally = dispatcher.tally();
    assert_eq!(tally.stranded.as_deref(), Some("invalid partition"));
    assert_eq!(tally.not_started, 4);
}

#[test]
fn a_large_array_that_is_refused_is_tried_small_and_grows_again() {
    let (mut dispatcher, array, _) = with_runs(12);
    let actions = (0..100).flat_map(|_| dispatcher.on(Input::Second));
    let next = actions.into_iter().find_map(|action| match action {
        Action::Submit(id, array) => Some((id, array.chunks.len())),
        _ => None,
    });
    let (refused, size) = next.unwrap();
    assert_eq!(size, 4);
    dispatcher.on(Input::InDoubt(refused, "limit".to_owned()));
    let live = BTreeMap::from([0, 1, 2, 3].map(|chunk| (element(array, chunk), State::Running)));
    dispatcher.on(Input::Observed(live.clone()));
    let actions = dispatcher.on(Input::Observed(live));
    assert!(
        actions.contains(&Action::Fewer(2, "limit".to_owned())),
        "{actions:?}"
    );
    let (_, chunks) = submitted(&mut dispatcher).unwrap();
    assert_eq!(chunks.len(), 2);
    assert_eq!(submitted(&mut dispatcher).unwrap().1.len(), 4);
}

#[test]
fn elements_that_end_without_progress_again_and_again_fail_the_jobs_that_they_tried() {
    let (mut dispatcher, mut array, _) = with_runs(1);
    for _ in 0..2 {
        let actions = end(&mut dispatcher, element(array, 0), End::Unable(1), 0);
        assert!(actions.contains(&Action::Again(element(array, 0), End::Unable(1), 2)));
        array = submitted(&mut dispatcher).unwrap().0;
    }
    let actions = end(&mut dispatcher, element(array, 0), End::Unable(1), 0);
    let train = Job::Train(run(0));
    assert!(
        actions.contains(&Action::Fail(train, Some(End::Unable(1)))),
        "{actions:?}"
    );
    assert!(dispatcher.is_over());
    let tally = dispatcher.tally();
    assert_eq!((tally.done, tally.failed, tally.not_started), (1, 1, 2));
}

#[test]
fn lost_nodes_and_progress_are_never_held_against_a_job() {
    let (mut dispatcher, mut array, _) = with_runs(1);
    for number in 0..20 {
        let id = element(array, 0);
        let cause = [Cause::NodeFailed, Cause::Preempted][number % 2];
        end(&mut dispatcher, id, End::Cut(cause), 0);
        array = submitted(&mut dispatcher).unwrap().0;
    }
    for _ in 0..20 {
        let id = element(array, 0);
        dispatcher.on(Input::Left(id, End::Stopped));
        dispatcher.on(Input::Settled {
            element: id,
            end: End::Stopped,
            progressed: true,
            tried: BTreeSet::from([Job::Train(run(0))]),
        });
        array = submitted(&mut dispatcher).unwrap().0;
    }
    assert_eq!(dispatcher.tally().failed, 0);
}

#[test]
fn a_full_disk_is_waited_for_ever_longer_and_never_held_against_a_job() {
    let (mut dispatcher, mut array, _) = with_runs(2);
    let mut rests = Vec::new();
    for _ in 0..20 {
        // Both elements of the array find the same disk full.
        for chunk in 0..2 {
            let id = element(array, chunk);
            let actions = end(&mut dispatcher, id, End::DiskFull, 0);
            assert!(actions.contains(&Action::Again(id, End::DiskFull, 2)));
        }
        rests.push(dispatcher.resting);
        dispatcher.resting = 0;
        array = submitted(&mut dispatcher).unwrap().0;
    }
    assert_eq!(rests[..6], [60, 120, 240, 480, 960, 960]);
    assert_eq!(dispatcher.tally().failed, 0);
    end(&mut dispatcher, element(array, 0), End::DiskFull, 1);
    assert_eq!(dispatcher.resting, REST);
}

#[test]
fn a_job_that_its_worker_gave_up_has_failed_and_what_waits_for_it_is_not_started() {
    let (mut dispatcher, array, _) = with_runs(1);
    let actions = end(&mut dispatcher, element(array, 0), End::Finished, 0);
    assert_eq!(actions[0], Action::Fail(Job::Train(run(0)), None));
    assert!(dispatcher.is_over());
    let tally = dispatcher.tally();
    assert_eq!((tally.failed, tally.not_started), (1, 2));
}

#[test]
fn jobs_of_an_adopted_array_are_not_submitted_a_second_time() {
    let mut dispatcher = dispatcher(1);
    let array = dispatcher.adopt(vec![vec![prepare()]], false);
    assert_eq!(submitted(&mut dispatcher), None);
    let seen = BTreeMap::from([(element(array, 0), State::Running)]);
    dispatcher.on(Input::Observed(seen));
    assert_eq!(submitted(&mut dispatcher), None);
    end(&mut dispatcher, element(array, 0), End::Finished, 1);
    assert!(submitted(&mut dispatcher).is_some());
}

#[test]
fn nothing_is_submitted_after_an_interrupt() {
    let mut dispatcher = dispatcher(3);
    dispatcher.on(Input::Interrupt);
    assert_eq!(submitted(&mut dispatcher), None);
    assert!(dispatcher.is_over() && dispatcher.tally().interrupted);
}

/// A cluster that does to elements what dice say.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Finish,
    Stop,
    Crash,
    FillDisk,
    Vanish,
    Cancel,
    Nothing,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        Just(Fate::Finish),
        Just(Fate::Stop),
        Just(Fate::Crash),
        Just(Fate::FillDisk),
        Just(Fate::Vanish),
        Just(Fate::Cancel),
        Just(Fate::Nothing),
    ];
    prop::collection::vec(fate, 1..60)
}

proptest! {
    /// Whatever happens to elements, no job is held by two of them at a time, none is submitted again once it is done,
    /// and all are done in the end.
    #[test]
    fn no_job_is_lost_and_none_is_done_twice(runs in 1..12usize, fates in fates()) {
        let policy = Policy { retries: u32::MAX, ..POLICY };
        let mut dispatcher = Dispatcher::new(policy);
        dispatcher.add(jobs(runs));
        let mut live: BTreeMap<ElementId, Vec<Job>> = BTreeMap::new();
        let mut done: BTreeSet<Job> = BTreeSet::new();
        let mut fates = fates.into_iter();
        for _ in 0..5000 {
            if dispatcher.is_over() {
                break;
            }
            for action in dispatcher.on(Input::Second) {
                if let Action::Submit(id, array) = action {
                    for (chunk, jobs) in array.chunks.into_iter().enumerate() {
                        for job in &jobs {
                            prop_assert!(!done.contains(job), "{job} is done already");
                            prop_assert!(!live.values().flatten().any(|held| held == job));
                        }
                        live.insert(element(id, chunk), jobs);
                    }
                    dispatcher.on(Input::Accepted(id));
                }
            }
            let Some((&id, _)) = live.iter().next() else { continue };
            let (ends, finished) = match fates.next().unwrap_or(Fate::Finish) {
                Fate::Finish => (Some(Input::Left(id, End::Finished)), usize::MAX),
                Fate::Stop => (Some(Input::Left(id, End::Stopped)), 1),
                Fate::Crash => (Some(Input::Left(id, End::Unable(3))), 0),
                Fate::FillDisk => (Some(Input::Left(id, End::DiskFull)), 0),
                Fate::Vanish => (None, 1),
                Fate::Cancel => (Some(observed(&live, id, Some(State::Ended(Cause::Cancelled)))), 0),
                Fate::Nothing => continue,
            };
            let gone = || observed(&live, id, None);
            let ends = [ends.clone().unwrap_or_else(gone), ends.unwrap_or_else(gone)];
            for input in ends {
                for action in dispatcher.on(input) {
                    if let Action::Settle(id, end) = action {
                        let jobs = live.remove(&id).unwrap_or_default();
                        let finished: Vec<Job> = jobs.into_iter().take(finished).collect();
                        for &job in &finished {
                            done.insert(job);
                            dispatcher.on(Input::Done(job));
                        }
                        let progressed = !finished.is_empty();
                        let tried = BTreeSet::new();
                        dispatcher.on(Input::Settled { element: id, end, progressed, tried });
                    }
                }
            }
        }
        prop_assert!(dispatcher.is_over());
        prop_assert_eq!(dispatcher.tally().done, 2 * runs + 2);
    }
}

/// Slurm shows all live elements as running, but this one.
fn observed(live: &BTreeMap<ElementId, Vec<Job>>, but: ElementId, state: Option<State>) -> Input {
    let others = live.keys().filter(|id| **id != but);
    let mut states: BTreeMap<ElementId, State> = others.map(|&id| (id, State::Running)).collect();
    states.extend(state.map(|state| (but, state)));
    Input::Observed(states)
}
