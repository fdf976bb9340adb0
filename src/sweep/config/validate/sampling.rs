//! Samplers: batches that cannot be formed, or from which nothing could be learnt.

use schema::{FixedPairs, Hierarchical, MPerClass, Sampler, Straddling};

use super::{
    Checked, SweepFile, in_range, require, smallest_class, training_classes, training_images,
};

/// Checks the sampler at the key `table`; `positives` if batches must have positive pairs.
pub(super) fn sampler(
    sampler: &Sampler,
    table: &str,
    positives: bool,
    file: &SweepFile,
) -> Checked {
    let table = format!("{table}.{}", sampler.key());
    in_range(sampler.check(), &table)?;
    let key = |name: &str| format!("{table}.{name}");
    let least = if positives { 2 } else { 1 };
    match sampler {
        Sampler::MPerClass(MPerClass { batch, per_class }) => {
            of_a_class(*per_class, least, &key("per_class"), file)?;
            classes(batch / per_class, &key("batch"), file)
        }
        Sampler::FixedPairs(FixedPairs { batch }) => {
            let smallest = smallest_class(file);
            require(
                smallest.is_none_or(|smallest| smallest >= FixedPairs::PER_CLASS),
                &key("batch"),
                "a pair is two images, but a class has only one",
            )?;
            classes(batch / FixedPairs::PER_CLASS, &key("batch"), file)
        }
        Sampler::Straddling(Straddling { per_class, .. }) => {
            of_a_class(*per_class, least, &key("per_class"), file)
        }
        Sampler::Random(random) => images(random.batch, &key("batch"), file),
        Sampler::ClassBalanced(_) => Ok(()),
        Sampler::AnchorNeighbor(sampler) => {
            of_a_class(sampler.per_class, least, &key("per_class"), file)?;
            classes(sampler.classes(), &key("batch"), file)
        }
        Sampler::NearestImages(sampler) => images(sampler.batch, &key("batch"), file),
        Sampler::Hierarchical(Hierarchical { per_class, .. }) => {
            // Whether super-classes are large enough is known only when the data is there.
            require(
                file.data.dataset.facts().super_classes != Some(false),
                &key("batch"),
                "the classes have no super-classes: choose another sampler",
            )?;
            of_a_class(*per_class, least, &key("per_class"), file)
        }
    }
}

fn of_a_class(per_class: u32, least: u32, key: &str, file: &SweepFile) -> Checked {
    require(
        per_class >= least,
        key,
        "a batch has positive pairs only with at least 2 images of a class",
    )?;
    // Small classes among others have their images repeated; where all classes are as small, that makes no sense.
    let equal = file.data.dataset.facts().equal_classes;
    match smallest_class(file).filter(|_| equal) {
        Some(all) => require(
            per_class <= all,
            key,
            format!("a class has only {all} images"),
        ),
        None => Ok(()),
    }
}

fn classes(of: u32, key: &str, file: &SweepFile) -> Checked {
    let Some(classes) = training_classes(file) else {
        return Ok(());
    };
    require(
        of <= classes,
        key,
        format!("a batch of {of} classes, but a run trains on only {classes}"),
    )
}

fn images(batch: u32, key: &str, file: &SweepFile) -> Checked {
    let Some(images) = training_images(file) else {
        return Ok(());
    };
    require(
        u64::from(batch) <= images,
        key,
        format!("{batch} images, but a run trains on only {images}"),
    )
}
