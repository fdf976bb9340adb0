//! What `sweep run --on slurm` would submit: the arrays and their scripts.

use schema::Device;

use super::duration;
use crate::{
    batch::{
        chunks::Array,
        preview,
        session::{self, policy, with_seconds},
        slurm::{Limits, client, script::Script},
        submission::SubmissionFolder,
    },
    cli::{Opened, counted},
    config::SlurmTable,
    ledger::absolute,
    plan::{agenda::Agenda, costs::Costs, freshness::FreshnessOf},
};

/// Stands for the id of a submission.
const ID: &str = "ID";

/// Returns a line for each array, and the script of the first on each kind of device.
pub(super) fn lines(table: &SlurmTable, opened: &Opened, freshness: &FreshnessOf) -> Vec<String> {
    let Opened {
        sweep,
        ledger,
        plan,
        ..
    } = opened;
    let device = plan.numerics.device();
    let mut agenda = Agenda::new(Costs::read(plan, ledger), device);
    let jobs = agenda.all(plan, freshness);
    // Without Slurm, arrays are cut as it does usually.
    let limits = client::limits().unwrap_or_else(|_| Limits::default());
    let policy = policy(sweep, table, limits);
    let arrays = preview::arrays(with_seconds(&agenda, jobs), policy);
    let mut lines = vec![format!("  on Slurm  {}", counted(arrays.len(), "array"))];
    for (number, array) in (1..).zip(&arrays) {
        lines.push(line(number, array, &agenda));
    }
    let submission = SubmissionFolder::new(ledger, ID);
    let submission = SubmissionFolder::at(absolute(submission.path()));
    for of_device in [Device::Cpu, Device::Cuda] {
        let mut of_device = arrays.iter().filter(|array| array.device == of_device);
        if let Some(array) = of_device.next() {
            let script = Script {
                table,
                sweep: &sweep.name,
                elements: array.chunks.len(),
                needs_gpus: array.device == device,
                submission: &submission,
                folder: &absolute(".".as_ref()),
                program: &session::program(),
            };
            lines.push(String::new());
            lines.extend(script.text().lines().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// `  array 1   8 elements on GPUs, 64 jobs, the longest about 25 min`
fn line(number: usize, array: &Array, agenda: &Agenda) -> String {
    let seconds = array.chunks.iter().map(|chunk| {
        let seconds = chunk.iter().map(|&job| agenda.seconds(job));
        seconds.sum::<f64>()
    });
    let longest = seconds.fold(0.0, f64::max);
    let jobs = array.chunks.iter().map(Vec::len).sum();
    let on = match array.device {
        Device::Cuda => " on GPUs",
        Device::Cpu => "",
    };
    format!(
        "  array {number:<3} {}{on}, {}, the longest about {}",
        counted(array.chunks.len(), "element"),
        counted(jobs, "job"),
        duration(longest)
    )
}
