use schema::{Breakdown, Evaluated, Numerics, Prepared, Scores, Trained};

use super::*;
use crate::{
    plan::{
        agenda::{Agenda, Turn},
        costs::Costs,
        tests::{Desk, TWO_METHODS},
    },
    visits::visits,
};

mod worlds;

/// A scheduler with the plan of two methods on one data set, driven by hand.
struct Stage {
    scheduler: Scheduler,
    prepare: Job,
    runs: Vec<schema::RunId>,
}

/// A stage with slots on one place, the CPU.
fn stage(slots: usize) -> Stage {
    stage_at(&vec![PlaceId(0); slots])
}

/// A stage with slots at these places. Crashes are retried once.
fn stage_at(slots: &[PlaceId]) -> Stage {
    let desk = Desk::new(TWO_METHODS, Numerics::Cpu { threads: 1 });
    Stage {
        scheduler: Scheduler::new(jobs_of(&desk), setup(slots, 1)),
        prepare: Job::Prepare(*desk.plan.data.keys().next().unwrap()),
        runs: desk.plan.members.iter().map(|member| member.run).collect(),
    }
}

/// Slots at places of the CPU.
fn setup(slots: &[PlaceId], retries: u32) -> Setup {
    let places = slots.iter().map(|place| place.0 + 1).max().unwrap_or(0);
    let place = Place {
        name: "a place".to_owned(),
        device: Device::Cpu,
        memory: None,
        model: String::new(),
        packs: false,
        is_partition: false,
        near: Vec::new(),
    };
    Setup {
        slots: slots.to_vec(),
        places: vec![place; places],
        retries,
        ..Setup::default()
    }
}

/// The jobs of a plan without any finished ones.
fn jobs_of(desk: &Desk) -> Vec<JobSpec> {
    let costs = Costs::read(&desk.plan, &desk.ledger);
    Agenda::new(costs, Device::Cpu).all(&desk.plan, &desk.freshness())
}

/// A result of a job.
fn result_of(job: Job) -> Finished {
    match job {
        Job::Prepare(_) => Finished::Prepared(Prepared {
            training_classes: 8,
            training_images: 160,
            test_classes: 4,
            test_images: 80,
        }),
        Job::Train(_) => Finished::Trained(trained(TrainingEnd::Completed)),
        Job::Evaluate(_) | Job::Ensemble(_) => Finished::Evaluated(Evaluated {
            classes: 4,
            images: 80,
            gallery: None,
            without_positive: 0,
            scores: Scores::new(),
            ..Evaluated::default()
        }),
    }
}

impl Stage {
    fn finish(&mut self, job: Job) -> Vec<Action> {
        self.emit(job, Event::Finished(result_of(job)));
        self.exit(job, Some(0), None)
    }

    /// Lets a trainer report a failure and exit.
    fn fail(&mut self, job: Job, class: Failure) -> Vec<Action> {
        let message = format!("{class:?}");
        self.emit(job, Event::Failed { class, message });
        self.exit(job, Some(1), None)
    }

    /// Lets time pass until something happens.
    fn wait(&mut self) -> Vec<Action> {
        let mut ticks = (0..1000).map(|_| self.scheduler.on(Input::Ticks(1)));
        ticks
            .find(|actions| !actions.is_empty())
            .unwrap_or_default()
    }

    fn emit(&mut self, job: Job, event: Event) {
        assert_eq!(self.scheduler.on(Input::Event(job, event)), []);
    }

    fn exit(&mut self, job: Job, code: Option<i32>, signal: Option<i32>) -> Vec<Action> {
        self.scheduler.on(Input::Exited(
            job,
            ProcessEnd {
                code,
                signal,
                ..ProcessEnd::default()
            },
        ))
    }
}

fn trained(end: TrainingEnd) -> Trained {
    Trained {
        end,
        steps: 10,
        kept_step: 10,
        validation: None,
        empty_steps: 0,
        objective: None,
    }
}

fn starts(actions: &[Action]) -> Vec<Job> {
    actions
        .iter()
        .filter_map(|action| {
            if let Action::Start { job, .. } = action {
                Some(*job)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn jobs_start_when_all_they_need_is_done_and_measuring_comes_before_more_training() {
    let mut stage = stage(1);
    let (a, b) = (stage.runs[0], stage.runs[1]);
    assert_eq!(starts(&stage.scheduler.on(Input::Begin)), [stage.prepare]);
    for (done, next) in [
        (stage.prepare, vec![Job::Train(a)]),
        (Job::Train(a), vec![Job::Evaluate(a)]),
        (Job::Evaluate(a), vec![Job::Train(b)]),
        (Job::Train(b), vec![Job::Evaluate(b)]),
        (Job::Evaluate(b), vec![]),
    ] {
        assert!(!stage.scheduler.is_over());
        assert_eq!(starts(&stage.finish(done)), next);
    }
    assert!(stage.scheduler.is_over());
    assert_eq!(
        stage.scheduler.tally(),
        Tally {
            done: 5,
            ..Tally::default()
        }
    );
}

#[test]
fn two_slots_are_filled_with_different_runs() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    let trains = [Job::Train(stage.runs[0]), Job::Train(stage.runs[1])];
    assert_eq!(starts(&stage.finish(stage.prepare)), trains);
}

/// A data set, and this number of runs that are trained and measured on it.
fn specs_of(runs: u64) -> Vec<JobSpec> {
    let data: schema::DataId = "00000000000000da".parse().unwrap();
    let spec = |job: Job, waits_for| JobSpec {
        job,
        waits_for,
        has_to_run: true,
        turn: Turn::of_training(10.0, 0),
        kind: KindId::of(job.verb()),
        guess: None,
        device: Device::Cpu,
        needs: Counts::default(),
    };
    let mut specs = vec![spec(Job::Prepare(data), Vec::new())];
    for number in 0..runs {
        let run = format!("{number:016x}").parse().unwrap();
        specs.push(spec(Job::Train(run), vec![Job::Prepare(data)]));
        specs.push(spec(
            Job::Evaluate(run),
            vec![Job::Prepare(data), Job::Train(run)],
        ));
    }
    specs
}

/// The most values of jobs that an event of the first attempts visits, once the data is prepared.
fn visits_of_an_event(runs: u64) -> usize {
    let slots = vec![PlaceId(0); 16];
    let mut scheduler = Scheduler::new(specs_of(runs), setup(&slots, 1));
    let mut running: Vec<Job> = starts(&scheduler.on(Input::Begin));
    let mut most = 0;
    for round in 0..200 {
        let job = running.remove(0);
        let progress = Event::Progress {
            done: 5,
            total: 10,
            loss: None,
        };
        let end = ProcessEnd {
            code: Some(i32::from(round % 7 == 6)),
            ..ProcessEnd::default()
        };
        let mut inputs = vec![Input::Event(job, progress), Input::Memory(job, 1 << 30)];
        if round % 7 < 6 {
            inputs.push(Input::Event(job, Event::Finished(result_of(job))));
        }
        inputs.extend([Input::Exited(job, end), Input::Ticks(1)]);
        for input in inputs {
            let visited = visits(|| {
                running.extend(starts(&scheduler.on(input)));
                assert!(!scheduler.is_over());
            });
            if !matches!(job, Job::Prepare(_)) {
                most = visited.max(most);
            }
        }
    }
    most
}

#[test]
fn what_an_event_costs_does_not_depend_on_the_number_of_jobs() {
    let (few, many) = (visits_of_an_event(300), visits_of_an_event(30_000));
    assert!(few > 0);
    assert_eq!(few, many);
}

#[test]
fn a_run_is_measured_in_the_slot_where_it_was_trained() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (stage.runs[0], stage.runs[1]);
    let measured_in = |actions: &[Action], run| {
        actions.iter().find_map(|action| match action {
            Action::Start { job, slot } if *job == Job::Evaluate(run) => Some(*slot),
            _ => None,
        })
    };
    assert_eq!(
        measured_in(&stage.finish(Job::Train(a)), a),
        Some(SlotId(0))
    );
    stage.finish(Job::Evaluate(a));
    // The first slot is free as well.
    assert_eq!(
        measured_in(&stage.finish(Job::Train(b)), b),
        Some(SlotId(1))
    );
}

#[test]
fn a_process_that_waits_without_a_result_has_crashed() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let waits = ProcessEnd {
        is_waiting: true,
        ..ProcessEnd::default()
    };
    let actions = stage.scheduler.on(Input::Exited(stage.prepare, waits));
    let [Action::Ended { end, again, .. }] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert!(
        *again
            && matches!(end, AttemptEnd::Failed { class: Failure::Crashed, message } if message == "ended without reporting a result")
    );
}

#[test]
fn a_result_is_published_before_it_is_written_down_as_finished() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let actions = stage.finish(stage.prepare);
    assert!(matches!(actions[0], Action::Publish { .. }));
    assert!(matches!(
        actions[1],
        Action::Ended {
            end: AttemptEnd::Finished,
            ..
        }
    ));
}

#[test]
fn a_crash_is_tried_again_after_a_rest_as_often_as_allowed_and_then_fails() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let first = stage.exit(stage.prepare, None, Some(11));
    assert!(matches!(first[..], [Action::Ended { again: true, .. }]));
    assert!(!stage.scheduler.is_over());
    assert_eq!(starts(&stage.wait()), [stage.prepare]);
    let second = stage.exit(stage.prepare, None, Some(11));
    assert!(matches!(
        &second[..],
        [Action::Ended {
            again: false,
            end: AttemptEnd::Failed {
                class: Failure::Crashed,
                ..
            },
            ..
        }]
    ));
    assert!(stage.scheduler.is_over());
    assert_eq!(
        stage.scheduler.tally(),
        Tally {
            failed: 1,
            not_started: 4,
            ..Tally::default()
        }
    );
}

#[test]
fn an_attempt_that_hung_is_made_again_and_called_by_its_name() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let hung = ProcessEnd {
        signal: Some(9),
        hung: true,
        ..ProcessEnd::default()
    };
    let actions = stage.scheduler.on(Input::Exited(stage.prepare, hung));
    let Action::Ended {
        end: AttemptEnd::Failed {
            class: Failure::Hung,
            message,
        },
        again: true,
        ..
    } = &actions[0]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(message, "reported nothing for too long and was killed");
}

#[test]
fn a_result_that_was_reported_counts_however_the_process_ended() {
    for (code, signal) in [
        (Some(1), None),
        (Some(3), None),
        (None, Some(9)),
        (None, Some(15)),
    ] {
        let mut stage = stage(1);
        stage.scheduler.on(Input::Begin);
        let finished = Event::Finished(result_of(stage.prepare));
        stage.emit(stage.prepare, finished);
        let actions = stage.exit(stage.prepare, code, signal);
        assert!(matches!(actions[0], Action::Publish { .. }), "{actions:?}");
    }
}

#[test]
fn an_attempt_that_someone_asked_to_end_is_undecided_until_the_sweep_is_asked_as_well() {
    for (code, signal) in [(Some(3), None), (None, Some(15)), (None, Some(1))] {
        let mut stage = stage(1);
        stage.scheduler.on(Input::Begin);
        assert_eq!(stage.exit(stage.prepare, code, signal), []);
        assert_eq!(stage.scheduler.on(Input::Ticks(1)), []);
        let stopped = Action::Ended {
            job: stage.prepare,
            end: AttemptEnd::Stopped,
            again: false,
        };
        assert_eq!(stage.scheduler.on(Input::Interrupt), [stopped]);
        assert!(stage.scheduler.is_over());
    }
}

#[test]
fn an_attempt_that_someone_asked_to_end_alone_is_made_again() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    assert_eq!(stage.exit(stage.prepare, None, Some(15)), []);
    assert!(matches!(
        stage.wait()[..],
        [Action::Ended { again: true, .. }]
    ));
    assert_eq!(starts(&stage.wait()), [stage.prepare]);
}

#[test]
fn a_broken_gpu_is_left_out_after_its_second_failure_in_a_row_and_costs_no_job() {
    let (sound, broken) = (PlaceId(0), PlaceId(1));
    let mut stage = stage_at(&[sound, broken]);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    let first = stage.fail(b, Failure::Device);
    assert!(matches!(first[..], [Action::Ended { again: true, .. }]));
    assert_eq!(starts(&stage.wait()), [b], "the GPU has rested");
    let second = stage.fail(b, Failure::Device);
    let message = "Device".to_owned();
    assert_eq!(
        second[1..],
        [Action::LeaveOut {
            place: broken,
            message
        }]
    );
    assert_eq!(stage.wait(), []);
    for (done, next) in [
        (a, Job::Evaluate(stage.runs[0])),
        (Job::Evaluate(stage.runs[0]), b),
        (b, Job::Evaluate(stage.runs[1])),
    ] {
        assert_eq!(starts(&stage.finish(done)), [next]);
    }
    stage.finish(Job::Evaluate(stage.runs[1]));
    assert_eq!(stage.scheduler.tally().done, 5);
}

#[test]
fn without_a_place_the_sweep_is_over_and_no_job_has_failed() {
    for class in [Failure::Device, Failure::NotStarted] {
        let mut stage = stage(2);
        stage.scheduler.on(Input::Begin);
        while !stage.scheduler.is_over() {
            let failed = match class {
                Failure::NotStarted => {
                    let message = "NotStarted".to_owned();
                    stage
                        .scheduler
                        .on(Input::NotStarted(stage.prepare, class, message))
                }
                class => stage.fail(stage.prepare, class),
            };
            assert_eq!(starts(&failed), []);
            stage.wait();
        }
        assert_eq!(
            stage.scheduler.tally(),
            Tally {
                not_started: 5,
                stranded: Some(format!("{class:?}")),
                ..Tally::default()
            }
        );
    }
}

#[test]
fn a_job_that_fails_twice_at_a_place_that_works_for_others_has_failed_itself() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    stage.fail(a, Failure::Device);
    assert_eq!(starts(&stage.wait()), [b], "the others come first");
    stage.finish(b);
    let actions = stage.finish(Job::Evaluate(stage.runs[1]));
    assert_eq!(starts(&actions), [a]);
    let actions = stage.fail(a, Failure::Device);
    assert!(matches!(actions[..], [Action::Ended { again: false, .. }]));
    assert_eq!(stage.scheduler.tally().failed, 1);
}

#[test]
fn a_run_out_of_memory_is_made_again_alone_at_its_place_and_then_fails() {
    let (one, other) = (PlaceId(0), PlaceId(1));
    let mut stage = stage_at(&[one, one, other]);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    let actions = stage.fail(a, Failure::Memory);
    // Place 0 is empty; place 1 has the other run.
    let slot = SlotId(0);
    assert_eq!(actions[1..], [Action::Start { job: a, slot }]);
    stage.finish(b);
    let actions = stage.fail(a, Failure::Memory);
    assert!(matches!(actions[0], Action::Ended { again: false, .. }));
}

#[test]
fn nothing_starts_beside_a_run_that_is_alone() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    assert_eq!(
        starts(&stage.fail(a, Failure::Memory)),
        [],
        "the other run is there"
    );
    assert_eq!(starts(&stage.finish(b)), [a], "its measuring waits");
    assert_eq!(stage.wait(), []);
    let measurements = stage.runs.clone().into_iter().map(Job::Evaluate);
    assert_eq!(starts(&stage.finish(a)), measurements.collect::<Vec<_>>());
}

#[test]
fn the_last_attempt_at_a_job_that_was_killed_is_made_alone() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    stage.exit(a, None, Some(9));
    assert_eq!(stage.wait(), [], "the other run is there");
    assert_eq!(starts(&stage.finish(b)), [a]);
}

/// The end of a process that does not end, of this id.
fn left_behind(process: i32) -> ProcessEnd {
    ProcessEnd {
        abandoned: Some(process),
        ..ProcessEnd::default()
    }
}

#[test]
fn a_process_that_an_interrupt_cannot_kill_is_named_and_does_not_hold_up_the_end() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let job = Job::Train(stage.runs[0]);
    stage.scheduler.on(Input::Interrupt);
    assert_eq!(stage.scheduler.on(Input::Interrupt), [Action::Kill(job)]);
    assert!(!stage.scheduler.is_over());
    let actions = stage.scheduler.on(Input::Exited(job, left_behind(4711)));
    assert!(
        matches!(&actions[0], Action::LeaveOutSlot { message, .. } if message.contains("4711"))
    );
    let end = AttemptEnd::Stopped;
    let again = false;
    assert_eq!(actions[1..], [Action::Ended { job, end, again }]);
    assert!(stage.scheduler.is_over());
}

#[test]
fn a_process_that_cannot_be_killed_costs_its_job_and_its_slot() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    let actions = stage.scheduler.on(Input::Exited(a, left_behind(4711)));
    let message = "process 4711 cannot be killed; its slot is not used again".to_owned();
    let slot = SlotId(0);
    assert_eq!(actions[0], Action::LeaveOutSlot { slot, message });
    assert!(matches!(actions[1..], [Action::Ended { again: false, .. }]));
    let actions = stage.finish(b);
    let (job, slot) = (Job::Evaluate(stage.runs[1]), SlotId(1));
    assert_eq!(actions[2..], [Action::Start { job, slot }]);
    stage.finish(job);
    assert!(stage.scheduler.is_over());
}

#[test]
fn a_reported_failure_is_not_tried_again_and_does_not_stop_the_others() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    stage.emit(
        a,
        Event::Failed {
            class: Failure::Data,
            message: "x".to_owned(),
        },
    );
    assert_eq!(starts(&stage.exit(a, Some(1), None)), [b]);
}

#[test]
fn a_disk_that_is_full_before_a_trainer_starts_is_no_failure_of_its_place() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    let message = "the disk is full".to_owned();
    let unstarted = Input::NotStarted(stage.prepare, Failure::Disk, message);
    let actions = stage.scheduler.on(unstarted);
    assert!(matches!(actions[..], [Action::Ended { again: false, .. }]));
    assert!(stage.scheduler.is_over());
    let tally = stage.scheduler.tally();
    assert!(tally.disk_full && tally.stranded.is_none(), "{tally:?}");
}

#[test]
fn a_full_disk_lets_the_running_end_and_starts_nothing_more() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    stage.emit(
        a,
        Event::Failed {
            class: Failure::Disk,
            message: "full".to_owned(),
        },
    );
    assert_eq!(starts(&stage.exit(a, Some(1), None)), []);
    assert!(!stage.scheduler.is_over());
    assert_eq!(starts(&stage.finish(b)), []);
    assert!(stage.scheduler.is_over());
    assert!(stage.scheduler.tally().disk_full);
}

#[test]
fn a_diverged_run_is_not_measured() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let (a, b) = (Job::Train(stage.runs[0]), Job::Train(stage.runs[1]));
    stage.emit(
        a,
        Event::Finished(Finished::Trained(trained(TrainingEnd::Broken(
            Breakdown::Diverged,
        )))),
    );
    assert_eq!(starts(&stage.exit(a, Some(0), None)), [b]);
}

#[test]
fn the_first_interrupt_stops_trainers_and_the_second_kills_them() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    assert_eq!(
        stage.scheduler.on(Input::Interrupt),
        [Action::Stop(stage.prepare)]
    );
    assert_eq!(
        stage.scheduler.on(Input::Interrupt),
        [Action::Kill(stage.prepare)]
    );
    let actions = stage.exit(stage.prepare, Some(3), None);
    assert_eq!(
        actions,
        [Action::Ended {
            job: stage.prepare,
            end: AttemptEnd::Stopped,
            again: false
        }]
    );
    assert!(stage.scheduler.is_over());
    assert!(stage.scheduler.tally().interrupted);
}

#[test]
fn a_job_that_another_process_has_done_is_done() {
    let mut stage = stage(2);
    stage.scheduler.on(Input::Begin);
    let started = stage.scheduler.on(Input::Found(stage.prepare));
    let jobs = started.iter().map(|action| match action {
        Action::Start { job, .. } => *job,
        other => panic!("{other:?}"),
    });
    let trainings = stage.runs.iter().map(|&run| Job::Train(run));
    assert_eq!(
        jobs.collect::<BTreeSet<Job>>(),
        trainings.collect::<BTreeSet<Job>>()
    );
    assert_eq!(stage.scheduler.tally().done, 1);
}

#[test]
fn a_job_of_another_process_is_left_to_it_with_all_that_waits_for_it() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    assert_eq!(stage.scheduler.on(Input::Taken(stage.prepare)), []);
    assert!(stage.scheduler.is_over());
    let tally = stage.scheduler.tally();
    assert_eq!((tally.taken, tally.not_started, tally.failed), (1, 4, 0));
    // What its own trainer still says does not matter.
    assert_eq!(stage.exit(stage.prepare, Some(1), None), []);
}

#[test]
fn events_of_a_job_that_does_not_run_change_nothing() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let job = Job::Train(stage.runs[0]);
    stage.emit(
        job,
        Event::Failed {
            class: Failure::Data,
            message: "late".to_owned(),
        },
    );
    assert_eq!(stage.exit(job, Some(1), None), []);
    assert_eq!(stage.scheduler.tally().failed, 0);
}

#[test]
fn the_classes_that_blame_the_place_have_the_rule_of_places() {
    for class in [
        Failure::Data,
        Failure::OtherCounts,
        Failure::Disk,
        Failure::Recipe,
        Failure::Device,
        Failure::Memory,
        Failure::HostMemory,
        Failure::Internal,
        Failure::Crashed,
        Failure::Hung,
        Failure::NotStarted,
    ] {
        let is_of_place = matches!(rule(class), Rule::Place { .. });
        assert_eq!(class.is_of_place(), is_of_place, "{class:?}");
    }
}
