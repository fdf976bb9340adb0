//! What is searched for among the test images, and where: each among all the others, or queries in a gallery.

use dml::{
    data::listing::Role,
    eval::{LabeledEmbeddings, RetrievalTask},
};

/// Test images, ready to be searched for each other.
pub(crate) enum Searching {
    /// Each is a query and searched for by all the others.
    Within(LabeledEmbeddings),
    /// The data set says which are queries and which are searched. An image can be both.
    Apart {
        queries: LabeledEmbeddings,
        gallery: LabeledEmbeddings,
        /// The number of each query among the test images.
        images: Vec<usize>,
        /// Where each query is in the gallery, if it is there.
        itself: Vec<Option<u32>>,
    },
}

impl Searching {
    /// Images with the part that each has.
    pub(crate) fn new(images: LabeledEmbeddings, roles: &[Role]) -> Searching {
        if roles.iter().all(|role| *role == Role::Both) {
            return Searching::Within(images);
        }
        let with = |part: fn(Role) -> bool| {
            (0..roles.len())
                .filter(|&image| part(roles[image]))
                .collect::<Vec<_>>()
        };
        let (queries, gallery) = (with(Role::is_query), with(Role::is_reference));
        let itself = queries
            .iter()
            .map(|query| gallery.binary_search(query).ok().map(|place| place as u32));
        Searching::Apart {
            itself: itself.collect(),
            gallery: images.select(&gallery),
            queries: images.select(&queries),
            images: queries,
        }
    }

    pub(crate) fn search(&self) -> RetrievalTask<'_> {
        match self {
            Searching::Within(images) => RetrievalTask::Within(images),
            Searching::Apart {
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

    /// How many queries there are.
    pub(crate) fn queries(&self) -> usize {
        self.search().queries().labels().len()
    }

    /// How many images are searched, if they are told from the queries.
    pub(crate) fn gallery(&self) -> Option<usize> {
        match self {
            Searching::Within(_) => None,
            Searching::Apart { gallery, .. } => Some(gallery.labels().len()),
        }
    }

    /// The number of a query among the test images.
    pub(crate) fn image_of(&self, query: usize) -> usize {
        match self {
            Searching::Within(_) => query,
            Searching::Apart { images, .. } => images[query],
        }
    }
}

#[cfg(test)]
mod tests {
    use dml::eval::{Comparison, Embeddings, EvalResources, RankDepth, retrieve};

    use super::*;

    #[test]
    fn queries_keep_their_numbers_and_do_not_find_themselves() {
        // On a line, at 0, 1, 3, 4, 10: by their distance.
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
        let searching = Searching::new(images.clone(), &roles);
        let found = retrieve(searching.search(), RankDepth::All, EvalResources::default()).unwrap();
        // Image 1 finds 0, then 2; image 2 finds 3, 0, 4, but none of its class; image 3 finds 2, 0, 4.
        let first: Vec<_> = found
            .queries
            .iter()
            .map(|query| (searching.image_of(query.image as usize), query.scores.first))
            .collect();
        assert_eq!((first, found.without_positive), (vec![(1, 2), (3, 2)], 1));
        assert_eq!((searching.queries(), searching.gallery()), (3, Some(4)));

        let all = Searching::new(images, &[Role::Both; 5]);
        assert_eq!(
            (all.queries(), all.gallery(), all.image_of(4)),
            (5, None, 4)
        );
    }
}
