//! One job meets one failure, once or every time: each failure, at each moment of each kind of job, on machines of
//! several sizes.

use super::*;
use crate::ledger::JobKind;

/// What happens to an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Blow {
    /// Its process cannot be started.
    NotStarted,
    /// It reports a failure and leaves.
    Reports(Failure),
    /// Its process ends.
    Dies(Death),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Death {
    Code(i32),
    Signal(i32),
    /// It was silent for too long.
    Hung,
    /// It was silent, and could not be killed.
    Abandoned,
    /// The system was short of main memory.
    OutOfMemory,
}

/// The last thing that an attempt says before it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Nothing,
    Started,
    Progress,
    Checkpoint,
    Finished,
}

/// A failure of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strike {
    blow: Blow,
    after: Moment,
    /// The number of attempts that are struck yet.
    pub(super) left: u32,
}

/// What follows from a strike.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The job is done.
    Done,
    /// The job fails after this number of attempts.
    FailsAfter(u32),
    /// The job fails once it was alone on the machine.
    Fails,
    /// The job fails, or no place is left to run on.
    FailsOrStrands,
    /// The job fails, and nothing new starts.
    Drains,
}

const ALWAYS: u32 = u32::MAX;

const BLOWS: [Blow; 20] = [
    Blow::NotStarted,
    Blow::Reports(Failure::Data),
    Blow::Reports(Failure::OtherCounts),
    Blow::Reports(Failure::Disk),
    Blow::Reports(Failure::Recipe),
    Blow::Reports(Failure::Device),
    Blow::Reports(Failure::Memory),
    Blow::Reports(Failure::HostMemory),
    Blow::Reports(Failure::Internal),
    Blow::Dies(Death::Code(0)),
    Blow::Dies(Death::Code(1)),
    Blow::Dies(Death::Code(3)),
    Blow::Dies(Death::Signal(6)),
    Blow::Dies(Death::Signal(9)),
    Blow::Dies(Death::Signal(11)),
    Blow::Dies(Death::Signal(15)),
    Blow::Dies(Death::Signal(24)),
    Blow::Dies(Death::Hung),
    Blow::Dies(Death::Abandoned),
    Blow::Dies(Death::OutOfMemory),
];

const MOMENTS: [Moment; 5] = [
    Moment::Nothing,
    Moment::Started,
    Moment::Progress,
    Moment::Checkpoint,
    Moment::Finished,
];

/// The numbers of places, and of slots at each.
const SIZES: [(usize, usize); 6] = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 2)];

impl Death {
    fn end(self) -> ProcessEnd {
        let alive = ProcessEnd::default();
        let killed = ProcessEnd {
            signal: Some(9),
            ..ProcessEnd::default()
        };
        match self {
            Death::Code(code) => ProcessEnd {
                code: Some(code),
                ..alive
            },
            Death::Signal(signal) => ProcessEnd {
                signal: Some(signal),
                ..alive
            },
            Death::Hung => ProcessEnd {
                hung: true,
                ..killed
            },
            Death::Abandoned => ProcessEnd {
                hung: true,
                abandoned: Some(7),
                ..alive
            },
            Death::OutOfMemory => ProcessEnd {
                out_of_memory: true,
                ..killed
            },
        }
    }
}

impl Strike {
    pub(super) fn blames_places(self) -> bool {
        match self.blow {
            Blow::NotStarted => true,
            Blow::Reports(class) => class.is_of_place(),
            Blow::Dies(_) => false,
        }
    }

    fn outcome(self) -> Outcome {
        let is_once = self.left == 1;
        if self.after == Moment::Finished {
            return Outcome::Done;
        }
        match self.blow {
            Blow::Reports(
                Failure::Data | Failure::OtherCounts | Failure::Recipe | Failure::Internal,
            )
            | Blow::Dies(Death::Abandoned) => Outcome::FailsAfter(1),
            Blow::Reports(Failure::Disk) => Outcome::Drains,
            _ if is_once => Outcome::Done,
            Blow::NotStarted | Blow::Reports(Failure::Device | Failure::NotStarted) => {
                Outcome::FailsOrStrands
            }
            Blow::Reports(Failure::Memory) => Outcome::FailsAfter(2),
            Blow::Reports(Failure::HostMemory) | Blow::Dies(Death::OutOfMemory) => Outcome::Fails,
            Blow::Reports(Failure::Crashed | Failure::Hung)
            | Blow::Dies(Death::Code(_) | Death::Signal(_) | Death::Hung) => {
                Outcome::FailsAfter(RETRIES + 1)
            }
        }
    }
}

impl World<'_> {
    /// Lets an attempt meet a failure.
    pub(super) fn strike(&mut self, job: Job, strike: Strike) -> Vec<Action> {
        let left = strike.left - 1;
        self.flaws
            .insert(job, Flaw::Struck(Strike { left, ..strike }));
        if strike.blow == Blow::Reports(Failure::Memory) && strike.after != Moment::Finished {
            self.hungry.insert(job);
        }
        self.say(job, strike.after);
        match strike.blow {
            Blow::NotStarted => {
                self.scheduler
                    .on(Input::NotStarted(job, Failure::NotStarted, String::new()))
            }
            Blow::Reports(class) => self.fail(job, class),
            Blow::Dies(death) => self.scheduler.on(Input::Exited(job, death.end())),
        }
    }

    /// Lets an attempt say all that it says until a moment.
    fn say(&mut self, job: Job, until: Moment) {
        let progress = Event::Progress {
            done: 1,
            total: 2,
            loss: None,
        };
        let events = [
            (Moment::Started, Event::Started { from: 0 }),
            (Moment::Progress, progress),
            (Moment::Checkpoint, Event::Checkpoint { step: 1 }),
            (Moment::Finished, Event::Finished(result_of(job))),
        ];
        for (_, event) in events.into_iter().filter(|(moment, _)| *moment <= until) {
            assert_eq!(self.scheduler.on(Input::Event(job, event)), []);
        }
    }

    /// Fails if a slot is free although a job waits for one. After a strike, the rest that its rule asks for makes
    /// slots free, until the struck job is over.
    fn check_busy(&self, struck: Job, before: Strike) {
        let Flaw::Struck(now) = self.flaws[&struck] else {
            return;
        };
        let is_over = self.done.contains(&struck) || self.failed.contains(&struck);
        let is_calm = self.scheduler.next_tick().is_none() && self.at_most == usize::MAX;
        if !is_calm || self.scheduler.tally().disk_full || (now.left < before.left && !is_over) {
            return;
        }
        let lost = usize::from(before.blow == Blow::Dies(Death::Abandoned) && is_over);
        let usable = self.slots.iter().filter(|at| !self.left_out.contains(at));
        let free = usable.count().saturating_sub(self.running.len() + lost);
        assert!(free == 0 || !self.any_can_start(), "a slot is free");
    }

    /// True if a job waits for nothing but a slot.
    fn any_can_start(&self) -> bool {
        self.graph.keys().any(|job| {
            let is_over = self.done.contains(job) || self.failed.contains(job);
            !is_over && !self.running.contains_key(job) && self.has_all_needed(*job)
        })
    }

    /// Runs to the end while a job may be struck.
    fn follow(&mut self, struck: Job, strike: Strike) {
        self.begin();
        for _ in 0..20_000 {
            if self.scheduler.is_over() {
                return;
            }
            self.step();
            self.check_busy(struck, strike);
        }
        panic!("the sweep does not end");
    }

    /// Returns how often a job has been struck.
    fn attempts(&self, struck: Job, before: Strike) -> u32 {
        match self.flaws[&struck] {
            Flaw::Struck(now) => before.left - now.left,
            _ => 0,
        }
    }

    /// Fails unless the sweep ends as a strike demands.
    fn check_outcome(&self, struck: Job, before: Strike) {
        let tally = self.scheduler.tally();
        let attempts = self.attempts(struck, before);
        let all = tally.done + tally.failed + tally.not_started;
        assert_eq!(all, self.graph.len());
        assert_eq!(
            (tally.done, tally.failed),
            (self.done.len(), self.failed.len())
        );
        let is_done = self.done.contains(&struck);
        match before.outcome() {
            Outcome::Done => assert!(is_done, "it can be done"),
            Outcome::FailsAfter(expected) => {
                assert!(!is_done && attempts == expected, "{attempts} attempts");
            }
            Outcome::Fails | Outcome::Drains => assert!(self.failed.contains(&struck)),
            Outcome::FailsOrStrands => {
                assert!(self.failed.contains(&struck) || tally.stranded.is_some());
            }
        }
        assert!(self.failed.iter().all(|&job| job == struck), "innocent");
        let is_told = tally.disk_full || tally.stranded.is_some();
        assert!(is_told || !self.any_can_start(), "a job was forgotten");
        let loses_all = before.blow == Blow::Dies(Death::Abandoned) && self.slots.len() == 1;
        assert!(tally.stranded.is_none() || loses_all || before.blames_places());
        assert_eq!(tally.disk_full, before.outcome() == Outcome::Drains);
    }
}

/// Two folds of two methods, so that there are jobs of each kind.
fn with_folds() -> Desk {
    let sweep = TWO_METHODS.replace("name = \"test\"", "name = \"test\"\nfolds = 2");
    Desk::new(&sweep, Numerics::Cpu { threads: 1 })
}

/// Returns one job of each kind.
fn one_of_each_kind(graph: &Graph) -> Vec<Job> {
    let mut kinds: BTreeMap<JobKind, Job> = BTreeMap::new();
    for &job in graph.keys() {
        kinds.entry(job.kind()).or_insert(job);
    }
    assert_eq!(kinds.len(), 4);
    kinds.into_values().collect()
}

/// Returns every strike that can happen.
fn strikes() -> Vec<Strike> {
    let mut strikes = Vec::new();
    for blow in BLOWS {
        let says_nothing = blow == Blow::NotStarted;
        for after in MOMENTS {
            if says_nothing && after != Moment::Nothing {
                continue;
            }
            strikes.extend([1, ALWAYS].map(|left| Strike { blow, after, left }));
        }
    }
    strikes
}

#[test]
fn after_every_failure_at_every_moment_of_every_kind_of_job_the_rest_is_done() {
    let desk = with_folds();
    let (graph, specs) = (graph_of(&desk.plan), jobs_of(&desk));
    let struck = one_of_each_kind(&graph);
    let mut seed = 0;
    for strike in strikes() {
        for &job in &struck {
            for size in SIZES {
                seed += 1;
                let mut world = World::sound(seed, &graph, &specs, size);
                world.flaws.insert(job, Flaw::Struck(strike));
                let _case = Case(format!("{strike:?} of {job} on {size:?}"));
                world.follow(job, strike);
                world.check_outcome(job, strike);
            }
        }
    }
    assert!(seed > 4000, "{seed} worlds");
}

/// Names the case in which a test fails.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}
