//! The growth of a plan while it is carried out: results of trials lead to further trials, and to the repetitions of
//! the best.

use schema::RunId;

use crate::{
    config::Sweep,
    ledger::{Ledger, LedgerError, journal::Decision},
    plan::{
        Growth, Plan, Study,
        freshness::{self, FreshnessOf},
    },
};

/// Returns the studies that are over now, each with what the journal is to say.
pub fn selected<'p>(
    growth: &'p Growth,
    plan: &'p Plan,
) -> impl Iterator<Item = (&'p Study, Decision)> {
    growth.over.iter().map(|&over| {
        let study = &plan.studies[over];
        let decision = Decision::Selected {
            study: study.id,
            trial: study.number_of_selected(),
        };
        (study, decision)
    })
}

/// Continues the studies that have a run among their trials.
///
/// # Errors
/// A result cannot be read.
pub fn grow(
    plan: &mut Plan,
    freshness: &mut FreshnessOf,
    sweep: &Sweep,
    ledger: &Ledger,
    run: RunId,
) -> Result<Growth, LedgerError> {
    let growth = plan.grow(sweep, ledger, run)?;
    freshness::extend(freshness, &growth.jobs, plan, ledger, &sweep.report)?;
    Ok(growth)
}

/// Keeps the points that these studies have chosen, in the ledger.
///
/// # Errors
/// A file cannot be written.
pub fn keep_studies(
    studies: impl IntoIterator<Item = usize>,
    plan: &mut Plan,
    ledger: &Ledger,
) -> Result<(), LedgerError> {
    for position in studies {
        let study = &mut plan.studies[position];
        if study.kept < study.trials.len() {
            let trials = study.trials.iter();
            let points: Vec<_> = trials.map(|trial| trial.point.clone()).collect();
            ledger.keep_points(study.id, &points)?;
            study.kept = points.len();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use schema::{Device, Metric, Numerics, Trained, TrainingEnd};

    use super::*;
    use crate::{
        ledger::Job,
        plan::{
            StudyState,
            agenda::Agenda,
            costs::Costs,
            tests::{Desk, TWO_METHODS},
        },
        run::scheduler::{Scheduler, Setup},
        visits::visits,
    };

    /// A search for each of these numbers of rows, beside as many rows without one.
    fn searched(rows: usize) -> String {
        let search = "[search]\nstrategy = \"tpe\"\ntrials = 6\nstartup = 2\n";
        let sizes: Vec<String> = (1..=rows).map(|size| size.to_string()).collect();
        let axis = format!("[axes]\n\"model.embedding\" = [{}]\n", sizes.join(", "));
        let sweep = TWO_METHODS
            .replace("name = \"test\"", "name = \"test\"\nseeds = 2\nfolds = 2")
            .replace(
                "loss.triplet = {}",
                "loss.triplet = { margin = { uniform = [0.0, 1.0] } }",
            );
        format!("{sweep}{search}{axis}")
    }

    fn publish(desk: &Desk, run: RunId, score: f64) {
        let trained = Trained {
            end: TrainingEnd::Completed,
            steps: 10,
            kept_step: 10,
            validation: Some([(Metric::MapAtR, score)].into()),
            empty_steps: 0,
            objective: None,
        };
        desk.ledger.publish_trained(run, &trained).unwrap();
    }

    /// The first run of the first search that has no result.
    fn next(desk: &Desk) -> Option<RunId> {
        let trials = desk.plan.studies[0].trials.iter();
        let mut runs = trials.flat_map(|trial| &trial.runs).copied();
        runs.find(|&run| desk.ledger.trained(run).unwrap().is_none())
    }

    /// The values that are visited whenever a training of the first search ends, until the search is over.
    fn visits_of_a_search(rows: usize) -> Vec<usize> {
        let mut desk = Desk::new(&searched(rows), Numerics::Cpu { threads: 1 });
        let mut freshness = desk.freshness();
        let mut agenda = Agenda::new(Costs::read(&desk.plan, &desk.ledger), Device::Cpu);
        let jobs = agenda.all(&desk.plan, &freshness);
        let mut scheduler = Scheduler::new(jobs, Setup::default());
        let mut visited = Vec::new();
        while let Some(run) = next(&desk) {
            publish(&desk, run, 0.1 + 0.01 * visited.len() as f64);
            visited.push(visits(|| {
                let Desk {
                    plan,
                    sweep,
                    ledger,
                    ..
                } = &mut desk;
                let growth = grow(plan, &mut freshness, sweep, ledger, run).unwrap();
                let new = agenda.extend(&growth.jobs, plan, &freshness);
                scheduler.grow(new);
                keep_studies(growth.studies, plan, ledger).unwrap();
            }));
        }
        let is_over = matches!(desk.plan.studies[0].state, StudyState::Selected(_));
        assert!(is_over);
        let chosen = desk.plan.members[0].run;
        assert!(freshness.contains_key(&Job::Evaluate(chosen)));
        visited
    }

    #[test]
    fn what_the_end_of_a_trial_costs_does_not_depend_on_the_rest_of_the_plan() {
        let few = visits_of_a_search(2);
        assert_eq!(few.len(), 6 * 2);
        assert!(few.iter().sum::<usize>() > 0);
        assert_eq!(few, visits_of_a_search(40));
    }
}
