//! Progress on standard error: bars on a terminal, plain lines now and then elsewhere.

use std::{
    cell::Cell,
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use schema::{Breakdown, Event, Finished, Metric, Trained, TrainingEnd, bytes_in_words};

use super::{counted, paint::Tone, printable::printable, studies::outcome, tell};
use crate::{
    ledger::{AttemptEnd, Job, JobKind, journal::TakenMemory},
    plan::{
        Growth, Plan, PlannedRun, Study, StudyState,
        freshness::{Freshness, FreshnessOf},
    },
    run::Watcher,
    visits::PerJob,
};

/// Between two plain lines about the same thing.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// True if progress is not printed.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Decides whether progress is printed, from now on.
pub(super) fn be_quiet(quiet: bool) {
    IS_QUIET.store(quiet, Ordering::Relaxed);
}

pub(super) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// The progress of a sweep: an overall bar, and a line for each running job.
pub(super) struct Progress {
    names: PerJob<String>,
    /// The amount of work of each job: its steps, or 1.
    weights: PerJob<u64>,
    fractions: PerJob<f64>,
    /// The sum of the fractions.
    done: f64,
    /// The work of the known jobs that is left, by kind.
    left: BTreeMap<JobKind, f64>,
    /// The jobs that all searches may add.
    ahead: Ahead,
    /// Those that each search may add, by the position of its study.
    ahead_of: BTreeMap<usize, Ahead>,
    /// The steps of the longest training.
    longest: u64,
    pace: Pace,
    /// The largest number of jobs that ran at the same time.
    abreast: usize,
    /// Jobs of the sweep, with those that were done before.
    jobs: usize,
    /// Jobs that were done before.
    there: usize,
    ended: usize,
    running: BTreeMap<Job, JobLine>,
    bars: MultiProgress,
    overall: ProgressBar,
    plain: bool,
    last_plain: Instant,
}

/// The jobs that searches may add at most, which are not known one by one yet.
#[derive(Clone, Copy, Default)]
struct Ahead {
    trainings: usize,
    measurements: usize,
    ensembles: usize,
}

impl Ahead {
    fn jobs(self) -> usize {
        let measured = self.measurements.saturating_add(self.ensembles);
        self.trainings.saturating_add(measured)
    }

    /// Returns all of them, once a part is something else.
    fn replaced(self, before: Ahead, now: Ahead) -> Ahead {
        let replaced = |all: usize, before, now| all.saturating_sub(before).saturating_add(now);
        Ahead {
            trainings: replaced(self.trainings, before.trainings, now.trainings),
            measurements: replaced(self.measurements, before.measurements, now.measurements),
            ensembles: replaced(self.ensembles, before.ensembles, now.ensembles),
        }
    }
}

/// The speed of finished jobs, by kind: their total weight, and their seconds.
#[derive(Default)]
struct Pace(BTreeMap<JobKind, (f64, f64)>);

impl Pace {
    fn note(&mut self, job: Job, weight: f64, took: Duration) {
        if weight == 0.0 {
            // Nothing was trained: a baseline.
            return;
        }
        let (of_all, seconds) = self.0.entry(job.kind()).or_default();
        *of_all += weight;
        *seconds += took.as_secs_f64();
    }

    /// Seconds per unit of weight.
    fn of(&self, kind: JobKind) -> Option<f64> {
        self.0
            .get(&kind)
            .filter(|(weight, _)| *weight > 0.0)
            .map(|(weight, seconds)| seconds / weight)
    }
}

/// One running job.
struct JobLine {
    bar: ProgressBar,
    name: String,
    begun: Instant,
    /// The step at which this attempt started, so that a resumed run does not seem fast.
    from: u64,
    done: u64,
    total: u64,
    loss: Option<f64>,
    /// Images of the survey under way, of how many.
    surveyed: Option<(u64, u64)>,
    score: Option<(Metric, f64)>,
    broken: Option<Breakdown>,
}

impl Progress {
    pub(super) fn new(plan: &Plan, freshness: &FreshnessOf) -> Progress {
        let target = match is_quiet() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let plain = target.is_hidden() && !is_quiet();
        let bars = MultiProgress::with_draw_target(target);
        let overall = bars.add(ProgressBar::new(0));
        overall.set_style(style(
            "{prefix} [{bar:20}] {percent:>3} %  {elapsed} gone, {wide_msg}",
            "=> ",
        ));
        overall.set_prefix("sweep");
        overall.enable_steady_tick(Duration::from_millis(500));
        let mut progress = Progress {
            names: PerJob::default(),
            jobs: 0,
            there: 0,
            weights: PerJob::default(),
            fractions: PerJob::default(),
            done: 0.0,
            left: BTreeMap::new(),
            ahead: Ahead::default(),
            ahead_of: BTreeMap::new(),
            longest: 0,
            pace: Pace::default(),
            abreast: 1,
            ended: 0,
            running: BTreeMap::new(),
            bars,
            overall,
            plain,
            last_plain: Instant::now(),
        };
        let jobs = freshness.keys().copied();
        progress.learn(jobs, 0..plan.studies.len(), plan, freshness);
        progress
    }

    /// Adds new jobs of a plan, and updates what these of its studies may still add.
    fn learn(
        &mut self,
        new: impl IntoIterator<Item = Job>,
        studies: impl IntoIterator<Item = usize>,
        plan: &Plan,
        freshness: &FreshnessOf,
    ) {
        for job in new {
            let weight = weight(job, plan);
            if let Job::Train(_) = job {
                self.longest = self.longest.max(weight);
            }
            if freshness.get(&job).is_none_or(is_done) {
                self.there += 1;
                continue;
            }
            self.weights.insert(job, weight);
            *self.left.entry(job.kind()).or_default() += weight as f64;
            self.names.insert(job, plan.name_of_job(job));
        }
        for study in studies {
            let now = ahead(&plan.studies[study]);
            let before = self.ahead_of.insert(study, now).unwrap_or_default();
            self.ahead = self.ahead.replaced(before, now);
        }
        let known = self.weights.len() + self.there;
        self.jobs = known.saturating_add(self.ahead.jobs());
        self.overall.set_length(self.jobs as u64);
    }

    /// The remaining time at the speed so far; unknown before there is one.
    fn to_go(&self) -> Option<Duration> {
        let mut left = self.left.clone();
        let trainings = self.ahead.trainings as f64 * self.longest as f64;
        for (kind, ahead) in [
            (JobKind::Train, trainings),
            (JobKind::Evaluate, self.ahead.measurements as f64),
            (JobKind::Ensemble, self.ahead.ensembles as f64),
        ] {
            *left.entry(kind).or_default() += ahead;
        }
        let pace = |kind| self.pace.of(kind).or_else(|| self.pace_of_running(kind));
        let seconds = seconds_left(&left, pace)?;
        Duration::try_from_secs_f64(seconds / self.abreast as f64).ok()
    }

    /// Seconds per unit of weight of the running jobs of a kind.
    fn pace_of_running(&self, kind: JobKind) -> Option<f64> {
        let (mut done, mut seconds) = (0.0, 0.0);
        for (job, line) in &self.running {
            if job.kind() == kind && line.done > line.from {
                let weight = self.weights.get(job).copied().unwrap_or(0);
                done += weight as f64 * line.gained();
                seconds += line.begun.elapsed().as_secs_f64();
            }
        }
        (done > 0.0).then(|| seconds / done)
    }

    /// Removes the bars from the screen.
    pub(super) fn close(&mut self) {
        self.running
            .values()
            .for_each(|line| line.bar.finish_and_clear());
        self.overall.finish_and_clear();
    }

    fn say(&self, text: &str) {
        if self.plain {
            tell(text);
        } else {
            // Above the bars; a closed terminal does not stop the sweep.
            let _ = self.bars.println(printable(text));
        }
    }

    /// Says what went wrong, whether progress is printed or not.
    fn warn(&self, text: &str) {
        match is_quiet() {
            true => tell(text),
            false => self.say(text),
        }
    }

    /// Notes the fraction of a job that is done.
    fn set_fraction(&mut self, job: Job, fraction: f64) {
        let change = fraction - self.fractions.insert(job, fraction).unwrap_or(0.0);
        let weight = self.weights.get(&job).copied().unwrap_or(0) as f64;
        self.done += change;
        *self.left.entry(job.kind()).or_default() -= weight * change;
    }

    fn redraw(&mut self) {
        self.overall
            .set_position(self.there as u64 + self.done.round() as u64);
        self.overall.set_message(self.summary());
    }

    /// `12 of 96 jobs, 4 min 5 s to go`, or `12 of at most 96 jobs` while searches may add some.
    fn summary(&self) -> String {
        let to_go = self.to_go().map_or_else(
            || "estimating the time".to_owned(),
            |time| format!("{} to go", duration(time)),
        );
        let jobs = jobs_with(self.ahead.jobs(), self.jobs);
        format!("{} of {jobs}, {to_go}", self.there + self.ended)
    }

    fn name(&self, job: Job) -> &str {
        self.names.get(&job).map_or("", String::as_str)
    }

    fn say_plainly(&mut self) {
        if !self.plain || self.last_plain.elapsed() < PLAIN_EVERY {
            return;
        }
        self.last_plain = Instant::now();
        for (&job, line) in &self.running {
            tell(&format!("  {}: {}", self.name(job), line.plain()));
        }
        tell(&format!("  {}", self.summary()));
    }
}

/// Tells of damaged lines in the journal of a results folder.
pub(super) fn tell_moved_lines(lines: usize, folder: &Path) {
    let lines = counted(lines, "damaged line");
    tell(&format!(
        "warning: {lines} in the journal of `{}`: moved to `journal.torn`, no result depends on it",
        folder.display()
    ));
}

impl Watcher for Progress {
    fn moved_lines(&mut self, lines: usize, folder: &Path) {
        tell_moved_lines(lines, folder);
    }

    fn started(&mut self, job: Job, attempt: u32, slot: &str) {
        let again = if attempt > 1 {
            format!(", attempt {attempt}")
        } else {
            String::new()
        };
        if self.plain {
            tell(&format!("started   {} on {slot}{again}", self.name(job)));
        }
        let bar = self.bars.insert_before(&self.overall, ProgressBar::new(0));
        bar.set_style(style("  {prefix}  {wide_msg}", "-> "));
        bar.set_prefix(slot.to_owned());
        let name = format!("{}{again}", self.name(job));
        bar.set_message(name.clone());
        self.running.insert(job, JobLine::new(bar, name));
        self.abreast = self.abreast.max(self.running.len());
        self.redraw();
    }

    fn on_event(&mut self, job: Job, event: &Event) {
        if let Event::Remark { text } = event {
            self.say(&format!("          {text}"));
        }
        let Some(line) = self.running.get_mut(&job) else {
            return;
        };
        line.hear(event);
        let fraction = line.fraction();
        self.set_fraction(job, fraction);
        self.redraw();
        self.say_plainly();
    }

    fn ended(&mut self, job: Job, end: &AttemptEnd, again: bool) {
        let Some(line) = self.running.remove(&job) else {
            return;
        };
        line.bar.finish_and_clear();
        let took = duration(line.begun.elapsed());
        match end {
            AttemptEnd::Finished => {
                self.ended += 1;
                self.set_fraction(job, 1.0);
                let weight = self
                    .weights
                    .get(&job)
                    .map_or(0.0, |&weight| weight as f64 * line.share());
                self.pace.note(job, weight, line.begun.elapsed());
                self.say(&line.finished(self.name(job), &took));
            }
            AttemptEnd::Stopped => {
                let stopped = Tone::Doubtful.word("stopped");
                self.say(&format!("{stopped} {} after {took}", self.name(job)));
            }
            AttemptEnd::Superseded => {
                let given_up = Tone::Doubtful.word("given up");
                self.warn(&format!(
                    "{given_up} {} after {took}: another process has claimed it",
                    self.name(job)
                ));
            }
            AttemptEnd::Failed { message, .. } => {
                self.ended += usize::from(!again);
                let next = if again { "; trying again" } else { "" };
                let failed = Tone::Bad.word("failed");
                self.warn(&format!(
                    "{failed} {} after {took}: {message}{next}",
                    self.name(job)
                ));
            }
        }
        self.redraw();
    }

    fn taken(&mut self, job: Job, holder: &str) {
        let taken = Tone::Doubtful.word("taken");
        let name = self.name(job);
        self.warn(&format!("{taken} {name}: {holder} works on this run"));
    }

    fn found(&mut self, job: Job) {
        self.ended += 1;
        self.set_fraction(job, 1.0);
        let found = Tone::Good.word("found");
        self.say(&format!(
            "{found} {}: another process has done it",
            self.name(job)
        ));
    }

    fn left_out(&mut self, place: &str, message: &str) {
        let warning = Tone::Doubtful.word("warning");
        self.warn(&format!("{warning} {place} is left out: {message}"));
    }

    fn awaits_others(&mut self, place: &str, taken: TakenMemory) {
        let waiting = Tone::Doubtful.word("waiting");
        self.warn(&format!("{waiting} {}", awaits_others(place, taken)));
    }

    fn uses_again(&mut self, place: &str) {
        let continued = Tone::Good.word("continued");
        self.say(&format!(
            "{continued} {place} is used again: other processes have freed its memory"
        ));
    }

    fn runs_fewer(&mut self, at_most: usize) {
        let runs = counted(at_most, "job");
        let warning = Tone::Doubtful.word("warning");
        self.warn(&format!(
            "{warning} main memory was short: at most {runs} at a time from now on"
        ));
    }

    fn stopping(&mut self, running: usize) {
        let stopping = Tone::Doubtful.word("stopping");
        let jobs = counted(running, "running job");
        self.say(&format!(
            "{stopping} {jobs}, with checkpoints; a second Ctrl-C kills what runs"
        ));
    }

    fn selected(&mut self, plan: &Plan, study: &Study) {
        let selected = Tone::Good.word("selected");
        self.say(&format!("{selected} {}", outcome(study, plan)));
    }

    fn grown(&mut self, plan: &Plan, freshness: &FreshnessOf, growth: &Growth) {
        let (jobs, studies) = (growth.jobs.iter(), growth.studies.iter());
        self.learn(jobs.copied(), studies.copied(), plan, freshness);
        self.redraw();
    }

    fn tick(&mut self) {
        self.say_plainly();
    }
}

impl JobLine {
    fn new(bar: ProgressBar, name: String) -> JobLine {
        JobLine {
            bar,
            name,
            begun: Instant::now(),
            from: 0,
            done: 0,
            total: 0,
            loss: None,
            surveyed: None,
            score: None,
            broken: None,
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Started { from } => {
                self.begun = Instant::now();
                (self.from, self.done) = (*from, *from);
            }
            Event::Progress { done, total, loss } => {
                (self.done, self.total) = (*done, *total);
                self.loss = loss.or(self.loss);
                self.surveyed = None;
            }
            Event::Survey { done, total } => {
                self.surveyed = Some((*done, *total)).filter(|_| done < total);
            }
            Event::Scores { validation, .. } => {
                self.score = validation
                    .last_key_value()
                    .map(|(&metric, &value)| (metric, value));
            }
            Event::Finished(Finished::Trained(Trained {
                end: TrainingEnd::Broken(how),
                ..
            })) => self.broken = Some(*how),
            Event::Remark { .. }
            | Event::Learning { .. }
            | Event::Memory { .. }
            | Event::Alive {}
            | Event::Ready {}
            | Event::Network { .. }
            | Event::Host(_)
            | Event::Checkpoint { .. }
            | Event::Finished(_)
            | Event::Failed { .. } => {}
        }
        if self.total > 0 && self.bar.length() != Some(self.total) {
            self.bar.set_style(style(
                "  {prefix}  [{bar:10}] {pos}/{len} {wide_msg}",
                "-> ",
            ));
            self.bar.set_length(self.total);
        }
        self.bar.set_position(self.done);
        // The end of a long name is cut off at the edge of the terminal.
        self.bar
            .set_message(format!("{}  {}", self.message(), self.name));
    }

    /// The fraction of the job that this attempt has done.
    fn share(&self) -> f64 {
        if self.total == 0 {
            1.0
        } else {
            self.total.saturating_sub(self.from) as f64 / self.total as f64
        }
    }

    /// The fraction of the job that this attempt has done so far.
    fn gained(&self) -> f64 {
        self.done.saturating_sub(self.from) as f64 / self.total.max(1) as f64
    }

    fn fraction(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            (self.done as f64 / self.total as f64).min(1.0)
        }
    }

    /// `finished  train Triplet, seed 3 in 5.0 s`, or how the training broke down.
    fn finished(&self, name: &str, took: &str) -> String {
        match self.broken {
            None => format!("{} {name} in {took}", Tone::Good.word("finished")),
            Some(how) => format!(
                "{} {name} after {took}: {}",
                Tone::Doubtful.word(how.word()),
                how.reason()
            ),
        }
    }

    fn message(&self) -> String {
        let rate = self.done.saturating_sub(self.from) as f64
            / self.begun.elapsed().as_secs_f64().max(1e-3);
        let mut parts = vec![format!("{rate:.1}/s")];
        parts.extend(self.loss.map(|loss| format!("loss {}", decimals(loss, 4))));
        let surveyed = self.surveyed;
        parts.extend(surveyed.map(|(done, total)| format!("survey of {done}/{total} images")));
        parts.extend(self.score.map(|(metric, value)| {
            let value = decimals(100.0 * value, 1);
            format!("validation {} {value}", metric.heading())
        }));
        parts.join("  ")
    }

    fn plain(&self) -> String {
        if self.total == 0 {
            "starting".to_owned()
        } else {
            format!("{}/{} {}", self.done, self.total, self.message())
        }
    }
}

/// A bar for a single task.
pub(super) struct Bar {
    bar: ProgressBar,
    unit: Unit,
    begun: Instant,
    last_plain: Cell<Instant>,
}

/// What a bar counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Images,
    Results,
    Bytes,
}

impl Bar {
    pub(super) fn images(prefix: &str) -> Bar {
        Bar::of(
            prefix,
            Unit::Images,
            "{prefix} [{bar:30}] {pos}/{len} images  {per_sec}, {eta} to go",
        )
    }

    pub(super) fn results(prefix: &str) -> Bar {
        Bar::of(
            prefix,
            Unit::Results,
            "{prefix} [{bar:30}] {pos}/{len} results  {eta} to go",
        )
    }

    pub(super) fn bytes(prefix: &str) -> Bar {
        Bar::of(
            prefix,
            Unit::Bytes,
            "{prefix} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}, {eta} to go",
        )
    }

    fn of(prefix: &str, unit: Unit, template: &str) -> Bar {
        let bar = match is_quiet() {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(0),
        };
        bar.set_style(style(template, "=> "));
        bar.set_prefix(prefix.to_owned());
        if bar.is_hidden() && !is_quiet() {
            tell(prefix);
        }
        Bar {
            bar,
            unit,
            begun: Instant::now(),
            last_plain: Cell::new(Instant::now()),
        }
    }

    pub(super) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.bar.is_hidden() && !is_quiet() && self.last_plain.get().elapsed() >= PLAIN_EVERY {
            self.last_plain.set(Instant::now());
            tell(&format!(
                "  {}",
                self.unit.line(done, total, self.begun.elapsed())
            ));
        }
    }

    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

impl Unit {
    /// `1200/11788 images, 240/s, 44.1 s to go`
    fn line(self, done: u64, total: u64, gone: Duration) -> String {
        let rate = done as f64 / gone.as_secs_f64().max(1e-3);
        let left = total.saturating_sub(done) as f64 / rate.max(1e-3);
        let left =
            Duration::try_from_secs_f64(left).map_or_else(|_| "unknown time".to_owned(), duration);
        let megabytes = |bytes: f64| format!("{:.0}", bytes / 1e6);
        match self {
            Unit::Results => format!("{done}/{total} results, {left} to go"),
            Unit::Images => format!("{done}/{total} images, {rate:.0}/s, {left} to go"),
            Unit::Bytes => {
                let [done, total, rate] = [done as f64, total as f64, rate].map(megabytes);
                format!("{done}/{total} MB, {rate} MB/s, {left} to go")
            }
        }
    }
}

fn style(template: &str, characters: &str) -> ProgressStyle {
    // An invalid template would be a bug; the default style still works.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars(characters)
}

/// Returns the seconds that the work of each kind takes at its pace; nothing if a pace is unknown. While
/// there are trainings, other jobs without a pace count as short.
fn seconds_left(
    left: &BTreeMap<JobKind, f64>,
    pace: impl Fn(JobKind) -> Option<f64>,
) -> Option<f64> {
    // Sums of fractions end near 0.
    let left = left.iter().filter(|(_, work)| **work > 1e-6);
    let trains = left.clone().any(|(&kind, _)| kind == JobKind::Train);
    let seconds = left.map(|(&kind, work)| match pace(kind) {
        Some(pace) => Some(pace * work),
        None if trains && kind != JobKind::Train => Some(0.0),
        None => None,
    });
    seconds.sum()
}

fn weight(job: Job, plan: &Plan) -> u64 {
    match job {
        Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => 1,
        Job::Train(run) => plan.runs.get(&run).map_or(0, steps),
    }
}

fn steps(planned: &PlannedRun) -> u64 {
    planned
        .unseeded
        .recipe
        .training
        .as_ref()
        .map_or(0, |training| training.steps)
}

/// Returns the jobs that a study may add at most.
fn ahead(study: &Study) -> Ahead {
    if study.state != StudyState::Open {
        return Ahead::default();
    }
    let folds = study.folds();
    let trials = folds.saturating_mul(study.budget.saturating_sub(study.trials.len()));
    let trials = trials.saturating_add(study.runs_ahead());
    let repetitions = study.members.len();
    Ahead {
        trainings: trials.saturating_add(repetitions),
        measurements: repetitions,
        ensembles: repetitions / folds,
    }
}

/// `gpu 0 is not used while other processes take 30.0 GB of its 80.0 GB (gpu_free)`, or `gpu 0 has no room for the next job,
/// which needs 60.0 GB, while other processes take 30.0 GB of its 80.0 GB`
pub(super) fn awaits_others(place: &str, taken: TakenMemory) -> String {
    let [used, memory] = [taken.used, taken.memory].map(bytes_in_words);
    match taken.needed.map(bytes_in_words) {
        None => {
            format!(
                "{place} is not used while other processes take {used} of its {memory} (gpu_free)"
            )
        }
        Some(needed) => format!(
            "{place} has no room for the next job, which needs {needed}, while other processes take {used} of its {memory}"
        ),
    }
}

fn is_done(freshness: &Freshness) -> bool {
    !matches!(freshness, Freshness::Stale(_))
}

/// Returns the number of jobs that searches may add at most.
pub(super) fn jobs_ahead(plan: &Plan) -> usize {
    let ahead = plan.studies.iter().map(|study| ahead(study).jobs());
    ahead.fold(0, usize::saturating_add)
}

/// `96 jobs`, or `at most 96 jobs` if searches may add some of them.
pub(super) fn jobs_with(ahead: usize, all: usize) -> String {
    let jobs = counted(all, "job");
    match ahead {
        0 => jobs,
        _ => format!("at most {jobs}"),
    }
}

/// Says how many jobs of a plan are left: those that are known, and those that searches may add.
pub(super) fn jobs_left(known: usize, plan: &Plan) -> String {
    let ahead = jobs_ahead(plan);
    let jobs = jobs_with(ahead, known.saturating_add(ahead));
    format!("{jobs} left")
}

/// A number with some decimals, or with an exponent if it is large: a trainer may report anything.
fn decimals(value: f64, decimals: usize) -> String {
    if value.abs() < 1e6 {
        format!("{value:.decimals$}")
    } else {
        format!("{value:.decimals$e}")
    }
}

/// `8.3 s`, `2 min 5 s`, `1 h 20 min`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use schema::Numerics;

    use super::*;
    use crate::{
        plan::tests::{Desk, TWO_METHODS},
        visits::visits,
    };

    /// The values of jobs that are visited while a training is shown.
    fn visits_of_a_training(seeds: u64) -> usize {
        let sweep = TWO_METHODS.replace(
            "name = \"test\"",
            &format!("name = \"test\"\nseeds = {seeds}"),
        );
        let desk = Desk::new(&sweep, Numerics::Cpu { threads: 1 });
        let mut progress = Progress::new(&desk.plan, &desk.freshness());
        progress.plain = false;
        let job = Job::Train(desk.plan.members[0].run);
        let step = Event::Progress {
            done: 5,
            total: 10,
            loss: Some(0.5),
        };
        visits(|| {
            progress.started(job, 1, "cpu");
            progress.on_event(job, &step);
            progress.tick();
            progress.ended(job, &AttemptEnd::Finished, false);
        })
    }

    #[test]
    fn what_showing_a_training_costs_does_not_depend_on_the_number_of_jobs() {
        assert_eq!(visits_of_a_training(1), visits_of_a_training(300));
    }

    #[test]
    fn the_time_to_go_counts_every_kind_of_jobs() {
        let left = |trainings: f64, evaluations: f64| {
            BTreeMap::from([
                (JobKind::Train, trainings),
                (JobKind::Evaluate, evaluations),
            ])
        };
        let evaluations_take_5 = |kind| (kind == JobKind::Evaluate).then_some(5.0);
        assert_eq!(
            seconds_left(&left(0.0, 3.0), evaluations_take_5),
            Some(15.0)
        );
        assert_eq!(seconds_left(&left(7.0, 3.0), evaluations_take_5), None);
        let steps_take_2 = |kind| (kind == JobKind::Train).then_some(2.0);
        assert_eq!(seconds_left(&left(7.0, 3.0), steps_take_2), Some(14.0));
        // Nothing is known of the last jobs before one of them has ended.
        assert_eq!(seconds_left(&left(0.0, 3.0), steps_take_2), None);
        assert_eq!(seconds_left(&left(0.0, 0.0), steps_take_2), Some(0.0));
    }

    #[test]
    fn a_plain_line_has_a_rate_and_what_is_left() {
        let line = |unit: Unit, done, total| unit.line(done, total, Duration::from_secs(5));
        assert_eq!(
            line(Unit::Images, 1200, 11_788),
            "1200/11788 images, 240/s, 44.1 s to go"
        );
        assert_eq!(
            line(Unit::Bytes, 50_000_000, 2_000_000_000),
            "50/2000 MB, 10 MB/s, 3 min 15 s to go"
        );
        assert!(line(Unit::Images, 0, 0).starts_with("0/0 images, 0/s"));
    }

    #[test]
    fn a_survey_is_shown_until_the_next_step() {
        let mut line = JobLine::new(ProgressBar::hidden(), String::new());
        let step = Event::Progress {
            done: 5,
            total: 10,
            loss: None,
        };
        line.hear(&step);
        line.hear(&Event::Survey {
            done: 120,
            total: 600,
        });
        assert!(
            line.plain().ends_with("survey of 120/600 images"),
            "{}",
            line.plain()
        );
        line.hear(&step);
        assert!(!line.plain().contains("survey"));
    }

    #[test]
    fn no_number_that_a_trainer_reports_is_too_large_to_show() {
        let mut line = JobLine::new(ProgressBar::hidden(), String::new());
        for (from, done, total, loss) in [
            (0, u64::MAX, 1, 1e308),
            (0, 1, u64::MAX, f64::NAN),
            (u64::MAX, 0, u64::MAX, -1e308),
            (u64::MAX, 1, 0, f64::INFINITY),
        ] {
            line.hear(&Event::Started { from });
            let loss = Some(loss);
            line.hear(&Event::Progress { done, total, loss });
            assert!((0.0..=1.0).contains(&line.fraction()) && (0.0..=1.0).contains(&line.share()));
            assert!(line.plain().len() < 100, "{}", line.plain());
        }
        let slowly = Unit::Bytes.line(0, u64::MAX, Duration::from_secs(5));
        assert!(slowly.ends_with("unknown time to go"), "{slowly}");
    }
}
