//! The format safetensors: the length of a header, the header in JSON, the numbers.

use std::{fs::File, io::Read};

use safetensors::tensor::{Metadata, TensorInfo};
use tch::Kind;

use super::{
    Entry, Format, Layout, Place, Source, Storage, TensorFile, TensorFileError, damaged,
    strides_in_order,
};

/// Size in bytes of the length of the header.
const LENGTH: u64 = 8;

/// Maximum length of a header, which has some hundred bytes per tensor.
const LONGEST_HEADER: u64 = 64 << 20;

pub(super) fn open(mut file: File, size: u64) -> Result<TensorFile, TensorFileError> {
    let (metadata, start) = header(&mut file, size)?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let end = tensors.iter().map(|(_, info)| info.data_offsets.1).max();
    if end.is_some_and(|end| start.checked_add(end as u64) != Some(size)) {
        return Err(damaged("its length is not the one that its header states"));
    }
    let mut entries = Vec::new();
    let mut passed_over = TensorFileError::NoTensors;
    for (name, info) in tensors {
        match Kind::try_from(info.dtype) {
            Ok(kind) => entries.push(entry(name, info, kind, start)?),
            Err(_) => {
                let kind = format!("{:?}", info.dtype);
                passed_over = TensorFileError::Kind { name, kind };
            }
        }
    }
    if entries.is_empty() {
        return Err(passed_over);
    }
    Ok(TensorFile {
        entries,
        bytes: Source::Plain(file),
        size,
        format: Format::Safetensors,
    })
}

/// Returns the header and where the numbers begin.
fn header(file: &mut File, size: u64) -> Result<(Metadata, u64), TensorFileError> {
    let mut length = [0; LENGTH as usize];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > size.saturating_sub(LENGTH) {
        return Err(damaged("its header is longer than it can be"));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let metadata = serde_json::from_slice(&header)
        .map_err(|_| damaged("its header is not one of safetensors that can be read"))?;
    Ok((metadata, LENGTH + length))
}

fn entry(
    name: String,
    info: &TensorInfo,
    kind: Kind,
    start: u64,
) -> Result<Entry, TensorFileError> {
    let impossible = || damaged(format!("the size of its tensor `{name}` is impossible"));
    let shape: Option<Vec<i64>> = info
        .shape
        .iter()
        .map(|&size| i64::try_from(size).ok())
        .collect();
    let shape = shape.ok_or_else(impossible)?;
    let (first, end) = info.data_offsets;
    let layout = Layout {
        kind,
        strides: strides_in_order(&shape).ok_or_else(impossible)?,
        shape,
        offset: 0,
        storage: Storage {
            place: Place::At(start.saturating_add(first as u64)),
            length: end.checked_sub(first).ok_or_else(impossible)? as u64,
        },
    };
    Entry::new(name, layout)
}
