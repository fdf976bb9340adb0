//! The usual course of a sweep: check, plan, run, report, run again.

use std::{fs, path::Path};

use schema::{Distance, Loss, Memory, Miner, Optimizer, Reduction, Sampler, Schedule};
use sweep::config::Rule;

use crate::desk::{Desk, SMALL};

#[test]
fn a_sweep_runs_to_its_table_and_a_second_time_runs_nothing() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["check", "sweep.toml"])
        .assert_code(0)
        .assert_says("OK: 2 methods x 2 seeds = 4 results");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("train        4 to do,    0 done");
    let first = desk
        .run()
        .assert_code(0)
        .assert_says("Contrastive  ")
        .assert_says("written to reports/small");
    assert_eq!(desk.finished().len(), 1 + 4 + 4);

    desk.sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says("4 of 4 runs finished");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("train        0 to do,    4 done");
    let table = desk.table();
    let second = desk.run().assert_code(0).assert_says("up to date");
    assert_eq!((first.out, table), (second.out, desk.table()));
    assert_eq!(
        desk.finished().values().sum::<usize>(),
        1 + 4 + 4,
        "nothing was run twice"
    );
}

#[test]
fn the_table_is_the_same_however_it_is_asked_for() {
    let desk = Desk::new(SMALL);
    let run = desk.run().assert_code(0);
    let table = desk.table();
    let report = desk.sweep(&["report", "sweep.toml"]).assert_code(0);
    assert_eq!((run.out, table), (report.out, desk.table()));
    let csv = desk.read("reports/small/table.csv");
    assert!(csv.starts_with("dataset,method,"), "{csv}");
    assert_eq!(csv.lines().count(), 3);
}

#[test]
fn an_edited_sweep_keeps_what_it_can() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let edited = SMALL
        .replace("margin = 0.2", "margin = 0.3")
        .replace("seeds = 2", "seeds = 3");
    std::fs::write(desk.path("sweep.toml"), edited).unwrap();
    // Contrastive has one more seed; Triplet has three new runs.
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("train        4 to do,    2 done");
    desk.run().assert_code(0);
    assert_eq!(desk.in_runs("record.json").len(), 4 + 4);
}

#[test]
fn a_new_metric_costs_no_training() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    std::fs::write(
        desk.path("sweep.toml"),
        format!("{SMALL}\n[report]\nmetrics = [\"recall@16\"]"),
    )
    .unwrap();
    desk.sweep(&["plan", "sweep.toml"])
        .assert_says("evaluate: not yet measured: recall@16");
    desk.run().assert_code(0).assert_says("R@16");
    std::fs::write(desk.path("sweep.toml"), SMALL).unwrap();
    desk.run().assert_code(0).assert_says("up to date");
}

#[test]
fn the_plan_can_be_read_by_programs() {
    let desk = Desk::new(SMALL);
    let plan = desk.sweep(&["plan", "sweep.toml", "--json"]).assert_code(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    assert_eq!(plan["members"].as_array().unwrap().len(), 4);
    assert_eq!(plan["runs"].as_object().unwrap().len(), 4);
    let run = plan["members"][0]["run"].as_str().unwrap();
    assert_eq!(
        plan["runs"][run]["made_of"]["recipe"]["training"]["steps"],
        12
    );
    assert!(plan["memory"]["evaluation"].as_u64() > Some(1 << 28));
    assert!(!desk.path("results").exists(), "planning writes nothing");
}

#[test]
fn axes_become_columns_and_folds_become_repetitions() {
    let with_axis = SMALL.replace(
        "[training]",
        "[axes]\n\"model.embedding\" = [8, 16]\n[training]",
    );
    let desk = Desk::new(&with_axis.replace("seeds = 2", "seeds = 1\nfolds = 2"));
    desk.run().assert_code(0).assert_says("embedding");
    assert_eq!(desk.in_runs("record.json").len(), 2 * 2 * 2);
}

#[test]
fn help_is_printed_without_libtorch() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["--help"])
        .assert_code(0)
        .assert_says("Exit codes");
    let loaded = std::process::Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_sweep"))
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&loaded.stdout).contains("torch"));
}

#[test]
fn sweep_show_lists_every_part_and_its_output_is_valid_in_a_sweep_file() {
    let desk = Desk::new(SMALL);
    for (kind, first, count) in [
        ("losses", "loss.contrastive = {", Loss::every().len()),
        ("miners", "miner.semi_hard = {", Miner::every().len()),
        (
            "memories",
            "memory.xbm = { size = 1024",
            Memory::every().len(),
        ),
        (
            "distances",
            "distance = \"cosine\"",
            Distance::every().len(),
        ),
        (
            "reductions",
            "reduction = \"mean\"",
            Reduction::every().len(),
        ),
        (
            "samplers",
            "sampler.m_per_class = { batch = 32, per_class = 4 }",
            Sampler::every().len(),
        ),
        ("optimizers", "optimizer.adam = {", Optimizer::every().len()),
        ("schedules", "schedule.cosine = {", Schedule::every().len()),
        (
            "rules",
            "F4  all methods have as many images in a step",
            Rule::ALL.len(),
        ),
    ] {
        let shown = desk
            .sweep(&["show", kind])
            .assert_code(0)
            .assert_says(first)
            .out;
        let parts: Vec<&str> = shown
            .lines()
            .filter(|line| !line.starts_with(' ') && !line.is_empty())
            .collect();
        assert_eq!(parts.len(), count, "{shown}");
        for part in parts.into_iter().filter(|_| kind == "losses") {
            std::fs::write(
                desk.path("shown.toml"),
                SMALL.replace("loss.triplet = { margin = 0.2 }", part),
            )
            .unwrap();
            desk.sweep(&["check", "shown.toml"]).assert_code(0);
        }
    }
    desk.sweep(&["show", "losses", "nothing"]).assert_code(1);
}

#[test]
fn a_violated_rule_is_shown_in_the_file_and_below_the_table_until_it_is_waived() {
    let own_batch = "sampler.m_per_class = { batch = 16 }\n\n[resources]";
    let unfair = SMALL
        .replace("seeds = 2", "seeds = 3")
        .replace("[resources]", own_batch);
    let desk = Desk::new(&unfair);
    let what = "Triplet: 16 images in a step (Contrastive: 8 images in a step)";
    desk.sweep(&["check", "sweep.toml"])
        .assert_code(0)
        .assert_says(what)
        .assert_says("sweep.toml:26");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says(&format!("F4 {what} (line 26)"));
    desk.run().assert_code(0);
    assert!(
        desk.table().contains(&format!("does not hold: {what}.")),
        "{}",
        desk.table()
    );
    let waiver = "[[waive]]\nrule = \"F4\"\nreason = \"it needs more.\"\n";
    std::fs::write(desk.path("sweep.toml"), format!("{unfair}\n{waiver}")).unwrap();
    assert!(
        !desk
            .sweep(&["plan", "sweep.toml"])
            .assert_code(0)
            .out
            .contains("fairness")
    );
    desk.sweep(&["report", "sweep.toml"]).assert_code(0);
    assert!(
        desk.table().contains("Reason: it needs more."),
        "{}",
        desk.table()
    );
}

#[test]
fn each_layout_is_a_table_with_its_files() {
    let report =
        "[report]\nlayout = [\"reality_check\", \"benchmark\"]\npublished = \"quoted.csv\"\n";
    let desk = Desk::new(&format!(
        "{}\n{report}",
        SMALL.replace("seeds = 2", "seeds = 2\nfolds = 2")
    ));
    let quoted = "dataset,folds,method,source,recall@1\nglyphs,,HDC,its paper,53.6\n";
    std::fs::write(desk.path("quoted.csv"), quoted).unwrap();
    desk.run()
        .assert_code(0)
        .assert_says("HDC")
        .assert_says("table-benchmark.md, table-benchmark.csv");
    assert!(
        desk.table().contains("concatenated<br>P@1") && desk.table().contains("separated<br>P@1"),
        "{}",
        desk.table()
    );
    assert!(
        desk.read("reports/small/table-benchmark.md")
            .contains("| *HDC* | *53.6* |")
    );
    assert!(
        desk.read("reports/small/statistics.md")
            .contains("### Glyphs (synthetic), concatenated")
    );
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("8 of 8 runs finished, 0 begun; 4 of 4 ensembles measured");
    std::fs::write(
        desk.path("quoted.csv"),
        "dataset,folds,method,source\nglyphs,two,HDC,its paper\n",
    )
    .unwrap();
    desk.sweep(&["report", "sweep.toml"])
        .assert_code(1)
        .assert_says("`two` in `folds`");
}

#[test]
fn data_sets_of_one_title_have_a_table_each() {
    let datasets = "[axes]\ndataset = [\n\
                    { glyphs = { classes = 8, test_classes = 4, per_class = 4 } },\n\
                    { glyphs = { classes = 6, test_classes = 4, per_class = 4 } },\n]\n";
    let sweep = SMALL
        .replace(
            "[data]\ndataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }\n",
            datasets,
        )
        .replace("name = \"Contrastive\"", "name = \"Triplet seed 1\"");
    let desk = Desk::new(&sweep);
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("Glyphs (synthetic), 8 classes: Triplet, seed 1 ")
        .assert_says("Glyphs (synthetic), 6 classes: Triplet seed 1, seed 1 ");
    desk.run().assert_code(0);
    let table = desk.table();
    assert!(
        table.contains("## Glyphs (synthetic), 8 classes\n"),
        "{table}"
    );
    assert!(
        table.contains("## Glyphs (synthetic), 6 classes\n"),
        "{table}"
    );
    let rows = table.lines().filter(|line| line.starts_with("| Triplet"));
    let runs: Vec<&str> = rows.filter_map(|row| row.rsplit(" | ").next()).collect();
    assert_eq!(runs, ["2 |"; 4], "two seeds of each row");
}

#[test]
fn a_report_is_written_in_every_format_that_is_asked_for() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let page = desk.read("reports/small/index.html");
    assert!(page.contains("Contrastive"), "{page}");
    assert!(desk.read("reports/small/curves.csv").contains(",loss,"));
    let formats = ["report", "sweep.toml", "--format", "latex,json,tidy,text"];
    desk.sweep(&formats).assert_code(0);
    for file in [
        "table.tex",
        "table-numbers.tex",
        "table.json",
        "table-tidy.csv",
        "table.txt",
    ] {
        let text = desk.read(&format!("reports/small/{file}"));
        assert!(text.contains("Contrastive"), "{file}: {text}");
    }
    desk.sweep(&["report", "sweep.toml", "--format", "pdf"])
        .assert_code(1)
        .assert_says("latex");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reports.md");
    let page = fs::read_to_string(page).unwrap();
    for entry in fs::read_dir(desk.path("reports/small")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/reports.md: {name}"
        );
    }
}

#[test]
fn three_data_sets_and_a_pivot_have_the_files_that_the_page_promises() {
    let axes = "[axes]\n\"model.embedding\" = [8, 16]\ndataset = [\n\
                { glyphs = { classes = 8, test_classes = 4, per_class = 4 } },\n\
                { glyphs = { classes = 6, test_classes = 4, per_class = 4 } },\n\
                { glyphs = { classes = 4, test_classes = 4, per_class = 4 } },\n]\n\
                [report]\npivot = \"model.embedding\"\n";
    let sweep = SMALL
        .replace(
            "[data]\ndataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }\n",
            axes,
        )
        .replace("embedding = 16\n", "");
    let desk = Desk::new(&sweep);
    desk.run().assert_code(0);
    let formats = "latex,html,tensorboard";
    let report = desk
        .sweep(&["report", "sweep.toml", "--json", "--format", formats])
        .assert_code(0);
    let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["tables"][0]["pivots"].as_array().unwrap().len(), 3);
    let files: Vec<&str> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file.as_str())
        .collect();
    let has = |name: &str| {
        files
            .iter()
            .any(|file| file.contains(name) && desk.path(file).is_file())
    };
    for name in [
        "table-pivot.csv",
        "profile.csv",
        "ranks.svg",
        "ranks.tex",
        "tensorboard/",
    ] {
        assert!(has(name), "{name}: {files:?}");
    }
}

#[test]
fn a_report_is_one_object_with_its_tables_and_files() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let report = desk
        .sweep(&["report", "sweep.toml", "--json"])
        .assert_code(0);
    let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    let files = report["files"].as_array().unwrap();
    for file in files {
        assert!(desk.path(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(report["tables"][0]["cells"][0]["method"], "Contrastive");
}

#[test]
fn a_finished_sweep_is_not_watched_any_longer() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    desk.sweep(&["report", "sweep.toml", "--watch"])
        .assert_code(0)
        .assert_says("written to reports/small");
    assert!(
        !desk
            .read("reports/small/index.html")
            .contains("http-equiv=\"refresh\"")
    );
}
