//! Mean and standard deviation in one pass.
//!
//! The mean is that of a compensated sum (Kahan 1965), the variance follows Welford's recurrence
//! (1962). CSV files print all digits, so another order of operations would change them.

/// The moments of the values added so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    count: u32,
    sum: f64,
    /// What rounding added to the sum.
    error: f64,
    running_mean: f64,
    /// The sum of squared deviations from the mean.
    squares: f64,
}

impl Moments {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let corrected = value - self.error;
        let sum = self.sum + corrected;
        self.error = (sum - self.sum) - corrected;
        self.sum = sum;
        let before = value - self.running_mean;
        self.running_mean += before / f64::from(self.count);
        self.squares += before * (value - self.running_mean);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The mean; NaN without values.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }

    /// The standard deviation with n - 1 in the denominator; none for fewer than two values.
    pub(crate) fn deviation(&self) -> Option<f64> {
        let freedom = f64::from(self.count) - 1.0;
        (self.count > 1).then(|| (self.squares / freedom).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_of_three_values_are_those_computed_by_hand() {
        let mut moments = Moments::default();
        [1.0, 2.0, 6.0]
            .into_iter()
            .for_each(|value| moments.add(value));
        assert_eq!((moments.count(), moments.mean()), (3, 3.0));
        // Squared deviations 4, 1 and 9, over two degrees of freedom.
        assert_eq!(moments.deviation(), Some(7f64.sqrt()));
        let mut one = Moments::default();
        one.add(0.5);
        assert_eq!(one.deviation(), None);
    }
}
