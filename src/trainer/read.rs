//! Reads embeddings and labels from files of other programs.
//!
//! Formats: `.npy` (NumPy, versions 1 to 3), `.safetensors`, and text for any other extension:
//! one embedding per line as comma-separated values, or one label per line. Values are converted to
//! single precision while they are read, so that a file takes no more memory than its embeddings.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

use tch::{Kind, Tensor};

use crate::Failed;

/// Labels as read from a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Labels {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

/// Reads embeddings. Returns the values, row by row, and the width of a row.
///
/// # Errors
/// The file cannot be read or has another format.
pub(crate) fn embeddings(path: &Path) -> Result<(Vec<f32>, usize), Failed> {
    let read = match extension(path) {
        "npy" => npy(path, "float32 or float64", floating),
        "safetensors" => safetensors(path),
        _ => text(path).and_then(|text| csv(&text)),
    };
    let (values, shape) = read.map_err(|why| unreadable(path, &why))?;
    match shape[..] {
        [rows, width] if rows > 0 && width > 0 => Ok((values, width)),
        _ => Err(unreadable(
            path,
            &format!("its shape is {shape:?}, not [images, width]"),
        )),
    }
}

/// Reads labels.
///
/// # Errors
/// The file cannot be read or has another format.
pub(crate) fn labels(path: &Path) -> Result<Labels, Failed> {
    if extension(path) != "npy" {
        let lines = text(path).and_then(|text| lines(&text));
        return lines
            .map(Labels::Texts)
            .map_err(|why| unreadable(path, &why));
    }
    let (numbers, shape) = npy(path, "integers", integer).map_err(|why| unreadable(path, &why))?;
    match shape[..] {
        [_] | [_, 1] => Ok(Labels::Integers(numbers)),
        _ => Err(unreadable(
            path,
            &format!("its shape is {shape:?}, not [images]"),
        )),
    }
}

fn unreadable(path: &Path, why: &str) -> Failed {
    Failed::data(format!("cannot use `{}`: {why}", path.display()))
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}

fn text(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(describe)?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

fn describe(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    }
}

fn lines(text: &str) -> Result<Vec<String>, String> {
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    match labels.iter().position(String::is_empty) {
        Some(empty) => Err(format!("line {} has no label", empty + 1)),
        None => Ok(labels),
    }
}

/// Parses comma-separated values; a header line is skipped.
fn csv(text: &str) -> Result<(Vec<f32>, Vec<usize>), String> {
    let (mut values, mut rows, mut width) = (Vec::new(), 0, None);
    for (number, line) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let before = values.len();
        for field in line.split(',') {
            match field.trim().parse::<f32>() {
                Ok(value) => values.push(value),
                Err(_) if rows == 0 && number == 1 => break,
                Err(_) => {
                    return Err(format!(
                        "line {number} has `{}` instead of a number",
                        field.trim()
                    ));
                }
            }
        }
        let found = values.len() - before;
        if rows == 0 && number == 1 && found < line.split(',').count() {
            values.truncate(before);
            continue;
        }
        if *width.get_or_insert(found) != found {
            return Err(format!(
                "line {number} has {found} values, not {}",
                width.unwrap_or(0)
            ));
        }
        rows += 1;
    }
    Ok((values, vec![rows, width.unwrap_or(0)]))
}

fn safetensors(path: &Path) -> Result<(Vec<f32>, Vec<usize>), String> {
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    let tensors = Tensor::read_safetensors(path).map_err(|error| error.to_string())?;
    let named = tensors.iter().find(|(name, _)| name == "embeddings");
    let (_, tensor) = match (named, &tensors[..]) {
        (Some(named), _) => named,
        (None, [only]) => only,
        (None, _) => {
            return Err("it contains several tensors, and none is named `embeddings`".to_owned());
        }
    };
    if !tensor.is_floating_point() {
        return Err(format!(
            "its values are {:?}, not floating point",
            tensor.kind()
        ));
    }
    let tensor = tensor.to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    Ok((
        values,
        tensor
            .size()
            .into_iter()
            .map(|size| size as usize)
            .collect(),
    ))
}

/// Converts the bytes of one value.
type Decoder<T> = fn(&[u8]) -> T;

/// Returns the decoder of a floating-point type of `bytes` bytes.
fn floating(kind: &str, bytes: usize) -> Option<Decoder<f32>> {
    match (kind, bytes) {
        ("f", 4) => Some(|bytes| f32::from_le_bytes(array(bytes))),
        ("f", 8) => Some(|bytes| f64::from_le_bytes(array(bytes)) as f32),
        _ => None,
    }
}

/// Returns the decoder of an integer type of `bytes` bytes.
fn integer(kind: &str, bytes: usize) -> Option<Decoder<i64>> {
    match (kind, bytes) {
        ("i", 1) => Some(|bytes| i64::from(i8::from_le_bytes(array(bytes)))),
        ("i", 2) => Some(|bytes| i64::from(i16::from_le_bytes(array(bytes)))),
        ("i", 4) => Some(|bytes| i64::from(i32::from_le_bytes(array(bytes)))),
        ("i" | "u", 8) => Some(|bytes| i64::from_le_bytes(array(bytes))),
        ("u" | "b", 1) => Some(|bytes| i64::from(bytes[0])),
        ("u", 2) => Some(|bytes| i64::from(u16::from_le_bytes(array(bytes)))),
        ("u", 4) => Some(|bytes| i64::from(u32::from_le_bytes(array(bytes)))),
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|place| bytes[place])
}

/// Values that are decoded at a time.
const PORTION: usize = 1 << 16;

fn npy<T: Copy>(
    path: &Path,
    wanted: &str,
    decoder: fn(&str, usize) -> Option<Decoder<T>>,
) -> Result<(Vec<T>, Vec<usize>), String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(describe)?);
    let header = npy_header(&mut file)?;
    let kind = quoted_value(&header, "descr").ok_or("its header has no type")?;
    let shape = shape(&header).ok_or("its header has no shape")?;
    let (order, code) = kind.split_at(kind.len().min(1));
    let (letter, bytes) = code.split_at(code.len().min(1));
    let bytes: usize = bytes.parse().unwrap_or(0);
    let decode = decoder(letter, bytes)
        .ok_or_else(|| format!("its values have type `{kind}`, not {wanted}"))?;
    let count = shape.iter().product::<usize>();
    let rest = file.get_ref().metadata().map_err(describe)?.len();
    if (count as u64).saturating_mul(bytes as u64) > rest {
        return Err(format!("it ends too early for its shape {shape:?}"));
    }
    let (mut values, mut buffer) = (Vec::with_capacity(count), vec![0; PORTION * bytes]);
    while values.len() < count {
        let portion = &mut buffer[..bytes * PORTION.min(count - values.len())];
        file.read_exact(portion).map_err(describe)?;
        if order == ">" {
            portion.chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
        }
        values.extend(portion.chunks_exact(bytes).map(decode));
    }
    if header.contains("'fortran_order': True") && shape.len() == 2 {
        let (rows, columns) = (shape[0], shape[1]);
        values = (0..count)
            .map(|place| values[place % columns * rows + place / columns])
            .collect();
    }
    Ok((values, shape))
}

/// Returns the header, a Python dictionary, as text.
fn npy_header(file: &mut impl Read) -> Result<String, String> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(describe)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("it is not a NumPy file".to_owned());
    }
    let mut length = [0; 4];
    let size = if magic[6] == 1 { 2 } else { 4 };
    file.read_exact(&mut length[..size]).map_err(describe)?;
    let mut header = Vec::new();
    file.take(u64::from(u32::from_le_bytes(length)))
        .read_to_end(&mut header)
        .map_err(describe)?;
    String::from_utf8(header).map_err(|_| "its header is not text".to_owned())
}

fn quoted_value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = header.split_once(&format!("'{key}':"))?;
    after
        .trim_start()
        .strip_prefix('\'')?
        .split_once('\'')
        .map(|(value, _)| value)
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (_, after) = header.split_once("'shape':")?;
    let (inside, _) = after.trim_start().strip_prefix('(')?.split_once(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn npy_bytes(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 {
            &length[..2]
        } else {
            &length[..]
        };
        [
            b"\x93NUMPY",
            &[version, 0][..],
            length,
            header.as_bytes(),
            numbers,
        ]
        .concat()
    }

    fn read(name: &str, content: &[u8]) -> Result<(Vec<f32>, usize), String> {
        let (_folder, path) = written(name, content);
        embeddings(&path).map_err(|failed| failed.message)
    }

    #[test]
    fn numpy_files_of_every_version_order_and_width_are_read() {
        let header = |kind: &str, fortran: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': (3, 2), }}  \n")
        };
        let singles = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let (little, big) = (
            singles.map(f32::to_le_bytes).concat(),
            singles.map(f32::to_be_bytes).concat(),
        );
        let doubles = singles.map(|value| f64::from(value).to_le_bytes()).concat();
        let columns = [1f32, 3.0, 5.0, 2.0, 4.0, 6.0]
            .map(f32::to_le_bytes)
            .concat();
        let expected = Ok((singles.to_vec(), 2));
        for version in [1, 2, 3] {
            assert_eq!(
                read(
                    "e.npy",
                    &npy_bytes(version, &header("<f4", "False"), &little)
                ),
                expected
            );
        }
        assert_eq!(
            read("e.npy", &npy_bytes(1, &header(">f4", "False"), &big)),
            expected
        );
        assert_eq!(
            read("e.npy", &npy_bytes(1, &header("<f8", "False"), &doubles)),
            expected
        );
        assert_eq!(
            read("e.npy", &npy_bytes(1, &header("<f4", "True"), &columns)),
            expected
        );
        let message = |content: &[u8]| read("e.npy", content).unwrap_err();
        assert!(
            message(&npy_bytes(1, &header("<i8", "False"), &doubles))
                .contains("type `<i8`, not float32")
        );
        assert!(
            message(&npy_bytes(1, &header("<f4", "False"), &little[..8])).contains("too early")
        );
        assert!(message(b"1,2\n3,4\n").contains("NumPy"));
        let flat = "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n";
        assert!(message(&npy_bytes(1, flat, &little)).contains("its shape is [6]"));
    }

    #[test]
    fn text_may_have_names_on_top_and_lines_that_end_in_any_way() {
        let expected = Ok((vec![1.0, 2.5, -3e-2, 4.0], 2));
        assert_eq!(read("e.csv", b"1,2.5\n-3e-2,4\n"), expected);
        assert_eq!(
            read("e.csv", "\u{feff}a,b\r\n1, 2.5\r\n-3e-2 ,4".as_bytes()),
            expected
        );
        assert!(
            read("e.csv", b"1,2\n3\n")
                .unwrap_err()
                .contains("line 2 has 1 values, not 2")
        );
        assert!(
            read("e.csv", b"1,2\n3,x\n")
                .unwrap_err()
                .contains("line 2 has `x`")
        );
        assert!(read("e.csv", b"").unwrap_err().contains("shape"));
    }

    #[test]
    fn safetensors_hold_one_matrix_or_one_called_embeddings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.safetensors");
        let matrix = Tensor::from_slice(&[1f64, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
        let other = Tensor::from_slice(&[1i64]);
        for names in [
            &[("any", &matrix)][..],
            &[("other", &other), ("embeddings", &matrix)],
        ] {
            Tensor::write_safetensors(names, &path).unwrap();
            assert_eq!(
                embeddings(&path).unwrap(),
                (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)
            );
        }
        Tensor::write_safetensors(&[("one", &matrix), ("two", &matrix)], &path).unwrap();
        assert!(
            embeddings(&path)
                .unwrap_err()
                .message
                .contains("several tensors")
        );
    }

    #[test]
    fn labels_are_numbers_or_any_text() {
        let labels_of = |name: &str, content: &[u8]| {
            let (_folder, path) = written(name, content);
            labels(&path).map_err(|failed| failed.message)
        };
        let texts = |texts: &[&str]| {
            Ok(Labels::Texts(
                texts.iter().map(|&text| text.to_owned()).collect(),
            ))
        };
        assert_eq!(
            labels_of("l.txt", "red cat\r\nblå\r\nred cat\r\n".as_bytes()),
            texts(&["red cat", "blå", "red cat"])
        );
        assert_eq!(labels_of("l.csv", b"7\n8"), texts(&["7", "8"]));
        assert!(
            labels_of("l.txt", b"a\n\nb\n")
                .unwrap_err()
                .contains("line 2 has no label")
        );
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n";
        assert_eq!(
            labels_of("l.npy", &npy_bytes(1, header, &[7, 200, 7])),
            Ok(Labels::Integers(vec![7, 200, 7]))
        );
        assert!(
            labels(Path::new("/nowhere/l.txt"))
                .unwrap_err()
                .message
                .contains("there is no such file")
        );
    }
}
