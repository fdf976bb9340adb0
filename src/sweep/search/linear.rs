//! Linear algebra for a few hundred points: the Cholesky factor of a covariance, and what it solves.

/// The lower factor L of a symmetric positive definite matrix L·Lᵀ, row by row: row i has i + 1 numbers.
pub(super) struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// The factor of a matrix of which the lower triangle is given in rows; none if it is not positive definite.
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

    /// L⁻¹b.
    pub(super) fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Vec::with_capacity(b.len());
        for (row, b) in self.rows.iter().zip(b) {
            let known = x.len();
            x.push((b - dot(&row[..known], &x)) / row[known]);
        }
        x
    }

    /// L⁻ᵀb.
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

    /// (L·Lᵀ)⁻¹b.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        self.backward(self.forward(b))
    }

    /// The logarithm of the determinant of L·Lᵀ.
    pub(super) fn log_determinant(&self) -> f64 {
        2.0 * self
            .rows
            .iter()
            .enumerate()
            .map(|(i, row)| libm::log(row[i]))
            .sum::<f64>()
    }

    /// (L·Lᵀ)⁻¹, its lower triangle in rows.
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
