//! Impostors: for each training image the images of other classes nearest to it (the word is that of Weinberger & Saul,
//! "Distance metric learning for large margin nearest neighbor classification", JMLR 2009).
//!
//! Smart mining (Harwood et al., ICCV 2017) searches them in the whole training set by an approximate graph of neighbors.
//! Differs: the search here is exact. An image has as many images of its own class before its impostors as the class has
//! others, so a search for that many more finds them.

use tch::{Device, Kind, Tensor};

use crate::{
    download::integers,
    eval::{
        Embeddings, EvalError, EvalResources, LabeledEmbeddings, Neighbors, RetrievalTask, nearest,
    },
    state::{State, StateError, copy, overwrite},
};

/// Queries of one search: bounds the memory for what it finds.
const QUERIES: usize = 4096;

/// The impostors of each training image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impostors {
    /// How many each image has.
    count: usize,
    images: Vec<i64>,
}

impl Impostors {
    /// Finds for each of the images with these embeddings `[n, d]` and labels `[n]` the `most` images of other classes with
    /// the smallest Euclidean distance, or as many as every image has if these are fewer.
    ///
    /// # Errors
    /// If the embeddings are not finite, or it is stopped.
    pub fn new(
        embeddings: &Tensor,
        labels: &[i64],
        most: usize,
        resources: EvalResources,
    ) -> Result<Impostors, EvalError> {
        let rows = Embeddings::from_tensor(embeddings)?;
        let all = LabeledEmbeddings::new(rows, labels.to_vec(), schema::Comparison::Euclidean)?;
        let (count, largest) = (count_of(labels, most), largest_class(labels));
        let mut images = Vec::with_capacity(labels.len() * count);
        let places: Vec<usize> = (0..labels.len()).collect();
        for places in places.chunks(QUERIES) {
            let found = around(places, &all, count + largest - 1, resources)?;
            for (query, &place) in places.iter().enumerate() {
                let images_around = found.of(query).iter().map(|&image| i64::from(image));
                let others = images_around.filter(|&image| labels[image as usize] != labels[place]);
                images.extend(others.take(count));
            }
        }
        Ok(Impostors { count, images })
    }

    /// Returns the impostors of an image, the nearest first; of equals the first image is nearer.
    pub fn of(&self, image: i64) -> &[i64] {
        &self.images[image as usize * self.count..][..self.count]
    }

    /// Returns what [`restored`](Self::restored) needs.
    pub fn state(&self) -> State {
        vec![copy(IMPOSTORS, &Tensor::from_slice(&self.images))]
    }

    /// Returns the impostors with this state, of images with these labels. See [`new`](Self::new) for `most`.
    ///
    /// # Errors
    /// If the state is not that of such impostors.
    pub fn restored(state: &State, labels: &[i64], most: usize) -> Result<Impostors, StateError> {
        let count = count_of(labels, most);
        let mut images = Tensor::zeros([(labels.len() * count) as i64], (Kind::Int64, Device::Cpu));
        overwrite(&mut [(IMPOSTORS, &mut images)], state)?;
        Ok(Impostors {
            count,
            images: integers(&images),
        })
    }
}

/// The name of the tensor in a state.
const IMPOSTORS: &str = "impostors";

/// Finds the nearest of all images for those at these places.
fn around(
    places: &[usize],
    all: &LabeledEmbeddings,
    count: usize,
    resources: EvalResources,
) -> Result<Neighbors, EvalError> {
    let itself: Vec<Option<u32>> = places.iter().map(|&place| Some(place as u32)).collect();
    let task = RetrievalTask::Overlapping {
        queries: &all.select(places),
        gallery: all,
        itself: &itself,
    };
    nearest(task, count, resources)
}

/// Returns how many impostors each image has, `most` or as many as every image has.
fn count_of(labels: &[i64], most: usize) -> usize {
    most.min(labels.len() - largest_class(labels))
}

/// Returns the number of images of the largest class.
fn largest_class(labels: &[i64]) -> usize {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let classes = sorted.chunk_by(|one, other| one == other);
    classes.map(<[i64]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, rows};

    /// 60 images of 7 classes; the last class has one image.
    fn images() -> (Tensor, Vec<i64>) {
        // Rounded, so that many are equally far.
        let embeddings = (noise(5, 60, 3) * 4.0).round();
        let labels = (0..60).map(|image| if image == 59 { 6 } else { image % 6 });
        (embeddings, labels.collect())
    }

    fn found(most: usize) -> Impostors {
        let (embeddings, labels) = images();
        Impostors::new(&embeddings, &labels, most, EvalResources::default()).unwrap()
    }

    /// The nearest images of other classes, by sorting all.
    fn by_sorting(image: usize, count: usize) -> Vec<i64> {
        let (embeddings, labels) = images();
        let rows = rows(&embeddings);
        let distance = |other: i64| -> f64 {
            let pairs = rows[image].iter().zip(&rows[other as usize]);
            pairs.map(|(a, b)| (a - b).powi(2)).sum()
        };
        let mut others: Vec<i64> = (0..60)
            .filter(|&other| labels[other as usize] != labels[image])
            .collect();
        others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        others.truncate(count);
        others
    }

    #[test]
    fn impostors_are_the_nearest_images_of_other_classes() {
        for most in [1, 4, 50] {
            let impostors = found(most);
            for image in 0..60 {
                assert_eq!(impostors.of(image as i64), by_sorting(image, most));
            }
        }
    }

    #[test]
    fn an_image_has_as_many_as_every_image_has() {
        // The largest class has 10 images, so that its images have 50 others.
        assert_eq!(found(1000), found(50));
        let one_class = Impostors::new(&noise(1, 5, 2), &[3; 5], 4, EvalResources::default());
        assert!(one_class.unwrap().of(4).is_empty());
    }

    #[test]
    fn impostors_are_restored_and_those_of_other_images_are_refused() {
        let (_, labels) = images();
        let impostors = found(4);
        let state = impostors.state();
        assert_eq!(Impostors::restored(&state, &labels, 4).unwrap(), impostors);
        Impostors::restored(&state, &labels, 5).unwrap_err();
        Impostors::restored(&state, &labels[1..], 4).unwrap_err();
    }

    #[test]
    fn embeddings_that_are_not_finite_have_none() {
        let (embeddings, labels) = images();
        let error = Impostors::new(&(embeddings / 0.0), &labels, 4, EvalResources::default());
        assert!(matches!(error, Err(EvalError::NotFinite { .. })));
    }
}
