//! Seals: a JSON file that contains a hash of its own content, so that damage is noticed when it is read.
//!
//! The hash also covers a subject, such as `record 7f2c0a1b2c3d4e5f`. A file that was copied to the place of another
//! one therefore breaks its seal too. White space and the order of keys do not matter. A file of an earlier version
//! has no seal; it is accepted as long as it has no key that is unknown, such as a damaged `seal`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// The key of the hash.
const SEAL: &str = "seal";

/// Why the content of a sealed file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokenSeal {
    /// It is not the JSON of the expected type.
    Unreadable(String),
    /// Its hash is that of another content or of another subject.
    OtherHash,
    /// It has no hash, and a key that no version writes.
    UnknownKey(String),
}

impl std::fmt::Display for BrokenSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BrokenSeal::Unreadable(error) => f.write_str(error),
            BrokenSeal::OtherHash => f.write_str("its checksum does not match"),
            BrokenSeal::UnknownKey(key) => write!(f, "it has no checksum, but a key `{key}`"),
        }
    }
}

impl std::error::Error for BrokenSeal {}

/// Returns a value as indented JSON with its seal. The value is an object.
///
/// # Errors
/// The value cannot be represented as JSON.
pub fn sealed<T: Serialize + ?Sized>(subject: &str, value: &T) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(object) = &mut value {
        let seal = hash(subject, object)?;
        object.insert(SEAL.to_owned(), seal.into());
    }
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Returns the value in the text of a sealed file.
///
/// # Errors
/// The text is damaged, or the file belongs to another subject.
pub fn unsealed<T: Serialize + DeserializeOwned>(
    subject: &str,
    text: &[u8],
) -> Result<T, BrokenSeal> {
    let mut value: Value = serde_json::from_slice(text).map_err(unreadable)?;
    let seal = take_seal(&mut value);
    let is_sealed = seal.is_some();
    if let (Some(seal), Value::Object(object)) = (seal, &value)
        && seal != hash(subject, object).map_err(unreadable)?
    {
        return Err(BrokenSeal::OtherHash);
    }
    let keys = keys(&value);
    let content: T = serde_json::from_value(value).map_err(unreadable)?;
    if is_sealed {
        return Ok(content);
    }
    match unknown_key(keys, &content).map_err(unreadable)? {
        None => Ok(content),
        Some(key) => Err(BrokenSeal::UnknownKey(key)),
    }
}

/// True if the text is JSON with a seal, intact or not.
pub fn has_seal(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|value| value.get(SEAL).is_some())
}

fn unreadable(error: serde_json::Error) -> BrokenSeal {
    BrokenSeal::Unreadable(error.to_string())
}

fn take_seal(value: &mut Value) -> Option<Value> {
    value.as_object_mut()?.remove(SEAL)
}

fn hash(subject: &str, object: &Map<String, Value>) -> serde_json::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(subject.as_bytes());
    hasher.update(&[0]);
    hasher.update(serde_json::to_string(object)?.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

/// Returns the keys of an object that have a value.
fn keys(value: &Value) -> Vec<String> {
    let entries = value.as_object().into_iter().flatten();
    let with_value = entries.filter(|(_, value)| !value.is_null());
    with_value.map(|(key, _)| key.clone()).collect()
}

/// Returns a key that is not written again with the content.
fn unknown_key<T: Serialize>(keys: Vec<String>, content: &T) -> serde_json::Result<Option<String>> {
    let written = serde_json::to_value(content)?;
    let unknown = keys.into_iter().find(|key| written.get(key).is_none());
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shelf {
        books: Vec<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    }

    fn shelf() -> Shelf {
        Shelf {
            books: vec![0.1 + 0.2, 1e-300, 7.0, f64::MAX],
            label: Some("ä \"b\"".to_owned()),
        }
    }

    #[test]
    fn a_sealed_value_is_read_as_it_was_written() {
        let text = sealed("shelf 1", &shelf()).unwrap();
        assert_eq!(unsealed("shelf 1", text.as_bytes()), Ok(shelf()));
        let other_layout = serde_json::from_str::<Value>(&text).unwrap().to_string();
        assert_eq!(unsealed("shelf 1", other_layout.as_bytes()), Ok(shelf()));
    }

    #[test]
    fn no_changed_bit_and_no_cut_gives_another_value() {
        let text = sealed("shelf 1", &shelf()).unwrap();
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut damaged = text.clone().into_bytes();
                damaged[place] ^= 1 << bit;
                if let Ok(read) = unsealed::<Shelf>("shelf 1", &damaged) {
                    assert_eq!(read, shelf(), "byte {place}, bit {bit}");
                }
            }
            let cut = &text[..text.floor_char_boundary(place)];
            let read = unsealed::<Shelf>("shelf 1", cut.as_bytes());
            assert!(read.is_err() || cut == text.trim_end(), "cut at {place}");
        }
    }

    #[test]
    fn a_file_of_another_subject_is_refused() {
        let text = sealed("shelf 1", &shelf()).unwrap();
        assert_eq!(
            unsealed::<Shelf>("shelf 2", text.as_bytes()),
            Err(BrokenSeal::OtherHash)
        );
    }

    #[test]
    fn a_file_without_a_seal_is_read_unless_it_has_an_unknown_key() {
        let plain = br#"{ "books": [1.0] }"#;
        assert!(unsealed::<Shelf>("shelf 1", plain).is_ok());
        let damaged = br#"{ "books": [1.0], "sea1": "12" }"#;
        assert_eq!(
            unsealed::<Shelf>("shelf 1", damaged),
            Err(BrokenSeal::UnknownKey("sea1".to_owned()))
        );
    }
}
