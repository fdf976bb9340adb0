//! What types cannot exclude: settings that contradict each other or make no sense, found before anything runs.

mod heads;
mod images;
mod losses;
mod mining;
mod model;
mod sampling;
mod training;

use std::collections::BTreeSet;

use report::Compare;
use schema::{Dataset, Fold, Loss, OutOfRange, Own, TrainingImages, can_drop, visible::is_hidden};
use serde_json::Value;

use super::{
    counts::Counts,
    fault::{Checked, Fault},
    file::{LabelMaps, MethodTable, Resources, SweepFile, TrainingTable},
    forms::{CheckpointSeconds, Folds},
    meant::nearest,
    slurm::On,
    tables::{Compared, ReportTable},
};
use crate::search::FIRST_SEED_OF_TRIALS;

/// Maximum number of folds.
const MOST_FOLDS: u32 = 1000;
/// Maximum length of a name that becomes that of a folder.
const NAME_OF_A_FOLDER: usize = 100;
/// Maximum length of a method's name.
const NAME_OF_A_METHOD: usize = 200;

pub(super) fn check(file: &SweepFile) -> Checked {
    sweep(file)?;
    data(file)?;
    images::check(file)?;
    model::model(file)?;
    training::training(&file.training, file)?;
    methods(file)?;
    training::surveys(&file.training, file)?;
    resources(&file.resources)?;
    needs(&file.data.needs, "data.needs", &file.resources)?;
    for (position, method) in file.method.iter().enumerate() {
        needs(
            &method.needs,
            &format!("method.{position}.needs"),
            &file.resources,
        )?;
    }
    let mut waived = BTreeSet::new();
    for (index, waiver) in file.waive.iter().enumerate() {
        let key = |name: &str| format!("waive.{index}.{name}");
        require(
            waived.insert(waiver.rule),
            &key("rule"),
            "this rule is already waived: remove one of the two",
        )?;
        require(
            !waiver.reason.trim().is_empty(),
            &key("reason"),
            "a waiver needs a reason: it is printed under the table",
        )?;
    }
    Ok(())
}

/// What is wrong about the tables of a sweep with these methods and axes.
pub(super) fn report(report: &ReportTable, methods: &[&str], axes: &BTreeSet<&str>) -> Checked {
    let ReportTable {
        metrics,
        layout,
        baseline,
        equal_within,
        interval: _,
        compare,
        pivot,
        sort: _,
        published: _,
        homogeneous: _,
        formats,
    } = report;
    if let Some(metrics) = metrics {
        require(
            !metrics.is_empty(),
            "report.metrics",
            "the table has no columns",
        )?;
        require(
            all_different(metrics),
            "report.metrics",
            "a metric is listed twice",
        )?;
    }
    require(!layout.0.is_empty(), "report.layout", "there is no table")?;
    require(
        all_different(&layout.0),
        "report.layout",
        "a layout is listed twice",
    )?;
    require(
        formats.as_deref().is_none_or(all_different),
        "report.formats",
        "a format is listed twice",
    )?;
    require(
        equal_within.is_none_or(|points| points > 0.0 && points < 100.0),
        "report.equal_within",
        "expected percentage points above 0 and below 100, such as 0.5",
    )?;
    if let Some(Compared(Compare::Axis(axis))) = compare {
        is_axis(axis, "report.compare", &["rows", "methods"], axes)?;
    }
    if let Some(axis) = pivot {
        is_axis(axis, "report.pivot", &[], axes)?;
    }
    let Some(baseline) = baseline.as_deref().filter(|name| !methods.contains(name)) else {
        return Ok(());
    };
    let hint = match nearest(baseline, methods.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the methods are `{}`", methods.join("`, `")),
    };
    let message = format!("there is no method named `{baseline}`");
    Err(Fault {
        key: "report.baseline".to_owned(),
        message,
        hint: Some(hint),
    })
}

/// Refuses what is neither an axis, as a table heads it, nor one of these other names.
fn is_axis(name: &str, key: &str, others: &[&str], axes: &BTreeSet<&str>) -> Checked {
    if axes.contains(name) {
        return Ok(());
    }
    let known: Vec<&str> = others.iter().chain(axes).copied().collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if nearest(name, DATA_SET).is_some() => {
            "data sets are no columns of a pivot table: `layout = \"benchmark\"` puts them side by side"
                .to_owned()
        }
        None if known.is_empty() => "the sweep has no [axes] other than the data set".to_owned(),
        None => format!("known are `{}`", known.join("`, `")),
    };
    Err(Fault {
        key: key.to_owned(),
        message: format!("there is no axis `{name}`"),
        hint: Some(hint),
    })
}

/// The names of the axis that has tables of its own.
const DATA_SET: [&str; 2] = ["dataset", "data.dataset"];

fn sweep(file: &SweepFile) -> Checked {
    let name = &file.sweep.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let nearest = name.replace(|letter| !plain(letter), "_");
        let line = format!("write, for example, `name = \"{nearest}\"`");
        return Err(Fault {
            key: "sweep.name".to_owned(),
            message: "the name of a sweep becomes a folder: use only letters, digits, `-` and `_`"
                .to_owned(),
            hint: (!nearest.is_empty()).then_some(line),
        });
    }
    is_short(name, NAME_OF_A_FOLDER, "sweep.name")?;
    let seeds = &file.sweep.seeds.0;
    require(
        !seeds.is_empty(),
        "sweep.seeds",
        "the list of seeds is empty",
    )?;
    require(
        all_different(seeds),
        "sweep.seeds",
        "a seed is listed twice: equal seeds give equal runs",
    )?;
    seeds_below_trials(file)?;
    match (file.sweep.folds, file.data.half.classes) {
        (Some(Folds { of: 0 | 1, .. }), _) => fault(
            "sweep.folds",
            "cross-validation needs at least 2 folds; remove the key for none, or hold out a single part by `folds.last = 5`",
        ),
        (Some(Folds { of, .. }), _) if of > MOST_FOLDS => fault(
            "sweep.folds",
            format!("{of} folds, expected 2 to {MOST_FOLDS}"),
        ),
        (Some(Folds { of, .. }), Some(classes)) if of > classes / 2 => fault(
            "sweep.folds",
            format!(
                "{of} folds of {classes} training classes leave fewer than 2 classes in a fold: expected at most {}",
                classes / 2
            ),
        ),
        _ => Ok(()),
    }
}

/// Each repetition of a search has the next seeds.
fn seeds_below_trials(file: &SweepFile) -> Checked {
    let Some(search) = &file.search else {
        return Ok(());
    };
    let seeds = &file.sweep.seeds.0;
    let of_one = seeds.iter().max().map_or(0, |seed| seed.saturating_add(1));
    require(
        of_one <= FIRST_SEED_OF_TRIALS,
        "sweep.seeds",
        format!(
            "with a search, seeds are below {FIRST_SEED_OF_TRIALS}: trials have those from there on"
        ),
    )?;
    require(
        of_one.saturating_mul(search.repeats as u64) <= FIRST_SEED_OF_TRIALS,
        "search.repeats",
        format!(
            "each repetition of a search takes {of_one} further seeds, and all are below {FIRST_SEED_OF_TRIALS}"
        ),
    )
}

fn data(file: &SweepFile) -> Checked {
    require(
        !file.data.root.as_os_str().is_empty(),
        "data.root",
        "the path is empty",
    )?;
    require(
        !file.data.half.nothing_to_find,
        "data.dataset",
        "there is nothing to measure: no test image has another one of its class to find",
    )?;
    training_images_of(file)?;
    match &file.data.dataset {
        Dataset::Own(own) => {
            is_short(&own.name, NAME_OF_A_FOLDER, "data.dataset.own.name")?;
            require(
                Own::is_name(&own.name),
                "data.dataset.own.name",
                "the name is that of a folder: use only letters, digits, `-` and `_`",
            )
        }
        Dataset::Glyphs(glyphs) => {
            let key = |name: &str| format!("data.dataset.glyphs.{name}");
            let enough = |n: u32| (2..=1_000_000).contains(&n);
            require(
                enough(glyphs.classes),
                &key("classes"),
                "expected 2 to 1000000 classes",
            )?;
            require(
                enough(glyphs.test_classes),
                &key("test_classes"),
                "expected 2 to 1000000 classes",
            )?;
            require(
                (2..=10_000).contains(&glyphs.per_class),
                &key("per_class"),
                "expected 2 to 10000 images of a class",
            )
        }
        _ => Ok(()),
    }
}

/// The images that are trained on exist, and something can be learned from them.
fn training_images_of(file: &SweepFile) -> Checked {
    let TrainingImages {
        classes,
        images_per_class,
        label_noise,
    } = file.data.training_images();
    require(
        (0.0..1.0).contains(&label_noise),
        "data.label_noise",
        "expected a probability from 0 to below 1",
    )?;
    require(
        images_per_class.is_none_or(|most| most >= 2),
        "data.images_per_class",
        "nothing is learned about a class from fewer than 2 images",
    )?;
    require(
        classes.is_none_or(|classes| classes >= 2),
        "data.classes",
        "a batch has negative pairs only with at least 2 classes",
    )?;
    match (classes, classes_not_held_out(file)) {
        (Some(classes), Some(all)) => require(
            classes <= all,
            "data.classes",
            format!("{classes} classes, but only {all} can be trained on"),
        ),
        _ => Ok(()),
    }
}

/// The fewest classes that any run of the sweep trains on, if it is known how many there are.
fn training_classes(file: &SweepFile) -> Option<u32> {
    let all = classes_not_held_out(file);
    file.data.classes.or(all)
}

/// The fewest classes that a fold leaves to train on, if it is known how many there are.
fn classes_not_held_out(file: &SweepFile) -> Option<u32> {
    let classes = file.data.half.classes?;
    let largest = file.sweep.folds.and_then(|Folds { of, cut }| {
        Fold::all(of, cut)
            .map(|fold| fold.held_out(classes).len())
            .max()
    });
    Some(
        classes.saturating_sub(
            largest.map_or(0, |held_out| u32::try_from(held_out).unwrap_or(classes)),
        ),
    )
}

/// The fewest images that any run of the sweep trains on, as far as it is known.
fn training_images(file: &SweepFile) -> Option<u64> {
    Some(u64::from(training_classes(file)?) * u64::from(smallest_class(file)?))
}

/// The images of the smallest class that is trained on, as far as it is known.
fn smallest_class(file: &SweepFile) -> Option<u32> {
    let smallest = file.data.half.smallest_class?;
    Some(file.data.images_per_class.unwrap_or(smallest).min(smallest))
}

fn methods(file: &SweepFile) -> Checked {
    require(
        !file.method.is_empty(),
        "sweep",
        "there are no methods: add at least one [[method]]",
    )?;
    for (position, method) in file.method.iter().enumerate() {
        let key = |name: &str| format!("method.{position}.{name}");
        require(
            !method.name.trim().is_empty(),
            &key("name"),
            "the name is empty",
        )?;
        is_short(&method.name, NAME_OF_A_METHOD, &key("name"))?;
        require(
            !method.name.contains(is_hidden),
            &key("name"),
            "the name contains a character that is not visible: a control character or one that reorders text",
        )?;
        self::method(method, &key, file)?;
    }
    Ok(())
}

fn method(method: &MethodTable, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    match (&method.loss, method.baseline) {
        (Some(loss), None) => trained(loss, method, key, file),
        (None, Some(_)) => baseline(method, key),
        (Some(_), Some(_)) => fault(
            key("baseline"),
            "a method has either a loss or a baseline: remove one of them",
        ),
        (None, None) => fault(
            key("name"),
            "the method has no loss: set `loss.NAME = { .. }`, or `baseline = \"pixels\"` or `\"untrained\"`",
        ),
    }
}

fn trained(
    loss: &Loss,
    method: &MethodTable,
    key: &dyn Fn(&str) -> String,
    file: &SweepFile,
) -> Checked {
    // What is chosen about the only loss of a method is what is chosen about each in a sum.
    if let Some(whole) = method.whole_loss() {
        losses::weighted(&whole, method.memory.as_ref(), &file.model, key)?;
    }
    heads::of_method(method, file, key)?;
    if let Some(maps) = method.label_maps {
        label_maps(maps, key, file)?;
    }
    if let Some(of_loss) = &method.loss_optimizer {
        let name = loss.key();
        require(
            method.has_parameters(),
            &key("loss_optimizer"),
            format!("`{name}` has no parameters of its own: remove `loss_optimizer`"),
        )?;
        training::optimizer(of_loss, &key("loss_optimizer"))?;
    }
    if let Some(sampler) = &method.sampler {
        sampling::sampler(sampler, &key("sampler"), method.needs_positives(), file)?;
    }
    method
        .memory
        .iter()
        .try_for_each(|memory| mining::memory(memory, key, file))
}

/// Label maps that are an ensemble, of as many classes as can be told apart.
fn label_maps(maps: LabelMaps, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    require(
        file.sweep.folds.is_none(),
        &key("label_maps"),
        "its networks are an ensemble already, so there can be no folds: remove `sweep.folds`",
    )?;
    require(
        (2..=1000).contains(&maps.members),
        &key("label_maps.members"),
        "expected 2 to 1000 networks",
    )?;
    let classes = training_classes(file).unwrap_or(u32::MAX);
    require(
        (2..=classes).contains(&maps.classes),
        &key("label_maps.classes"),
        match classes {
            u32::MAX => "expected at least 2 classes".to_owned(),
            _ => format!("expected 2 to {classes} classes, as many as there are to train on"),
        },
    )
}

/// Refuses every setting of a baseline beside its name: they all belong to training.
fn baseline(method: &MethodTable, key: &dyn Fn(&str) -> String) -> Checked {
    let Ok(Value::Object(settings)) = serde_json::to_value(method) else {
        return Ok(());
    };
    let Ok(Value::Object(bare)) = serde_json::to_value(method.untrained()) else {
        return Ok(());
    };
    match settings
        .iter()
        .find(|(name, value)| bare.get(*name) != Some(value))
    {
        Some((name, _)) => fault(
            key(name),
            format!("a baseline is not trained, so it has no `{name}`: remove it"),
        ),
        None => Ok(()),
    }
}

fn resources(resources: &Resources) -> Checked {
    let key = |name: &str| format!("resources.{name}");
    require(
        resources
            .threads
            .is_none_or(|threads| (1..=1024).contains(&threads)),
        &key("threads"),
        "expected 1 to 1024 threads",
    )?;
    require(
        resources.on_failure.most_failures() != Some(0),
        &key("on_failure"),
        "expected to stop after at least 1 failure",
    )?;
    require(
        resources
            .slots
            .is_none_or(|slots| (1..=1024).contains(&slots)),
        &key("slots"),
        "expected 1 to 1024 slots",
    )?;
    not_negative(resources.hang_minutes, &key("hang_minutes"))?;
    if let On::Slurm(table) = &resources.on {
        table.check()?;
        require(
            resources.have.is_empty(),
            &key("have"),
            NOT_COUNTED_ON_SLURM,
        )?;
    }
    match resources.checkpoint_seconds {
        CheckpointSeconds::Auto => Ok(()),
        CheckpointSeconds::Every(seconds) => not_negative(seconds, &key("checkpoint_seconds")),
    }
}

/// Why countable resources are refused on Slurm.
pub(crate) const NOT_COUNTED_ON_SLURM: &str = "named resources are counted on one machine, not on the nodes of Slurm: let Slurm count \
    them there, as licenses: `on.slurm.options = [\"--licenses=NAME:1\"]`";

/// Refuses jobs that need of a resource what there is not.
fn needs(needs: &Counts, key: &str, resources: &Resources) -> Checked {
    for (name, needed) in needs.iter() {
        let key = format!("{key}.{name}");
        let Some(number) = resources.have.of(name) else {
            let names = resources.have.iter().map(|(name, _)| name);
            return Err(Fault {
                key,
                message: format!("there is no resource named `{name}`"),
                hint: Some(match nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "say under [resources] how many there are: `have.{name} = {needed}`"
                    ),
                }),
            });
        };
        require(
            needed <= number,
            &key,
            format!("it needs {needed} of `{name}`, and there are {number} (`resources.have`)"),
        )?;
    }
    Ok(())
}

fn require(holds: bool, key: &str, message: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { fault(key, message) }
}

fn drop_rate(rate: f64, key: &str) -> Checked {
    let message = "expected a probability from 0 to below 1";
    require(can_drop(rate), key, message)
}

fn is_short(name: &str, most: usize, key: &str) -> Checked {
    let length = name.chars().count();
    require(
        length <= most,
        key,
        format!("the name has {length} characters, and may have {most}"),
    )
}

fn positive(number: f64, key: &str) -> Checked {
    require(
        number.is_finite() && number > 0.0,
        key,
        "expected a number above 0",
    )
}

fn not_negative(number: f64, key: &str) -> Checked {
    require(
        number.is_finite() && number >= 0.0,
        key,
        "expected a number of at least 0",
    )
}

fn all_different<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() == items.len()
}

fn fault(key: impl Into<String>, message: impl Into<String>) -> Checked {
    Err(Fault {
        key: key.into(),
        message: message.into(),
        hint: None,
    })
}

/// Turns a setting that is out of range into a fault at its key, below the key of its part.
fn in_range(checked: Result<(), OutOfRange>, part: &str) -> Checked {
    checked.or_else(|OutOfRange { setting, reason }| fault(format!("{part}.{setting}"), reason))
}
