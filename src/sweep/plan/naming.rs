//! Names of rows, runs and jobs for people: made from data, here alone.
//!
//! Plans, progress, status and captions show the same names. Nothing is looked up by a name, and no
//! name is taken apart again. A name tells the data set if the sweep has several.

use std::fmt;

use report::Setting;
use schema::{EnsembleId, Fold, RunId, visible::one_line};

use super::{Member, Plan, Study};
use crate::ledger::Job;

/// A repetition of a row: `Omniglot: Triplet, model.embedding = 64, seed 1, fold 2 of 4`.
struct Repetition<'p> {
    dataset: Option<&'p str>,
    method: &'p str,
    settings: &'p [Setting],
    /// The repetition of its search, from 0.
    repeat: Option<usize>,
    number: Number,
    fold: Option<Fold>,
    map: Option<u32>,
}

/// Which repetition of a row a run is.
enum Number {
    Seed(u64),
    /// A trial of the search for the row, counted from 1.
    Trial(usize),
}

impl fmt::Display for Repetition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dataset) = self.dataset {
            write!(f, "{dataset}: ")?;
        }
        write!(f, "{}", one_line(self.method))?;
        for setting in self.settings {
            write!(f, ", {}", one_line(&setting.to_string()))?;
        }
        if let Some(repeat) = self.repeat {
            write!(f, ", search {}", repeat + 1)?;
        }
        match self.number {
            Number::Seed(seed) => write!(f, ", seed {seed}")?,
            Number::Trial(trial) => write!(f, ", trial {trial}")?,
        }
        if let Some(fold) = self.fold {
            write!(f, ", fold {} of {}", fold.index + 1, fold.of)?;
        }
        match self.map {
            Some(map) => write!(f, ", label map {}", map + 1),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// Names a member: `Omniglot: Triplet, seed 1, fold 2 of 4`.
    pub fn name_of_member(&self, member: &Member) -> String {
        let number = Number::Seed(member.seed);
        Repetition {
            map: member.map,
            ..self.repetition(member, number, member.fold)
        }
        .to_string()
    }

    /// Names the first member whose result a run is, or the trial to which it belongs:
    /// `Omniglot: Triplet, trial 3, fold 2 of 4`.
    pub fn name_of_run(&self, run: RunId) -> String {
        if let Some(member) = self.member_of(run) {
            return self.name_of_member(member);
        }
        let Some((study, trial)) = self.trial_of(run) else {
            return run.to_string();
        };
        let runs = &study.trials[trial].runs;
        let fold = runs.iter().position(|other| *other == run).unwrap_or(0);
        let member = &self.members[study.members.start + fold];
        let number = Number::Trial(trial + 1);
        self.repetition(member, number, member.fold).to_string()
    }

    /// Names all folds or label maps of a cell and seed: `Omniglot: Triplet, seed 1`.
    pub fn name_of_ensemble(&self, id: EnsembleId) -> String {
        let planned = self.ensembles.get(&id);
        let first = planned.and_then(|planned| planned.members.first());
        match first.map(|position| &self.members[*position]) {
            Some(member) => {
                let number = Number::Seed(member.seed);
                self.repetition(member, number, None).to_string()
            }
            None => id.to_string(),
        }
    }

    /// Names a job: `train Omniglot: Triplet, seed 1`.
    pub fn name_of_job(&self, job: Job) -> String {
        let name = match job {
            Job::Prepare(data) => match self.data.get(&data) {
                Some(planned) => self.titles.title(&planned.dataset).to_owned(),
                None => data.to_string(),
            },
            Job::Train(run) | Job::Evaluate(run) => self.name_of_run(run),
            Job::Ensemble(id) => self.name_of_ensemble(id),
        };
        format!("{} {name}", job.verb())
    }

    /// Names the row that a study searches for: `Triplet on Omniglot, model.embedding = 64`; and which of several
    /// repetitions of the search it is: `Triplet, search 2`.
    pub fn name_of_study(&self, study: &Study) -> String {
        let row = self.name_of_row(&self.members[study.members.start]);
        match study.repeat {
            Some(repeat) => format!("{row}, search {}", repeat + 1),
            None => row,
        }
    }

    /// Names the row of a member: `Triplet on Omniglot, model.embedding = 64`.
    pub fn name_of_row(&self, member: &Member) -> String {
        let mut name = one_line(&member.method);
        if let Some(dataset) = self.dataset_in_names(member) {
            name.push_str(&format!(" on {dataset}"));
        }
        for setting in &member.settings {
            name.push_str(&format!(", {}", one_line(&setting.to_string())));
        }
        name
    }

    /// Names a method on a data set: `Omniglot: Triplet`.
    pub fn name_of_method(&self, member: &Member) -> String {
        let method = one_line(&member.method);
        match self.dataset_in_names(member) {
            Some(dataset) => format!("{dataset}: {method}"),
            None => method,
        }
    }

    /// The title of a member's data set.
    pub fn title_of<'p>(&'p self, member: &'p Member) -> &'p str {
        self.titles.title(&member.dataset)
    }

    /// The title of a member's data set, if names tell it.
    fn dataset_in_names<'p>(&'p self, member: &'p Member) -> Option<&'p str> {
        self.titles.are_several().then(|| self.title_of(member))
    }

    fn repetition<'p>(
        &'p self,
        member: &'p Member,
        number: Number,
        fold: Option<Fold>,
    ) -> Repetition<'p> {
        Repetition {
            dataset: self.dataset_in_names(member),
            method: &member.method,
            settings: &member.settings,
            repeat: member.repeat,
            number,
            fold,
            map: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::tests::{Desk, ON_CPU};

    /// Two data sets of one title, methods whose names contain each other and the words of a name, one
    /// of them searched.
    const SWEEP: &str = r#"
        [sweep]
        name = "test"
        seeds = 2
        folds = 2
        [model]
        backbone = "conv4"
        [axes]
        dataset = [
            { glyphs = { classes = 20, test_classes = 10 } },
            { glyphs = { classes = 40, test_classes = 10 } },
        ]
        "model.embedding" = [16, 32]
        [training]
        steps = 10
        sampler.m_per_class = { batch = 8 }
        optimizer.sgd = {}
        [search]
        strategy = "random"
        trials = 2
        [[method]]
        name = "Triplet"
        loss.triplet = {}
        [[method]]
        name = "Triplet seed 1"
        loss.triplet = { margin = { uniform = [0, 1] } }
        [[method]]
        name = "Triplet, trial 1, fold 1 of 2"
        loss.triplet = { margin = 0.3 }
        [[method]]
        name = "a|\"b\" c"
        loss.triplet = { margin = 0.4 }
    "#;

    fn plan() -> Plan {
        plan_of(SWEEP)
    }

    fn plan_of(sweep: &str) -> Plan {
        Desk::new(sweep, ON_CPU).plan
    }

    #[test]
    fn every_member_and_every_run_has_a_name_of_its_own() {
        let plan = plan();
        let members = plan.members.iter();
        let names: BTreeSet<String> = members.map(|it| plan.name_of_member(it)).collect();
        assert_eq!(names.len(), 2 * 2 * 2 * 2 * 4);
        assert!(names.iter().all(|name| !name.contains('\n')));
        assert!(names.contains(
            "Glyphs (synthetic), 20 classes: Triplet, model.embedding = 16, seed 1, fold 2 of 2"
        ));
        let runs = plan.runs.keys();
        let names: BTreeSet<String> = runs.map(|run| plan.name_of_run(*run)).collect();
        assert_eq!(names.len(), plan.runs.len());
        let ensembles = plan.ensembles.keys();
        let names: BTreeSet<String> = ensembles.map(|id| plan.name_of_ensemble(*id)).collect();
        assert_eq!(names.len(), plan.ensembles.len());
    }

    #[test]
    fn networks_on_label_maps_are_one_ensemble_for_each_seed() {
        let sweep = SWEEP
            .replace("folds = 2", "")
            .replace("{ margin = { uniform = [0, 1] } }", "{ margin = 0.2 }")
            .replace(
                "margin = 0.4 }",
                "margin = 0.4 }\nlabel_maps = { members = 3, classes = 5 }",
            );
        let (search, _) = sweep.split_once("[search]").unwrap();
        let methods = sweep.split_once("[[method]]").unwrap().1;
        let plan = plan_of(&format!("{search}[[method]]{methods}"));
        let mapped = |run: &RunId| {
            let recipe = &plan.runs[run].unseeded.recipe;
            recipe
                .training
                .as_ref()
                .unwrap()
                .label_map
                .map(|map| map.index)
        };
        // Two data sets, two widths, two seeds.
        assert_eq!(plan.ensembles.len(), 2 * 2 * 2);
        for (id, ensemble) in &plan.ensembles {
            let maps: Vec<_> = ensemble.runs.iter().map(mapped).collect();
            assert_eq!(maps, [Some(0), Some(1), Some(2)]);
            let name = plan.name_of_ensemble(*id);
            assert!(!name.contains("label map"), "{name}");
            let last = plan.name_of_run(ensemble.runs[2]);
            assert_eq!(last, format!("{name}, label map 3"));
        }
        let names: BTreeSet<String> = plan.runs.keys().map(|run| plan.name_of_run(*run)).collect();
        assert_eq!(names.len(), plan.runs.len());
    }

    #[test]
    fn a_trial_is_named_as_one_whatever_its_method_is_called() {
        let plan = plan();
        let study = &plan.studies[0];
        let run = study.trials[0].runs[1];
        assert_eq!(
            plan.name_of_job(Job::Train(run)),
            "train Glyphs (synthetic), 20 classes: Triplet seed 1, model.embedding = 16, trial 1, fold 2 of 2"
        );
        assert_eq!(
            plan.name_of_study(study),
            "Triplet seed 1 on Glyphs (synthetic), 20 classes, model.embedding = 16"
        );
    }

    #[test]
    fn the_only_data_set_of_a_sweep_is_in_no_name() {
        let several = "{ glyphs = { classes = 40, test_classes = 10 } },";
        let plan = plan_of(&SWEEP.replace(several, ""));
        let study = &plan.studies[0];
        let run = study.trials[0].runs[1];
        assert_eq!(
            plan.name_of_job(Job::Train(run)),
            "train Triplet seed 1, model.embedding = 16, trial 1, fold 2 of 2"
        );
        assert_eq!(
            plan.name_of_study(study),
            "Triplet seed 1, model.embedding = 16"
        );
    }

    #[test]
    fn rows_are_told_apart_by_their_values() {
        let plan = plan();
        let rows: BTreeSet<_> = plan.members.iter().map(Member::row).collect();
        assert_eq!(rows.len(), 2 * 2 * 4);
    }
}
