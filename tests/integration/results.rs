//! Results outlive data, weights and machines: tables are made from them, and no good table is replaced by
//! one that knows less.

use std::{fs, process::Stdio};

use crate::desk::{Desk, SMALL};

/// Two methods on own images of which only the hash matters to the fake trainer.
fn with_own_data() -> Desk {
    let sweep = SMALL.replace(
        "dataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }",
        "dataset.own = { name = \"birds\" }",
    );
    let desk = Desk::new(&sweep);
    fs::create_dir_all(desk.path("data/birds")).unwrap();
    fs::write(desk.path("data/birds/1.png"), "an image").unwrap();
    let listing = "path,label,class_name,split\n1.png,0,finch,train\n";
    fs::write(desk.path("data/birds/listing.csv"), listing).unwrap();
    desk
}

#[test]
fn a_finished_sweep_needs_neither_its_data_nor_its_machine() {
    let desk = with_own_data();
    desk.run().assert_code(0);
    let before = desk.reports();
    fs::rename(desk.path("data"), desk.path("elsewhere")).unwrap();
    for set in ["resources.threads=1", "resources.threads=3"] {
        desk.sweep(&["report", "sweep.toml", "--set", set])
            .assert_code(0)
            .assert_says("finished runs are used, but the data set `birds` is not in");
        desk.sweep(&["status", "sweep.toml", "--set", set])
            .assert_code(0)
            .assert_says("4 of 4 runs finished");
    }
    let after = desk.reports();
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let values = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with("Made with"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(values(before), values(after), "{name}");
    }
    desk.run().assert_code(0).assert_says("up to date");
    let more = [
        "run",
        "sweep.toml",
        "--set",
        "sweep.seeds=3",
        "--trainer",
        desk.trainer(),
    ];
    desk.sweep(&more)
        .assert_code(1)
        .assert_says("the data set `birds` is not in");
}

#[test]
fn a_table_is_not_replaced_by_one_that_knows_less() {
    let desk = with_own_data();
    desk.run().assert_code(0);
    let before = desk.reports();
    let run = desk.in_runs("record.json").into_keys().next().unwrap();
    let record = desk.path("results/runs").join(run).join("record.json");
    fs::rename(&record, desk.path("record.json")).unwrap();
    desk.sweep(&["report", "sweep.toml"])
        .assert_code(1)
        .assert_says("nothing is written")
        .assert_says("2 results there, 1 now");
    assert_eq!(desk.reports(), before);
    desk.sweep(&["report", "sweep.toml", "--reports", "others"])
        .assert_code(0);
    assert!(desk.read("others/small/table.md").contains("1/2"));
    desk.run().assert_code(0);
    assert_eq!(desk.reports(), before);
}

#[test]
fn data_that_has_changed_since_is_the_cause_of_a_refusal() {
    let desk = with_own_data();
    desk.run().assert_code(0);
    let before = desk.reports();
    fs::write(desk.path("data/birds/1.png"), "another image").unwrap();
    desk.sweep(&["report", "sweep.toml"])
        .assert_code(1)
        .assert_says("2 results there, 0 now")
        .assert_says("the finished runs have another content of the data set");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("0 of 4 runs finished")
        .assert_says("the finished runs have another content of the data set");
    assert_eq!(desk.reports(), before);
}

#[test]
fn a_journal_that_cannot_be_read_costs_no_table() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let before = desk.reports();
    fs::remove_file(desk.path("results/journal.jsonl")).unwrap();
    fs::create_dir(desk.path("results/journal.jsonl")).unwrap();
    desk.sweep(&["report", "sweep.toml"]).assert_code(0);
    assert_eq!(desk.reports(), before);
}

#[test]
fn without_data_and_without_results_there_is_no_table() {
    let desk = with_own_data();
    desk.run().assert_code(0);
    let before = desk.reports();
    fs::remove_dir_all(desk.path("data")).unwrap();
    fs::remove_dir_all(desk.path("results")).unwrap();
    for command in ["report", "status"] {
        desk.sweep(&[command, "sweep.toml"])
            .assert_code(1)
            .assert_says("the data set `birds` is not in");
    }
    assert_eq!(desk.reports(), before);
}

#[test]
fn a_reader_that_goes_away_changes_neither_the_files_nor_the_exit_code() {
    let sweep = SMALL.replace("seeds = 2", "seeds = [0, 103]")
        + "[report]\nlayout = [\"data_sets\", \"benchmark\"]\n";
    let desk = Desk::new(&sweep);
    let mut command = desk.command(&desk.run_arguments());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let names: Vec<String> = desk.reports().into_keys().collect();
    assert_eq!(
        names,
        [
            "results.csv",
            "results.parquet",
            "statistics.csv",
            "statistics.md",
            "table-benchmark.csv",
            "table-benchmark.md",
            "table.csv",
            "table.md"
        ]
    );
}

#[test]
fn published_rows_that_cannot_be_read_are_known_before_anything_runs() {
    for published in ["nowhere.csv", "/dev/zero", "."] {
        let desk = Desk::new(&format!("{SMALL}[report]\npublished = \"{published}\"\n"));
        for command in ["check", "plan", "run", "report"] {
            desk.sweep(&[command, "sweep.toml"])
                .assert_code(1)
                .assert_says(&format!("published = \"{published}\""));
        }
        assert!(!desk.path("results").exists() && !desk.path("reports").exists());
    }
}

#[test]
fn suggested_commands_can_be_pasted_into_a_shell() {
    let desk = Desk::new(SMALL);
    fs::rename(desk.path("sweep.toml"), desk.path("my sweep.toml")).unwrap();
    desk.sweep(&["status", "my sweep.toml", "--results", "my results"])
        .assert_code(0)
        .assert_says("`sweep run 'my sweep.toml' --results 'my results'`");
}

#[test]
fn a_table_of_baselines_names_their_network_and_their_images_and_speaks_of_no_training() {
    let (before, _) = SMALL.split_once("[[method]]").unwrap();
    let trained = "[resources]\ndevice = \"cpu\"\n";
    let network = "Network: conv4; images resized";
    let of = [
        ("untrained", network),
        ("trunk", network),
        ("pixels", "Images resized"),
    ];
    for (baseline, network) in of {
        let method = format!("[[method]]\nname = \"One\"\nbaseline = \"{baseline}\"\n");
        let desk = Desk::new(&format!("{before}{method}{trained}"));
        desk.run().assert_code(0);
        let table = desk.table();
        let fact = format!("Nothing was trained. {network} to 28 x 28.");
        assert!(table.contains(&fact), "{baseline}: {table}");
        for of_training in ["weights", "Weights", "trained on"] {
            assert!(!table.contains(of_training), "{baseline}: {table}");
        }
    }
}

#[test]
fn a_run_that_cannot_read_its_data_leads_to_the_check_of_the_data() {
    let desk = with_own_data();
    let seeds = ["--set", "sweep.seeds=[103]"];
    desk.sweep(&[&desk.run_arguments()[..], &seeds].concat())
        .assert_code(2);
    desk.sweep(&[&["status", "sweep.toml"][..], &seeds].concat())
        .assert_code(2)
        .assert_says("`sweep data check birds` names all images");
}

#[test]
fn a_table_says_what_computed_it_without_changing() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let provenance = desk.read("reports/small/provenance.md");
    for fact in [
        "Computed on Abacus.",
        "Trained and measured by fake-trainer.",
        "The tables show 4 runs; 4 runs of the sweep have a result.",
        "2 recipes (4 runs) have ever been measured on the test classes of Glyphs",
    ] {
        assert!(provenance.contains(fact), "{fact}\n{provenance}");
    }
    let run = desk.in_runs("record.json").into_keys().next().unwrap();
    for file in ["table.csv", "provenance.csv"] {
        assert!(desk.read(&format!("reports/small/{file}")).contains(&run));
    }
    assert!(!desk.table().contains("Abacus"));
}

#[test]
fn runs_of_different_machines_are_told_or_refused() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let more = [
        "run",
        "sweep.toml",
        "--set",
        "sweep.seeds=3",
        "--trainer",
        desk.trainer(),
    ];
    let done = desk
        .command(&more)
        .env("FAKE_PROCESSOR", "Slide rule")
        .output();
    assert!(done.unwrap().status.success());
    assert!(
        desk.table()
            .contains("(Abacus: 4 runs; Slide rule: 2 runs)"),
        "{}",
        desk.table()
    );
    let refused = [
        "report",
        "sweep.toml",
        "--set",
        "sweep.seeds=3",
        "--set",
        "report.homogeneous=true",
    ];
    desk.sweep(&refused)
        .assert_code(1)
        .assert_says("Abacus: 4 runs; Slide rule: 2 runs");
}

#[test]
fn a_repeated_search_is_one_row_whose_repetitions_are_searches() {
    let search = "[search]\nstrategy = \"random\"\ntrials = 2\nrepeats = 3\n\n[data]";
    let sweep = SMALL
        .replace("[data]", &format!("folds = 2\n\n{search}"))
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }");
    let desk = Desk::new(&sweep);
    desk.run().assert_code(0);
    let trials = desk.read("reports/small/search.csv");
    assert_eq!(trials.lines().count(), 1 + 3 * 2, "{trials}");
    assert_eq!(trials.matches(",true,").count(), 3, "{trials}");
    // A method with two seeds on two folds, and three searches with two further seeds each.
    assert_eq!(desk.in_runs("record.json").len(), 2 * 2 + 3 * 2 * 2);
    let results = desk.read("reports/small/results.csv");
    assert!(results.starts_with("dataset,folds,method,is_baseline,search,seed,fold,"));
    for (search, seed) in [(1, 0), (2, 3), (3, 5)] {
        let line = format!("Triplet,false,{search},{seed},1,");
        assert!(results.contains(&line), "{line} in {results}");
    }
    let statistics = desk.read("reports/small/statistics.md");
    assert!(
        statistics.contains("| method | metric | search | seed | fold |"),
        "{statistics}"
    );
    // Another repetition keeps those that are there.
    fs::write(
        desk.path("sweep.toml"),
        sweep.replace("repeats = 3", "repeats = 4"),
    )
    .unwrap();
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("search 4");
    desk.run().assert_code(0);
    assert!(
        desk.read("reports/small/search.csv")
            .starts_with(trials.as_str())
    );
}
