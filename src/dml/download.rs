//! Tensors as vectors on the host. Each call waits for the device.

use tch::{Device, Kind, Tensor};

/// Returns the values of a vector of integers.
pub(crate) fn integers(vector: &Tensor) -> Vec<i64> {
    let mut values = vec![0; vector.numel()];
    let vector = vector.to_device(Device::Cpu).to_kind(Kind::Int64);
    vector.contiguous().copy_data(&mut values, vector.numel());
    values
}

/// Returns the values of a vector, in double precision.
pub(crate) fn numbers(vector: &Tensor) -> Vec<f64> {
    let mut values = vec![0.0; vector.numel()];
    let vector = vector.detach().to_kind(Kind::Double);
    let vector = vector.to_device(Device::Cpu).contiguous();
    vector.copy_data(&mut values, vector.numel());
    values
}

/// Returns the rows of a matrix, in double precision.
pub(crate) fn rows(matrix: &Tensor) -> Vec<Vec<f64>> {
    let width = matrix.size()[1].max(1) as usize;
    let values = numbers(matrix);
    values.chunks(width).map(<[f64]>::to_vec).collect()
}
