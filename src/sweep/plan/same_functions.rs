//! Rows that are the same function: their runs differ in nothing but how the losses are written, and on the trainer's
//! fixed batches these have the same value and the same gradient.

use std::collections::{BTreeMap, BTreeSet};

use schema::{ObjectiveSample, RunId, canonical_json};

use super::{Member, Plan};

/// Rows that are the same function, by their first members; at least two.
pub struct SameFunction<'p>(pub Vec<&'p Member>);

impl Plan {
    /// Returns the first member of each row that is trained at known values. Rows of repeated searches have several.
    pub fn first_of_rows(&self) -> Vec<&Member> {
        let mut told = BTreeSet::new();
        let is_trained = |member: &&Member| {
            let run = self.runs.get(&member.run);
            let is_known = member.repeat.is_none();
            is_known && run.is_some_and(|run| run.unseeded.recipe.training.is_some())
        };
        self.members_of_rows()
            .filter_map(|members| members.iter().find(is_trained))
            .filter(|member| told.insert(member.row()))
            .collect()
    }

    /// Finds the rows that are the same function, in the order of the table.
    pub fn same_functions(
        &self,
        samples: &BTreeMap<RunId, ObjectiveSample>,
    ) -> Vec<SameFunction<'_>> {
        let mut of_rest: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut found: Vec<SameFunction> = Vec::new();
        for member in self.first_of_rows() {
            let Some(sample) = samples.get(&member.run) else {
                continue;
            };
            let rest = self.runs[&member.run].unseeded.recipe.apart_from_losses();
            let comparable = of_rest.entry(canonical_json(&rest)).or_default();
            let is_same = |&&group: &&usize| sample.agrees(&samples[&found[group].0[0].run]);
            match comparable.iter().find(is_same) {
                Some(&group) => found[group].0.push(member),
                None => {
                    comparable.push(found.len());
                    found.push(SameFunction(vec![member]));
                }
            }
        }
        found.retain(|rows| rows.0.len() > 1);
        found
    }
}

impl SameFunction<'_> {
    /// Returns the rows without those that are the same run as an earlier one, if at least two remain.
    pub fn of_different_runs(mut self) -> Option<Self> {
        let mut told = BTreeSet::new();
        self.0.retain(|member| told.insert(member.run));
        (self.0.len() > 1).then_some(self)
    }

    /// `A, B and C are the same function at their settings`.
    pub fn in_words(&self, plan: &Plan) -> String {
        let names = self.0.iter().map(|member| plan.name_of_row(member));
        let names: Vec<String> = names.collect();
        let (last, others) = (&names[names.len() - 1], &names[..names.len() - 1]);
        format!(
            "{} and {last} are the same function at their settings: value and gradient agree to {:e} on fixed batches",
            others.join(", "),
            ObjectiveSample::TOLERANCE
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Desk, ON_CPU, TWO_METHODS},
        *,
    };

    fn samples(plan: &Plan, value: impl Fn(&Member) -> f64) -> BTreeMap<RunId, ObjectiveSample> {
        let sample = |member: &Member| ObjectiveSample {
            values: vec![value(member)],
            slopes: vec![1.0],
        };
        let members = plan.first_of_rows().into_iter();
        members.map(|member| (member.run, sample(member))).collect()
    }

    fn told(text: &str, value: impl Fn(&Member) -> f64) -> Vec<String> {
        let plan = Desk::new(text, ON_CPU).plan;
        let samples = samples(&plan, value);
        let found = plan.same_functions(&samples);
        found.iter().map(|rows| rows.in_words(&plan)).collect()
    }

    #[test]
    fn rows_whose_samples_agree_are_named() {
        let found = told(TWO_METHODS, |_| 0.5);
        assert_eq!(
            found,
            ["A and B are the same function at their settings: \
              value and gradient agree to 1e-6 on fixed batches"]
        );
        let other = |member: &Member| if member.method == "A" { 0.5 } else { 0.6 };
        assert_eq!(told(TWO_METHODS, other), [""; 0]);
    }

    #[test]
    fn rows_that_differ_in_more_than_their_losses_are_not_the_same() {
        let axes =
            "[axes]\n\"training.optimizer\" = [{ sgd = { lr = 0.1 } }, { sgd = { lr = 0.2 } }]\n";
        let found = told(&format!("{TWO_METHODS}{axes}"), |_| 0.5);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found.iter().all(|text| text.matches("lr").count() == 2),
            "{found:?}"
        );
        let memory = format!("{TWO_METHODS}memory.xbm = {{ size = 8 }}\n");
        assert_eq!(told(&memory, |_| 0.5), [""; 0]);
    }

    #[test]
    fn rows_that_are_the_same_run_are_told_as_that() {
        let third = "[[method]]\nname = \"C\"\nloss.triplet = {}\n";
        let plan = Desk::new(&format!("{TWO_METHODS}{third}"), ON_CPU).plan;
        let value = |member: &Member| if member.method == "B" { 2.0 } else { 1.0 };
        let samples = samples(&plan, value);
        let [found] = plan.same_functions(&samples).try_into().ok().unwrap();
        assert_eq!(found.0.len(), 2);
        assert!(found.of_different_runs().is_none());
    }
}
