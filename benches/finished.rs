//! Writes the results of a sweep without running it, so that commands can be measured on large results:
//! `cargo bench --package sweep --bench finished -- FILE RESULTS`. Every run is trained and measured in one attempt each,
//! with the same scores, and the journal has it.

use std::{collections::BTreeMap, env, fs, path::Path, sync::Arc};

use schema::{
    Computation, Evaluated, Metric, Outcome, Record, RunId, SCHEMA, Trained, TrainingEnd,
};
use sweep::{
    config::Sweep,
    ledger::{
        AttemptEnd, AttemptExit, Claimant, Claimed, Job, Ledger, LedgerError,
        journal::{Decision, Journal},
    },
    plan::{Arithmetic, Plan},
    run::slots::Machine,
};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
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
    let mut attempts = Attempts::begin(&sweep.name, &ledger)?;
    for (&run, planned) in &plan.runs {
        let metrics = sweep.report.metrics(&planned.unseeded.recipe.dataset);
        ledger.describe_run(&planned.identity())?;
        attempts.make(Job::Train(run), || publish_trained(run, &ledger))?;
        attempts.make(Job::Evaluate(run), || {
            publish_record(run, &metrics, &ledger)
        })?;
    }
    attempts.end()
}

/// One attempt at each job, as a session makes it.
struct Attempts<'a> {
    ledger: &'a Ledger,
    claimant: Claimant,
    journal: Journal,
}

impl Attempts<'_> {
    fn begin<'a>(sweep: &str, ledger: &'a Ledger) -> Result<Attempts<'a>, Failed> {
        let (mut journal, _) = Journal::open(ledger.root())?;
        journal.append(Decision::Opened {
            sweep: sweep.to_owned(),
            pid: std::process::id(),
            worker: None,
        })?;
        Ok(Attempts {
            ledger,
            claimant: Claimant::with_lock(),
            journal,
        })
    }

    fn make(
        &mut self,
        job: Job,
        publish: impl FnOnce() -> Result<(), LedgerError>,
    ) -> Result<(), Failed> {
        let Claimed::Own(claim) = self.ledger.claim(job, &self.claimant)? else {
            return Err("another process works in the folder".into());
        };
        let (attempt, slot) = (claim.number(), "cpu-0".to_owned());
        self.journal
            .append(Decision::Started { job, attempt, slot })?;
        publish()?;
        let end = AttemptEnd::Finished;
        let exit = AttemptExit {
            end: end.clone(),
            code: Some(0),
            signal: None,
            computation: Some(Arc::new(computation())),
        };
        self.ledger.note_exit(job, attempt, &exit)?;
        Ok(self.journal.append(Decision::Ended { job, attempt, end })?)
    }

    fn end(mut self) -> Result<(), Failed> {
        self.journal.append(Decision::Closed)?;
        Ok(self.journal.commit()?)
    }
}

fn computation() -> Computation {
    Computation {
        sweep: sweep::VERSION.to_owned(),
        trainer: "finished".to_owned(),
        host: None,
        parameters: Some(100_000),
        ended: "2026-01-01T00:00:00Z".to_owned(),
        milliseconds: 1000,
    }
}

fn publish_trained(run: RunId, ledger: &Ledger) -> Result<(), LedgerError> {
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
    ledger.publish_trained(run, &trained)
}

fn publish_record(run: RunId, metrics: &[Metric], ledger: &Ledger) -> Result<(), LedgerError> {
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
