//! What is searched for, and among which images.

use std::collections::BTreeMap;

use schema::Comparison;

use super::{embeddings::Embeddings, error::EvalError};

/// Embeddings with the labels of their images.
#[derive(Clone, Debug, PartialEq)]
pub struct LabeledEmbeddings {
    rows: Embeddings,
    labels: Vec<i64>,
    /// The camera of each image; empty if none is known.
    cameras: Vec<Option<u32>>,
    /// For each level, the narrowest first, the category of each image.
    categories: Vec<Vec<Option<u32>>>,
    comparison: Comparison,
}

impl LabeledEmbeddings {
    /// Joins embeddings with their labels; `comparison` determines how they are compared.
    ///
    /// # Errors
    /// If the number of labels differs from the number of embeddings.
    pub fn new(
        rows: Embeddings,
        labels: Vec<i64>,
        comparison: Comparison,
    ) -> Result<LabeledEmbeddings, EvalError> {
        if rows.len() != labels.len() {
            return Err(EvalError::Labels {
                embeddings: rows.len(),
                labels: labels.len(),
            });
        }
        Ok(LabeledEmbeddings {
            rows: rows.prepared(comparison),
            labels,
            cameras: Vec::new(),
            categories: Vec::new(),
            comparison,
        })
    }

    /// Says in which category each image is, and in which wider one, and so on: one list for each level. A category lies in
    /// one wider category. An image without a category shares none with others.
    ///
    /// # Errors
    /// If the number of categories differs from the number of embeddings.
    pub fn with_categories(
        self,
        categories: Vec<Vec<Option<u32>>>,
    ) -> Result<LabeledEmbeddings, EvalError> {
        let embeddings = self.rows.len();
        match categories.iter().find(|level| level.len() != embeddings) {
            Some(level) => Err(EvalError::Categories {
                embeddings,
                categories: level.len(),
            }),
            None => Ok(LabeledEmbeddings { categories, ..self }),
        }
    }

    /// Says which camera took each image, or which sequence it is from: a query does not search the images of its class
    /// from its own camera. Person and vehicle re-identification measure so (Zheng et al., "Scalable Person
    /// Re-identification: A Benchmark", 2015, section 3.3). An image without a camera searches all others.
    ///
    /// Numbers of queries and gallery are compared with each other. An empty list changes nothing.
    ///
    /// # Errors
    /// If the number of cameras differs from the number of embeddings.
    pub fn with_cameras(self, cameras: Vec<Option<u32>>) -> Result<LabeledEmbeddings, EvalError> {
        if !cameras.is_empty() && cameras.len() != self.rows.len() {
            return Err(EvalError::Cameras {
                embeddings: self.rows.len(),
                cameras: cameras.len(),
            });
        }
        Ok(LabeledEmbeddings { cameras, ..self })
    }

    /// Returns the embeddings as they are compared: normalized for [`Comparison::Cosine`].
    pub fn rows(&self) -> &Embeddings {
        &self.rows
    }

    /// Returns the label of each image.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// Returns the narrowest category of each class.
    pub fn category_of_classes(&self) -> BTreeMap<i64, Option<u32>> {
        let category = |image: usize| self.categories.first().and_then(|level| level[image]);
        let images = self.labels.iter().enumerate();
        images
            .map(|(image, label)| (*label, category(image)))
            .collect()
    }

    /// Returns for each level, the narrowest first, the category of each image.
    pub(super) fn categories(&self) -> &[Vec<Option<u32>>] {
        &self.categories
    }

    /// Returns the images at `indices`, in that order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> LabeledEmbeddings {
        LabeledEmbeddings {
            rows: self.rows.select(indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            cameras: match self.cameras.is_empty() {
                true => Vec::new(),
                false => indices.iter().map(|&index| self.cameras[index]).collect(),
            },
            categories: self
                .categories
                .iter()
                .map(|level| indices.iter().map(|&index| level[index]).collect())
                .collect(),
            comparison: self.comparison,
        }
    }

    /// Returns the images with the sign of the first number of each row changed: as queries, points of the hyperboloid have
    /// these rows (see [`on_hyperboloid`](super::on_hyperboloid)).
    #[must_use]
    pub fn facing(&self) -> LabeledEmbeddings {
        let mut facing = self.clone();
        facing.rows.negate_first();
        facing
    }

    /// Returns how the embeddings are compared.
    pub fn comparison(&self) -> Comparison {
        self.comparison
    }
}

/// Which images are queries, and in which images they search for their class.
#[derive(Clone, Copy, Debug)]
pub enum RetrievalTask<'a> {
    /// Each image of a set searches all others of the set.
    Within(&'a LabeledEmbeddings),
    /// Each query searches all images of a gallery.
    Between {
        /// The queries.
        queries: &'a LabeledEmbeddings,
        /// The gallery, compared in the same way.
        gallery: &'a LabeledEmbeddings,
    },
    /// Each query searches all images of a gallery except itself, if it is there.
    Overlapping {
        /// The queries.
        queries: &'a LabeledEmbeddings,
        /// The gallery, compared in the same way.
        gallery: &'a LabeledEmbeddings,
        /// Index of each query in the gallery, if it is there.
        itself: &'a [Option<u32>],
    },
}

impl<'a> RetrievalTask<'a> {
    /// Returns the queries.
    pub fn queries(self) -> &'a LabeledEmbeddings {
        match self {
            RetrievalTask::Within(images) => images,
            RetrievalTask::Between { queries, .. } | RetrievalTask::Overlapping { queries, .. } => {
                queries
            }
        }
    }

    /// Returns the images that are searched.
    pub fn gallery(self) -> &'a LabeledEmbeddings {
        match self {
            RetrievalTask::Within(images) => images,
            RetrievalTask::Between { gallery, .. } | RetrievalTask::Overlapping { gallery, .. } => {
                gallery
            }
        }
    }

    pub(super) fn self_match(self) -> SelfMatch<'a> {
        match self {
            RetrievalTask::Within(_) => SelfMatch::SameIndex,
            RetrievalTask::Between { .. } => SelfMatch::Never,
            RetrievalTask::Overlapping { itself, .. } => SelfMatch::Listed(itself),
        }
    }

    /// Returns the cameras of queries and gallery, if both have some.
    pub(super) fn cameras(self) -> Option<Cameras<'a>> {
        let of_queries = &self.queries().cameras;
        let of_references = &self.gallery().cameras;
        let known = !of_queries.is_empty() && !of_references.is_empty();
        known.then_some(Cameras {
            of_queries,
            of_references,
        })
    }

    /// # Errors
    /// If queries and gallery differ in width.
    pub(super) fn check_widths(self) -> Result<(), EvalError> {
        let queries = self.queries().rows.width();
        let references = self.gallery().rows.width();
        if queries == references {
            Ok(())
        } else {
            Err(EvalError::Widths {
                queries,
                references,
            })
        }
    }
}

/// The camera of each query and each reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cameras<'a> {
    of_queries: &'a [Option<u32>],
    of_references: &'a [Option<u32>],
}

impl Cameras<'_> {
    /// True if one camera took both a query and a reference.
    pub(super) fn are_one(self, query: usize, reference: usize) -> bool {
        let camera = self.of_queries[query];
        camera.is_some() && camera == self.of_references[reference]
    }
}

/// Which reference is the query itself, and therefore no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum SelfMatch<'a> {
    /// The one at the query's index: queries and references are one set.
    SameIndex,
    /// None: the sets are disjoint.
    Never,
    /// The one listed for the query.
    Listed(&'a [Option<u32>]),
}

impl SelfMatch<'_> {
    pub(super) fn of(self, query: usize) -> Option<usize> {
        match self {
            SelfMatch::SameIndex => Some(query),
            SelfMatch::Never => None,
            SelfMatch::Listed(indices) => indices[query].map(|index| index as usize),
        }
    }

    /// Returns the largest number of references excluded for a query: 0 or 1.
    pub(super) fn max_excluded(self) -> usize {
        let excludes = match self {
            SelfMatch::SameIndex => true,
            SelfMatch::Never => false,
            SelfMatch::Listed(indices) => indices.iter().any(Option::is_some),
        };
        usize::from(excludes)
    }
}

/// A search for the `count` nearest references of each query.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeighborProblem<'a> {
    pub(super) queries: &'a Embeddings,
    pub(super) references: &'a Embeddings,
    pub(super) comparison: Comparison,
    pub(super) self_match: SelfMatch<'a>,
    /// At least 1; every query has as many references other than itself.
    pub(super) count: usize,
}
