//! Writes the results of a sweep without running it, so that commands can be measured on large results:
//! `cargo bench --package sweep --bench finished -- FILE RESULTS`. Every run is trained and measured, with the same scores.

use std::{collections::BTreeMap, env, fs, path::Path};

use schema::{Evaluated, Metric, Outcome, Record, RunId, SCHEMA, Trained, TrainingEnd};
use sweep::{
    config::Sweep,
    ledger::{Ledger, LedgerError},
    plan::{Arithmetic, Plan},
    run::slots::Machine,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    let [file, results] = &arguments[..] else {
        return Err("give a sweep file and a results folder".into());
    };
    let sweep = Sweep::read(Path::new(file), &[]).map_err(|error| error.to_string())?;
    let ledger = Ledger::new(results);
    let here = Machine::survey(None).numerics(&sweep.resources);
    let plan =
        Plan::with(&sweep, &ledger, Arithmetic::Here(here)).map_err(|error| error.to_string())?;
    for (&run, planned) in &plan.runs {
        let metrics = sweep.report.metrics(&planned.identity.recipe.dataset);
        ledger.describe_run(&planned.identity)?;
        finish(run, &metrics, &ledger)?;
    }
    Ok(())
}

fn finish(run: RunId, metrics: &[Metric], ledger: &Ledger) -> Result<(), LedgerError> {
    let folder = ledger.run(run);
    fs::write(folder.model(), run.to_string())
        .map_err(durable::DiskError::at("write", &folder.model()))?;
    let trained = Trained {
        end: TrainingEnd::Completed,
        steps: 1,
        kept_step: 1,
        validation: None,
        empty_steps: 0,
        objective: None,
    };
    ledger.publish_trained(run, &trained)?;
    let scores: BTreeMap<Metric, f64> = metrics.iter().map(|&metric| (metric, 0.5)).collect();
    let evaluated = Evaluated {
        classes: 10,
        images: 200,
        scores,
        ..Evaluated::default()
    };
    ledger.publish_record(&Record {
        schema: SCHEMA,
        run,
        outcome: Outcome::Finished(evaluated),
    })
}
