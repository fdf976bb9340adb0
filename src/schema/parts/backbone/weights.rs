//! Trained weights.

use std::{fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::parts::range::Setting;

/// Trained weights: in a sweep file the name that they were added under, in a recipe the SHA-256 of their file, so
/// that the id of a run depends on the weights themselves and not on their name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Weights(String);

impl Weights {
    /// Returns the weights with this name.
    pub fn named(name: impl Into<String>) -> Weights {
        Weights(name.into())
    }

    /// Returns the weights in this file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(mut file: impl io::Read) -> io::Result<Weights> {
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher)?;
        Ok(Weights(
            hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ))
    }

    /// Returns a placeholder for missing weights. No run with them can be executed.
    pub fn missing() -> Weights {
        Weights("missing".to_owned())
    }

    /// True for the placeholder.
    pub fn is_missing(&self) -> bool {
        *self == Weights::missing()
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Setting for Weights {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_known_by_the_sha_256_of_their_file() {
        let hash = Weights::of_file(b"abc".as_slice()).unwrap();
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
