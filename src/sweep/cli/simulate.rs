//! `sweep simulate`: how long a sweep would take on a machine that is not at hand.

use std::{collections::BTreeMap, fmt::Write};

use clap::Args;
use schema::Device;
use serde::Serialize;

use super::{
    Exit, Opened, Target, counted,
    plan::{duration, slot_names},
    show, show_json,
};
use crate::{
    config::{ByteSize, Percent, Resources, RunsPerGpu},
    ledger::{Job, read_json},
    plan::{
        Plan,
        agenda::{Agenda, JobSpec},
        costs::Costs,
        freshness::{self, Freshness, FreshnessOf, Reason},
        memory,
    },
    run::{
        gpus::Gpu,
        scheduler::{Learned, Scheduler, Setup, Tally},
        simulate::{Bar, Bound, Limit, Load, Schedule, Simulation, World},
        slots::{Layout, Machine, NumberedGpu},
    },
};

/// Simulate a sweep on another machine
///
/// Runs the scheduler of `sweep run` with a clock of its own: no job is started. Jobs take as long as similar ones took in this results folder. Without similar ones, their times are guessed from steps, batch, image size and backbone: then, only proportions mean something.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep simulate sweeps/reality_check.toml --gpus 8
  sweep simulate sweeps/reality_check.toml --gpus 8 --gpu-memory 24GB --runs-per-gpu auto
  sweep simulate sweeps/omniglot.toml --slots 16                 16 runs at a time on the CPU
  sweep simulate sweeps/omniglot.toml --gpus 2 --gpu-memory 24GB,80GB
  sweep simulate FILE --gpus 8 --ram 256GB                       as many as `needs.ram` allows
  sweep simulate sweeps/omniglot.toml --left                     only what has to run yet
  sweep simulate sweeps/omniglot.toml --gpus 2 --json | jq .makespan

The lower bound is what no order of jobs can beat. It is the largest of these times: the longest chain of jobs that wait \
for each other; all work in equal parts; and the work that the memory of the GPUs, main memory (`needs.ram`) and each \
resource of `have` have room for at a time.")]
pub(super) struct Simulate {
    #[command(flatten)]
    target: Target,
    /// Number of GPUs [default: the slots of this machine]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    gpus: Option<u32>,
    /// Memory of each GPU, e.g. 24GB, or of one after the other, e.g. 24GB,80GB [default: runs always have room]
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        value_delimiter = ',',
        requires = "gpus"
    )]
    gpu_memory: Vec<ByteSize>,
    /// Runs that share a GPU: a number or `auto` [default: as in the file]
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        requires = "gpus"
    )]
    runs_per_gpu: Option<RunsPerGpu>,
    /// What a run takes of the time of a GPU that it has to itself, e.g. 25%
    #[arg(
        long,
        value_name = "PERCENT",
        allow_hyphen_values = true,
        value_parser = above_zero,
        requires = "gpus",
        default_value = "100%"
    )]
    gpu_share: Percent,
    /// Number of runs at a time on the CPU
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, conflicts_with = "gpus", value_parser = clap::value_parser!(u32).range(1..=4096))]
    slots: Option<u32>,
    /// Main memory of the machine, e.g. 256GB; each run takes `needs.ram` of it [default: runs always have room]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    ram: Option<ByteSize>,
    /// Only the jobs that have to run yet, instead of all
    #[arg(long)]
    left: bool,
    /// Print one JSON object: the times, and each attempt with its slot
    #[arg(long)]
    json: bool,
}

/// The memory of a GPU in which runs always have room.
const ENDLESS: u64 = 1 << 60;

/// The most reports that an attempt makes while the shortest possible sweep runs.
const REPORTS: f64 = 5_000.0;
/// The least seconds between two reports.
const LEAST_PULSE: f64 = 5.0;

fn above_zero(text: &str) -> Result<Percent, String> {
    let percent: Percent = text.parse()?;
    match percent.share() > 0.0 {
        true => Ok(percent),
        false => Err("a run takes more than 0 % of the time of its GPU".to_owned()),
    }
}

impl Simulate {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open()?;
        let layout = self.layout(&opened)?;
        let resources = self.resources(&opened);
        let freshness = self.freshness(&opened)?;
        let learned: Learned = read_json(&opened.ledger.learned())?.unwrap_or_default();
        let costs = Costs::read(&opened.plan, &opened.ledger);
        let measured = measured(&costs, &opened.plan, &freshness);
        let mut agenda = Agenda::new(costs, layout.device());
        let mut jobs = agenda.all(&opened.plan, &freshness);
        jobs.extend(agenda.foresee(&opened.plan));
        let world = Expected {
            loads: self.loads(&jobs, &agenda, &opened.plan, &learned),
        };
        let bound = Bound::of(&jobs, &layout, &resources.have, &world);
        let todo = jobs.iter().filter(|job| job.has_to_run).count();
        let scheduler = Scheduler::new(jobs, Setup::new(&layout, &resources, learned));
        let mut simulation = Simulation::new(scheduler, &layout, world);
        if resources.runs_per_gpu == RunsPerGpu::Auto && layout.device() == Device::Cuda {
            simulation = simulation.with_reports(LEAST_PULSE.max(bound.seconds() / REPORTS));
        }
        let schedule = simulation.run(|_, _| {});
        let outcome = Outcome {
            opened: &opened,
            layout: &layout,
            schedule: &schedule,
            bound,
            jobs: todo,
            measured,
        };
        match self.json {
            true => show_json(&outcome.as_json()),
            false => show(&outcome.as_text()),
        }
    }

    fn resources(&self, opened: &Opened) -> Resources {
        let resources = &opened.sweep.resources;
        Resources {
            runs_per_gpu: self.runs_per_gpu.unwrap_or(resources.runs_per_gpu),
            slots: self.slots.or(resources.slots),
            ..resources.clone()
        }
    }

    /// Returns the slots of the machine, and how many jobs main memory allows at a time.
    fn layout(&self, opened: &Opened) -> Result<Layout, Exit> {
        let resources = self.resources(opened);
        let mut layout = self.slots(opened, &resources)?;
        if let Some(ram) = self.ram {
            let machine = Machine {
                memory: Some(ram.bytes()),
                ..Machine::default()
            };
            layout.at_most = machine.at_most(&resources);
            if layout.at_most.is_none() {
                let message = "`--ram` counts what runs take of main memory, but `resources.needs.ram` does not say it; \
                               for runs of 20 GB: `--set 'resources.needs.ram=\"20 GB\"'`";
                return Err(Exit::mistake(message));
            }
        }
        Ok(layout)
    }

    fn slots(&self, opened: &Opened, resources: &Resources) -> Result<Layout, Exit> {
        let cores = u32::try_from(opened.machine.cores).unwrap_or(u32::MAX);
        if let Some(count) = self.gpus {
            let gpus = gpus(count as usize, &self.gpu_memory)?;
            let numbered = gpus.iter().enumerate();
            let gpus: Vec<NumberedGpu<'_>> = numbered
                .map(|(number, gpu)| NumberedGpu { number, gpu })
                .collect();
            return Ok(Layout::on_gpus(&gpus, resources, cores));
        }
        if let Some(slots) = self.slots {
            return Ok(Layout::on_cpu(slots, resources.threads_on_cpu(), cores));
        }
        let bytes = memory::of(&opened.plan).peak();
        let layout = opened.machine.layout(resources, bytes);
        layout.map_err(Exit::mistake)
    }

    /// Returns which jobs run: all, or those that have to.
    fn freshness(&self, opened: &Opened) -> Result<FreshnessOf, Exit> {
        let mut freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
        if !self.left {
            for freshness in freshness.values_mut() {
                *freshness = Freshness::Stale(Reason::New);
            }
        }
        Ok(freshness)
    }

    fn loads(
        &self,
        jobs: &[JobSpec],
        agenda: &Agenda,
        plan: &Plan,
        learned: &Learned,
    ) -> BTreeMap<Job, Load> {
        let loads = jobs.iter().map(|spec| {
            let load = Load {
                seconds: agenda.seconds(spec.job),
                share: self.gpu_share.share(),
                bytes: learned
                    .bytes(spec.kind)
                    .or(spec.guess)
                    .unwrap_or_else(|| guessed_bytes(spec.job, plan)),
            };
            (spec.job, load)
        });
        loads.collect()
    }
}

/// Returns `count` GPUs. Their memory has one size for all of them, or one for each.
///
/// # Errors
/// There is another number of sizes.
fn gpus(count: usize, sizes: &[ByteSize]) -> Result<Vec<Gpu>, Exit> {
    let bytes: Vec<u64> = match sizes {
        [] => vec![ENDLESS; count],
        [size] => vec![size.bytes(); count],
        sizes if sizes.len() == count => sizes.iter().map(|size| size.bytes()).collect(),
        sizes => {
            return Err(Exit::mistake(format!(
                "`--gpu-memory` names {} sizes for {}: write one for all, or one for each",
                sizes.len(),
                counted(count, "GPU")
            )));
        }
    };
    let gpu = |bytes| Gpu {
        memory: Some(bytes),
        ..Gpu::default()
    };
    Ok(bytes.into_iter().map(gpu).collect())
}

/// Returns the bytes of a GPU's memory that a training takes, by what its network was measured to take on the
/// CPU; 0 for other jobs.
fn guessed_bytes(job: Job, plan: &Plan) -> u64 {
    match &job {
        Job::Train(run) => {
            let run = plan.runs.get(run);
            run.and_then(|run| run.unseeded.recipe.bytes_to_train())
                .unwrap_or(0)
        }
        Job::Evaluate(_) | Job::Prepare(_) | Job::Ensemble(_) => 0,
    }
}

/// Returns the number of jobs to run whose times are measured.
fn measured(costs: &Costs, plan: &Plan, freshness: &FreshnessOf) -> usize {
    let todo = freshness
        .iter()
        .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
    todo.filter(|(job, _)| costs.measured(**job, plan).is_some())
        .count()
}

/// Jobs take what is expected of them.
struct Expected {
    loads: BTreeMap<Job, Load>,
}

impl World for Expected {
    fn load(&self, job: Job) -> Load {
        self.loads[&job]
    }
}

/// The result of a simulation.
struct Outcome<'o> {
    opened: &'o Opened,
    layout: &'o Layout,
    schedule: &'o Schedule,
    bound: Bound,
    /// The jobs to run.
    jobs: usize,
    /// Those of them whose times are measured.
    measured: usize,
}

#[derive(Serialize)]
struct OutcomeJson<'o> {
    version: u32,
    sweep: &'o str,
    /// Seconds.
    makespan: f64,
    lower_bound: f64,
    /// What decides the lower bound.
    limit: Option<&'o Limit>,
    longest_chain: Option<f64>,
    work_of_slot: Option<f64>,
    /// Of the countable resource that takes the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    work_of_resource: Option<f64>,
    /// The part of the time in which GPUs, or slots, are at work.
    utilization: f64,
    jobs: usize,
    measured: usize,
    failed: usize,
    not_started: usize,
    attempts: Vec<BarJson<'o>>,
}

#[derive(Serialize)]
struct BarJson<'o> {
    slot: &'o str,
    #[serde(flatten)]
    bar: &'o Bar,
}

/// Columns of the picture.
const COLUMNS: usize = 72;
/// Slots of the picture.
const LINES: usize = 32;

impl Outcome<'_> {
    fn as_json(&self) -> OutcomeJson<'_> {
        let bars = self.schedule.bars.iter();
        OutcomeJson {
            version: 1,
            sweep: &self.opened.sweep.name,
            makespan: self.schedule.makespan,
            lower_bound: self.bound.seconds(),
            limit: self.bound.decisive().map(|(limit, _)| limit),
            longest_chain: self.bound.by(&Limit::Chain),
            work_of_slot: self.bound.by(&Limit::Work),
            work_of_resource: self.bound.by_resources(),
            utilization: self.utilization(),
            jobs: self.jobs,
            measured: self.measured,
            failed: self.schedule.tally.failed,
            not_started: self.schedule.tally.not_started,
            attempts: bars.map(|bar| self.bar(bar)).collect(),
        }
    }

    fn bar<'o>(&'o self, bar: &'o Bar) -> BarJson<'o> {
        let slot = &self.layout.slots[bar.slot.0].name;
        BarJson { slot, bar }
    }

    fn as_text(&self) -> String {
        let mut lines = vec![
            format!("{}: {}", self.opened.sweep.name, slot_names(self.layout)),
            format!("  times        {}", self.basis()),
        ];
        if self.jobs > 0 {
            lines.push(format!(
                "  makespan     {}",
                duration(self.schedule.makespan)
            ));
            lines.push(format!("  lower bound  {}", self.bound_in_words()));
            let percent = 100.0 * self.utilization();
            lines.push(format!(
                "  utilization  {percent:.1} % of {}",
                self.places()
            ));
            if self.schedule.tally.failed > 0 {
                lines.push(format!("  failed       {}", self.failures()));
            }
            lines.push(String::new());
            lines.extend(self.picture());
        }
        lines.join("\n") + "\n"
    }

    fn failures(&self) -> String {
        let Tally {
            failed,
            not_started,
            ..
        } = self.schedule.tally;
        let failed = counted(failed, "job");
        let failures = format!("{failed}: no GPU has as much memory");
        match not_started {
            0 => failures,
            some => format!("{failures}; {} not started", counted(some, "job")),
        }
    }

    fn basis(&self) -> String {
        let guessed = self.jobs - self.measured;
        match (self.measured, guessed) {
            (0, 0) => "nothing to do".to_owned(),
            (measured, 0) => format!("{} as similar ones took here", counted(measured, "job")),
            (0, guessed) => format!(
                "{} guessed from steps, batch and network: only proportions mean something",
                counted(guessed, "job")
            ),
            (measured, guessed) => format!(
                "{} as similar ones took here, {guessed} guessed from steps, batch and network",
                counted(measured, "job")
            ),
        }
    }

    fn bound_in_words(&self) -> String {
        let bound = duration(self.bound.seconds());
        match self.bound.decisive() {
            Some((limit, _)) => format!("{bound}, {}", reason(limit)),
            None => bound,
        }
    }

    fn places(&self) -> String {
        match self.layout.device() {
            Device::Cuda => counted(self.layout.gpus().count(), "GPU"),
            Device::Cpu => counted(self.layout.slots.len(), "slot"),
        }
    }

    fn utilization(&self) -> f64 {
        let whole = match self.layout.device() {
            Device::Cuda => self.layout.gpus().count(),
            Device::Cpu => self.layout.slots.len(),
        };
        self.schedule.busy / (self.schedule.makespan * whole as f64).max(f64::MIN_POSITIVE)
    }

    /// Draws what each slot does in time.
    fn picture(&self) -> Vec<String> {
        let mut rows = vec![[None; COLUMNS]; self.layout.slots.len()];
        let column = self.schedule.makespan / COLUMNS as f64;
        for bar in &self.schedule.bars {
            let first = ((bar.begin / column) as usize).min(COLUMNS - 1);
            let last = ((bar.end / column).ceil() as usize).clamp(first + 1, COLUMNS);
            for cell in &mut rows[bar.slot.0][first..last] {
                // What takes longest should be seen; it comes first in a column if it began before.
                cell.get_or_insert(letter(bar.job));
            }
        }
        let used = self.layout.slots.iter().zip(rows);
        let used: Vec<_> = used
            .filter(|(_, row)| row.iter().any(Option::is_some))
            .collect();
        let names = used.iter().map(|(slot, _)| slot.name.chars().count());
        let width = names.max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::new();
        for (slot, row) in used.iter().take(LINES) {
            let mut line = format!("  {:width$}  ", slot.name);
            for cell in row {
                // Writing to a string cannot fail.
                let _ = line.write_char(cell.unwrap_or('.'));
            }
            lines.push(line);
        }
        if let more @ 1.. = used.len().saturating_sub(LINES) {
            lines.push(format!("  and {}", counted(more, "more slot")));
        }
        let width = match column {
            ..1.0 => format!("{column:.2} s"),
            1.0..10.0 => format!("{column:.1} s"),
            _ => duration(column),
        };
        lines.push(format!(
            "  p prepare, t train, e evaluate, E ensemble; a column is {width}"
        ));
        lines
    }
}

fn reason(limit: &Limit) -> String {
    match limit {
        Limit::Work => "all work in equal parts".to_owned(),
        Limit::Chain => "the longest chain of jobs that wait for each other".to_owned(),
        Limit::Preparing => "all preparing of data, on the CPU".to_owned(),
        Limit::GpuMemory => {
            "all work that the memory of the GPUs has room for at a time".to_owned()
        }
        Limit::MainMemory => "all work that main memory has room for at a time".to_owned(),
        Limit::Resource(name) => format!("all work that takes the resource `{name}`"),
    }
}

fn letter(job: Job) -> char {
    match job {
        Job::Prepare(_) => 'p',
        Job::Train(_) => 't',
        Job::Evaluate(_) => 'e',
        Job::Ensemble(_) => 'E',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_have_one_size_of_memory_or_a_size_each() {
        let memory = |count, sizes: &[&str]| {
            let sizes: Vec<ByteSize> = sizes.iter().map(|size| size.parse().unwrap()).collect();
            let gpus = gpus(count, &sizes).map_err(|exit| format!("{exit:?}"))?;
            Ok::<_, String>(gpus.iter().filter_map(|gpu| gpu.memory).collect::<Vec<_>>())
        };
        let gigabyte = 1_000_000_000;
        assert_eq!(memory(2, &[]), Ok(vec![ENDLESS; 2]));
        assert_eq!(memory(2, &["24GB"]), Ok(vec![24 * gigabyte; 2]));
        let different = memory(2, &["24GB", "80GB"]);
        assert_eq!(different, Ok(vec![24 * gigabyte, 80 * gigabyte]));
        let told = memory(3, &["24GB", "80GB"]).unwrap_err();
        assert!(told.contains("2 sizes for 3 GPUs"), "{told}");
    }
}
