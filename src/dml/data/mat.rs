//! Reader of MATLAB version 5 files, the format of the annotations of Cars-196.
//!
//! A file is a header of 128 bytes and then elements: a tag with type and size, and data. An element is one
//! array, which may hold others (cells, structs), or a zlib stream with an array in it. Source: MathWorks,
//! "MAT-File Format", chapter 1. Both byte orders are read. Sparse arrays, objects and functions are skipped
//! over as [`Array::Other`].
//!
//! Bytes are not trusted: whatever they are, the result is an array or an error, nothing is allocated before
//! the bytes for it are there, and depth and unpacked size are bounded.

use std::{
    io::{self, Read},
    path::Path,
};

use flate2::read::ZlibDecoder;

use super::DataError;

/// Maximum unpacked size in bytes; annotations are much smaller.
const LARGEST: u64 = 256 << 20;

/// Maximum depth of nested arrays.
const DEEPEST: usize = 16;

/// An array with its content. Elements are in MATLAB's order, first dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Array {
    /// Numbers of any class; integers beyond 2^53 are rounded, imaginary parts are left out.
    Numbers(Vec<f64>),
    /// Characters, row by row.
    Text(Vec<String>),
    /// Arrays of any kind.
    Cells(Vec<Array>),
    /// Structs with the same fields.
    Structs {
        /// The names of the fields.
        fields: Vec<String>,
        /// The values of each struct, in the order of the fields.
        rows: Vec<Vec<Array>>,
    },
    /// Sparse arrays, objects, functions.
    Other,
}

impl Array {
    /// Returns the number of an array with a single number.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Array::Numbers(values) if values.len() == 1 => values.first().copied(),
            _ => None,
        }
    }

    /// Returns the text of an array with a single row.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Array::Text(rows) if rows.len() == 1 => rows.first().map(String::as_str),
            _ => None,
        }
    }
}

/// Returns the variables of a file, in order.
///
/// # Errors
/// The file cannot be read, or is not a complete version 5 file.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Array)>, DataError> {
    let bytes = durable::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "a MATLAB file"),
        _ => DataError::unreadable(path, error),
    })?;
    variables(&bytes)
        .map_err(|why| DataError::unreadable(path, format!("it is no whole MATLAB 5 file: {why}")))
}

/// Returns the variables in the bytes of a file.
fn variables(bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let Some((header, body)) = bytes.split_at_checked(128) else {
        return Err("it ends in its header".to_owned());
    };
    let little = match &header[126..] {
        b"IM" => true,
        b"MI" => false,
        _ if bytes.starts_with(b"\x89HDF") || header.starts_with(b"MATLAB 7.3") => {
            return Err("it is of version 7.3; save it with `-v7`".to_owned());
        }
        _ => return Err("it does not begin like one".to_owned()),
    };
    let (mut reader, mut found, mut unpacked) = (
        Reader {
            bytes: body,
            little,
        },
        Vec::new(),
        0,
    );
    while !reader.bytes.is_empty() {
        match reader.element()? {
            (Type::MATRIX, data) => found.push(array(
                Reader {
                    bytes: data,
                    little,
                },
                0,
            )?),
            (Type::COMPRESSED, data) => {
                let data = unpack(data, LARGEST - unpacked)?;
                unpacked += data.len() as u64;
                match (Reader {
                    bytes: &data,
                    little,
                })
                .element()?
                {
                    (Type::MATRIX, data) => found.push(array(
                        Reader {
                            bytes: data,
                            little,
                        },
                        0,
                    )?),
                    (other, _) => {
                        return Err(format!("a compressed element holds type {}", other.0));
                    }
                }
            }
            // Anything else between variables is for MATLAB itself.
            _ => {}
        }
    }
    Ok(found)
}

fn unpack(data: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(data)
        .take(limit)
        .read_to_end(&mut unpacked);
    match read.map_err(|error| format!("a compressed element is damaged ({error})"))? {
        size if size as u64 == limit => {
            Err(format!("it unpacks to more than {} MiB", LARGEST >> 20))
        }
        _ => Ok(unpacked),
    }
}

/// Storage format of the data of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Type(u32);

impl Type {
    const INT8: Type = Type(1);
    const UINT8: Type = Type(2);
    const INT16: Type = Type(3);
    const UINT16: Type = Type(4);
    const INT32: Type = Type(5);
    const UINT32: Type = Type(6);
    const SINGLE: Type = Type(7);
    const DOUBLE: Type = Type(9);
    const INT64: Type = Type(12);
    const UINT64: Type = Type(13);
    const MATRIX: Type = Type(14);
    const COMPRESSED: Type = Type(15);
    const UTF8: Type = Type(16);
    const UTF16: Type = Type(17);
    const UTF32: Type = Type(18);
}

/// Bytes that have not been read yet.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or("it ends in the middle of an element")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = *self
            .take(4)?
            .first_chunk()
            .ok_or("it ends in the middle of a tag")?;
        Ok(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    /// Returns the type and the data of the next element. Up to 4 bytes of data may be in the tag itself.
    fn element(&mut self) -> Result<(Type, &'a [u8]), String> {
        let tag = self.word()?;
        let small = (tag >> 16) as usize;
        if small > 0 {
            let data = self.take(4)?;
            return Ok((
                Type(tag & 0xffff),
                data.get(..small)
                    .ok_or("a small element has more than 4 bytes")?,
            ));
        }
        let (kind, size) = (Type(tag), self.word()? as usize);
        let data = self.take(size)?;
        if kind != Type::COMPRESSED {
            // The last element may lack its padding.
            self.take((size.wrapping_neg() % 8).min(self.bytes.len()))?;
        }
        Ok((kind, data))
    }

    fn numbers(&mut self) -> Result<Vec<f64>, String> {
        let (kind, data) = self.element()?;
        numbers(kind, data, self.little)
    }
}

fn numbers(kind: Type, data: &[u8], little: bool) -> Result<Vec<f64>, String> {
    macro_rules! read {
        ($type:ty) => {{
            let (values, rest) = data.as_chunks::<{ size_of::<$type>() }>();
            if !rest.is_empty() {
                return Err("numbers end in the middle of one".to_owned());
            }
            let read = |&bytes| {
                if little {
                    <$type>::from_le_bytes(bytes)
                } else {
                    <$type>::from_be_bytes(bytes)
                }
            };
            values.iter().map(|bytes| read(bytes) as f64).collect()
        }};
    }
    Ok(match kind {
        Type::INT8 => read!(i8),
        Type::UINT8 => read!(u8),
        Type::INT16 => read!(i16),
        Type::UINT16 => read!(u16),
        Type::INT32 => read!(i32),
        Type::UINT32 => read!(u32),
        Type::SINGLE => read!(f32),
        Type::DOUBLE => read!(f64),
        Type::INT64 => read!(i64),
        Type::UINT64 => read!(u64),
        Type(other) => return Err(format!("numbers are of type {other}")),
    })
}

/// Returns the name and the content of an array.
fn array(mut reader: Reader, depth: usize) -> Result<(String, Array), String> {
    if depth > DEEPEST {
        return Err(format!("arrays are nested more than {DEEPEST} deep"));
    }
    if reader.bytes.is_empty() {
        return Ok((String::new(), Array::Numbers(Vec::new())));
    }
    let (_, flags) = reader.element()?;
    let class = Reader {
        bytes: flags,
        ..reader
    }
    .word()?
        & 0xff;
    let sizes = reader.numbers()?;
    let name = latin(reader.element()?.1);
    let held = match class {
        1 => Array::Cells(arrays(&mut reader, product(&sizes)?, depth)?),
        2 => structs(&mut reader, product(&sizes)?, depth)?,
        4 => text(&mut reader, &sizes)?,
        6..=15 => Array::Numbers(exactly(reader.numbers()?, product(&sizes)?)?),
        _ => Array::Other,
    };
    Ok((name, held))
}

fn product(sizes: &[f64]) -> Result<usize, String> {
    let count: f64 = sizes.iter().product();
    if sizes.len() < 2 || sizes.iter().any(|&size| size < 0.0) || count > LARGEST as f64 {
        return Err(format!("an array has the sizes {sizes:?}"));
    }
    Ok(count as usize)
}

fn exactly<T>(items: Vec<T>, count: usize) -> Result<Vec<T>, String> {
    if items.len() == count {
        Ok(items)
    } else {
        Err(format!(
            "an array has {} elements, not {count}",
            items.len()
        ))
    }
}

fn arrays(reader: &mut Reader, count: usize, depth: usize) -> Result<Vec<Array>, String> {
    // Each needs a tag at least.
    if count > reader.bytes.len() / 8 {
        return Err("it ends in the middle of an array".to_owned());
    }
    (0..count).map(|_| inner(reader, depth)).collect()
}

fn inner(reader: &mut Reader, depth: usize) -> Result<Array, String> {
    match reader.element()? {
        (Type::MATRIX, bytes) => Ok(array(Reader { bytes, ..*reader }, depth + 1)?.1),
        (Type(other), _) => Err(format!("an array holds type {other}")),
    }
}

fn structs(reader: &mut Reader, count: usize, depth: usize) -> Result<Array, String> {
    let length = reader.numbers()?.first().copied().unwrap_or(0.0) as usize;
    let (_, names) = reader.element()?;
    if length == 0 || names.len() % length != 0 {
        return Err("the names of fields have no length".to_owned());
    }
    let fields: Vec<String> = names.chunks_exact(length).map(latin).collect();
    if fields.is_empty() {
        return Ok(Array::Structs {
            fields,
            rows: Vec::new(),
        });
    }
    let values = arrays(reader, count.saturating_mul(fields.len()), depth)?;
    let rows = values
        .chunks_exact(fields.len())
        .map(<[Array]>::to_vec)
        .collect();
    Ok(Array::Structs { fields, rows })
}

/// Returns the characters before the first zero byte.
fn latin(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take_while(|&&byte| byte != 0)
        .map(|&byte| char::from(byte))
        .collect()
}

fn text(reader: &mut Reader, sizes: &[f64]) -> Result<Array, String> {
    let count = product(sizes)?;
    let (kind, data) = reader.element()?;
    let characters: Vec<char> = match kind {
        Type::UTF8 => String::from_utf8_lossy(data).chars().collect(),
        Type::UTF16 => utf16(&numbers(Type::UINT16, data, reader.little)?),
        Type::UTF32 => utf32(&numbers(Type::UINT32, data, reader.little)?),
        kind => utf16(&numbers(kind, data, reader.little)?),
    };
    let rows = sizes[0] as usize;
    if rows <= 1 {
        return Ok(Array::Text(if count == 0 {
            Vec::new()
        } else {
            vec![characters.into_iter().collect()]
        }));
    }
    let characters = exactly(characters, count)?;
    let row = |row: usize| characters.iter().skip(row).step_by(rows).collect();
    Ok(Array::Text(if count == 0 {
        Vec::new()
    } else {
        (0..rows).map(row).collect()
    }))
}

fn utf16(units: &[f64]) -> Vec<char> {
    let units = units.iter().map(|&unit| unit as u16);
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn utf32(units: &[f64]) -> Vec<char> {
    units
        .iter()
        .map(|&unit| char::from_u32(unit as u32).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    const PLAIN: &[u8] = include_bytes!("testdata/plain.mat");
    const COMPRESSED: &[u8] = include_bytes!("testdata/compressed.mat");

    fn text(text: &str) -> Array {
        Array::Text(vec![text.to_owned()])
    }

    #[test]
    fn what_scipy_wrote_is_read_compressed_or_not() {
        let variables = variables(PLAIN).unwrap();
        assert_eq!(variables, super::variables(COMPRESSED).unwrap());
        let get = |wanted: &str| &variables.iter().find(|(name, _)| name == wanted).unwrap().1;

        let Array::Structs { fields, rows } = get("annotations") else {
            panic!("{:?}", get("annotations"))
        };
        assert_eq!(fields, &["bbox_x1", "class", "relative_im_path"]);
        assert_eq!(rows.len(), 3);
        let second = [
            Array::Numbers(vec![300.0]),
            Array::Numbers(vec![2.0]),
            text("car_ims/000002.jpg"),
        ];
        assert_eq!(rows[1], second);
        let names = Array::Cells(vec![
            text("AM General Hummer SUV 2000"),
            text("Citroën 2CV"),
        ]);
        assert_eq!(*get("class_names"), names);
        assert_eq!(
            *get("numbers"),
            Array::Numbers(vec![1.5, 3.0, -2.0, 1e300]),
            "columns first"
        );
        assert_eq!(get("small").number(), Some(-5.0));
        assert_eq!(get("large").number(), Some(1_099_511_627_776.0));
        assert_eq!(*get("rows"), Array::Text(vec!["one".into(), "two".into()]));
        assert_eq!(*get("nothing"), Array::Numbers(vec![]));
    }

    /// An element of a big-endian file.
    fn big(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut element = [kind.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
        element.extend(data);
        element.resize(element.len().next_multiple_of(8), 0);
        element
    }

    fn big_array(class: u32, sizes: [i32; 2], name: &str, content: &[u8]) -> Vec<u8> {
        let flags = [class.to_be_bytes(), [0; 4]].concat();
        let sizes = sizes.map(i32::to_be_bytes).concat();
        big(
            14,
            &[
                big(6, &flags),
                big(5, &sizes),
                big(1, name.as_bytes()),
                content.to_vec(),
            ]
            .concat(),
        )
    }

    fn file(content: &[u8]) -> Vec<u8> {
        let mut file = vec![b' '; 124];
        file.extend(b"\x01\x00MI");
        file.extend(content);
        file
    }

    #[test]
    fn the_other_byte_order_is_read() {
        let name = big_array(4, [1, 2], "", &big(4, &[0, b'h', 0, b'i']));
        // A small element: size and type in one word, and up to four bytes of data.
        let number = big_array(11, [1, 1], "", &[0, 2, 0, 4, 1, 44, 0, 0]);
        let cells = big_array(1, [1, 2], "cells", &[name, number].concat());
        let found = variables(&file(&cells)).unwrap();
        assert_eq!(
            found,
            [(
                "cells".to_owned(),
                Array::Cells(vec![text("hi"), Array::Numbers(vec![300.0])])
            )]
        );
    }

    #[test]
    fn a_file_cut_short_anywhere_gives_fewer_variables_or_an_error() {
        let whole = variables(PLAIN).unwrap();
        for bytes in [PLAIN, COMPRESSED] {
            for length in 0..bytes.len() {
                if let Ok(found) = variables(&bytes[..length]) {
                    assert!(
                        found.len() < whole.len() || length + 8 > bytes.len(),
                        "cut to {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn damaged_bytes_never_cause_a_panic() {
        let mut draws = Draws::new(0, Purpose::Labels, 0, 0);
        for bytes in [PLAIN, COMPRESSED] {
            for _ in 0..4_000 {
                let mut damaged = bytes.to_vec();
                for _ in 0..1 + (draws.between(0.0, 6.0) as usize) {
                    let place = draws.between(0.0, damaged.len() as f64) as usize;
                    damaged[place] = draws.between(0.0, 256.0) as u8;
                }
                let _ = variables(&damaged);
            }
        }
    }

    #[test]
    fn sizes_that_the_file_cannot_hold_are_refused_before_memory_is_taken() {
        let refused = |array: Vec<u8>| variables(&file(&array)).unwrap_err();
        assert!(refused(big_array(1, [1 << 14, 1 << 14], "a", &[])).contains("middle of an array"));
        assert!(refused(big_array(1, [i32::MAX, i32::MAX], "a", &[])).contains("has the sizes"));
        assert!(refused(big_array(1, [-1, 1], "a", &[])).contains("has the sizes"));
        assert!(refused(big_array(6, [3, 1], "a", &big(9, &[0; 8]))).contains("1 elements, not 3"));
        let no_fields = [big(5, &[0, 0, 0, 32]), big(1, &[])].concat();
        let found = variables(&file(&big_array(2, [1 << 14, 1 << 14], "a", &no_fields))).unwrap();
        assert_eq!(
            found[0].1,
            Array::Structs {
                fields: vec![],
                rows: vec![]
            }
        );
        let nested = (0..40).fold(big_array(6, [0, 0], "", &big(9, &[])), |inner, _| {
            big_array(1, [1, 1], "", &inner)
        });
        assert!(refused(nested).contains("nested"));
    }

    #[test]
    fn a_stream_that_unpacks_to_too_much_is_refused() {
        use std::io::Write;
        let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        stream.write_all(&vec![0; 1 << 20]).unwrap();
        assert!(
            unpack(&stream.finish().unwrap(), 1 << 20)
                .unwrap_err()
                .contains("unpacks to more")
        );
    }

    #[test]
    fn what_is_no_such_file_is_said_so() {
        assert!(variables(b"").unwrap_err().contains("ends in its header"));
        assert!(
            variables(&[0; 200])
                .unwrap_err()
                .contains("does not begin like one")
        );
        assert!(
            variables(&[&b"\x89HDF"[..], &[0; 200]].concat())
                .unwrap_err()
                .contains("7.3")
        );
    }

    #[test]
    fn the_real_annotations_of_cars_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/data/layouts/cars196_devkit");
        if !folder.exists() {
            println!("skipped: `{}` is absent", folder.display());
            return;
        }
        for (file, count) in [
            ("cars_train_annos.mat", 8_144),
            ("cars_test_annos.mat", 8_041),
        ] {
            let variables = read(&folder.join(file)).unwrap();
            let Array::Structs { fields, rows } = &variables[0].1 else {
                panic!("no structs")
            };
            assert_eq!(rows.len(), count);
            let file_name = fields.iter().position(|field| field == "fname").unwrap();
            assert_eq!(
                rows[count - 1][file_name].text(),
                Some(format!("{count:05}.jpg").as_str())
            );
        }
        let names = read(&folder.join("cars_meta.mat")).unwrap();
        let Array::Cells(names) = &names[0].1 else {
            panic!("no cells")
        };
        assert_eq!(
            (names.len(), names[195].text()),
            (196, Some("smart fortwo Convertible 2012"))
        );
    }
}
