//! Images on their way from a prepared data set to the network.
//!
//! Squares that nothing is done to come straight from the mapped file; all others go through a
//! [`Loader`], which works ahead.

use std::{cell::RefCell, sync::Arc};

use dml::{
    data::{Batches, Loader, PreparedData},
    sampler::Sampler,
};
use schema::Recipe;
use tch::{Device, Tensor};

use crate::{Failed, assemble};

/// Finished batches that wait for the network.
const AHEAD: usize = 2;

/// Where images come from.
pub(crate) struct Feed {
    /// All images as they are stored, if they are squares.
    stored: Option<Tensor>,
    training: Batches,
    test: Batches,
    /// The loader of the training and the number of its next batch.
    ahead: RefCell<Option<(u64, Loader)>>,
}

impl Feed {
    /// Images as the recipe wants them, for a network on this device.
    ///
    /// # Errors
    /// If the images cannot be mapped.
    pub(crate) fn new(
        recipe: &Recipe,
        data: &PreparedData,
        device: Device,
    ) -> Result<Feed, Failed> {
        let batches = |transform| Batches {
            images: Arc::clone(&data.images),
            transform,
            seed: recipe.seed,
            device,
        };
        let (training, test) = assemble::transforms(&recipe.transform);
        let stored = if training.is_nothing() || test.is_nothing() {
            data.images.squares()?
        } else {
            None
        };
        Ok(Feed {
            stored,
            training: batches(training),
            test: batches(test),
            ahead: RefCell::new(None),
        })
    }

    /// The same, with the squares to train on moved to the device.
    pub(crate) fn moved(mut self, data: &PreparedData) -> Feed {
        let (count, device) = (data.training().len() as i64, self.device());
        self.stored = self
            .stored
            .map(|images| images.narrow(0, 0, count).to_device(device));
        self
    }

    pub(crate) fn device(&self) -> Device {
        self.test.device
    }

    /// The images at these places, as they are measured.
    ///
    /// # Errors
    /// If an image cannot be read any more.
    pub(crate) fn images(&self, places: &[i64]) -> Result<Tensor, Failed> {
        match self
            .stored
            .as_ref()
            .filter(|_| self.test.transform.is_nothing())
        {
            Some(stored) => Ok(select(stored, places)),
            None => Ok(self.test.batch(0, places)?),
        }
    }

    /// The images at these places, as they are measured, so many at a time.
    pub(crate) fn chunks<'a>(
        &'a self,
        places: &'a [i64],
        size: usize,
    ) -> Box<dyn Iterator<Item = Result<Tensor, Failed>> + 'a> {
        if self.stored.is_some() && self.test.transform.is_nothing() {
            return Box::new(places.chunks(size).map(|places| self.images(places)));
        }
        let all: Vec<Vec<i64>> = places.chunks(size).map(<[i64]>::to_vec).collect();
        let loader = Loader::new(
            self.test.clone(),
            move |number| all.get(number as usize).cloned(),
            0,
            AHEAD,
        );
        Box::new(loader.map(|images| Ok(images?)))
    }

    /// The images of a batch, by its number, as they are trained on; `places` are those of the images that the
    /// sampler chooses among. Batches that follow each other are made ahead.
    ///
    /// # Errors
    /// If an image cannot be read any more.
    pub(crate) fn batch(
        &self,
        number: u64,
        sampler: &Arc<dyn Sampler>,
        places: &Arc<Vec<i64>>,
    ) -> Result<Tensor, Failed> {
        if let Some(stored) = self
            .stored
            .as_ref()
            .filter(|_| self.training.transform.is_nothing())
        {
            return Ok(select(stored, &chosen(sampler.as_ref(), places, number)));
        }
        let mut ahead = self.ahead.borrow_mut();
        let (_, mut loader) = ahead
            .take()
            .filter(|(next, _)| *next == number)
            .unwrap_or_else(|| {
                let (sampler, places) = (Arc::clone(sampler), Arc::clone(places));
                let places = move |number| Some(chosen(sampler.as_ref(), &places, number));
                (
                    number,
                    Loader::new(self.training.clone(), places, number, AHEAD),
                )
            });
        let batch = loader
            .next()
            .ok_or_else(|| Failed::internal("the loader ended before the training"))?;
        *ahead = Some((number + 1, loader));
        Ok(batch?)
    }
}

fn chosen(sampler: &dyn Sampler, places: &[i64], number: u64) -> Vec<i64> {
    sampler
        .batch(number)
        .iter()
        .map(|&image| places[image as usize])
        .collect()
}

fn select(images: &Tensor, places: &[i64]) -> Tensor {
    images.index_select(0, &Tensor::from_slice(places).to_device(images.device()))
}
