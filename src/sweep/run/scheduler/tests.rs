use std::path::Path;

use schema::{Breakdown, Evaluated, Numerics, Prepared, Scores, Trained};

use super::*;
use crate::{config::Sweep, ledger::Ledger, plan::freshness};

const TWO_METHODS: &str = r#"
    [sweep]
    name = "test"
    [data]
    dataset.glyphs = { classes = 8, test_classes = 4 }
    [model]
    backbone = "conv4"
    [training]
    steps = 10
    sampler.m_per_class = { batch = 8 }
    optimizer.sgd = {}
    [[method]]
    name = "A"
    loss.triplet = {}
    [[method]]
    name = "B"
    loss.contrastive = {}
"#;

/// A scheduler with the plan of two methods on one data set, driven by hand.
struct Stage {
    scheduler: Scheduler,
    prepare: Job,
    runs: Vec<schema::RunId>,
}

fn stage(slots: usize) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, TWO_METHODS).unwrap();
    let sweep = Sweep::read(Path::new(&file), &[]).unwrap();
    let ledger = Ledger::new(folder.path().join("results"));
    let plan = Plan::new(&sweep, &ledger, Numerics::Cpu { threads: 1 }).unwrap();
    let freshness = freshness::of(&plan, &ledger, &sweep.report).unwrap();
    Stage {
        scheduler: Scheduler::new(&plan, &freshness, slots, 1),
        prepare: Job::Prepare(*plan.data.keys().next().unwrap()),
        runs: plan.members.iter().map(|member| member.run).collect(),
    }
}

impl Stage {
    fn finish(&mut self, job: Job) -> Vec<Action> {
        let finished = match job {
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
        };
        self.emit(job, Event::Finished(finished));
        self.exit(job, Some(0), None)
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
fn a_crash_is_tried_again_as_often_as_allowed_and_then_fails() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    let first = stage.exit(stage.prepare, None, Some(9));
    assert!(matches!(first[0], Action::Ended { again: true, .. }));
    assert_eq!(starts(&first), [stage.prepare]);
    let second = stage.exit(stage.prepare, None, Some(9));
    assert!(matches!(
        &second[0],
        Action::Ended {
            again: false,
            end: AttemptEnd::Failed {
                class: Failure::Crashed,
                ..
            },
            ..
        }
    ));
    assert_eq!(starts(&second), []);
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
fn a_good_result_with_a_bad_exit_is_a_crash() {
    let mut stage = stage(1);
    stage.scheduler.on(Input::Begin);
    stage.finish(stage.prepare);
    let job = Job::Train(stage.runs[0]);
    stage.emit(
        job,
        Event::Finished(Finished::Trained(trained(TrainingEnd::Completed))),
    );
    assert!(matches!(
        stage.exit(job, None, Some(11))[0],
        Action::Ended { again: true, .. }
    ));
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
