//! Arrays of NumPy: a header that is a Python dictionary in text, then the values.
//!
//! Values are decoded while they are read, so that no more memory is taken than for the result,
//! and nothing is allocated because a header says so.

use std::io::{self, Read};

use half::f16;

use super::format::describe;

/// The longest header that is read; NumPy itself stops at 10,000 bytes.
const LONGEST_HEADER: u64 = 1 << 20;

/// Bytes that are decoded at a time.
const PORTION: usize = 1 << 20;

/// Values that room is made for before they are read.
const ROOM: usize = 1 << 20;

/// Values with the lengths of their axes.
pub(super) struct Array<T> {
    pub(super) values: Vec<T>,
    pub(super) shape: Vec<usize>,
}

/// Reads an array as embeddings from a file of this length.
pub(super) fn numbers(input: &mut impl Read, length: u64) -> Result<Array<f32>, String> {
    let header = Header::read(input)?;
    let decode = number_decoder(&header)
        .ok_or_else(|| header.wrong("numbers: use `array.astype(numpy.float32)`"))?;
    let values = header.values(input, length, decode)?;
    Ok(header.in_rows(values))
}

/// Reads an array as labels from a file of this length.
pub(super) fn labels(input: &mut impl Read, length: u64) -> Result<Array<String>, String> {
    let header = Header::read(input)?;
    let decode = label_decoder(&header).ok_or_else(|| header.wrong("labels: integers or texts"))?;
    let values = header.values(input, length, decode)?;
    let wrong = values.iter().position(Option::is_none);
    if let Some(place) = wrong {
        return Err(format!(
            "label {place}, counted from 0, is neither a text nor a whole number that its type `{}` holds exactly; \
             save labels as integers",
            header.type_name
        ));
    }
    Ok(header.in_rows(values.into_iter().flatten().collect()))
}

/// What a header says.
struct Header {
    /// `<f4`: byte order, kind and size.
    type_name: String,
    by_columns: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(input: &mut impl Read) -> Result<Header, String> {
        let text = header_text(input)?;
        let type_name = value_of(&text, "descr")
            .and_then(quoted)
            .ok_or("its header names no simple type; structured arrays are not read")?;
        let by_columns =
            value_of(&text, "fortran_order").is_some_and(|value| value.starts_with("True"));
        let shape = value_of(&text, "shape")
            .and_then(shape)
            .ok_or("its header has no shape")?;
        Ok(Header {
            type_name: type_name.to_owned(),
            by_columns,
            shape,
        })
    }

    /// Returns the letter of the kind of values.
    fn kind(&self) -> Option<char> {
        self.type_name
            .trim_start_matches(['<', '>', '|', '='])
            .chars()
            .next()
    }

    /// Returns the size of a value as it is written: bytes, or characters of texts.
    fn size(&self) -> Option<usize> {
        let digits = self
            .type_name
            .trim_start_matches(|letter: char| !letter.is_ascii_digit());
        digits.parse().ok()
    }

    /// Returns the bytes of a value.
    fn bytes(&self) -> Option<usize> {
        let unit = if self.kind() == Some('U') { 4 } else { 1 };
        self.size()?.checked_mul(unit).filter(|&bytes| bytes > 0)
    }

    fn wrong(&self, wanted: &str) -> String {
        format!("its values have type `{}`, not {wanted}", self.type_name)
    }

    /// Reads all values, which must be there in a file of `length` bytes.
    fn values<T>(
        &self,
        input: &mut impl Read,
        length: u64,
        decode: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, String> {
        let too_short = || format!("it is too short for its shape {:?}", self.shape);
        let bytes = self.bytes().ok_or_else(|| self.wrong("of a known size"))?;
        let count = product(&self.shape).ok_or_else(too_short)?;
        let needed = count.checked_mul(bytes).ok_or_else(too_short)?;
        if needed as u64 > length {
            return Err(too_short());
        }
        let each = if self.kind() == Some('U') { 4 } else { bytes };
        let at_a_time = (PORTION / bytes).max(1);
        let mut values = Vec::with_capacity(count.min(ROOM));
        let mut buffer = vec![0; bytes * at_a_time.min(count)];
        while values.len() < count {
            let portion = &mut buffer[..bytes * at_a_time.min(count - values.len())];
            input
                .read_exact(portion)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => too_short(),
                    _ => describe(error),
                })?;
            if self.type_name.starts_with('>') && self.kind() != Some('S') {
                portion.chunks_exact_mut(each).for_each(<[u8]>::reverse);
            }
            values.extend(portion.chunks_exact(bytes).map(&decode));
        }
        Ok(values)
    }

    /// Returns the values with the last axis running fastest, and without axes of length 1 behind
    /// the first.
    fn in_rows<T: Clone>(self, values: Vec<T>) -> Array<T> {
        let shape = squeezed(&self.shape);
        let values = match (self.by_columns, &shape[..]) {
            (true, &[rows, columns]) => transposed(&values, rows, columns),
            _ => values,
        };
        Array { values, shape }
    }
}

fn product(sides: &[usize]) -> Option<usize> {
    sides
        .iter()
        .try_fold(1usize, |product, &side| product.checked_mul(side))
}

/// Returns a shape without axes of length 1, except the first two.
pub(super) fn squeezed(shape: &[usize]) -> Vec<usize> {
    let mut squeezed = shape.to_vec();
    let mut axis = 1;
    while squeezed.len() > 2 && axis < squeezed.len() {
        match squeezed[axis] {
            1 => _ = squeezed.remove(axis),
            _ => axis += 1,
        }
    }
    squeezed
}

/// Returns a matrix, stored column after column, row after row.
fn transposed<T: Clone>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| column * rows + row));
    places.map(|place| values[place].clone()).collect()
}

/// Returns the header, a Python dictionary, as text.
fn header_text(input: &mut impl Read) -> Result<String, String> {
    let mut magic = [0; 8];
    input.read_exact(&mut magic).map_err(describe)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("it is not an array of NumPy".to_owned());
    }
    let mut length = [0; 4];
    let size = if magic[6] == 1 { 2 } else { 4 };
    input.read_exact(&mut length[..size]).map_err(describe)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > LONGEST_HEADER {
        return Err(format!("its header is damaged: {length} bytes long"));
    }
    let mut header = Vec::new();
    input
        .take(length)
        .read_to_end(&mut header)
        .map_err(describe)?;
    if (header.len() as u64) < length {
        return Err("it ends too early".to_owned());
    }
    String::from_utf8(header).map_err(|_| "its header is not text".to_owned())
}

/// Returns the text behind a key of the dictionary.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = header.split_once(key)?;
    let after = after.trim_start_matches(['\'', '"']).trim_start();
    Some(after.strip_prefix(':')?.trim_start())
}

fn quoted(value: &str) -> Option<&str> {
    let quote = value
        .chars()
        .next()
        .filter(|quote| ['\'', '"'].contains(quote))?;
    let (inside, _) = value[1..].split_once(quote)?;
    Some(inside)
}

fn shape(value: &str) -> Option<Vec<usize>> {
    let (inside, _) = value.strip_prefix('(')?.split_once(')')?;
    let sides = inside.split(',').map(str::trim);
    sides
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect()
}

/// Converts the bytes of one value, the lowest first.
type Decoder<T> = fn(&[u8]) -> T;

fn number_decoder(header: &Header) -> Option<Decoder<f32>> {
    match (header.kind()?, header.size()?) {
        ('f', 2) => Some(|bytes| f16::from_le_bytes(array(bytes)).to_f32()),
        ('f', 4) => Some(|bytes| f32::from_le_bytes(array(bytes))),
        ('f', 8) => Some(|bytes| f64::from_le_bytes(array(bytes)) as f32),
        ('i', 1 | 2 | 4 | 8) => Some(|bytes| signed(bytes) as f32),
        ('u' | 'b', 1 | 2 | 4 | 8) => Some(|bytes| unsigned(bytes) as f32),
        _ => None,
    }
}

/// Returns the decoder of labels: `None` stands for a value that is no label.
fn label_decoder(header: &Header) -> Option<Decoder<Option<String>>> {
    match (header.kind()?, header.size()?) {
        ('i', 1 | 2 | 4 | 8) => Some(|bytes| Some(signed(bytes).to_string())),
        ('u' | 'b', 1 | 2 | 4 | 8) => Some(|bytes| Some(unsigned(bytes).to_string())),
        ('f', 2) => Some(|bytes| {
            whole(
                f16::from_le_bytes(array(bytes)).to_f64(),
                f16::MANTISSA_DIGITS,
            )
        }),
        ('f', 4) => Some(|bytes| {
            whole(
                f32::from_le_bytes(array(bytes)).into(),
                f32::MANTISSA_DIGITS,
            )
        }),
        ('f', 8) => Some(|bytes| whole(f64::from_le_bytes(array(bytes)), f64::MANTISSA_DIGITS)),
        ('U', 1..) => Some(characters),
        ('S' | 'a', 1..) => Some(|bytes| String::from_utf8(bytes.to_vec()).ok().map(label)),
        _ => None,
    }
}

/// Returns a whole number as an integer is written, `None` for other numbers and for those so large that a type with
/// this number of binary digits may have rounded them: two labels could have become one.
pub(super) fn whole(number: f64, digits: u32) -> Option<String> {
    let is_whole = number.fract() == 0.0 && number.abs() < exact_below(digits);
    is_whole.then(|| (number as i64).to_string())
}

/// Returns the integer up to which a type with this number of binary digits holds every integer.
pub(super) fn exact_below(digits: u32) -> f64 {
    2f64.powi(digits as i32)
}

/// Returns a text of four bytes for each character.
fn characters(bytes: &[u8]) -> Option<String> {
    let codes = bytes
        .as_chunks()
        .0
        .iter()
        .map(|&code| u32::from_le_bytes(code));
    codes
        .map(char::from_u32)
        .collect::<Option<String>>()
        .map(label)
}

/// Returns a text without what only fills up its room.
fn label(text: String) -> String {
    text.trim_end_matches('\0').trim().to_owned()
}

fn unsigned(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

fn signed(bytes: &[u8]) -> i64 {
    let is_negative = bytes.last().is_some_and(|&last| last >= 0x80);
    let mut all = [if is_negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|place| bytes[place])
}
