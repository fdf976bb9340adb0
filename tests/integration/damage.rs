//! Damaged files under `results/` are told, never counted, and made again by the same command.

use std::{fs, path::Path, process::Command};

use crate::desk::{Desk, SMALL};

/// A sweep with folds and a search, so that every kind of file is there.
fn searched() -> String {
    let search = "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 3\nstartup = 2\n\n[data]";
    SMALL
        .replace("seeds = 2", "seeds = 1")
        .replace("steps = 12", "steps = 3")
        .replace("[data]", search)
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }")
}

/// Damages a file.
type Harm = fn(&Path);

fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn another_digit(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let place = text.rfind("0.").map_or(0, |point| point + 2);
    let place = place
        + text[place..]
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap();
    let digit = if text[place..].starts_with('7') {
        "3"
    } else {
        "7"
    };
    fs::write(path, [&text[..place], digit, &text[place + 1..]].concat()).unwrap();
}

/// The first file of this name in one of the folders of `results/`.
fn first(desk: &Desk, folder: &str, name: &str) -> std::path::PathBuf {
    let mut folders: Vec<_> = fs::read_dir(desk.path(&format!("results/{folder}")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut files = folders.into_iter().map(|folder| folder.join(name));
    files.find(|file| file.is_file()).unwrap()
}

#[test]
fn damage_is_told_and_healed_and_the_table_stays() {
    let desk = Desk::new(&searched());
    desk.run().assert_code(0);
    let (table, search) = (desk.table(), desk.read("reports/small/search.csv"));
    let damages: [(&str, &str, Harm); 4] = [
        ("runs", "record.json", another_digit),
        ("runs", "trained.json", |path| fs::write(path, "").unwrap()),
        ("runs", "identity.json", another_digit),
        ("ensembles", "record.json", pipe),
    ];
    for (folder, name, damage) in damages {
        damage(&first(&desk, folder, name));
        let report = desk.sweep(&["report", "sweep.toml"]).assert_code(1);
        report.assert_says(&format!("{name}` is damaged"));
        assert_eq!(desk.table(), table, "{folder} {name}");
        let run = desk.run().assert_code(0);
        run.assert_says(&format!("{name}.damaged"));
        assert_eq!(desk.table(), table, "{folder} {name}");
        assert_eq!(desk.read("reports/small/search.csv"), search);
    }
    desk.run().assert_code(0).assert_says("up to date");
}

#[test]
fn reading_commands_name_damage_and_do_not_count_it() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    another_digit(&first(&desk, "runs", "record.json"));
    let status = desk.sweep(&["status", "sweep.toml"]).assert_code(0);
    let status = status.assert_says("record.json` is damaged");
    status.assert_says("3 of 4 runs finished");
    let plan = desk.sweep(&["plan", "sweep.toml"]).assert_code(0);
    plan.assert_says("record.json` is damaged");
}

#[test]
fn a_damaged_network_is_trained_again_before_it_is_measured() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let table = desk.table();
    let model = first(&desk, "runs", "model.safetensors");
    let whole = fs::read(&model).unwrap();
    fs::remove_file(model.with_file_name("record.json")).unwrap();
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    fs::write(&model, damaged).unwrap();
    let run = desk.run().assert_code(0);
    run.assert_says("model.safetensors` is damaged: its checksum does not match");
    assert_eq!((fs::read(&model).unwrap(), desk.table()), (whole, table));
}

#[test]
fn measuring_waits_for_data_that_is_prepared_again() {
    let sweep = SMALL.replace("seeds = 2", "seeds = 1\nfolds = 2");
    let desk = Desk::new(&sweep);
    desk.run().assert_code(0);
    let table = desk.table();
    fs::remove_file(first(&desk, "data", "index.json")).unwrap();
    for folder in ["runs", "ensembles"] {
        fs::remove_file(first(&desk, folder, "record.json")).unwrap();
    }
    let before = desk.journal().len();
    desk.run().assert_code(0);
    assert_eq!(desk.table(), table);
    let journal = desk.journal();
    let prepared = |entry: &serde_json::Value| !entry["what"]["ended"]["job"]["prepare"].is_null();
    let measured = |entry: &serde_json::Value| {
        let job = &entry["what"]["started"]["job"];
        !job["evaluate"].is_null() || !job["ensemble"].is_null()
    };
    let prepared = journal[before..].iter().position(prepared).unwrap();
    let measured = journal[before..].iter().position(measured).unwrap();
    assert!(prepared < measured, "{:?}", &journal[before..]);
}

#[test]
fn leftovers_of_kills_are_removed_at_the_next_start() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let record = first(&desk, "runs", "record.json");
    let folder = record.parent().unwrap().to_owned();
    fs::remove_file(&record).unwrap();
    let leftovers = [
        folder.join("record.json.incomplete"),
        folder.join("checkpoint.safetensors"),
        desk.path("results/fingerprints.json.incomplete"),
        desk.path("reports/small/table.md.incomplete"),
    ];
    for leftover in &leftovers {
        fs::write(leftover, "half").unwrap();
    }
    desk.run().assert_code(0);
    for leftover in &leftovers {
        assert!(!leftover.exists(), "{}", leftover.display());
    }
}

#[test]
fn a_damaged_journal_is_told_once_and_stops_nothing() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let table = desk.table();
    let journal = desk.path("results/journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("opened", "0pened", 1)).unwrap();
    for told in [true, false] {
        fs::remove_file(first(&desk, "runs", "record.json")).unwrap();
        desk.sweep(&["plan", "sweep.toml"]).assert_code(0);
        let run = desk.run().assert_code(0);
        assert_eq!(
            run.err.contains("1 damaged line in the journal"),
            told,
            "{}",
            run.err
        );
        assert_eq!(desk.table(), table);
    }
    pipe(&journal);
    fs::remove_file(first(&desk, "runs", "record.json")).unwrap();
    desk.sweep(&["plan", "sweep.toml"]).assert_code(0);
    desk.run().assert_code(0);
    assert_eq!(desk.table(), table);
}
