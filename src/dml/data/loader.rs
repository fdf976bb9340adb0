//! Batches, made ahead of the network by a thread of their own.
//!
//! A batch is a pure function of seed, step and the places that it is made of, so a training that resumes needs no
//! state of its loader, and how many threads make it changes nothing.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::{DataError, ImageStore, Plan, Transform, on_device::on_device};

/// Makes batches of transformed images.
#[derive(Clone, Debug)]
pub struct Batches {
    /// Where the images are.
    pub images: Arc<ImageStore>,
    /// What is done to them.
    pub transform: Transform,
    /// The seed of every random draw.
    pub seed: u64,
    /// Where the batches go. On a GPU the images are cropped, resized and changed there.
    pub device: Device,
}

/// A batch as far as it is made before it is on its device.
#[derive(Debug)]
enum Made {
    /// All of it, `[n, channels, side, side]`.
    Whole(Tensor),
    /// The parts of the images that are needed, in the upper left of `[n, height, width, channels]`.
    Parts { images: Tensor, plans: Vec<Plan> },
}

impl Batches {
    /// The images at these places, `[n, channels, side, side]` of bytes, on the device.
    ///
    /// # Errors
    /// If an image cannot be read any more.
    pub fn batch(&self, step: u64, places: &[i64]) -> Result<Tensor, DataError> {
        Ok(self.make(step, places)?.finish(self.device))
    }

    /// The same, cropped, resized and changed on the device whatever it is.
    #[cfg(test)]
    pub(super) fn on_device(&self, step: u64, places: &[i64]) -> Result<Tensor, DataError> {
        Ok(self
            .parts(places, self.plans(step, places))?
            .finish(self.device))
    }

    fn make(&self, step: u64, places: &[i64]) -> Result<Made, DataError> {
        let plans = self.plans(step, places);
        if self.device.is_cuda() {
            self.parts(places, plans)
        } else {
            self.whole(places, &plans)
        }
    }

    fn plans(&self, step: u64, places: &[i64]) -> Vec<Plan> {
        let plan = |(number, &place): (usize, &i64)| {
            self.transform.plan(
                self.images.sides(place as usize),
                self.seed,
                step,
                number as u64,
            )
        };
        places.iter().enumerate().map(plan).collect()
    }

    fn whole(&self, places: &[i64], plans: &[Plan]) -> Result<Made, DataError> {
        let stored = self.images.stored();
        let (side, channels) = (self.transform.side(stored), stored.colour.channels());
        let mut batch = Tensor::zeros(
            [places.len(), side, side, channels].map(|side| side as i64),
            BYTES,
        );
        let images = bytes_mut(&mut batch).par_chunks_exact_mut(side * side * channels);
        images
            .zip(places.par_iter().zip(plans))
            .try_for_each(|(out, (&place, plan))| {
                plan.apply(&self.images.part(place as usize, plan.region)?, out);
                Ok::<(), DataError>(())
            })?;
        Ok(Made::Whole(batch.permute([0, 3, 1, 2])))
    }

    fn parts(&self, places: &[i64], mut plans: Vec<Plan>) -> Result<Made, DataError> {
        let most = |side: fn(&Plan) -> usize| plans.iter().map(side).max().unwrap_or(1);
        let (width, height) = (
            most(|plan| plan.region.width),
            most(|plan| plan.region.height),
        );
        let channels = self.images.stored().colour.channels();
        let mut batch = Tensor::zeros(
            [places.len(), height, width, channels].map(|side| side as i64),
            BYTES,
        );
        let images = bytes_mut(&mut batch).par_chunks_exact_mut(height * width * channels);
        images
            .zip(places.par_iter().zip(&plans))
            .try_for_each(|(out, (&place, plan))| {
                let part = self.images.part(place as usize, plan.region)?;
                let (rows, row) = (
                    part.pixels.chunks_exact(part.width * channels),
                    part.width * channels,
                );
                out.chunks_exact_mut(width * channels)
                    .zip(rows)
                    .for_each(|(out, pixels)| out[..row].copy_from_slice(pixels));
                Ok::<(), DataError>(())
            })?;
        plans
            .iter_mut()
            .for_each(|plan| (plan.region.left, plan.region.top) = (0, 0));
        Ok(Made::Parts {
            images: batch,
            plans,
        })
    }
}

const BYTES: (Kind, Device) = (Kind::Uint8, Device::Cpu);

/// What a tensor of bytes that nothing else shares holds.
#[expect(
    unsafe_code,
    reason = "threads write the images of a batch where they are used"
)]
fn bytes_mut(batch: &mut Tensor) -> &mut [u8] {
    assert!(batch.kind() == Kind::Uint8 && batch.device() == Device::Cpu && batch.is_contiguous());
    // SAFETY: so many bytes lie there side by side, as long as the tensor does, which is borrowed meanwhile.
    unsafe { std::slice::from_raw_parts_mut(batch.data_ptr().cast(), batch.numel()) }
}

impl Made {
    fn finish(self, device: Device) -> Tensor {
        match self {
            Made::Whole(images) => images.to_device(device),
            Made::Parts { images, plans } => on_device(&images.to_device(device), &plans),
        }
    }
}

/// Makes the batches of one step after another, some ahead of the one that is used.
#[derive(Debug)]
pub struct Loader {
    device: Device,
    /// Closed before the thread is waited for.
    made: Option<Receiver<Result<Made, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Begins with the batch of step `from`; `places` tells which images belong to a step, and nothing after the
    /// last. At most `ahead` finished batches wait.
    pub fn new(
        batches: Batches,
        places: impl Fn(u64) -> Option<Vec<i64>> + Send + 'static,
        from: u64,
        ahead: usize,
    ) -> Loader {
        let (sender, made) = sync_channel(ahead);
        let device = batches.device;
        let thread = thread::spawn(move || {
            let steps = (from..).map_while(|step| Some((step, places(step)?)));
            for (step, places) in steps {
                let batch = batches.make(step, &places);
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

    /// The images of the next step, `[n, channels, side, side]` of bytes on the device; nothing after the last step
    /// or an error.
    fn next(&mut self) -> Option<Self::Item> {
        let made = self.made.as_ref()?.recv().ok()?;
        Some(made.map(|made| made.finish(self.device)))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        drop(self.made.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed, and whoever took batches saw them end.
            let _ = thread.join();
        }
    }
}
