//! Counter-based random numbers: every draw is a pure function of its purpose.
//!
//! [`Draws`] is an unlimited sequence that is identified by a seed, a [`Purpose`] and two counters,
//! such as step and item. Resuming at step 1000 needs no saved generator state, and threads never
//! share a generator. The generator is Philox 4x32-10 (Salmon et al., SC 2011), checked against its
//! published test vectors.
//!
//! Separate from the generators of `sweep::search` and of the bootstrap in `report`, which do not
//! depend on this crate: results of existing runs follow from each of the three streams.

/// What numbers are drawn for. Draws for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights. Counters: parameter tensor, 0.
    Weights = 1,
    /// Which classes and images form a batch. Counters: step, class within the batch plus one.
    Batch = 2,
    /// The permutation of labels of the control experiment. Counters: 0, 0.
    Labels = 3,
    /// The strokes of a class of glyphs. Counters: class, 0.
    Strokes = 4,
    /// The variation of the strokes in one image. Counters: class, image within the class.
    Execution = 5,
    /// Initial parameters of a loss. Counters: parameter tensor, index of the loss.
    Proxies = 6,
    /// Random choices of a miner. Counters: step, index of the loss.
    Mining = 7,
    /// The images that initially fill a memory. Counters: 0, 0.
    Filling = 8,
    /// Crops, flips and color jitter. Counters: step, index within the batch.
    Transform = 9,
    /// The images of a survey. Counters: step, class.
    Survey = 10,
    /// The batches with which a loss or a miner of the user is checked. Counters: 0 or 1, 0.
    Probe = 11,
    /// Initial parameters of the predictors of heads. Counters: parameter tensor, 0.
    Predictors = 12,
    /// A map of classes to larger ones. Counters: the number of the map, 0.
    LabelMap = 13,
    /// Operations of an augmentation policy. Counters: step, index within the batch.
    Augmentation = 21,
    /// The rank of a class among those that are trained on. Counters: class, 0.
    ClassRank = 22,
    /// The rank of an image among those of its class that are trained on. Counters: image, 0.
    ImageRank = 23,
    /// Whether an image has a wrong label, and which. Counters: image, 0.
    LabelNoise = 24,
    /// The image of a class in a gallery. Counters: gallery, class.
    Gallery = 25,
    /// The batches on which objectives are compared, and the directions of their slopes. Counters: batch, 0, or
    /// parameters and direction, 1.
    Comparison = 31,
    /// The initial centers of clusters. Counters: 0, 0.
    Clusters = 20,
    /// Which images of a batch skip a branch of a residual block. Counters: batch, branch.
    Depth = 26,
    /// Which inputs of the last layer of a head are set to 0. Counters: batch, head.
    Dropout = 27,
}

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Draws {
    key: [u32; 2],
    name: [u32; 3],
    block: u32,
    buffer: [u32; 4],
    used: usize,
}

impl Draws {
    /// Returns the sequence of this seed, purpose and pair of counters. Only the lower 48 bits of
    /// `first` and the lower 32 bits of `second` distinguish sequences.
    pub fn new(seed: u64, purpose: Purpose, first: u64, second: u64) -> Draws {
        let (high, low) = halves(first);
        Draws {
            key: [halves(seed).1, halves(seed).0],
            name: [low, (high << 16) | purpose as u32, halves(second).1],
            block: 0,
            buffer: [0; 4],
            used: 4,
        }
    }

    /// Returns the next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.buffer = philox(
                [self.block, self.name[0], self.name[1], self.name[2]],
                self.key,
            );
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// Skips as many numbers as [`uniform`](Self::uniform) returns in `count` calls, without drawing them.
    pub fn skip_uniform(&mut self, count: u32) {
        let drawn = self.block * 4 + self.used as u32 - 4;
        let next = drawn + 2 * count;
        (self.block, self.used) = (next / 4, 4);
        for _ in 0..next % 4 {
            self.next_u32();
        }
    }

    /// Returns the next multiple of 2^-53, uniform on [0, 1).
    pub fn uniform(&mut self) -> f64 {
        let high = u64::from(self.next_u32() >> 5);
        let low = u64::from(self.next_u32() >> 6);
        ((high << 26) | low) as f64 / (1u64 << 53) as f64
    }

    /// Returns the next number, uniform on [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Returns the next standard normal number: one of the two results of Marsaglia's polar method.
    pub fn normal(&mut self) -> f64 {
        loop {
            let x = self.between(-1.0, 1.0);
            let y = self.between(-1.0, 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// Returns the next integer, uniform on `0..bound`, without bias.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).expect("choices are counted in 32 bits");
        // Lemire, "Fast random integer generation in an interval", 2019.
        let mut product = u64::from(self.next_u32()) * u64::from(bound);
        while (product as u32) < bound.wrapping_neg() % bound {
            product = u64::from(self.next_u32()) * u64::from(bound);
        }
        (product >> 32) as usize
    }

    /// Moves a uniform random sample of `count` items, in random order, to the front and returns it.
    ///
    /// # Panics
    /// If there are fewer items than `count`.
    pub fn choose<'a, T>(&mut self, items: &'a mut [T], count: usize) -> &'a [T] {
        for index in 0..count {
            let chosen = index + self.below(items.len() - index);
            items.swap(index, chosen);
        }
        &items[..count]
    }
}

fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (high0, low0) = halves(u64::from(counter[0]) * 0xD251_1F53);
        let (high1, low1) = halves(u64::from(counter[2]) * 0xCD9E_8D57);
        counter = [
            high1 ^ counter[1] ^ key[0],
            low1,
            high0 ^ counter[3] ^ key[1],
            low0,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_agrees_with_its_published_vectors() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn sequences_with_different_names_differ() {
        let first = |seed, purpose, a, b| Draws::new(seed, purpose, a, b).next_u32();
        let mut all = vec![
            first(0, Purpose::Batch, 0, 0),
            first(1, Purpose::Batch, 0, 0),
            first(1 << 32, Purpose::Batch, 0, 0),
            first(0, Purpose::Labels, 0, 0),
            first(0, Purpose::Batch, 1, 0),
            first(0, Purpose::Batch, 1 << 32, 0),
            first(0, Purpose::Batch, 0, 1),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn skipped_numbers_are_those_that_would_have_been_drawn() {
        for (before, skipped) in [(0, 0), (0, 7), (1, 1), (3, 10), (4, 1001)] {
            let mut draws = Draws::new(7, Purpose::Batch, 1, 2);
            for _ in 0..before {
                draws.next_u32();
            }
            let mut expected = draws.clone();
            for _ in 0..skipped {
                expected.uniform();
            }
            draws.skip_uniform(skipped);
            assert_eq!(draws.uniform(), expected.uniform());
        }
    }

    #[test]
    fn a_choice_is_distinct_and_every_item_is_equally_likely() {
        let mut counts = [0u32; 5];
        for trial in 0..10_000 {
            let mut items = [0, 1, 2, 3, 4];
            let chosen = Draws::new(7, Purpose::Batch, trial, 0)
                .choose(&mut items, 2)
                .to_vec();
            assert_ne!(chosen[0], chosen[1]);
            chosen.iter().for_each(|&item| counts[item] += 1);
        }
        assert!(
            counts.iter().all(|&count| (3800..4200).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut draws = Draws::new(5, Purpose::Weights, 0, 0);
        let numbers: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.04,
            "{mean} {variance}"
        );
        let beyond_two = numbers.iter().filter(|x| x.abs() > 2.0).count() as f64 / 20_000.0;
        assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two}");
    }

    #[test]
    fn uniform_numbers_stay_below_one() {
        let mut draws = Draws::new(3, Purpose::Weights, 0, 0);
        let numbers: Vec<f64> = (0..10_000).map(|_| draws.uniform()).collect();
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
