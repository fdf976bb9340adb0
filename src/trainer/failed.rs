//! The error type of this crate: a message with its class.
//!
//! The class is known where an error arises: each kind of error converts in one place, here.

use std::any::Any;

use dml::data::DataError;
use durable::DiskError;
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

    /// Converts a panic: [`Failure::Internal`], unless libtorch ran out of memory.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Failed {
        let text = panic_text(panic);
        let first_line = text.lines().next().unwrap_or(text);
        Failed {
            class: class_of_panic(text),
            message: first_line.chars().take(LONGEST).collect(),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else {
        "a panic without a message"
    }
}

/// Returns the class of a panic. Exhausted memory is [`Failure::Crashed`], because the next attempt
/// may find enough; every other panic is a fault of the program.
///
/// This is the only function that reads the text of an error. libtorch throws C++ exceptions, `tch`
/// keeps nothing of them but the text (`TchError::Torch`), and plain tensor operations unwrap it,
/// so the text of the panic is all there is. Only text after `Torch(` is libtorch's own; its two
/// allocators report "CUDA out of memory" (or "CUDA error: out of memory") and
/// "DefaultCPUAllocator: can't allocate memory".
fn class_of_panic(text: &str) -> Failure {
    let Some((_, of_libtorch)) = text.split_once("Torch(") else {
        return Failure::Internal;
    };
    let allocators = ["out of memory", "DefaultCPUAllocator"];
    if allocators.iter().any(|part| of_libtorch.contains(part)) {
        Failure::Crashed
    } else {
        Failure::Internal
    }
}

impl From<DiskError> for Failed {
    fn from(error: DiskError) -> Failed {
        Failed {
            class: Failure::Disk,
            message: error.to_string(),
        }
    }
}

impl From<DataError> for Failed {
    fn from(error: DataError) -> Failed {
        let class = match &error {
            DataError::Missing { .. } | DataError::Unreadable { .. } => Failure::Data,
            DataError::OtherCounts { .. } => Failure::OtherCounts,
            DataError::Disk(_) => Failure::Disk,
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
        let unwrapped = |text: &str| {
            class(&format!(
                "called `Result::unwrap()` on an `Err` value: Torch({text:?})"
            ))
        };
        assert_eq!(class("size mismatch"), Failure::Internal);
        assert_eq!(class("our own index is out of memory"), Failure::Internal);
        assert_eq!(unwrapped("shape mismatch"), Failure::Internal);
        assert_eq!(
            unwrapped("CUDA out of memory. Tried to allocate 2 GiB"),
            Failure::Crashed
        );
        assert_eq!(
            unwrapped("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
            Failure::Crashed
        );
    }

    #[test]
    fn exhausted_memory_is_recognized_in_libtorch_itself() {
        let allocate = || tch::Tensor::zeros([1 << 48], (tch::Kind::Double, tch::Device::Cpu));
        let panic = std::panic::catch_unwind(allocate).unwrap_err();
        let failed = Failed::from_panic(panic.as_ref());
        assert_eq!(failed.class, Failure::Crashed, "{}", failed.message);
    }

    #[test]
    fn only_the_first_line_of_a_panic_is_passed_on() {
        assert_eq!(
            Failed::from_panic(&"shapes differ\nframe #0: …").message,
            "shapes differ"
        );
        assert_eq!(Failed::from_panic(&"x".repeat(1000)).message.len(), LONGEST);
    }
}
