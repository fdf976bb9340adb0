use std::process::Command;

use schema::{Evaluated, Metric, Outcome, TrainingEnd};
use serde_json::json;

use super::*;

fn run(number: u64) -> RunId {
    format!("{number:016x}").parse().unwrap()
}

fn evaluated(score: f64) -> Evaluated {
    serde_json::from_value(json!({
        "classes": 4, "images": 80, "lone": 0, "scores": { "map@r": score }
    }))
    .unwrap()
}

fn trained(steps: u64) -> Trained {
    Trained {
        end: TrainingEnd::Completed,
        steps,
        kept_step: steps,
        validation: Some([(Metric::MapAtR, 0.25)].into()),
        empty_steps: 0,
        objective: None,
    }
}

fn study(number: u64) -> StudyId {
    StudyId::of(&number.to_string())
}

fn job(number: u64) -> Job {
    Job::Train(run(number))
}

/// Writes a result of each kind, different for each number.
fn write_all(ledger: &Ledger, number: u64) {
    let id = run(number);
    let folder = ledger.run(id);
    let score = number as f64 / 8.0;
    durable::write(&folder.model(), format!("network {number}").as_bytes()).unwrap();
    durable::write(&folder.queries(), format!("queries {number}").as_bytes()).unwrap();
    ledger.publish_trained(id, &trained(number)).unwrap();
    let outcome = Outcome::Finished(evaluated(score));
    let record = Record {
        schema: SCHEMA,
        run: id,
        outcome,
    };
    ledger.publish_record(&record).unwrap();
    let record = EnsembleRecord {
        schema: SCHEMA,
        runs: vec![id, run(9)],
        evaluated: evaluated(score),
    };
    let ensemble = EnsembleId::of(&record.runs);
    ledger.publish_ensemble(ensemble, &record).unwrap();
    let point = TrialPoint::from([("training.steps".to_owned(), json!(number))]);
    ledger.keep_points(study(number), &[point]).unwrap();
    let exit = ended(AttemptEnd::Finished, number);
    ledger.note_exit(job(number), 1, &exit).unwrap();
}

fn ended(end: AttemptEnd, code: u64) -> AttemptExit {
    AttemptExit {
        end,
        code: Some(code as i32),
        signal: None,
        computation: None,
    }
}

/// A kind of sealed file: its path, and whether its content is read.
type Kind = (fn(&Ledger, u64) -> PathBuf, fn(&Ledger, u64) -> bool);

fn kinds() -> [Kind; 5] {
    [
        (
            |ledger, number| ledger.run(run(number)).record(),
            |ledger, number| matches!(ledger.state(run(number)).unwrap(), RunStage::Recorded(_)),
        ),
        (
            |ledger, number| ledger.run(run(number)).trained(),
            |ledger, number| ledger.trained(run(number)).unwrap().is_some(),
        ),
        (
            |ledger, number| {
                let ensemble = EnsembleId::of(&[run(number), run(9)]);
                ledger.ensemble(ensemble).record()
            },
            |ledger, number| {
                let ensemble = EnsembleId::of(&[run(number), run(9)]);
                ledger.ensemble_record(ensemble).unwrap().is_some()
            },
        ),
        (
            |ledger, number| ledger.study(study(number)),
            |ledger, number| !ledger.points_of(study(number)).unwrap().is_empty(),
        ),
        (
            |ledger, number| ledger.attempt_folder(job(number), 1).exit(),
            |ledger, number| ledger.exit(job(number), 1).unwrap().is_some(),
        ),
    ]
}

/// Damages a file.
type Harm = fn(&Path);

/// Changes the first digit of a file's content.
fn change_a_digit(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let place = text.find(|letter: char| letter.is_ascii_digit()).unwrap();
    let digit = if text[place..].starts_with('7') {
        "3"
    } else {
        "7"
    };
    fs::write(path, [&text[..place], digit, &text[place + 1..]].concat()).unwrap();
}

fn replace_by_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn replace_by_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

#[test]
fn a_damaged_file_of_any_kind_counts_as_absent_and_makes_room_for_a_new_one() {
    let damages: [Harm; 6] = [
        change_a_digit,
        |path| fs::write(path, "").unwrap(),
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        |path| fs::write(path, "{}").unwrap(),
        replace_by_pipe,
        replace_by_folder,
    ];
    for (kind, (path, is_there)) in kinds().into_iter().enumerate() {
        for (number, damage) in damages.iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::new(folder.path());
            write_all(&ledger, 1);
            assert!(is_there(&ledger, 1), "kind {kind}");
            let path = path(&ledger, 1);
            damage(&path);
            assert!(!is_there(&ledger, 1), "kind {kind}, damage {number}");
            let noted: Vec<PathBuf> = ledger
                .damage()
                .into_iter()
                .map(|damage| damage.path)
                .collect();
            assert_eq!(
                noted,
                std::slice::from_ref(&path),
                "kind {kind}, damage {number}"
            );
            ledger.set_damage_aside().unwrap();
            assert!(fs::symlink_metadata(&path).is_err());
            write_all(&ledger, 1);
            assert!(is_there(&ledger, 1) && ledger.damage().is_empty());
        }
    }
}

#[test]
fn a_file_of_another_run_study_or_attempt_is_refused() {
    for (kind, (path, is_there)) in kinds().into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        write_all(&ledger, 1);
        write_all(&ledger, 2);
        fs::copy(path(&ledger, 2), path(&ledger, 1)).unwrap();
        assert!(!is_there(&ledger, 1), "kind {kind}");
        assert!(is_there(&ledger, 2), "kind {kind}");
        assert_eq!(ledger.damage().len(), 1, "kind {kind}");
    }
}

#[test]
fn files_of_an_earlier_version_have_no_seal_and_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    write_all(&ledger, 1);
    for (kind, (path, is_there)) in kinds().into_iter().enumerate() {
        let path = path(&ledger, 1);
        let mut content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["seal", "files"] {
            content.as_object_mut().unwrap().remove(key);
        }
        let points = content.get("points").cloned();
        fs::write(&path, points.unwrap_or(content).to_string()).unwrap();
        assert!(is_there(&ledger, 1), "kind {kind}");
    }
    assert!(ledger.has_model(run(1), Check::Contents).unwrap());
    assert!(ledger.has_queries(run(1), Check::Contents).unwrap());
    assert_eq!(ledger.damage(), []);
}

#[test]
fn an_unsealed_record_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    let path = ledger.run(run(1)).record();
    let record = Record {
        schema: SCHEMA,
        run: run(2),
        outcome: Outcome::Finished(evaluated(0.5)),
    };
    write_json(&path, &record).unwrap();
    assert_eq!(ledger.state(run(1)).unwrap(), RunStage::New);
    assert!(ledger.damage()[0].why.contains("another run"));
}

#[test]
fn files_beside_a_result_are_checked_by_size_and_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    write_all(&ledger, 1);
    type Has = fn(&Ledger, RunId, Check) -> Result<bool, LedgerError>;
    let files: [(PathBuf, Has); 2] = [
        (ledger.run(run(1)).model(), Ledger::has_model),
        (ledger.run(run(1)).queries(), Ledger::has_queries),
    ];
    for (path, has) in files {
        let has = |check| has(&ledger, run(1), check).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut other = whole.clone();
        other[0] ^= 1;
        assert!(has(Check::Sizes) && has(Check::Contents));
        fs::write(&path, other).unwrap();
        assert!(has(Check::Sizes) && !has(Check::Contents));
        fs::write(&path, &whole[1..]).unwrap();
        assert!(!has(Check::Sizes));
        assert_eq!(ledger.damage().pop().unwrap().path, path);
        ledger.set_damage_aside().unwrap();
        assert!(!has(Check::Sizes), "a missing file");
        assert_eq!(ledger.damage(), []);
        fs::write(&path, &whole).unwrap();
    }
}

/// Writes a prepared data set as `sweep-trainer` does, and returns its id.
fn prepare(ledger: &Ledger) -> DataId {
    let dataset: schema::Dataset = serde_json::from_value(json!("omniglot")).unwrap();
    let stored: schema::StoredImages =
        serde_json::from_value(json!({ "size": { "square": 2 }, "color": "gray" })).unwrap();
    let fingerprint = schema::Fingerprint::of_parameters(&dataset);
    let id = DataId::of(&dataset, &stored, &fingerprint);
    let images = [1, 2, 3, 4];
    let index = json!({
        "version": 3, "dataset": dataset, "stored": stored, "fingerprint": fingerprint,
        "bytes": images.len(), "blake3": blake3::hash(&images).to_hex().to_string(),
    });
    let folder = ledger.data(id);
    let text = sealed(PreparedIndex::SUBJECT, &index).unwrap();
    durable::write(&folder.join(PrepareWork::IMAGES), &images).unwrap();
    durable::write(&folder.join(PrepareWork::INDEX), text.as_bytes()).unwrap();
    id
}

#[test]
fn prepared_data_that_is_gone_short_or_damaged_is_not_there() {
    let index_is: [(&str, Harm); 4] = [
        ("empty", |path| fs::write(path, "").unwrap()),
        ("changed", change_a_digit),
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("unsealed", |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replace("\"seal\"", "\"sea1\"")).unwrap();
        }),
    ];
    let images_are: [(&str, Harm); 4] = [
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("short", |path| fs::write(path, [1, 2]).unwrap()),
        ("other", |path| fs::write(path, [1, 2, 3, 5]).unwrap()),
        ("a pipe", replace_by_pipe),
    ];
    let of_index = index_is.map(|damage| (PrepareWork::INDEX, damage));
    let of_images = images_are.map(|damage| (PrepareWork::IMAGES, damage));
    for (file, (name, damage)) in of_index.into_iter().chain(of_images) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        let data = prepare(&ledger);
        assert!(ledger.is_prepared(data, Check::Contents).unwrap());
        damage(&ledger.data(data).join(file));
        assert!(
            !ledger.is_prepared(data, Check::Contents).unwrap(),
            "{file} is {name}"
        );
        ledger.set_damage_aside().unwrap();
        assert!(!ledger.is_prepared(data, Check::Sizes).unwrap());
    }
}

#[test]
fn data_that_another_trainer_prepared_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    let data = prepare(&ledger);
    let index = ledger.data(data).join(PrepareWork::INDEX);
    fs::write(&index, "{}").unwrap();
    assert!(ledger.is_prepared(data, Check::Contents).unwrap());
    fs::write(&index, "{").unwrap();
    assert!(!ledger.is_prepared(data, Check::Contents).unwrap());
}

#[test]
fn prepared_data_of_another_content_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    let data = prepare(&ledger);
    let other: DataId = "00000000000000aa".parse().unwrap();
    fs::rename(ledger.data(data), ledger.data(other)).unwrap();
    assert!(!ledger.is_prepared(other, Check::Sizes).unwrap());
    assert!(ledger.damage()[0].why.contains("another data set"));
}

#[test]
fn a_kept_module_whose_content_is_not_that_of_its_name_is_damaged_until_it_is_kept_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    let content = b"a loss";
    let file = ScriptFile::of(content.as_slice()).unwrap();
    ledger.keep_script(&file, content).unwrap();
    let path = ledger.scripts().join(file.file_name());
    let damage = || {
        let ledger = Ledger::new(folder.path());
        ledger.soundness(&Scope::default()).unwrap();
        ledger.damage()
    };
    assert!(damage().is_empty());
    durable::write(&path, b"another").unwrap();
    assert_eq!(damage()[0].path, path);
    ledger.keep_script(&file, content).unwrap();
    assert!(damage().is_empty());
}

#[test]
fn points_of_an_earlier_version_have_the_new_names() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().to_owned());
    let study = StudyId::of("study");
    let written = TrialPoint::from([
        ("loss.soft_triple.regulariser".to_owned(), json!(0.5)),
        ("loss.margin.boundary".to_owned(), json!("learnt")),
    ]);
    ledger.keep_points(study, &[written]).unwrap();
    let expected = TrialPoint::from([
        ("loss.soft_triple.regularizer".to_owned(), json!(0.5)),
        ("loss.margin.boundary".to_owned(), json!("learned")),
    ]);
    assert_eq!(ledger.points_of(study).unwrap(), [expected]);
}

#[test]
fn a_frozen_ledger_lists_the_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    assert!(ledger.runs().unwrap().is_empty());
    let begin = |number| fs::create_dir_all(ledger.run(run(number)).path()).unwrap();
    begin(1);
    let frozen = changed(&ledger, Ledger::freeze);
    assert_eq!(frozen.runs().unwrap().len(), 1);
    begin(2);
    assert_eq!(frozen.runs().unwrap().len(), 1);
    for change in [Ledger::freeze, Ledger::thaw] {
        assert_eq!(changed(&frozen, change).runs().unwrap().len(), 2);
    }
    assert_eq!(ledger.runs().unwrap().len(), 2);
}

/// Returns a ledger of the same folder that was frozen or is not any more.
fn changed(ledger: &Ledger, change: fn(&mut Ledger)) -> Ledger {
    let mut ledger = ledger.clone();
    change(&mut ledger);
    ledger
}

/// All that a ledger says of three runs.
fn said(ledger: &Ledger) -> String {
    let of_run = |number: u64| {
        let (id, job) = (run(number), job(number));
        let attempts = ledger.attempts(job).unwrap();
        let exits: Vec<_> = (1..=attempts)
            .map(|it| ledger.exit(job, it).unwrap())
            .collect();
        let state = ledger.state(id).unwrap();
        let files = (
            ledger.has_model(id, Check::Sizes),
            ledger.has_queries(id, Check::Sizes),
        );
        format!(
            "{state:?} {:?} {exits:?} {files:?}",
            ledger.trained(id).unwrap()
        )
    };
    let of_runs: Vec<String> = (1..=3).map(of_run).collect();
    format!("{}\n{:?}", of_runs.join("\n"), ledger.damage())
}

#[test]
fn a_ledger_with_a_cache_says_what_one_without_says() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bare = || changed(&Ledger::new(root), Ledger::freeze);
    let cached = || changed(&Ledger::with_cache(root), Ledger::freeze);
    let ledger = Ledger::new(root);
    (1..=3).for_each(|number| write_all(&ledger, number));
    ledger
        .note_exit(job(2), 1, &ended(AttemptEnd::Stopped, 2))
        .unwrap();
    std::thread::sleep(memo::SETTLED + std::time::Duration::from_millis(50));
    let first = cached();
    let before = said(&first);
    assert_eq!(before, said(&bare()));
    first.keep_at_least(1).unwrap();
    let kept = fs::read_dir(root.join("cache")).unwrap().count();
    assert_eq!(kept, 4, "trainings, records, attempts and their ends");
    assert_eq!(said(&cached()), before);
    let exit = ledger.exit(job(1), 1).unwrap().unwrap();
    ledger.note_exit(job(1), 2, &exit).unwrap();
    change_a_digit(&ledger.run(run(1)).record());
    change_a_digit(&ledger.attempt_folder(job(2), 1).exit());
    fs::remove_file(ledger.run(run(2)).record()).unwrap();
    fs::remove_file(ledger.run(run(2)).model()).unwrap();
    ledger.publish_trained(run(3), &trained(300)).unwrap();
    assert_ne!(said(&bare()), before);
    assert_eq!(said(&cached()), said(&bare()));
}

#[test]
fn an_attempt_that_has_finished_is_known_until_attempts_are_added_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let ledger = Ledger::new(root);
    write_all(&ledger, 1);
    std::thread::sleep(memo::SETTLED + std::time::Duration::from_millis(50));
    let first = changed(&Ledger::with_cache(root), Ledger::freeze);
    let codes = |ledger: &Ledger| -> Vec<i32> {
        let exits = ledger.exits(job(1)).unwrap();
        exits.iter().filter_map(|exit| exit.code).collect()
    };
    assert_eq!(codes(&first), [1]);
    first.keep_at_least(1).unwrap();
    let folder = ledger.attempt_folder(job(1), 1);
    change_a_digit(&folder.exit());
    let cached = || changed(&Ledger::with_cache(root), Ledger::freeze);
    assert_eq!(codes(&cached()), [1]);
    assert!(codes(&first.anew()).is_empty(), "`fsck` reads all files");
    let second = ended(AttemptEnd::Finished, 7);
    ledger.note_exit(job(1), 2, &second).unwrap();
    assert_eq!(codes(&cached()), [7]);
    fs::remove_dir_all(ledger.attempt_folder(job(1), 2).path()).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(codes(&cached()).is_empty());
}

#[test]
fn runs_that_have_not_begun_are_not_counted_as_sound() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    write_all(&ledger, 1);
    write_all(&ledger, 2);
    change_a_digit(&ledger.run(run(2)).record());
    let scope = Scope {
        runs: (1..=5).map(run).collect(),
        ..Scope::default()
    };
    let found = ledger.soundness(&scope).unwrap();
    assert_eq!((found.runs, found.measured), (1, 1));
}
