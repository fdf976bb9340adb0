//! What people see of Slurm: where a sweep runs (`--on`), the states of its elements, and the progress of a session that
//! watches over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use schema::Device;
use serde::Serialize;

use super::{
    Exit, counted,
    paint::Tone,
    progress::{is_quiet, jobs_ahead, jobs_with, tell_moved_lines},
    studies::outcome,
    tell,
};
use crate::{
    batch::{
        dispatch::End,
        session::BatchWatcher,
        slurm::{Element, Limits, Reason, SlurmError, State, client},
        standing::open_submissions,
        submission::SubmissionFolder,
    },
    config::{NOT_COUNTED_ON_SLURM, On, SlurmTable, Sweep},
    ledger::{AttemptEnd, Job, Ledger},
    plan::{
        Growth, Plan, Study,
        freshness::{Freshness, FreshnessOf},
    },
};

/// Where a sweep runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Where {
    /// On this machine
    Here,
    /// In array jobs of Slurm
    Slurm,
}

impl Where {
    /// Lets a sweep run there, whatever its file says.
    ///
    /// # Errors
    /// It cannot run there.
    pub(super) fn apply(chosen: Option<Where>, sweep: &mut Sweep) -> Result<(), Exit> {
        if chosen == Some(Where::Slurm) && !sweep.resources.have.is_empty() {
            return Err(Exit::mistake(format!("`have`: {NOT_COUNTED_ON_SLURM}")));
        }
        let on = &mut sweep.resources.on;
        match (chosen, &on) {
            (Some(Where::Here), _) => *on = On::Here,
            (Some(Where::Slurm), On::Here) => *on = On::Slurm(SlurmTable::default()),
            (Some(Where::Slurm), On::Slurm(_)) | (None, _) => {}
        }
        Ok(())
    }
}

/// Returns the limits of the cluster, or the usual ones while Slurm is away.
pub(super) fn limits() -> Result<Limits, Exit> {
    match client::limits() {
        Ok(limits) => Ok(limits),
        Err(error @ SlurmError::Missing { .. }) => Err(Exit::mistake(error)),
        Err(error) => {
            tell(&format!("warning: {error}; it is asked again"));
            Ok(Limits::default())
        }
    }
}

/// What Slurm says of the arrays of a results folder.
#[derive(Debug, Default, Serialize)]
pub(super) struct Arrays {
    /// Elements that may still run.
    elements: usize,
    /// Elements by state, and by reason if they wait.
    states: BTreeMap<String, usize>,
    /// The nodes on which elements run.
    nodes: BTreeSet<String>,
    /// What has to be done before an element can start, with one such element.
    remedies: BTreeMap<String, String>,
    /// Why Slurm did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<String>,
}

impl Arrays {
    /// Asks Slurm for the open submissions of a results folder; nothing if there are none.
    pub(super) fn of(ledger: &Ledger) -> Result<Option<Arrays>, Exit> {
        let open = open_submissions(ledger).map_err(Exit::stuck)?;
        if open.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = open.iter().map(SubmissionFolder::name).collect();
        Ok(Some(match client::elements(&names) {
            Ok(elements) => Arrays::of_elements(&elements),
            Err(error) => Arrays {
                away: Some(error.to_string()),
                ..Arrays::default()
            },
        }))
    }

    fn of_elements(elements: &[Element]) -> Arrays {
        let mut arrays = Arrays::default();
        for element in elements.iter().filter(|element| element.state.is_live()) {
            arrays.add(element);
        }
        arrays
    }

    /// True if any element is waiting or running, or if that is not known.
    pub(super) fn any(&self) -> bool {
        self.elements > 0 || self.away.is_some()
    }

    fn add(&mut self, element: &Element) {
        self.elements += 1;
        let state = match &element.state {
            State::Waiting => format!("waiting ({})", element.reason.0),
            State::Running => "running".to_owned(),
            State::Ended(cause) => cause.in_words().to_owned(),
            State::Unknown(word) => {
                format!("in the state {word}, which this version does not know")
            }
        };
        *self.states.entry(state).or_default() += 1;
        if !element.nodes.is_empty() {
            self.nodes.insert(element.nodes.clone());
        }
        let remedy = element.reason.remedy();
        if let Some(remedy) = remedy.filter(|_| element.state == State::Waiting) {
            let name = format!("{}_{}", element.array, element.number);
            let remedy = remedy.replace("JOB", &name);
            self.remedies.entry(remedy).or_insert(name);
        }
    }

    /// `3 running on n1, n2; 5 waiting (Priority)`
    pub(super) fn line(&self) -> String {
        if let Some(away) = &self.away {
            return format!("Slurm does not answer: {away}");
        }
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        let states = self.states.iter().map(|(state, count)| match &state[..] {
            "running" => format!("{count} running on {}", nodes.join(", ")),
            state => format!("{count} {state}"),
        });
        let states: Vec<String> = states.collect();
        match states.is_empty() {
            true => "no element is waiting or running".to_owned(),
            false => states.join("; "),
        }
    }

    /// Returns what a person has to do, one line for each cause.
    pub(super) fn remedies(&self) -> impl Iterator<Item = String> {
        self.remedies
            .iter()
            .map(|(remedy, name)| format!("element {name} cannot start: {remedy}"))
    }
}

/// Returns what Slurm says of the element that has a job, if it waits in an open submission.
pub(super) fn waiting_for(job: Job, ledger: &Ledger) -> Result<Option<String>, Exit> {
    for folder in open_submissions(ledger).map_err(Exit::stuck)? {
        let chunks = folder.read_chunks().map_err(Exit::stuck)?;
        let Some(chunk) = chunks.iter().position(|chunk| chunk.contains(&job)) else {
            continue;
        };
        if folder.ended_chunks().contains(&chunk) {
            continue;
        }
        return Ok(Some(match client::elements(&[folder.name()]) {
            Err(error) => format!("in Slurm, which does not answer: {error}"),
            Ok(elements) => {
                let mut found = elements
                    .iter()
                    .filter(|element| element.number as usize == chunk);
                found.next().map_or_else(
                    || {
                        format!(
                            "element {chunk} of {}, which Slurm does not know",
                            folder.name()
                        )
                    },
                    told,
                )
            }
        }));
    }
    Ok(None)
}

/// `element 15_3 of Slurm, waiting (JobHeldUser): it is held: ..`
fn told(element: &Element) -> String {
    let name = format!("{}_{}", element.array, element.number);
    let Element {
        state,
        reason: Reason(reason),
        nodes,
        ..
    } = element;
    let state = match state {
        State::Waiting => format!("waiting ({reason})"),
        State::Running => format!("running on {nodes}"),
        State::Ended(cause) => format!("which {}", cause.in_words()),
        State::Unknown(word) => format!("in the state {word}"),
    };
    let remedy = element
        .reason
        .remedy()
        .filter(|_| element.state == State::Waiting);
    let remedy = remedy.map_or(String::new(), |remedy| {
        format!(": {}", remedy.replace("JOB", &name))
    });
    format!("element {name} of Slurm, {state}{remedy}")
}

/// Returns the end of an element as the rest of a sentence: "the element ..".
fn in_words(end: End) -> String {
    match end {
        End::Finished => "has finished".to_owned(),
        End::Stopped => "stopped with checkpoints".to_owned(),
        End::Taken => "left its jobs to other processes".to_owned(),
        End::DiskFull => "found a disk full, or could not write to it: make room; until there is some, they are tried \
                          again ever more rarely"
            .to_owned(),
        End::Unable(code) => format!("could not work (exit code {code})"),
        End::Cut(cause) => cause.in_words().to_owned(),
        End::Lost => "is gone, and Slurm does not say why".to_owned(),
    }
}

/// Between two lines about the number of finished jobs.
const EVERY: Duration = Duration::from_secs(10);

/// Prints what happens to the arrays of a sweep, line by line: a session may run for days.
pub(super) struct BatchProgress<'l> {
    ledger: &'l Ledger,
    names: BTreeMap<Job, String>,
    /// The jobs that searches may add to those with a name.
    ahead: usize,
    done: usize,
    last: Instant,
    /// What was told about Slurm last.
    slurm: String,
    remedies: BTreeSet<String>,
}

impl<'l> BatchProgress<'l> {
    pub(super) fn new(
        plan: &Plan,
        freshness: &FreshnessOf,
        ledger: &'l Ledger,
    ) -> BatchProgress<'l> {
        let mut progress = BatchProgress {
            ledger,
            names: BTreeMap::new(),
            ahead: 0,
            done: 0,
            last: Instant::now(),
            slurm: String::new(),
            remedies: BTreeSet::new(),
        };
        progress.learn(freshness.keys().copied(), plan);
        let is_done = |freshness: &&Freshness| !matches!(freshness, Freshness::Stale(_));
        progress.done = freshness.values().filter(is_done).count();
        progress
    }

    fn learn(&mut self, new: impl IntoIterator<Item = Job>, plan: &Plan) {
        for job in new {
            self.names.insert(job, plan.name_of_job(job));
        }
        self.ahead = jobs_ahead(plan);
    }

    fn say(&self, text: &str) {
        if !is_quiet() {
            tell(text);
        }
    }

    /// Tells about Slurm what was not told last.
    fn tell_slurm(&mut self, line: String) {
        if self.slurm != line {
            self.say(&format!("slurm     {line}"));
            self.slurm = line;
        }
    }
}

impl BatchWatcher for BatchProgress<'_> {
    fn moved_lines(&mut self, lines: usize, folder: &Path) {
        tell_moved_lines(lines, folder);
    }

    fn submitted(&mut self, array: u64, elements: usize, jobs: usize, device: Device) {
        let on = match device {
            Device::Cuda => " on GPUs",
            Device::Cpu => "",
        };
        let (elements, jobs) = (counted(elements, "element"), counted(jobs, "job"));
        self.say(&format!(
            "submitted array {array}: {elements} with {jobs}{on}"
        ));
    }

    fn in_doubt(&mut self, error: &SlurmError) {
        tell(&format!(
            "warning: {error}; looking whether Slurm has the array"
        ));
    }

    fn adopted(&mut self, name: &str, elements: usize) {
        let elements = counted(elements, "element");
        self.say(&format!(
            "found     array {name} of an earlier session: {elements}"
        ));
    }

    fn observed(&mut self, elements: &[Element]) {
        let arrays = Arrays::of_elements(elements);
        self.tell_slurm(arrays.line());
        for remedy in arrays.remedies() {
            if !self.remedies.contains(&remedy) {
                tell(&format!("{} {remedy}", Tone::Doubtful.word("warning")));
                self.remedies.insert(remedy);
            }
        }
    }

    fn away(&mut self, error: &SlurmError) {
        self.tell_slurm(format!("does not answer, and is asked again: {error}"));
    }

    fn refused(&mut self, at_most: usize, message: &str) {
        let at_most = counted(at_most, "element");
        tell(&format!(
            "warning: Slurm does not have the array ({message}); at most {at_most} next"
        ));
    }

    fn again(&mut self, element: &str, end: End, jobs: usize) {
        let jobs = counted(jobs, "job");
        let again = Tone::Doubtful.word("again");
        let line = format!(
            "{again} {jobs} of element {element}, which {}",
            in_words(end)
        );
        // Someone has to make room.
        match end == End::DiskFull {
            true => tell(&line),
            false => self.say(&line),
        }
    }

    fn done(&mut self, _job: Job) {
        self.done += 1;
        let jobs = self.names.len().saturating_add(self.ahead);
        if self.last.elapsed() >= EVERY || self.done == jobs {
            self.last = Instant::now();
            let jobs = jobs_with(self.ahead, jobs);
            self.say(&format!("done      {} of {jobs}", self.done));
        }
    }

    fn failed(&mut self, job: Job, end: Option<End>) {
        let exit = self.ledger.last_exit(job).ok().flatten();
        let why = match (end, exit.map(|exit| exit.end.clone())) {
            (Some(end), _) => format!("its element {} again and again", in_words(end)),
            (None, Some(AttemptEnd::Failed { message, .. })) => message,
            (None, _) => "its worker gave it up".to_owned(),
        };
        let name = self.names.get(&job).map_or("", String::as_str);
        tell(&format!("{} {name}: {why}", Tone::Bad.word("failed")));
    }

    fn selected(&mut self, plan: &Plan, study: &Study) {
        let selected = Tone::Good.word("selected");
        self.say(&format!("{selected} {}", outcome(study, plan)));
    }

    fn grown(&mut self, plan: &Plan, growth: &Growth) {
        self.learn(growth.jobs.iter().copied(), plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(number: u32, state: &str, reason: &str, nodes: &str) -> Element {
        Element {
            array: 15,
            number,
            state: State::of(state),
            reason: Reason(reason.to_owned()),
            nodes: nodes.to_owned(),
            name: "sweep-7f2c".to_owned(),
        }
    }

    #[test]
    fn elements_are_summed_up_by_state_and_reason() {
        let elements = [
            element(0, "RUNNING", "None", "n1"),
            element(1, "RUNNING", "None", "n2"),
            element(2, "PENDING", "Priority", ""),
            element(3, "COMPLETED", "None", "n1"),
        ];
        let arrays = Arrays::of_elements(&elements);
        assert_eq!(arrays.line(), "2 running on n1, n2; 1 waiting (Priority)");
        assert_eq!(arrays.remedies().count(), 0);
    }

    #[test]
    fn a_held_element_is_told_with_the_command_that_releases_it() {
        let arrays = Arrays::of_elements(&[element(4, "PENDING", "JobHeldUser", "")]);
        let remedies: Vec<String> = arrays.remedies().collect();
        assert_eq!(
            remedies,
            ["element 15_4 cannot start: it is held: `scontrol release 15_4` lets it go on"]
        );
    }
}
