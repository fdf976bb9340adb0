//! What no order of jobs can beat.
//!
//! A sweep takes at least as long as its longest chain of jobs that wait for each other. Jobs also share what there is of
//! slots, of GPUs and their memory, of main memory and of countable resources. What a job holds of it for its time, summed
//! over all jobs and divided by what there is, is a time within which the sweep cannot end either.
//!
//! A job without room on any GPU fails at once, and what waits for it does not start: neither counts.

use std::collections::{BTreeMap, BTreeSet};

use schema::Device;
use serde::Serialize;

use super::World;
use crate::{config::Counts, ledger::Job, plan::agenda::JobSpec, run::slots::Layout};

/// The least seconds that jobs take, for each reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    limits: BTreeMap<Limit, f64>,
}

/// What limits how short a sweep can be. Of two limits with the same time, the first one decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// All runs, in equal parts in all slots and, by their shares of its time, on all GPUs.
    Work,
    /// The longest chain of jobs that wait for each other.
    Chain,
    /// The data that is prepared, in the slots for it.
    Preparing,
    /// The memory of all GPUs.
    GpuMemory,
    /// The attempts at a time that main memory allows.
    MainMemory,
    /// A countable resource.
    Resource(String),
}

impl Bound {
    /// Returns the bound for jobs on these slots, with these countable resources.
    pub fn of(jobs: &[JobSpec], layout: &Layout, have: &Counts, world: &impl World) -> Bound {
        let possible = possible(jobs, layout, world);
        let work = Work {
            jobs: &possible,
            layout,
            world,
        };
        let mut limits = BTreeMap::from([
            (Limit::Work, work.of_slots().max(work.of_gpus())),
            (Limit::Chain, longest_chain(&possible, world)),
        ]);
        let others = [
            (Limit::Preparing, work.of_preparing()),
            (Limit::GpuMemory, work.of_gpu_memory()),
            (Limit::MainMemory, work.of_main_memory()),
        ];
        let resources = have.iter().map(|(name, number)| {
            let limit = Limit::Resource(name.to_owned());
            (limit, work.of_resource(name, number))
        });
        let binding = others.into_iter().chain(resources);
        limits.extend(binding.filter(|&(_, seconds)| seconds > 0.0));
        Bound { limits }
    }

    /// Returns the least number of seconds.
    pub fn seconds(&self) -> f64 {
        self.decisive().map_or(0.0, |(_, seconds)| seconds)
    }

    /// Returns the reason that decides, with its seconds.
    pub fn decisive(&self) -> Option<(&Limit, f64)> {
        let limits = self.limits.iter().map(|(limit, &seconds)| (limit, seconds));
        limits.reduce(|first, next| if next.1 > first.1 { next } else { first })
    }

    /// Returns the least seconds for a reason; nothing if it does not matter to any job.
    pub fn by(&self, limit: &Limit) -> Option<f64> {
        self.limits.get(limit).copied()
    }

    /// Returns the least seconds for the countable resource that takes the longest; nothing if no job takes any.
    pub fn by_resources(&self) -> Option<f64> {
        let is_resource = |limit: &Limit| matches!(limit, Limit::Resource(_));
        let limits = self.limits.iter();
        let resources = limits.filter(|(limit, _)| is_resource(limit));
        let seconds = resources.map(|(_, &seconds)| seconds);
        seconds.max_by(f64::total_cmp)
    }
}

/// The jobs that run, and what they hold.
struct Work<'w, W> {
    jobs: &'w [&'w JobSpec],
    layout: &'w Layout,
    world: &'w W,
}

impl<W: World> Work<'_, W> {
    /// Returns the seconds of all jobs on a device, each as often as it holds of something.
    fn held(&self, device: Device, holds: impl Fn(&JobSpec) -> f64) -> f64 {
        let todo = self.jobs.iter().filter(|spec| spec.has_to_run);
        let here = todo.filter(|spec| spec.device == device);
        let held = here.map(|spec| self.world.load(spec.job).seconds * holds(spec));
        // The sum of nothing is -0.
        held.sum::<f64>() + 0.0
    }

    fn held_anywhere(&self, holds: impl Fn(&JobSpec) -> f64) -> f64 {
        self.held(Device::Cpu, &holds) + self.held(Device::Cuda, &holds)
    }

    fn of_slots(&self) -> f64 {
        let slots = self.layout.for_runs().count();
        parts(self.held(self.layout.device(), |_| 1.0), slots as f64)
    }

    fn of_gpus(&self) -> f64 {
        let gpus = self.layout.gpus().count();
        let shares = |spec: &JobSpec| self.world.load(spec.job).share;
        parts(self.held(Device::Cuda, shares), gpus as f64)
    }

    /// Returns 0 if runs are on the CPU as well: preparing is work as any other there.
    fn of_preparing(&self) -> f64 {
        if self.layout.device() == Device::Cpu {
            return 0.0;
        }
        let slots = self.layout.slots.iter();
        let slots = slots.filter(|slot| slot.device == Device::Cpu).count();
        parts(self.held(Device::Cpu, |_| 1.0), slots as f64)
    }

    /// Returns 0 if the memory of a GPU is not known.
    fn of_gpu_memory(&self) -> f64 {
        let gpus = self.layout.gpus();
        let memory: Option<f64> = gpus.map(|gpu| gpu.memory.map(|bytes| bytes as f64)).sum();
        let bytes = |spec: &JobSpec| self.world.load(spec.job).bytes as f64;
        memory.map_or(0.0, |memory| parts(self.held(Device::Cuda, bytes), memory))
    }

    fn of_main_memory(&self) -> f64 {
        let at_most = self.layout.at_most;
        at_most.map_or(0.0, |most| {
            parts(self.held_anywhere(|_| 1.0), f64::from(most))
        })
    }

    fn of_resource(&self, name: &str, number: u32) -> f64 {
        let taken = |spec: &JobSpec| f64::from(spec.needs.of(name).unwrap_or(0));
        parts(self.held_anywhere(taken), f64::from(number))
    }
}

/// Returns what is held of something, by how much there is of it; 0 if there is nothing, which nothing holds then.
fn parts(held: f64, there_is: f64) -> f64 {
    if there_is > 0.0 { held / there_is } else { 0.0 }
}

/// Returns the jobs that have room somewhere, and wait for no job without.
fn possible<'j>(jobs: &'j [JobSpec], layout: &Layout, world: &impl World) -> Vec<&'j JobSpec> {
    let largest = layout
        .gpus()
        .map(|gpu| gpu.memory.unwrap_or(u64::MAX))
        .max();
    let has_room = |spec: &JobSpec| {
        spec.device == Device::Cpu
            || largest.is_some_and(|largest| world.load(spec.job).bytes <= largest)
    };
    let mut impossible: BTreeSet<Job> = BTreeSet::new();
    loop {
        let known = impossible.len();
        for spec in jobs.iter().filter(|spec| spec.has_to_run) {
            let waits_in_vain = spec.waits_for.iter().any(|job| impossible.contains(job));
            if waits_in_vain || !has_room(spec) {
                impossible.insert(spec.job);
            }
        }
        if impossible.len() == known {
            break;
        }
    }
    let all = jobs.iter();
    all.filter(|spec| !impossible.contains(&spec.job)).collect()
}

/// Returns the seconds of the longest chain of jobs that wait for each other.
fn longest_chain(jobs: &[&JobSpec], world: &impl World) -> f64 {
    let mut waiting: BTreeMap<Job, usize> = BTreeMap::new();
    let mut after: BTreeMap<Job, Vec<Job>> = BTreeMap::new();
    let mut begins: BTreeMap<Job, f64> = jobs.iter().map(|job| (job.job, 0.0)).collect();
    for spec in jobs {
        let known = spec
            .waits_for
            .iter()
            .filter(|before| begins.contains_key(before));
        waiting.insert(spec.job, known.clone().count());
        for &before in known {
            after.entry(before).or_default().push(spec.job);
        }
    }
    let times: BTreeMap<Job, f64> = jobs
        .iter()
        .map(|spec| match spec.has_to_run {
            true => (spec.job, world.load(spec.job).seconds),
            false => (spec.job, 0.0),
        })
        .collect();
    let first = waiting.iter().filter(|(_, count)| **count == 0);
    let mut ready: Vec<Job> = first.map(|(&job, _)| job).collect();
    let mut longest: f64 = 0.0;
    while let Some(job) = ready.pop() {
        let end = begins[&job] + times[&job];
        longest = longest.max(end);
        for &next in after.get(&job).into_iter().flatten() {
            begins
                .entry(next)
                .and_modify(|begin| *begin = begin.max(end));
            let count = waiting.entry(next).or_default();
            *count -= 1;
            if *count == 0 {
                ready.push(next);
            }
        }
    }
    longest
}
