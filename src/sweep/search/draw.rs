//! Random numbers without state: the output of BLAKE3 for the name of what they are for.

use blake3::{Hasher, OutputReader};

/// What numbers are drawn for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Random,
    Sobol,
    Tpe,
    Gp,
}

/// A sequence of random numbers, named by the seed of a search, a trial and a purpose.
pub(super) struct Draws(OutputReader);

impl Draws {
    pub(super) fn new(seed: u64, trial: usize, purpose: Purpose) -> Draws {
        let mut hasher = Hasher::new_derive_key("sweep search draws");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(trial as u64).to_le_bytes());
        hasher.update(&[purpose as u8]);
        Draws(hasher.finalize_xof())
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Uniform on [0, 1), a multiple of 2^-53.
    pub(super) fn uniform(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal with mean 0 and variance 1: Marsaglia's polar method, one of its two results.
    pub(super) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * libm::log(square) / square).sqrt();
            }
        }
    }

    /// Uniform on `0..bound`; the bias, `bound` in 2^53, is of no account.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }
}
