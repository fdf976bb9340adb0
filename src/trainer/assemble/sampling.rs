//! Samplers.

use dml::sampler::{self, Parts};
use schema::Sampler;

use super::impossible;
use crate::Failed;

/// What forms the batches of images with these labels. `above` are their super-classes, if there are any.
///
/// # Errors
/// If the labels do not allow such batches.
pub(crate) fn sampler(
    sampler: &Sampler,
    labels: &[i64],
    above: Option<&[i64]>,
    seed: u64,
) -> Result<Box<dyn sampler::Sampler>, Failed> {
    let batch = sampler.batch() as usize;
    Ok(match sampler {
        Sampler::MPerClass(schema::MPerClass { per_class, .. }) => {
            let per_class = *per_class as usize;
            Box::new(sampler::MPerClass::new(labels, batch, per_class, seed).map_err(impossible)?)
        }
        Sampler::Straddling(schema::Straddling { per_class, .. }) => {
            let per_class = *per_class as usize;
            Box::new(sampler::Straddling::new(labels, batch, per_class, seed).map_err(impossible)?)
        }
        Sampler::Random(_) => {
            Box::new(sampler::Random::new(labels.len(), batch, seed).map_err(impossible)?)
        }
        Sampler::ClassBalanced(_) => {
            Box::new(sampler::ClassBalanced::new(labels, batch, seed).map_err(impossible)?)
        }
        Sampler::FixedPairs(_) => {
            Box::new(sampler::FixedPairs::new(labels, batch, seed).map_err(impossible)?)
        }
        Sampler::Hierarchical(schema::Hierarchical {
            super_classes,
            per_class,
            ..
        }) => {
            let above = above
                .ok_or_else(|| Failed::recipe("the classes of this data have no super-classes"))?;
            let parts = Parts {
                batch,
                super_classes: *super_classes as usize,
                per_class: *per_class as usize,
            };
            Box::new(sampler::Hierarchical::new(labels, above, parts, seed).map_err(impossible)?)
        }
    })
}

/// The super-class of each class, numbered in order of first appearance: what stands before the first `/` of its
/// name, as in `Korean/character05`. Nothing if a name has none.
pub(crate) fn super_classes(names: &[String]) -> Option<Vec<i64>> {
    let mut known: Vec<&str> = Vec::new();
    let number = |name| {
        let (above, _) = str::split_once(name, '/')?;
        let place = known
            .iter()
            .position(|known| *known == above)
            .unwrap_or_else(|| {
                known.push(above);
                known.len() - 1
            });
        Some(place as i64)
    };
    names.iter().map(String::as_str).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn super_classes_are_what_stands_before_the_slash() {
        let names = |all: &[&str]| {
            all.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let omniglot = names(&[
            "Korean/character01",
            "Korean/character02",
            "Latin/character01",
            "Korean/character03",
        ]);
        assert_eq!(super_classes(&omniglot), Some(vec![0, 0, 1, 0]));
        assert_eq!(super_classes(&names(&["glyph000001", "glyph000002"])), None);
    }
}
