use schema::Dataset;

use crate::{
    Caption, Compare, Description, Layout, Row, RunState, Sort, Table, table,
    tests::{METRICS, example, finished, row},
};

fn table_of(rows: &[Row]) -> Table {
    let description = Description {
        compare: &Compare::Rows,
        pivot: None,
        sort: Sort::File,
        layout: Layout::DataSets,
        metrics: &|_: &Dataset| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        caption: &Caption::default(),
    };
    table(rows, &description).unwrap()
}

/// What a table of `rows` lacks of one in which `changed` was done to them.
fn lost(rows: &[Row], change: impl Fn(&mut Row)) -> Vec<String> {
    let mut changed = rows.to_vec();
    changed.iter_mut().for_each(change);
    table_of(&changed).lost(&table_of(rows).csv().unwrap())
}

#[test]
fn results_that_are_not_found_are_lost() {
    let rows = example();
    assert_eq!(lost(&rows, |_| ()), Vec::<String>::new());
    let all = lost(&rows, |row| row.state = RunState::Missing);
    assert_eq!(
        all,
        [
            "Glyphs (synthetic), Pixels: 1 result there, 0 now",
            "Glyphs (synthetic), Contrastive: 4 results there, 0 now",
            "Glyphs (synthetic), Triplet: 2 results there, 0 now",
        ]
    );
    let one = lost(&rows, |row| {
        if row.method == "Contrastive" && row.seed == 3 {
            row.state = RunState::Missing;
        }
    });
    assert_eq!(
        one,
        ["Glyphs (synthetic), Contrastive: 4 results there, 3 now"]
    );
}

#[test]
fn results_under_other_headings_are_not_replaced_by_fewer() {
    let rows = example();
    let earlier = table_of(&rows).csv().unwrap().replace("method", "Method");
    assert!(table_of(&rows).lost(&earlier).is_empty());
    let mut fewer = rows.clone();
    fewer[0].state = RunState::Missing;
    let lost = table_of(&fewer).lost(&earlier);
    assert_eq!(
        lost,
        ["7 results there under other headings, 6 of the sweep as it is now"]
    );
}

#[test]
fn a_failure_is_an_outcome_and_an_unmeasured_metric_is_lost() {
    let rows = [row("A", "One", 0, finished(0.5, 0.4))];
    let failed = RunState::Failed {
        class: schema::Failure::Data,
        message: "no".to_owned(),
    };
    assert!(lost(&rows, |row| row.state = failed.clone()).is_empty());
    let unmeasured = lost(&rows, |row| {
        if let RunState::Finished(evaluated) = &mut row.state {
            evaluated.scores.remove(&METRICS[1]);
        }
    });
    assert_eq!(unmeasured, ["A, One: map@r there, not now"]);
}

#[test]
fn what_the_sweep_no_longer_has_is_not_lost() {
    let earlier = table_of(&example()).csv().unwrap();
    let other = table_of(&[row("A", "Another", 0, RunState::Missing)]);
    assert!(other.lost(&earlier).is_empty());
    assert!(other.is_of_another_sweep(&earlier));
    assert!(!table_of(&example()).is_of_another_sweep(&earlier));
    assert!(!other.is_of_another_sweep(""));
    assert!(other.lost("").is_empty());
    assert!(other.lost("method,n,of\n\"broken").is_empty());
}
