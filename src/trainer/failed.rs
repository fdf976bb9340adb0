//! Why an attempt failed, and how other errors translate to it.

use std::{any::Any, io, path::Path};

use dml::data::DataError;
use schema::{Event, Failure};

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure.
    pub class: Failure,
    /// One sentence for a person.
    pub message: String,
}

/// The most of a panic's message that is passed on; all of it is in the log.
const LONGEST: usize = 300;

impl Failed {
    pub(crate) fn data(message: impl Into<String>) -> Failed {
        Failed {
            class: Failure::Data,
            message: message.into(),
        }
    }

    pub(crate) fn recipe(message: impl Into<String>) -> Failed {
        Failed {
            class: Failure::Recipe,
            message: message.into(),
        }
    }

    pub(crate) fn device(message: impl Into<String>) -> Failed {
        Failed {
            class: Failure::Device,
            message: message.into(),
        }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Failed {
        Failed {
            class: Failure::Internal,
            message: message.into(),
        }
    }

    /// A file that could not be written.
    pub(crate) fn disk(path: &Path, cause: &io::Error) -> Failed {
        let message = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("the disk is full: cannot write `{}`", path.display())
            }
            _ => format!("cannot write `{}`: {cause}", path.display()),
        };
        Failed {
            class: Failure::Disk,
            message,
        }
    }

    /// A panic: this program's fault, unless memory ran out, which may not happen the next time.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Failed {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        let said = said.unwrap_or("a panic without a message");
        let message = said
            .lines()
            .next()
            .unwrap_or(said)
            .chars()
            .take(LONGEST)
            .collect();
        let class = if said.contains("out of memory") {
            Failure::Crashed
        } else {
            Failure::Internal
        };
        Failed { class, message }
    }
}

impl From<DataError> for Failed {
    fn from(error: DataError) -> Failed {
        let class = match &error {
            DataError::Missing { .. } | DataError::Unreadable { .. } => Failure::Data,
            DataError::Disk { .. } => Failure::Disk,
        };
        Failed {
            class,
            message: error.to_string(),
        }
    }
}

impl From<Failed> for Event {
    fn from(failed: Failed) -> Event {
        Event::Failed {
            class: failed.class,
            message: failed.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_internal_but_exhausted_memory_is_a_crash() {
        let class = |message: &str| Failed::from_panic(&message.to_owned()).class;
        assert_eq!(class("size mismatch"), Failure::Internal);
        assert_eq!(
            class("Torch(\"CUDA out of memory. Tried to allocate\")"),
            Failure::Crashed
        );
    }

    #[test]
    fn only_the_first_line_of_a_panic_is_passed_on() {
        assert_eq!(
            Failed::from_panic(&"shapes differ\nframe #0: …").message,
            "shapes differ"
        );
        assert_eq!(Failed::from_panic(&"x".repeat(1000)).message.len(), LONGEST);
    }

    #[test]
    fn a_full_disk_is_called_a_full_disk() {
        let failed = Failed::disk(Path::new("/runs/model"), &io::ErrorKind::StorageFull.into());
        assert_eq!(
            failed.message,
            "the disk is full: cannot write `/runs/model`"
        );
        assert_eq!(failed.class, Failure::Disk);
    }
}
