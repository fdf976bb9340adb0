//! The test images as queries and gallery: each image against all the others, or the data set's own
//! queries against its gallery.

use dml::{
    data::{PreparedData, listing::Role},
    eval::{Comparison, Embeddings, LabeledEmbeddings, RetrievalTask},
};

use crate::{Failed, score};

/// What is known about each test image beside its embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestImages {
    /// Its class.
    pub(crate) labels: Vec<i64>,
    /// Its role in retrieval.
    pub(crate) roles: Vec<Role>,
    /// Its camera; empty if the data set names none.
    pub(crate) cameras: Vec<Option<u32>>,
}

impl TestImages {
    /// Returns what a data set says about its test images.
    pub(crate) fn of(data: &PreparedData) -> TestImages {
        TestImages {
            labels: data.test_labels.clone(),
            roles: data.test_roles.clone(),
            cameras: data.test_cameras.clone(),
        }
    }

    /// Returns the number of cameras.
    pub(crate) fn camera_count(&self) -> usize {
        let known = self.cameras.iter().flatten();
        known.max().map_or(0, |last| *last as usize + 1)
    }

    /// Divides embeddings of the images, compared by cosine similarity, into queries and gallery.
    ///
    /// # Errors
    /// There is not one embedding for each image.
    pub(crate) fn set(&self, rows: Embeddings) -> Result<RetrievalSet, Failed> {
        let images = LabeledEmbeddings::new(rows, self.labels.clone(), Comparison::Cosine);
        let images = images.and_then(|images| images.with_cameras(self.cameras.clone()));
        let images = images.map_err(|error| score::unmeasurable(&error))?;
        Ok(RetrievalSet::new(images, &self.roles))
    }
}

/// Test images, divided into queries and gallery.
pub(crate) enum RetrievalSet {
    /// Each image is a query against all the others.
    Within(LabeledEmbeddings),
    /// The data set defines queries and gallery. An image can be in both.
    Separate {
        queries: LabeledEmbeddings,
        gallery: LabeledEmbeddings,
        /// The index of each query among the test images.
        images: Vec<usize>,
        /// The index of each query in the gallery, if it is in it.
        itself: Vec<Option<u32>>,
    },
}

impl RetrievalSet {
    /// Divides images by their roles.
    fn new(images: LabeledEmbeddings, roles: &[Role]) -> RetrievalSet {
        if roles.iter().all(|role| *role == Role::Both) {
            return RetrievalSet::Within(images);
        }
        let queries = indices(roles, Role::is_query);
        let gallery = indices(roles, Role::is_reference);
        RetrievalSet::Separate {
            itself: positions(&queries, &gallery),
            gallery: images.select(&gallery),
            queries: images.select(&queries),
            images: queries,
        }
    }

    /// Returns the retrieval task over these images.
    pub(crate) fn task(&self) -> RetrievalTask<'_> {
        match self {
            RetrievalSet::Within(images) => RetrievalTask::Within(images),
            RetrievalSet::Separate {
                queries,
                gallery,
                itself,
                ..
            } => RetrievalTask::Overlapping {
                queries,
                gallery,
                itself,
            },
        }
    }

    /// Returns the number of queries.
    pub(crate) fn queries(&self) -> usize {
        self.task().queries().labels().len()
    }

    /// Returns the number of gallery images, if they are separate from the queries.
    pub(crate) fn gallery(&self) -> Option<usize> {
        match self {
            RetrievalSet::Within(_) => None,
            RetrievalSet::Separate { gallery, .. } => Some(gallery.labels().len()),
        }
    }

    /// Returns the index of a query among the test images.
    pub(crate) fn image_of(&self, query: usize) -> usize {
        match self {
            RetrievalSet::Within(_) => query,
            RetrievalSet::Separate { images, .. } => images[query],
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
    use dml::eval::{EvalResources, RankDepth, retrieve};

    use super::*;

    #[test]
    fn queries_keep_their_numbers_and_do_not_find_themselves() {
        // On a line, at 0, 1, 3, 4, 10.
        let rows = Embeddings::new(vec![0.0, 1.0, 3.0, 4.0, 10.0], 1).unwrap();
        let images =
            LabeledEmbeddings::new(rows, vec![0, 1, 1, 0, 0], Comparison::Euclidean).unwrap();
        let roles = [
            Role::Gallery,
            Role::Query,
            Role::Both,
            Role::Both,
            Role::Gallery,
        ];
        let set = RetrievalSet::new(images.clone(), &roles);
        let found = retrieve(set.task(), RankDepth::All, EvalResources::default()).unwrap();
        // Image 1 finds 0, then 2; image 2 finds 3, 0, 4, but none of its class; image 3 finds 2, 0, 4.
        let first: Vec<_> = found
            .queries
            .iter()
            .map(|query| (set.image_of(query.image as usize), query.scores.first))
            .collect();
        assert_eq!((first, found.without_positive), (vec![(1, 2), (3, 2)], 1));
        assert_eq!((set.queries(), set.gallery()), (3, Some(4)));

        let all = RetrievalSet::new(images, &[Role::Both; 5]);
        assert_eq!(
            (all.queries(), all.gallery(), all.image_of(4)),
            (5, None, 4)
        );
    }
}
