//! The learning curves of a sweep's runs, from the events that their trainers reported.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use report::{Curve, Training};
use schema::{Event, RunId};

use crate::{
    ledger::{Job, Ledger, LedgerError},
    plan::{Member, Plan},
};

/// More reports of progress than this are thinned out.
const MOST: usize = 2000;

/// About as many trainings have their curves in a report: more than anybody looks at, and their files can be read in
/// seconds.
const TRAININGS: usize = 10_000;

type Curves = BTreeMap<Curve, Vec<(u64, f64)>>;

/// The curves of a report.
pub(super) struct Courses {
    /// The trainings that have any.
    pub(super) trainings: Vec<Training>,
    /// How many trainings of each row were looked at, if that is not all.
    pub(super) of_each_row: Option<usize>,
}

/// The curves of the runs that a table needs; of very many, those of the first runs of each row.
pub(super) fn courses(plan: &Plan, ledger: &Ledger) -> Result<Courses, LedgerError> {
    let (members, of_each_row) = first_members(plan, TRAININGS);
    let read = |member: &&Member| Ok(training(member, curves(member.run, ledger)?));
    let trainings: Result<Vec<Training>, LedgerError> = members.par_iter().map(read).collect();
    let mut trainings = trainings?;
    trainings.retain(|training| !training.curves.is_empty());
    Ok(Courses {
        trainings,
        of_each_row,
    })
}

/// Returns a member for each training: all, or the first ones of each row, so that they are about `most`. Returns also
/// how many they are of a row, if not all.
fn first_members(plan: &Plan, most: usize) -> (Vec<&Member>, Option<usize>) {
    let mut known = BTreeSet::new();
    let mut members: Vec<&Member> = plan.members.iter().collect();
    members.retain(|member| known.insert((&member.method, &member.settings, member.run)));
    if members.len() <= most {
        return (members, None);
    }
    let of_each_row = (most / plan.members_of_rows().count()).max(1);
    let rows = plan.members_of_rows();
    let members = rows.flat_map(|row| &row[..row.len().min(of_each_row)]);
    (members.collect(), Some(of_each_row))
}

fn training(member: &Member, curves: Curves) -> Training {
    Training {
        dataset: member.dataset.clone(),
        method: member.method.clone(),
        settings: member.settings.clone(),
        seed: member.seed,
        fold: member.fold,
        run: member.run,
        curves,
    }
}

/// What all attempts at a training reported. What an attempt did after the checkpoint from which the next one
/// resumed was done again, and counts once.
fn curves(run: RunId, ledger: &Ledger) -> Result<Curves, LedgerError> {
    let job = Job::Train(run);
    let mut curves = Curves::new();
    for attempt in 1..=ledger.attempts(job)? {
        let path = ledger.attempt_folder(job, attempt).events();
        // An attempt that was killed at once has reported nothing.
        let Ok(text) = durable::read_to_string(&path) else {
            continue;
        };
        for event in events(&text) {
            add(&mut curves, &event);
        }
    }
    Ok(curves)
}

/// The events of an attempt. Its reports of progress, which depend on its speed, count only if it reported nothing
/// better, as earlier versions did, and are thinned out if there are very many.
fn events(text: &str) -> impl Iterator<Item = Event> {
    let is_progress = |line: &str| line.starts_with("{\"progress\"");
    let progress = text.lines().filter(|line| is_progress(line)).count();
    let stride = progress.div_ceil(MOST).max(1);
    let has_course = text.contains("{\"learning\"");
    let mut number = 0;
    let lines = text.lines().filter(move |line| {
        number += usize::from(is_progress(line));
        !is_progress(line) || (!has_course && number.is_multiple_of(stride))
    });
    // A killed trainer may leave half a line.
    lines.filter_map(|line| serde_json::from_str(line).ok())
}

fn add(curves: &mut Curves, event: &Event) {
    let mut point = |curve, step, value: f64| {
        if value.is_finite() {
            curves.entry(curve).or_default().push((step, value));
        }
    };
    match event {
        Event::Started { from } => {
            for points in curves.values_mut() {
                points.retain(|(step, _)| step <= from);
            }
        }
        Event::Progress {
            done,
            loss: Some(loss),
            ..
        } => point(Curve::Loss, *done, *loss),
        Event::Learning {
            step,
            loss,
            rate,
            useful,
        } => {
            point(Curve::Loss, *step, *loss);
            point(Curve::LearningRate, *step, *rate);
            point(Curve::Useful, *step, *useful);
        }
        Event::Scores { step, validation } => {
            for (&metric, &value) in validation {
                point(Curve::Validation(metric), *step, value);
            }
        }
        Event::Memory {
            step,
            drift: Some(drift),
            ..
        } => point(Curve::Drift, *step, *drift),
        Event::Progress { loss: None, .. }
        | Event::Memory { drift: None, .. }
        | Event::Survey { .. }
        | Event::Host(_)
        | Event::Network { .. }
        | Event::Remark { .. }
        | Event::Alive {}
        | Event::Ready {}
        | Event::Checkpoint { .. }
        | Event::Finished(_)
        | Event::Failed { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{Desk, ON_CPU, TWO_METHODS};

    #[test]
    fn of_very_many_trainings_the_first_of_each_row_have_curves() {
        let two = TWO_METHODS.replace("name = \"test\"", "name = \"test\"\nseeds = 4");
        let three = format!("{two}[[method]]\nname = \"C\"\nloss.triplet = {{ margin = 0.3 }}\n");
        let plan = Desk::new(&three, ON_CPU).plan;
        let shown = |most| {
            let (members, of_each_row) = first_members(&plan, most);
            let mut rows: BTreeMap<_, usize> = BTreeMap::new();
            for member in members {
                *rows.entry(&member.method).or_default() += 1;
            }
            (rows.into_values().collect::<Vec<_>>(), of_each_row)
        };
        assert_eq!(shown(12), (vec![4, 4, 4], None));
        assert_eq!(shown(11), (vec![3, 3, 3], Some(3)));
        assert_eq!(shown(2), (vec![1, 1, 1], Some(1)));
    }

    fn curves_of(lines: &[&str]) -> Curves {
        let mut curves = Curves::new();
        events(&lines.join("\n")).for_each(|event| add(&mut curves, &event));
        curves
    }

    #[test]
    fn what_was_done_again_counts_once() {
        let curves = curves_of(&[
            r#"{"started":{"from":0}}"#,
            r#"{"progress":{"done":5,"total":20,"loss":0.5}}"#,
            r#"{"progress":{"done":15,"total":20,"loss":0.4}}"#,
            r#"{"progr"#,
            r#"{"started":{"from":10}}"#,
            r#"{"progress":{"done":15,"total":20,"loss":0.3}}"#,
            r#"{"memory":{"step":16,"fill":1.0,"age":2.0,"drift":0.25}}"#,
        ]);
        assert_eq!(curves[&Curve::Loss], [(5, 0.5), (15, 0.3)]);
        assert_eq!(curves[&Curve::Drift], [(16, 0.25)]);
    }

    #[test]
    fn the_course_of_a_training_counts_more_than_its_progress() {
        let curves = curves_of(&[
            r#"{"started":{"from":0}}"#,
            r#"{"progress":{"done":7,"total":20,"loss":0.5}}"#,
            r#"{"learning":{"step":10,"loss":0.3,"rate":0.1,"useful":0.5}}"#,
        ]);
        assert_eq!(curves[&Curve::Loss], [(10, 0.3)]);
        assert_eq!(curves[&Curve::LearningRate], [(10, 0.1)]);
        assert_eq!(curves[&Curve::Useful], [(10, 0.5)]);
    }

    #[test]
    fn very_many_reports_of_progress_are_thinned_out() {
        let line = |step| format!(r#"{{"progress":{{"done":{step},"total":9000,"loss":1.0}}}}"#);
        let lines: Vec<String> = (1..=9000).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let kept = &curves_of(&lines)[&Curve::Loss];
        assert!((MOST / 2..=MOST).contains(&kept.len()), "{}", kept.len());
    }
}
