//! Random numbers of a search: the extendable output of BLAKE3 for seed, trial and stream.
//!
//! Separate from Philox in `dml::random`, because this crate does not depend on `dml`, and from
//! SplitMix64 in the bootstrap of `report`: the suggestions of every existing study follow from
//! this stream.

use blake3::{Hasher, OutputReader};

/// What numbers are drawn for; streams are independent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Random,
    Sobol,
    Tpe,
    Gp,
}

/// The random numbers of a trial.
pub(super) struct SearchRng(OutputReader);

impl SearchRng {
    pub(super) fn new(seed: u64, trial: usize, stream: Stream) -> SearchRng {
        let mut hasher = Hasher::new_derive_key("sweep search draws");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(trial as u64).to_le_bytes());
        hasher.update(&[stream as u8]);
        SearchRng(hasher.finalize_xof())
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Returns a multiple of 2^-53, uniform on [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a standard normal number: one of the two results of Marsaglia's polar method.
    pub(super) fn normal(&mut self) -> f64 {
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * libm::log(square) / square).sqrt();
            }
        }
    }

    /// Returns an integer, uniform on `0..bound` with a negligible bias of `bound` in 2^53.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }
}
