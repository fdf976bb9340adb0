//! Batches of images of a prepared data set.
//!
//! Squares without a transform are read directly from the mapped file; all others go through a
//! [`Loader`], which prefetches batches.

use std::{cell::RefCell, sync::Arc};

use dml::{
    data::{Batches, Loader, PreparedData, TrainTransform},
    libtorch,
    sampler::BatchSampler,
    upload,
};
use schema::{Recipe, bytes_in_words};
use tch::{Device, Tensor};

use crate::{Failed, process::log};

/// Images stay on a GPU if they take at most its free memory divided by this. Networks and other runs need the rest.
const SHARE: u64 = 4;

/// The number of finished batches that are held ready.
const AHEAD: usize = 2;

/// The source of all batches of a run.
pub(crate) struct BatchSource {
    /// All images as they are stored, if they are squares and are used without a transform.
    stored: Option<Tensor>,
    training: Batches,
    test: Batches,
    prefetched: RefCell<Option<Prefetched>>,
}

/// The loader of the training batches.
struct Prefetched {
    /// The number of its next batch.
    next: u64,
    sampler: Arc<BatchSampler>,
    loader: Loader,
}

impl Prefetched {
    /// True if the next batch is this one of this very sampler: one that has learnt of a survey forms others.
    fn is_at(&self, number: u64, sampler: &Arc<BatchSampler>) -> bool {
        self.next == number && Arc::ptr_eq(&self.sampler, sampler)
    }
}

impl BatchSource {
    /// Returns the batches of a recipe, for a network on this device.
    ///
    /// # Errors
    /// If the images cannot be mapped.
    pub(crate) fn new(
        recipe: &Recipe,
        data: &PreparedData,
        device: Device,
    ) -> Result<BatchSource, Failed> {
        let batches = |transform: TrainTransform| Batches {
            images: Arc::clone(&data.images),
            transform,
            seed: recipe.seed,
            device,
        };
        let training = recipe.transform.of_training();
        let test = recipe.transform.of_test();
        let stored = if training.is_identity() || test.is_identity() {
            data.images.squares()?
        } else {
            None
        };
        Ok(BatchSource {
            stored,
            training: batches(training),
            test: batches(test),
            prefetched: RefCell::new(None),
        })
    }

    /// Moves the squares to train on to the device, if it has room for them. The others are no longer available.
    pub(crate) fn on_device(mut self, data: &PreparedData) -> BatchSource {
        let count = data.training_images().len() as i64;
        let device = self.device();
        let squares = self.stored.map(|images| images.narrow(0, 0, count));
        self.stored = squares.map(|squares| match has_room(device, &squares) {
            true => squares.to_device(device),
            false => squares,
        });
        self
    }

    pub(crate) fn device(&self) -> Device {
        self.test.device
    }

    /// Returns the stored images, if batches with this transform are taken from them.
    fn stored_for(&self, batches: &Batches) -> Option<&Tensor> {
        let stored = self.stored.as_ref();
        stored.filter(|_| batches.transform.is_identity())
    }

    /// Returns the images with these indices, with the transform of test images.
    ///
    /// # Errors
    /// If an image can no longer be read.
    pub(crate) fn images(&self, indices: &[i64]) -> Result<Tensor, Failed> {
        match self.stored_for(&self.test) {
            Some(stored) => Ok(select(stored, indices, self.device())),
            None => Ok(self.test.batch(0, indices)?),
        }
    }

    /// Returns the same images as [`images`](Self::images), in chunks of at most `size`, which differ
    /// by one image at most: libtorch computes very small chunks by other kernels.
    pub(crate) fn chunks<'a>(
        &'a self,
        indices: &'a [i64],
        size: usize,
    ) -> Box<dyn Iterator<Item = Result<Tensor, Failed>> + 'a> {
        let count = indices.len().div_ceil(size.max(1));
        let bound = move |chunk: usize| chunk * indices.len() / count;
        let chunks = (0..count).map(move |chunk| &indices[bound(chunk)..bound(chunk + 1)]);
        if self.stored_for(&self.test).is_some() {
            return Box::new(chunks.map(|indices| self.images(indices)));
        }
        let all: Vec<Vec<i64>> = chunks.map(<[i64]>::to_vec).collect();
        let of_step = move |step: u64| all.get(step as usize).cloned();
        let loader = Loader::new(self.test.clone(), of_step, 0, AHEAD);
        Box::new(loader.map(|images| Ok(images?)))
    }

    /// Returns the images of a training batch, by its number. `indices` are those of the images that the
    /// sampler chooses from. Successive batches are prefetched.
    ///
    /// # Errors
    /// If an image can no longer be read.
    pub(crate) fn batch(
        &self,
        number: u64,
        sampler: &Arc<BatchSampler>,
        indices: &Arc<Vec<i64>>,
    ) -> Result<Tensor, Failed> {
        if let Some(stored) = self.stored_for(&self.training) {
            let chosen = chosen(sampler.as_ref(), indices, number);
            return Ok(select(stored, &chosen, self.device()));
        }
        let mut slot = self.prefetched.borrow_mut();
        let mut prefetched = match slot.take() {
            Some(prefetched) if prefetched.is_at(number, sampler) => prefetched,
            Some(_) | None => self.prefetch(number, sampler, indices),
        };
        let batch = prefetched
            .loader
            .next()
            .ok_or_else(|| Failed::internal("the loader ended before the training"))?;
        prefetched.next += 1;
        *slot = Some(prefetched);
        Ok(batch?)
    }

    fn prefetch(
        &self,
        number: u64,
        sampler: &Arc<BatchSampler>,
        indices: &Arc<Vec<i64>>,
    ) -> Prefetched {
        let indices = Arc::clone(indices);
        let choosing = Arc::clone(sampler);
        let of_step = move |step| Some(chosen(choosing.as_ref(), &indices, step));
        Prefetched {
            next: number,
            sampler: Arc::clone(sampler),
            loader: Loader::new(self.training.clone(), of_step, number, AHEAD),
        }
    }
}

fn chosen(sampler: &BatchSampler, indices: &[i64], number: u64) -> Vec<i64> {
    let batch = sampler.batch(number);
    batch.iter().map(|&image| indices[image as usize]).collect()
}

/// Returns the images with these indices, on the device.
fn select(images: &Tensor, indices: &[i64], device: Device) -> Tensor {
    let chosen = images.index_select(0, &upload::integers(indices, images.device()));
    match images.device() == device {
        true => chosen,
        false => upload::uploaded(&chosen, device),
    }
}

/// True if these images take at most [`SHARE`] of the memory that a GPU has free now. Otherwise, or if it does not tell,
/// they stay on the host, and each batch is uploaded.
fn has_room(device: Device, images: &Tensor) -> bool {
    let Some(free) = libtorch::free_bytes(device) else {
        return device == Device::Cpu;
    };
    let bytes = images.numel() as u64;
    let has_room = bytes <= free / SHARE;
    if !has_room {
        log(&format!(
            "the images stay on the host: they take {}, and the GPU has {} free",
            bytes_in_words(bytes),
            bytes_in_words(free)
        ));
    }
    has_room
}
