//! Batches of transformed images, prefetched by a thread.
//!
//! A batch is a pure function of seed, step and the indices of its images. A resumed training needs no
//! state of its loader, and the number of threads changes nothing.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use schema::TrainTransform;

use super::{AugmentParams, DataError, ImageStore, on_device::Plan, transform::DrawKey};
use crate::upload::Parcel;

/// Makes batches of transformed images.
#[derive(Clone, Debug)]
pub struct Batches {
    /// The stored images.
    pub images: Arc<ImageStore>,
    /// Their transform.
    pub transform: TrainTransform,
    /// The seed of every random draw.
    pub seed: u64,
    /// The device of the batches. On a GPU, images are cropped, resized and changed there, unless the transform has a
    /// policy: each image then has its own operations, and the threads of the CPU do all of it.
    pub device: Device,
}

/// A batch before it is moved to its device.
#[derive(Debug)]
enum Made {
    /// Finished images, `[n, channels, side, side]`.
    Whole(Tensor),
    /// Regions still to be transformed, in the upper left of `[n, height, width, channels]`, with the numbers of the
    /// transforms.
    Regions { plan: Plan, parcel: Parcel<3> },
}

impl Batches {
    /// Returns the images with these indices, `[n, channels, side, side]` of bytes, on the device.
    ///
    /// # Errors
    /// If an image can no longer be read.
    pub fn batch(&self, step: u64, indices: &[i64]) -> Result<Tensor, DataError> {
        Ok(self.make(step, indices)?.finish(self.device))
    }

    /// As [`batch`](Self::batch), but cropped, resized and changed on the device even if it is the CPU.
    #[cfg(test)]
    pub(super) fn on_device(&self, step: u64, indices: &[i64]) -> Result<Tensor, DataError> {
        let params = self.params(step, indices);
        Ok(self.regions(indices, params)?.finish(self.device))
    }

    fn make(&self, step: u64, indices: &[i64]) -> Result<Made, DataError> {
        let params = self.params(step, indices);
        if self.device.is_cuda() && self.transform.policy.is_none() {
            self.regions(indices, params)
        } else {
            self.whole(indices, &params)
        }
    }

    fn params(&self, step: u64, indices: &[i64]) -> Vec<AugmentParams> {
        let mut params = Vec::with_capacity(indices.len());
        for (index, &image) in (0..).zip(indices) {
            let key = DrawKey {
                seed: self.seed,
                step,
                index,
            };
            let sides = self.images.sides(image as usize);
            params.push(AugmentParams::drawn(&self.transform, sides, key));
        }
        params
    }

    fn channels(&self) -> usize {
        self.images.stored().color.channels() as usize
    }

    fn whole(&self, indices: &[i64], params: &[AugmentParams]) -> Result<Made, DataError> {
        let side = self.transform.side(self.images.stored()) as usize;
        let channels = self.channels();
        let mut batch = bytes([indices.len(), side, side, channels]);
        bytes_mut(&mut batch)
            .par_chunks_exact_mut(side * side * channels)
            .zip(indices.par_iter().zip(params))
            .try_for_each(|(out, (&image, params))| {
                params.apply(&self.images.part(image as usize, params.region)?, out);
                Ok::<(), DataError>(())
            })?;
        Ok(Made::Whole(batch.permute([0, 3, 1, 2])))
    }

    fn regions(&self, indices: &[i64], mut params: Vec<AugmentParams>) -> Result<Made, DataError> {
        let width = params.iter().map(|params| params.region.width).max();
        let height = params.iter().map(|params| params.region.height).max();
        let width = width.unwrap_or(1);
        let height = height.unwrap_or(1);
        let channels = self.channels();
        let mut batch = bytes([indices.len(), height, width, channels]);
        bytes_mut(&mut batch)
            .par_chunks_exact_mut(height * width * channels)
            .zip(indices.par_iter().zip(&params))
            .try_for_each(|(out, (&image, params))| {
                let part = self.images.part(image as usize, params.region)?;
                let row = part.width * channels;
                let rows = out.chunks_exact_mut(width * channels);
                for (out, pixels) in rows.zip(part.pixels.chunks_exact(row)) {
                    out[..row].copy_from_slice(pixels);
                }
                Ok::<(), DataError>(())
            })?;
        for params in &mut params {
            params.region.left = 0;
            params.region.top = 0;
        }
        let (plan, table, shifted) = Plan::of(&params, channels);
        Ok(Made::Regions {
            plan,
            parcel: Parcel::packed([batch, table, shifted], self.device),
        })
    }
}

/// Returns a tensor of zero bytes on the CPU.
fn bytes(shape: [usize; 4]) -> Tensor {
    Tensor::zeros(shape.map(|side| side as i64), (Kind::Uint8, Device::Cpu))
}

/// Returns the bytes of a tensor that nothing else shares.
#[expect(
    unsafe_code,
    reason = "threads write the images of a batch where they are used"
)]
fn bytes_mut(batch: &mut Tensor) -> &mut [u8] {
    assert!(batch.kind() == Kind::Uint8 && batch.device() == Device::Cpu && batch.is_contiguous());
    // SAFETY: a contiguous tensor of bytes has `numel` of them at `data_ptr`, and is borrowed meanwhile.
    unsafe { std::slice::from_raw_parts_mut(batch.data_ptr().cast(), batch.numel()) }
}

impl Made {
    fn finish(self, device: Device) -> Tensor {
        match self {
            Made::Whole(images) => images.to_device(device),
            Made::Regions { plan, parcel } => {
                let [images, table, shifted] = parcel.sent();
                plan.apply(&images, &table, &shifted)
            }
        }
    }
}

/// Makes the batches of successive steps, some ahead of the one that is used.
#[derive(Debug)]
pub struct Loader {
    device: Device,
    /// Closed before the thread is waited for.
    made: Option<Receiver<Result<Made, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts with the batch of step `from`. `indices` returns the images of a step, and `None` after the
    /// last step. At most `ahead` finished batches wait.
    pub fn new(
        batches: Batches,
        indices: impl Fn(u64) -> Option<Vec<i64>> + Send + 'static,
        from: u64,
        ahead: usize,
    ) -> Loader {
        let (sender, made) = sync_channel(ahead);
        let device = batches.device;
        let thread = thread::spawn(move || {
            let steps = (from..).map_while(|step| Some((step, indices(step)?)));
            for (step, indices) in steps {
                let batch = batches.make(step, &indices);
                let failed = batch.is_err();
                // Nobody waits for a batch any more, or for one after an error.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        Loader {
            device,
            made: Some(made),
            thread: Some(thread),
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Tensor, DataError>;

    /// Returns the images of the next step, `[n, channels, side, side]` of bytes on the device; `None` after
    /// the last step or an error.
    fn next(&mut self) -> Option<Self::Item> {
        let made = self.made.as_ref()?.recv().ok()?;
        Some(made.map(|made| made.finish(self.device)))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        drop(self.made.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed, and its batches have ended.
            let _ = thread.join();
        }
    }
}
