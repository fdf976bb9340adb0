//! Cholesky decomposition of a covariance matrix of a few hundred points.

/// The lower factor L of a symmetric positive definite matrix L·Lᵀ; row i has i + 1 values.
pub(super) struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Decomposes a matrix given by the rows of its lower triangle. None if it is not positive
    /// definite.
    pub(super) fn new(mut rows: Vec<Vec<f64>>) -> Option<Cholesky> {
        for i in 0..rows.len() {
            let (above, rest) = rows.split_at_mut(i);
            let row = &mut rest[0];
            for (j, other) in above.iter().enumerate() {
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let square = row[i] - dot(&row[..i], &row[..i]);
            if square.is_nan() || square <= 0.0 {
                return None;
            }
            row[i] = square.sqrt();
        }
        Some(Cholesky { rows })
    }

    /// Returns L⁻¹b.
    pub(super) fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Vec::with_capacity(b.len());
        for (row, b) in self.rows.iter().zip(b) {
            let known = x.len();
            x.push((b - dot(&row[..known], &x)) / row[known]);
        }
        x
    }

    /// Returns L⁻ᵀb.
    pub(super) fn backward(&self, mut b: Vec<f64>) -> Vec<f64> {
        for (i, row) in self.rows.iter().enumerate().rev() {
            b[i] /= row[i];
            let at = b[i];
            for (b, value) in b[..i].iter_mut().zip(row) {
                *b -= value * at;
            }
        }
        b
    }

    /// Returns (L·Lᵀ)⁻¹b.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        self.backward(self.forward(b))
    }

    /// Returns the logarithm of the determinant of L·Lᵀ.
    pub(super) fn log_determinant(&self) -> f64 {
        2.0 * self
            .rows
            .iter()
            .enumerate()
            .map(|(i, row)| libm::log(row[i]))
            .sum::<f64>()
    }

    /// Returns (L·Lᵀ)⁻¹ as the rows of its lower triangle.
    pub(super) fn inverse(&self) -> Vec<Vec<f64>> {
        // Column j of L⁻¹ is zero above j; the inverse is L⁻ᵀ·L⁻¹.
        let size = self.rows.len();
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(size);
        for j in 0..size {
            let mut column = vec![1.0 / self.rows[j][j]];
            for row in &self.rows[j + 1..] {
                let known = column.len();
                column.push(-dot(&row[j..j + known], &column) / row[j + known]);
            }
            columns.push(column);
        }
        (0..size)
            .map(|i| {
                (0..=i)
                    .map(|j| dot(&columns[i], &columns[j][i - j..]))
                    .collect()
            })
            .collect()
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
