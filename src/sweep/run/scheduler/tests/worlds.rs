//! Many random machines with random misfortunes: what holds in all of them.

use super::*;
use crate::plan::{Plan, jobs_before};

mod strikes;

use strikes::Strike;

const RETRIES: u32 = 2;

/// A sweep of two methods with some seeds each.
fn many_runs() -> Desk {
    let sweep = TWO_METHODS.replace("name = \"test\"", "name = \"test\"\nseeds = 5");
    Desk::new(&sweep, Numerics::Cpu { threads: 1 })
}

/// What is wrong with a job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    /// It fails whatever happens.
    Damaged,
    /// It crashes this often.
    Crashes(u32),
    /// It fails beside others at its place.
    Hungry,
    /// The system kills it while more jobs than this run at all places.
    Large(usize),
    /// It meets a certain failure.
    Struck(Strike),
}

impl Flaw {
    fn blames_places(&self) -> bool {
        matches!(self, Flaw::Struck(strike) if strike.blames_places())
    }
}

/// A machine with some slots, and the scheduler on it.
struct World<'a> {
    graph: &'a Graph,
    scheduler: Scheduler,
    slots: Vec<PlaceId>,
    /// The number of attempts after which each place breaks.
    breaks_after: Vec<u32>,
    flaws: BTreeMap<Job, Flaw>,
    draws: u64,

    running: BTreeMap<Job, SlotId>,
    /// Jobs whose processes have ended, although the scheduler has not decided what that means.
    gone: BTreeSet<Job>,
    attempts_at: Vec<u32>,
    crashes_at: Vec<u32>,
    left_out: BTreeSet<PlaceId>,
    done: BTreeSet<Job>,
    failed: BTreeSet<Job>,
    /// Jobs that were short of memory, which must be alone from then on.
    hungry: BTreeSet<Job>,
    /// The most jobs at a time, after main memory was short.
    at_most: usize,
}

impl<'a> World<'a> {
    /// A random machine, and random flaws of jobs.
    fn new(seed: u64, graph: &'a Graph, specs: &[JobSpec]) -> World<'a> {
        let mut world = World::empty(seed, graph);
        let (places, shares) = (1 + world.draw(4), 1 + world.draw(3));
        world.set_up(places, shares, specs);
        world.breaks_after = (0..places).map(|_| world.lifetime()).collect();
        for &job in graph.keys() {
            let flaw = world.flaw();
            world.flaws.insert(job, flaw);
        }
        world
    }

    /// A machine on which nothing goes wrong.
    fn sound(seed: u64, graph: &'a Graph, specs: &[JobSpec], size: (usize, usize)) -> World<'a> {
        let (places, shares) = size;
        let mut world = World::empty(seed, graph);
        world.set_up(places, shares, specs);
        world.flaws = graph.keys().map(|&job| (job, Flaw::None)).collect();
        world
    }

    fn empty(seed: u64, graph: &'a Graph) -> World<'a> {
        World {
            graph,
            scheduler: Scheduler::new(Vec::new(), Setup::default()),
            slots: Vec::new(),
            breaks_after: Vec::new(),
            flaws: BTreeMap::new(),
            draws: seed << 32,
            running: BTreeMap::new(),
            gone: BTreeSet::new(),
            attempts_at: Vec::new(),
            crashes_at: Vec::new(),
            left_out: BTreeSet::new(),
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            hungry: BTreeSet::new(),
            at_most: usize::MAX,
        }
    }

    /// Gives it places with this number of slots each.
    fn set_up(&mut self, places: usize, shares: usize, specs: &[JobSpec]) {
        self.slots = (0..shares).flat_map(|_| (0..places).map(PlaceId)).collect();
        self.attempts_at = vec![0; places];
        self.crashes_at = vec![0; places];
        self.breaks_after = vec![u32::MAX; places];
        self.scheduler = Scheduler::new(specs.to_vec(), setup(&self.slots, RETRIES));
    }

    /// A random number below `bound`.
    fn draw(&mut self, bound: usize) -> usize {
        self.draws += 1;
        let word = self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((word ^ (word >> 27)) >> 8) as usize % bound
    }

    fn lifetime(&mut self) -> u32 {
        match self.draw(4) {
            0 => 0,
            1 => self.draw(12) as u32,
            _ => u32::MAX,
        }
    }

    fn flaw(&mut self) -> Flaw {
        match self.draw(9) {
            0 => Flaw::Damaged,
            1 => Flaw::Crashes(1 + self.draw(RETRIES as usize) as u32),
            2 => Flaw::Hungry,
            3 => Flaw::Large(1 + self.draw(4)),
            _ => Flaw::None,
        }
    }

    /// Runs until the sweep is over.
    fn run(&mut self) {
        self.begin();
        for _ in 0..20_000 {
            if self.scheduler.is_over() {
                return;
            }
            self.step();
        }
        panic!("the sweep does not end");
    }

    fn begin(&mut self) {
        let begun = self.scheduler.on(Input::Begin);
        self.check(begun);
    }

    /// Lets a tick pass, or an attempt end.
    fn step(&mut self) {
        let alive = self.alive();
        let actions = match self.draw(1 + 2 * alive.len()) {
            at if at < alive.len() => self.end(alive[at]),
            _ => self.scheduler.on(Input::Ticks(1)),
        };
        self.check(actions);
    }

    /// The jobs whose processes run.
    fn alive(&self) -> Vec<Job> {
        let running = self.running.keys().copied();
        running.filter(|job| !self.gone.contains(job)).collect()
    }

    /// Lets an attempt end as the place and the job want it.
    fn end(&mut self, job: Job) -> Vec<Action> {
        let slot = self.running[&job];
        let place = self.slots[slot.0];
        let is_broken = self.attempts_at[place.0] >= self.breaks_after[place.0];
        self.attempts_at[place.0] += 1;
        let is_alone = self.at(place).count() == 1;
        self.gone.insert(job);
        match self.flaws[&job] {
            _ if is_broken => self.fail(job, Failure::Device),
            Flaw::Damaged => self.fail(job, Failure::Data),
            Flaw::Struck(strike) if strike.left > 0 => self.strike(job, strike),
            Flaw::Hungry if !is_alone => {
                self.hungry.insert(job);
                self.fail(job, Failure::Memory)
            }
            Flaw::Large(most) if self.running.len() > most => {
                let end = ProcessEnd {
                    signal: Some(9),
                    out_of_memory: true,
                    ..ProcessEnd::default()
                };
                self.scheduler.on(Input::Exited(job, end))
            }
            Flaw::Crashes(times) if times > 0 => {
                self.flaws.insert(job, Flaw::Crashes(times - 1));
                self.crashes_at[place.0] += 1;
                let end = ProcessEnd {
                    signal: Some([6, 9, 11, 15][self.draw(4)]),
                    ..ProcessEnd::default()
                };
                self.scheduler.on(Input::Exited(job, end))
            }
            _ => {
                let finished = Event::Finished(result_of(job));
                self.scheduler.on(Input::Event(job, finished));
                self.scheduler.on(Input::Exited(job, ProcessEnd::default()))
            }
        }
    }

    fn fail(&mut self, job: Job, class: Failure) -> Vec<Action> {
        let message = String::new();
        let failed = Event::Failed { class, message };
        self.scheduler.on(Input::Event(job, failed));
        self.scheduler.on(Input::Exited(job, ProcessEnd::default()))
    }

    /// The jobs that run at a place.
    fn at(&self, place: PlaceId) -> impl Iterator<Item = Job> {
        let here = self.running.iter();
        here.filter(move |(_, slot)| self.slots[slot.0] == place)
            .map(|(&job, _)| job)
    }

    /// Follows the actions, and fails if one is wrong.
    fn check(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { job, slot } => {
                    self.check_start(job, self.slots[slot.0], slot);
                    self.running.insert(job, slot);
                }
                Action::Publish { job, .. } => {
                    assert!(self.done.insert(job), "{job} was published twice");
                }
                Action::Ended { job, end, again } => {
                    assert!(self.running.remove(&job).is_some(), "{job} did not run");
                    self.gone.remove(&job);
                    let is_final = !again && end != AttemptEnd::Finished;
                    assert!(!is_final || self.failed.insert(job), "{job} failed twice");
                }
                Action::LeaveOut { place, .. } => {
                    assert!(self.may_leave_out(place), "{place:?} is sound");
                    assert!(self.left_out.insert(place), "{place:?} was left out twice");
                }
                Action::LeaveOutSlot { .. } => {}
                Action::RunFewer { at_most } => {
                    assert!(at_most < self.at_most, "that is known");
                    self.at_most = at_most;
                }
                Action::AwaitOthers(..)
                | Action::AwaitRoom { .. }
                | Action::UseAgain(_)
                | Action::Stop(_)
                | Action::Kill(_) => {
                    panic!("nobody asked for it")
                }
            }
        }
    }

    /// True if a place is broken or seems to be, or if a job fails at every place.
    fn may_leave_out(&self, place: PlaceId) -> bool {
        let is_broken = self.attempts_at[place.0] > self.breaks_after[place.0];
        let seems_broken = self.crashes_at[place.0] >= 2;
        is_broken || seems_broken || self.flaws.values().any(Flaw::blames_places)
    }

    /// True if all jobs that a job depends on are done.
    fn has_all_needed(&self, job: Job) -> bool {
        let mut needed = self.graph[&job].iter();
        needed.all(|before| self.done.contains(before))
    }

    fn check_start(&self, job: Job, place: PlaceId, slot: SlotId) {
        assert!(!self.left_out.contains(&place), "{place:?} is left out");
        assert!(
            self.running.values().all(|&taken| taken != slot),
            "the slot is taken"
        );
        assert!(
            !self.done.contains(&job) && !self.failed.contains(&job),
            "{job} is over"
        );
        assert!(self.has_all_needed(job), "{job} is early");
        assert!(self.running.len() < self.at_most, "{job} is one too many");
        let beside: Vec<Job> = self.at(place).collect();
        assert!(
            beside.is_empty() || !self.hungry.contains(&job),
            "{job} is not alone"
        );
        assert!(
            beside.iter().all(|job| !self.hungry.contains(job)),
            "{job} joins {beside:?}"
        );
    }

    /// Fails unless everything is done that can be done.
    fn check_end(&self) {
        assert!(self.running.is_empty());
        let has_sound_place = self.breaks_after.contains(&u32::MAX);
        let tally = self.scheduler.tally();
        assert!(!has_sound_place || tally.stranded.is_none());
        assert_eq!(
            (tally.done, tally.failed),
            (self.done.len(), self.failed.len())
        );
        for &job in self.graph.keys() {
            let is_damaged = self.flaws[&job] == Flaw::Damaged;
            let is_possible = self.has_all_needed(job);
            assert!(
                is_damaged || !self.failed.contains(&job),
                "{job} was innocent"
            );
            if has_sound_place && is_possible {
                assert!(
                    is_damaged || self.done.contains(&job),
                    "{job} was forgotten"
                );
            }
        }
    }
}

/// The jobs of a plan, each with those that it depends on.
type Graph = BTreeMap<Job, Vec<Job>>;

fn graph_of(plan: &Plan) -> Graph {
    let mut graph = Graph::new();
    for node in plan.graph().nodes() {
        if let Some(job) = node.job() {
            graph.insert(job, jobs_before(node, plan.graph()).collect());
        }
    }
    graph
}

#[test]
fn in_every_world_each_job_is_done_once_or_has_failed_for_a_reason_of_its_own() {
    let desk = many_runs();
    let (graph, specs) = (graph_of(&desk.plan), jobs_of(&desk));
    let mut left_out = 0;
    for seed in 0..1000 {
        let mut world = World::new(seed, &graph, &specs);
        world.run();
        world.check_end();
        left_out += world.left_out.len();
    }
    assert!(left_out > 100, "{left_out}");
}

#[test]
fn in_every_world_an_interrupt_stops_what_runs_and_starts_nothing() {
    let desk = many_runs();
    let (graph, specs) = (graph_of(&desk.plan), jobs_of(&desk));
    for seed in 0..200 {
        let mut world = World::new(seed, &graph, &specs);
        let mut actions = world.scheduler.on(Input::Begin);
        for _ in 0..seed {
            world.check(actions);
            let alive = world.alive().first().copied();
            actions = alive.map_or_else(Vec::new, |job| world.end(job));
        }
        world.check(actions);
        for action in world.scheduler.on(Input::Interrupt) {
            match action {
                Action::Stop(job) => assert!(world.running.contains_key(&job)),
                Action::Ended { job, end, .. } => {
                    assert_eq!(end, AttemptEnd::Stopped);
                    world.running.remove(&job);
                }
                other => panic!("{other:?}"),
            }
        }
        for job in world.running.clone().into_keys() {
            let end = ProcessEnd {
                code: Some(3),
                ..ProcessEnd::default()
            };
            let actions = world.scheduler.on(Input::Exited(job, end));
            assert!(matches!(
                actions[..],
                [Action::Ended {
                    end: AttemptEnd::Stopped,
                    ..
                }]
            ));
        }
        assert!(world.scheduler.is_over() && world.scheduler.tally().interrupted);
        assert_eq!(world.scheduler.on(Input::Ticks(1)), []);
    }
}
