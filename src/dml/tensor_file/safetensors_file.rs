//! The format safetensors: a header in JSON, then the numbers.

use std::{fs::File, io::Read};

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorInfo};
use tch::Kind;

use super::{
    Entry, Layout, Place, Source, Storage, TensorFile, TensorFileError, damaged, strides_in_order,
};

/// Length of the field that holds the length of the header.
const LENGTH: u64 = 8;

pub(super) fn open(mut file: File, size: u64) -> Result<TensorFile, TensorFileError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| why(&error))?;
    let start = LENGTH + header as u64;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let entries = tensors
        .into_iter()
        .map(|(name, info)| entry(name, info, start))
        .collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(TensorFileError::NoTensors);
    }
    Ok(TensorFile {
        entries,
        bytes: Source::Plain(file),
        size,
        is_safetensors: true,
    })
}

fn entry(name: String, info: &TensorInfo, start: u64) -> Result<Entry, TensorFileError> {
    let overflows = || damaged(format!("the size of its tensor `{name}` is impossible"));
    let shape = info
        .shape
        .iter()
        .map(|&size| i64::try_from(size).map_err(|_| overflows()))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(kind) = kind(info.dtype) else {
        return Err(TensorFileError::Kind {
            name,
            kind: format!("{:?}", info.dtype),
        });
    };
    let (first, end) = info.data_offsets;
    let layout = Layout {
        kind,
        strides: strides_in_order(&shape).ok_or_else(overflows)?,
        shape,
        offset: 0,
        storage: Storage {
            place: Place::At(start + first as u64),
            length: (end - first) as u64,
        },
    };
    Entry::new(name, layout)
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Kind::try_from(dtype).ok()
}

fn why(error: &SafeTensorError) -> TensorFileError {
    match error {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            damaged("its length is not the one that its header states")
        }
        SafeTensorError::InvalidOffset(name) => {
            damaged(format!("its tensor `{name}` does not lie where it should"))
        }
        SafeTensorError::TensorInvalidInfo | SafeTensorError::ValidationOverflow => {
            damaged("the size of a tensor in it is impossible")
        }
        _ => damaged("its header is not one of safetensors that can be read"),
    }
}
