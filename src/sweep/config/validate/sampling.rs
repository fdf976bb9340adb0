//! Samplers: batches that cannot be formed, or from which nothing could be learnt.

use schema::{FixedPairs, Hierarchical, MPerClass, Sampler, Straddling};

use super::{Checked, SweepFile, require, training_classes, training_images};

/// Checks the sampler at the key `table`; `positives` if batches must have positive pairs.
pub(super) fn sampler(
    sampler: &Sampler,
    table: &str,
    positives: bool,
    file: &SweepFile,
) -> Checked {
    let key = |name: &str| format!("{table}.{name}");
    let least = if positives { 2 } else { 1 };
    match sampler {
        Sampler::MPerClass(MPerClass { batch, per_class }) => m_per_class(
            *batch,
            *per_class,
            least,
            &|name| key(&format!("m_per_class.{name}")),
            file,
        ),
        Sampler::FixedPairs(FixedPairs { batch }) => {
            let key = |name: &str| key(&format!("fixed_pairs.{name}"));
            let pairs = file
                .data
                .half
                .smallest_class
                .is_none_or(|smallest| smallest >= 2);
            require(
                pairs,
                &key("batch"),
                "a pair is two images, but a class has only one",
            )?;
            m_per_class(*batch, 2, least, &key, file)
        }
        Sampler::Straddling(Straddling { batch, per_class }) => {
            let key = |name: &str| key(&format!("straddling.{name}"));
            of_a_class(*per_class, least, &key("per_class"), file)?;
            require(
                batch > per_class,
                &key("batch"),
                "a batch has negative pairs only with more than one class",
            )
        }
        Sampler::Random(random) => {
            let key = key("random.batch");
            require(
                random.batch >= 2,
                &key,
                "a batch has pairs only with at least 2 images",
            )?;
            let Some(images) = training_images(file) else {
                return Ok(());
            };
            require(
                u64::from(random.batch) <= images,
                &key,
                format!("{} images, but a run trains on only {images}", random.batch),
            )
        }
        Sampler::ClassBalanced(balanced) => require(
            balanced.batch >= 2,
            &key("class_balanced.batch"),
            "a batch has pairs only with at least 2 images",
        ),
        Sampler::Hierarchical(settings) => hierarchical(
            settings,
            least,
            &|name| key(&format!("hierarchical.{name}")),
            file,
        ),
    }
}

fn of_a_class(per_class: u32, least: u32, key: &str, file: &SweepFile) -> Checked {
    require(per_class >= 1, key, "expected at least 1 image of a class")?;
    require(
        per_class >= least,
        key,
        "a batch has positive pairs only with at least 2 images of a class",
    )?;
    // Small classes among others have their images repeated; where all classes are as small, that makes no sense.
    let equal = file.data.dataset.facts().equal_classes;
    match file.data.half.smallest_class.filter(|_| equal) {
        Some(all) => require(
            per_class <= all,
            key,
            format!("a class has only {all} images"),
        ),
        None => Ok(()),
    }
}

fn m_per_class(
    batch: u32,
    per_class: u32,
    least: u32,
    key: &dyn Fn(&str) -> String,
    file: &SweepFile,
) -> Checked {
    of_a_class(per_class, least, &key("per_class"), file)?;
    require(
        batch > 0 && batch.is_multiple_of(per_class),
        &key("batch"),
        format!("{batch} is not a multiple of per_class = {per_class}"),
    )?;
    let of = batch / per_class;
    require(
        of >= 2,
        &key("batch"),
        "a batch has negative pairs only with at least 2 classes",
    )?;
    let Some(classes) = training_classes(file) else {
        return Ok(());
    };
    require(
        of <= classes,
        &key("batch"),
        format!("a batch of {of} classes, but a run trains on only {classes}"),
    )
}

/// Whether super-classes are large enough is known only when the data lies there.
fn hierarchical(
    settings: &Hierarchical,
    least: u32,
    key: &dyn Fn(&str) -> String,
    file: &SweepFile,
) -> Checked {
    let Hierarchical {
        batch,
        super_classes,
        per_class,
    } = *settings;
    require(
        file.data.dataset.facts().super_classes != Some(false),
        &key("batch"),
        "the classes have no super-classes: choose another sampler",
    )?;
    of_a_class(per_class, least, &key("per_class"), file)?;
    require(
        super_classes > 0,
        &key("super_classes"),
        "expected at least 1 super-class",
    )?;
    require(
        batch > 0
            && super_classes
                .checked_mul(per_class)
                .is_some_and(|images| batch.is_multiple_of(images)),
        &key("batch"),
        format!(
            "{batch} is not a multiple of super_classes * per_class = {super_classes} * {per_class}"
        ),
    )?;
    require(
        batch > per_class,
        &key("batch"),
        "a batch has negative pairs only with at least 2 classes",
    )
}
