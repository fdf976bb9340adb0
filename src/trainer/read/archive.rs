//! Files of several arrays: `.npz`, which is a zip archive, and `.safetensors`.

use std::{fs::File, io::BufReader, path::Path};

use half::{bf16, f16};
use tch::{Kind, Tensor};
use zip::{ZipArchive, read::ZipFile, result::ZipError};

use super::{
    format::{REMEDY, describe},
    numpy::{Array, exact_below, squeezed},
};

/// The end of an array's name in an archive.
const NPY: &str = ".npy";

/// Names that are shown at most.
const SHOWN: usize = 8;

/// Reads an array of an archive by `read`, which gets its length too: the one that was chosen, else
/// the only one, else the one with the `usual` name.
pub(super) fn npz<T>(
    path: &Path,
    chosen: Option<&str>,
    usual: &str,
    read: impl FnOnce(&mut ZipFile<'_, BufReader<File>>, u64) -> Result<T, String>,
) -> Result<T, String> {
    let damaged = |_: ZipError| "it is a damaged zip archive".to_owned();
    let file = BufReader::new(durable::open(path).map_err(describe)?);
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let files: Vec<String> = archive
        .file_names()
        .map(|name| Ok(name?.into_owned()))
        .collect::<Result<_, ZipError>>()
        .map_err(damaged)?;
    if files.iter().any(|name| name.ends_with("data.pkl")) {
        return Err(format!("it is a file of `torch.save`; {REMEDY}"));
    }
    let names: Vec<&str> = files
        .iter()
        .filter_map(|name| name.strip_suffix(NPY))
        .collect();
    if names.is_empty() {
        return Err("it is a zip archive without an array of NumPy".to_owned());
    }
    let name = format!("{}{NPY}", pick(path, &names, chosen, usual)?);
    let mut array = archive.by_name(&name).map_err(damaged)?;
    let length = array.size();
    read(&mut array, length)
}

/// Reads a tensor of a file, by the same rule.
pub(super) fn safetensors(
    path: &Path,
    chosen: Option<&str>,
    usual: &str,
) -> Result<Tensor, String> {
    let tensors = Tensor::read_safetensors(path)
        .map_err(|_| "it is a damaged .safetensors file".to_owned())?;
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let name = pick(path, &names, chosen, usual)?;
    let found = tensors.iter().find(|(other, _)| other == name);
    let (_, tensor) = found.ok_or("it holds no tensor")?;
    Ok(tensor.shallow_clone())
}

/// Returns a floating-point or integer tensor as numbers.
pub(super) fn numbers(tensor: &Tensor) -> Result<Array<f32>, String> {
    if tensor.is_complex() {
        return Err("its values are complex numbers".to_owned());
    }
    let tensor = tensor.to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    Ok(Array {
        values,
        shape: squeezed(&sides(&tensor)),
    })
}

/// Returns an integer tensor as labels.
pub(super) fn labels(tensor: &Tensor) -> Result<Array<String>, String> {
    let whole = tensor.to_kind(Kind::Int64).contiguous();
    if tensor.is_complex() || !whole.to_kind(tensor.kind()).equal(tensor) {
        return Err("its values are not whole numbers".to_owned());
    }
    let digits = match tensor.kind() {
        Kind::BFloat16 => bf16::MANTISSA_DIGITS,
        Kind::Half => f16::MANTISSA_DIGITS,
        Kind::Float => f32::MANTISSA_DIGITS,
        Kind::Double => f64::MANTISSA_DIGITS,
        _ => i64::BITS,
    };
    let largest = whole.to_kind(Kind::Double).abs().max();
    if whole.numel() > 0 && largest.double_value(&[]) >= exact_below(digits) {
        return Err(format!(
            "its type {:?} does not hold its largest values exactly; save labels as integers",
            tensor.kind()
        ));
    }
    let mut values = vec![0i64; whole.numel()];
    whole.copy_data(&mut values, whole.numel());
    Ok(Array {
        values: values.iter().map(i64::to_string).collect(),
        shape: squeezed(&sides(&whole)),
    })
}

fn sides(tensor: &Tensor) -> Vec<usize> {
    tensor
        .size()
        .into_iter()
        .map(|side| side as usize)
        .collect()
}

/// Returns the name of the array to read.
fn pick<'a>(
    path: &Path,
    names: &[&'a str],
    chosen: Option<&str>,
    usual: &str,
) -> Result<&'a str, String> {
    let named = |wanted: &str| names.iter().copied().find(|name| *name == wanted);
    let found = match (chosen, names) {
        (Some(chosen), _) => named(chosen),
        (None, [only]) => Some(*only),
        (None, _) => named(usual),
    };
    found.ok_or_else(|| {
        let shown: Vec<String> = names
            .iter()
            .take(SHOWN)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = if names.len() > SHOWN { ", .." } else { "" };
        format!(
            "it holds {}{more}; choose an array as `{}:{}`",
            shown.join(", "),
            path.display(),
            names.first().copied().unwrap_or("NAME")
        )
    })
}
