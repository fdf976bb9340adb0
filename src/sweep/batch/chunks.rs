//! Groups jobs that can start into chunks, each the work of one array element, and chunks into arrays.
//!
//! A run is trained and measured by one worker, so its jobs stay together: a [`Unit`]. Units keep the order of the
//! [`agenda`](crate::plan::agenda). A chunk ends where its predicted time would exceed the limit.

use schema::Device;

use super::submission::Chunks;
use crate::{ledger::Job, plan::agenda::Turn};

/// Jobs that one worker has to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Whose turn it is.
    pub turn: Turn,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// How long they take one after another, as predicted.
    pub seconds: f64,
    /// What they compute on.
    pub device: Device,
}

/// How units are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The most seconds of a chunk. A longer unit is a chunk of its own.
    pub seconds: f64,
    /// Chunks among which few units are spread, so that short ones do not wait for each other on an idle cluster.
    pub spread: usize,
    /// The most chunks of an array.
    pub array: usize,
}

/// The chunks of one array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What its elements compute on.
    pub device: Device,
    /// The jobs of each element.
    pub chunks: Chunks,
}

/// No chunk is spread into parts shorter than this: a worker takes seconds to start.
const SHORTEST: f64 = 60.0;

/// Groups units into arrays: those of a device together, in order.
pub fn arrays(mut units: Vec<Unit>, cut: Cut) -> Vec<Array> {
    units.sort_by(|one, other| (one.turn, &one.jobs).cmp(&(other.turn, &other.jobs)));
    let mut arrays = Vec::new();
    for device in [Device::Cpu, Device::Cuda] {
        let units = units.iter().filter(|unit| unit.device == device);
        let chunks = chunks(&units.collect::<Vec<_>>(), cut);
        let parts = chunks.chunks(cut.array.max(1));
        arrays.extend(parts.map(|chunks| Array {
            device,
            chunks: chunks.to_vec(),
        }));
    }
    arrays
}

fn chunks(units: &[&Unit], cut: Cut) -> Chunks {
    let total: f64 = units.iter().map(|unit| unit.seconds).sum();
    let spread = (total / cut.spread.max(1) as f64).max(SHORTEST);
    let most = cut.seconds.min(spread);
    let mut chunks = Chunks::new();
    let mut filled = f64::INFINITY;
    for unit in units {
        if filled + unit.seconds > most {
            chunks.push(Vec::new());
            filled = 0.0;
        }
        filled += unit.seconds;
        if let Some(chunk) = chunks.last_mut() {
            chunk.extend(&unit.jobs);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use schema::RunId;

    use super::*;

    fn unit(number: u64, seconds: f64, device: Device) -> Unit {
        let run: RunId = format!("{number:016x}").parse().unwrap();
        Unit {
            turn: Turn::of_training(seconds, number as usize),
            jobs: vec![Job::Train(run), Job::Evaluate(run)],
            seconds,
            device,
        }
    }

    const CUT: Cut = Cut {
        seconds: 1800.0,
        spread: 8,
        array: 1000,
    };

    #[test]
    fn a_run_is_trained_and_measured_in_one_chunk() {
        let units = vec![unit(1, 1700.0, Device::Cpu), unit(2, 1700.0, Device::Cpu)];
        let arrays = arrays(units, CUT);
        let lengths: Vec<usize> = arrays[0].chunks.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2]);
    }

    #[test]
    fn few_units_are_spread_and_many_short_ones_share_a_chunk() {
        let of_minutes = (0..8).map(|number| unit(number, 60.0, Device::Cpu));
        assert_eq!(arrays(of_minutes.collect(), CUT)[0].chunks.len(), 8);
        let short = (0..2000).map(|number| unit(number, 1.0, Device::Cpu));
        assert_eq!(arrays(short.collect(), CUT)[0].chunks.len(), 8);
    }

    proptest! {
        #[test]
        fn each_job_is_in_one_chunk_and_all_bounds_are_kept(
            seconds in prop::collection::vec((0.1..5000.0f64, any::<bool>()), 0..200),
            most in 1.0..10_000.0f64,
            spread in 0..40usize,
            array in 0..20usize,
        ) {
            let cut = Cut { seconds: most, spread, array };
            let device = |gpu| if gpu { Device::Cuda } else { Device::Cpu };
            let numbered = (0..).zip(&seconds);
            let units: Vec<Unit> = numbered
                .map(|(number, &(seconds, gpu))| unit(number, seconds, device(gpu)))
                .collect();
            let of_job: BTreeMap<Job, &Unit> = units
                .iter()
                .flat_map(|unit| unit.jobs.iter().map(move |&job| (job, unit)))
                .collect();
            let mut seen = Vec::new();
            for Array { device, chunks } in arrays(units.clone(), cut) {
                prop_assert!(!chunks.is_empty() && chunks.len() <= array.max(1));
                for chunk in chunks {
                    let of_trainings = chunk.iter().filter(|job| matches!(job, Job::Train(_)));
                    let seconds: f64 = of_trainings.map(|job| of_job[job].seconds).sum();
                    prop_assert!(seconds <= most || chunk.len() == 2);
                    prop_assert!(chunk.iter().all(|job| of_job[job].device == device));
                    seen.extend(chunk);
                }
            }
            seen.sort();
            prop_assert_eq!(seen, of_job.keys().copied().collect::<Vec<_>>());
        }
    }
}
