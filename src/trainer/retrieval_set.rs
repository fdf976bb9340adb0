//! The test images as queries and gallery: each image against all the others, the data set's own queries against its
//! gallery, or all others against galleries that are drawn. The draws are the same for every network.

use std::collections::BTreeMap;

use dml::{
    data::{PreparedData, listing::Role},
    eval::{Comparison, Embeddings, LabeledEmbeddings, RetrievalTask},
    random::{Draws, Purpose},
};
use schema::{Dataset, Metric};
use tch::Device;

use crate::{
    Failed, Stop,
    score::{self, Scored},
    split::Annotations,
};

/// What is known about each test image beside its embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestImages {
    /// Its class.
    pub(crate) labels: Vec<i64>,
    /// Its role in retrieval.
    pub(crate) roles: Vec<Role>,
    /// What else is known.
    pub(crate) known: Annotations,
}

impl TestImages {
    /// Returns what a data set says about its test images.
    pub(crate) fn of(data: &PreparedData) -> TestImages {
        TestImages {
            labels: data.test.labels.clone(),
            roles: data.test.roles.clone(),
            known: Annotations {
                cameras: data.test.cameras.clone(),
                levels: data.test.levels(),
            },
        }
    }

    /// True if what was kept beside embeddings is about these images. An earlier version kept classes and roles alone.
    pub(crate) fn agree_with(&self, kept: &TestImages) -> bool {
        let (own, other) = (&self.known, &kept.known);
        let cameras_agree = other.cameras.is_empty() || own.cameras == other.cameras;
        let levels_agree = other.levels.is_empty() || own.levels == other.levels;
        self.labels == kept.labels && self.roles == kept.roles && cameras_agree && levels_agree
    }

    /// Returns the number of cameras.
    pub(crate) fn camera_count(&self) -> usize {
        let known = self.known.cameras.iter().flatten();
        known.max().map_or(0, |last| *last as usize + 1)
    }

    /// Divides embeddings of the images of a data set, compared by cosine similarity, into queries and gallery.
    ///
    /// # Errors
    /// There is not one embedding for each image.
    pub(crate) fn set(&self, rows: Embeddings, dataset: &Dataset) -> Result<RetrievalSet, Failed> {
        let images = LabeledEmbeddings::new(rows, self.labels.clone(), Comparison::Cosine);
        let images = images.map_err(|error| score::unmeasurable(&error))?;
        let images = self.known.on(images)?;
        let searches = match dataset.facts().drawn_galleries {
            Some(count) => (0..count).map(|draw| self.drawn(draw)).collect(),
            None if self.roles.iter().all(|role| *role == Role::Both) => Vec::new(),
            None => vec![self.by_role()],
        };
        Ok(RetrievalSet { images, searches })
    }

    fn by_role(&self) -> Search {
        Search {
            queries: indices(&self.roles, Role::is_query),
            gallery: indices(&self.roles, Role::is_reference),
        }
    }

    /// Returns the search of all others in a gallery with one random image of each class.
    fn drawn(&self, draw: u32) -> Search {
        let mut of_classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (image, label) in self.labels.iter().enumerate() {
            of_classes.entry(*label).or_default().push(image);
        }
        let one_of = |(label, images): (i64, Vec<usize>)| {
            let mut draws = Draws::new(0, Purpose::Gallery, draw.into(), label as u64);
            images[draws.below(images.len())]
        };
        let mut gallery: Vec<usize> = of_classes.into_iter().map(one_of).collect();
        gallery.sort_unstable();
        let is_query = |image: &usize| gallery.binary_search(image).is_err();
        Search {
            queries: (0..self.labels.len()).filter(is_query).collect(),
            gallery,
        }
    }
}

/// Test images, and which of them search which.
pub(crate) struct RetrievalSet {
    images: LabeledEmbeddings,
    /// None: each image is a query against all the others.
    searches: Vec<Search>,
}

/// Queries and a gallery, by their indices among the test images, ascending. An image can be in both.
struct Search {
    queries: Vec<usize>,
    gallery: Vec<usize>,
}

impl RetrievalSet {
    /// Computes metrics on a device: of several searches, the means over all of them. Queries have the indices of their
    /// images. `None` if a stop was requested.
    ///
    /// # Errors
    /// There is nothing to retrieve.
    pub(crate) fn score(
        &self,
        metrics: &[Metric],
        device: Device,
        stop: &Stop,
    ) -> Result<Option<Scored>, Failed> {
        if self.searches.is_empty() {
            return score::score(RetrievalTask::Within(&self.images), metrics, device, stop);
        }
        let mut all = Vec::new();
        for search in &self.searches {
            // Clusters are those of the first queries.
            let metrics = match all.is_empty() {
                true => metrics.to_vec(),
                false => score::of_ranks(metrics),
            };
            match self.found(search, &metrics, device, stop)? {
                Some(scored) => all.push(scored),
                None => return Ok(None),
            }
        }
        Ok(Scored::joined(all, metrics))
    }

    fn found(
        &self,
        search: &Search,
        metrics: &[Metric],
        device: Device,
        stop: &Stop,
    ) -> Result<Option<Scored>, Failed> {
        let [queries, gallery] =
            [&search.queries, &search.gallery].map(|of| self.images.select(of));
        let task = RetrievalTask::Overlapping {
            queries: &queries,
            gallery: &gallery,
            itself: &positions(&search.queries, &search.gallery),
        };
        let mut scored = score::score(task, metrics, device, stop)?;
        for query in scored
            .iter_mut()
            .flat_map(|scored| &mut scored.retrieval.queries)
        {
            query.image = search.queries[query.image as usize] as u32;
        }
        Ok(scored)
    }

    /// Returns the number of queries of a search.
    pub(crate) fn queries(&self) -> usize {
        let all = self.images.labels().len();
        self.searches
            .first()
            .map_or(all, |search| search.queries.len())
    }

    /// Returns the number of gallery images of a search, if they are separate from the queries.
    pub(crate) fn gallery(&self) -> Option<usize> {
        self.searches.first().map(|search| search.gallery.len())
    }

    /// Returns the number of galleries that are drawn; 0 if none is.
    pub(crate) fn draws(&self) -> usize {
        match self.searches.len() {
            1 => 0,
            draws => draws,
        }
    }
}

/// Returns the indices of the images with a role.
fn indices(roles: &[Role], has_role: fn(Role) -> bool) -> Vec<usize> {
    let images = 0..roles.len();
    images.filter(|&image| has_role(roles[image])).collect()
}

/// Returns the position of each query in the gallery, which is sorted.
fn positions(queries: &[usize], gallery: &[usize]) -> Vec<Option<u32>> {
    let position = |query| gallery.binary_search(query).ok();
    queries
        .iter()
        .map(|query| position(query).map(|position| position as u32))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn images(labels: &[i64], roles: &[Role]) -> TestImages {
        TestImages {
            labels: labels.to_vec(),
            roles: roles.to_vec(),
            known: Annotations::default(),
        }
    }

    /// Points on the unit circle, at these angles.
    fn at(angles: &[f32]) -> Embeddings {
        let points = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]);
        Embeddings::new(points.collect(), 2).unwrap()
    }

    fn scored(set: &RetrievalSet) -> Scored {
        let found = set.score(&[Metric::RecallAt(1)], Device::Cpu, &Stop::new());
        found.unwrap().unwrap()
    }

    #[test]
    fn what_an_earlier_version_did_not_keep_contradicts_nothing() {
        let kept = images(&[0, 0, 1], &[Role::Both; 3]);
        let mut of_data = kept.clone();
        of_data.known.levels = vec![vec![Some(0), Some(0), None]];
        assert!(of_data.agree_with(&kept));
        let mut wrong = of_data.clone();
        assert!(of_data.agree_with(&wrong));
        wrong.known.levels = vec![vec![Some(0), Some(1), None]];
        assert!(!of_data.agree_with(&wrong));
        assert!(!of_data.agree_with(&images(&[0, 1, 1], &[Role::Both; 3])));
    }

    #[test]
    fn queries_keep_their_numbers_and_do_not_find_themselves() {
        let roles = [
            Role::Gallery,
            Role::Query,
            Role::Both,
            Role::Both,
            Role::Gallery,
        ];
        let rows = || at(&[0.0, 0.1, 0.3, 0.4, 1.0]);
        let of = |roles: &[Role]| {
            let images = images(&[0, 1, 1, 0, 0], roles);
            images.set(rows(), &Dataset::InShop).unwrap()
        };
        let set = of(&roles);
        let found = scored(&set).retrieval;
        // Image 1 finds 0, then 2; image 2 finds 3, 0, 4, but none of its class; image 3 finds 2, 0, 4.
        let first: Vec<_> = found
            .queries
            .iter()
            .map(|query| (query.image, query.scores.first))
            .collect();
        assert_eq!((first, found.without_positive), (vec![(1, 2), (3, 2)], 1));
        assert_eq!((set.queries(), set.gallery(), set.draws()), (3, Some(4), 0));

        let all = of(&[Role::Both; 5]);
        assert_eq!((all.queries(), all.gallery(), all.draws()), (5, None, 0));
    }

    #[test]
    fn drawn_galleries_have_one_image_of_each_class_and_all_others_search_them() {
        let labels: Vec<i64> = (0..30).map(|image| image % 6).collect();
        let images = images(&labels, &[Role::Both; 30]);
        let angles: Vec<f32> = (0..30).map(|image| image as f32 * 0.7).collect();
        let set = images.set(at(&angles), &Dataset::VehicleIdSmall).unwrap();
        assert_eq!(
            (set.queries(), set.gallery(), set.draws()),
            (24, Some(6), 10)
        );
        for search in &set.searches {
            let classes: BTreeSet<i64> =
                search.gallery.iter().map(|&image| labels[image]).collect();
            assert_eq!(classes.len(), 6);
            assert!(
                search
                    .queries
                    .iter()
                    .all(|query| !search.gallery.contains(query))
            );
        }
        let galleries: BTreeSet<&[usize]> = set.searches.iter().map(|one| &*one.gallery).collect();
        assert_eq!(galleries.len(), 10);
        // The mean over the galleries, each scored alone.
        let joined = scored(&set);
        let alone = set.searches.iter().map(|search| {
            let found = set.found(search, &[Metric::RecallAt(1)], Device::Cpu, &Stop::new());
            found.unwrap().unwrap().scores[&Metric::RecallAt(1)]
        });
        let mean = alone.sum::<f64>() / 10.0;
        assert!((joined.scores[&Metric::RecallAt(1)] - mean).abs() < 1e-12);
        assert_eq!(joined.retrieval.queries.len(), 240);
    }
}
