//! Seals: a JSON file that contains a hash of its own content, so that damage is noticed when it is read.
//!
//! The hash also covers a subject, such as `record 7f2c0a1b2c3d4e5f`. A file that was copied to the place of another
//! one therefore breaks its seal too. White space and the order of keys do not matter. A file of an earlier version
//! has no seal; it is accepted as long as it has no key that is unknown, such as a damaged `seal`.

use std::ops::Range;

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
    if let Some(content) = sealed_content(subject, text)
        && let Ok(content) = serde_json::from_slice(&content)
    {
        return Ok(content);
    }
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

/// Returns the canonical JSON that a file was sealed with, if its keys are in the order in which they are written and its
/// seal is intact. It is much faster than [`unsealed`], which accepts any order of the keys.
pub fn sealed_content(subject: &str, text: &[u8]) -> Option<Vec<u8>> {
    let mut compact = compact(text)?;
    let seal = compact.seal?;
    let (before, rest) = compact.text.split_at(seal);
    let (entry, after) = rest.split_at_checked(ENTRY)?;
    // One of the commas around the entry goes with it.
    let (before, after) = match before.strip_suffix(b",") {
        Some(before) => (before, after),
        None => (before, after.strip_prefix(b",").unwrap_or(after)),
    };
    let mut hasher = hasher(subject);
    hasher.update(before);
    hasher.update(after);
    let hash = hasher.finalize().to_hex();
    if entry[HASH] != *hash.as_bytes() {
        return None;
    }
    let content = before.len()..compact.text.len() - after.len();
    compact.text.drain(content);
    Some(compact.text)
}

/// The length of the entry of a hash, `"seal":"HASH"`, and where the hash is in it.
const ENTRY: usize = HASH.end + 1;
const HASH: Range<usize> = 8..8 + 2 * blake3::OUT_LEN;

/// A JSON text without white space.
struct Compact {
    text: Vec<u8>,
    /// Where the entry of the hash begins.
    seal: Option<usize>,
}

/// Removes the white space of a JSON text; `None` if a string in it has no end.
fn compact(text: &[u8]) -> Option<Compact> {
    let mut compact = Compact {
        text: Vec::with_capacity(text.len()),
        seal: None,
    };
    let (mut at, mut depth) = (0, 0_i64);
    while let Some(&byte) = text.get(at) {
        let length = match byte {
            b'"' => length_of_string(&text[at..])?,
            _ => 1,
        };
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => compact.text.extend_from_slice(&text[at..at + length]),
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth == 1 && compact.text.ends_with(b"\"seal\":") => {
                compact.seal = Some(compact.text.len() - b"\"seal\":".len());
            }
            _ => {}
        }
        at += length;
    }
    Some(compact)
}

/// Returns the length of the JSON string with which a text begins, with its quotes.
fn length_of_string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
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
    let mut hasher = hasher(subject);
    hasher.update(serde_json::to_string(object)?.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

/// Begins the hash of a subject's content.
fn hasher(subject: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(subject.as_bytes());
    hasher.update(&[0]);
    hasher
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
    use serde_json::json;

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
    fn what_was_sealed_is_found_in_the_text_as_it_was_written() {
        for content in [
            json!({}),
            json!({ "a": 1.5e-300 }),
            json!({ "z": [] }),
            json!({ "a": "seal", "run": { "seal": "x", "b": [{}, []] }, "z": "\"seal\": \\" }),
            json!({ "label": "a : b,  { \u{1F426} \n\t\u{7}", "seals": null }),
        ] {
            let text = sealed("shelf 1", &content).unwrap();
            let found = sealed_content("shelf 1", text.as_bytes());
            assert_eq!(found, Some(content.to_string().into_bytes()));
            assert_eq!(sealed_content("shelf 2", text.as_bytes()), None);
        }
        for text in [
            "",
            "{}",
            "{\"seal\":",
            "{\"seal\": \"1\"}",
            "{\"a",
            "{\"a\\",
        ] {
            assert_eq!(sealed_content("shelf 1", text.as_bytes()), None);
        }
    }

    #[test]
    fn another_order_of_the_keys_is_as_good() {
        let text = sealed("shelf 1", &json!({ "books": [1.0], "label": "b" })).unwrap();
        let seal = serde_json::from_str::<Value>(&text).unwrap()["seal"].to_string();
        let other = format!(r#"{{ "seal": {seal}, "label": "b", "books": [1.0] }}"#);
        assert_eq!(sealed_content("shelf 1", other.as_bytes()), None);
        let shelf = unsealed::<Shelf>("shelf 1", other.as_bytes()).unwrap();
        assert_eq!(shelf.label.as_deref(), Some("b"));
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
