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

    /// Converts a panic. One that libtorch caused has the class of its cause; any other is
    /// [`Failure::Internal`].
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Failed {
        let text = panic_text(panic);
        let (class, sentence) = match sentence_of_libtorch(text) {
            Some(sentence) => (
                class_of_libtorch(&sentence),
                format!("libtorch: {sentence}"),
            ),
            None => (
                Failure::Internal,
                text.lines().next().unwrap_or(text).to_owned(),
            ),
        };
        Failed {
            class,
            message: sentence.chars().take(LONGEST).collect(),
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

/// Returns the first line of what libtorch said, if the panic is an unwrapped error of it.
///
/// libtorch throws C++ exceptions, `tch` keeps nothing of them but the text (`TchError::Torch`), and
/// plain tensor operations unwrap it, so that the panic has it in its debug form: in quotes, with
/// escaped line breaks.
fn sentence_of_libtorch(text: &str) -> Option<String> {
    let (_, quoted) = text.split_once("Torch(")?;
    let quoted = quoted.strip_prefix('"').unwrap_or(quoted);
    let sentence = match quoted.split_once("\\n") {
        Some((first, _)) => first,
        None => quoted.strip_suffix("\")").unwrap_or(quoted),
    };
    Some(sentence.replace("\\\"", "\""))
}

/// Returns the class of an error by what libtorch said of it. This and the function above are the only
/// ones that read the text of an error.
///
/// Its allocators report "CUDA out of memory" (or "CUDA error: out of memory") and
/// "DefaultCPUAllocator: can't allocate memory", the libraries below it a status. What a device reports
/// is the fault of the device, unless the program asked it for something impossible.
fn class_of_libtorch(sentence: &str) -> Failure {
    let has = |parts: &[&str]| parts.iter().any(|part| sentence.contains(part));
    if has(&["DefaultCPUAllocator"]) {
        Failure::HostMemory
    } else if has(&["out of memory", "_STATUS_ALLOC_FAILED"]) {
        Failure::Memory
    } else if has(&[
        "device-side assert",
        "_NOT_SUPPORTED",
        "_BAD_PARAM",
        "_INVALID_VALUE",
    ]) {
        Failure::Internal
    } else if has(&[
        "CUDA error",
        "CUDA driver",
        "NVIDIA driver",
        "CUBLAS_STATUS",
        "CUDNN_STATUS",
    ]) {
        Failure::Device
    } else {
        Failure::Internal
    }
}

/// Returns the class of a file that was not written. If another process does the work anew, the disk is well.
fn class_of(error: &DiskError) -> Failure {
    match error.is_superseded() {
        true => Failure::Internal,
        false => Failure::Disk,
    }
}

impl From<DiskError> for Failed {
    fn from(error: DiskError) -> Failed {
        Failed {
            class: class_of(&error),
            message: error.to_string(),
        }
    }
}

impl From<DataError> for Failed {
    fn from(error: DataError) -> Failed {
        let class = match &error {
            DataError::Missing { .. }
            | DataError::Unreadable { .. }
            | DataError::Changed { .. } => Failure::Data,
            DataError::OtherCounts { .. } => Failure::OtherCounts,
            DataError::Disk(error) => class_of(error),
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

    /// What a panic becomes if libtorch said this.
    fn libtorch(said: &str) -> Failed {
        let panic = format!("called `Result::unwrap()` on an `Err` value: Torch({said:?})");
        Failed::from_panic(&panic)
    }

    #[test]
    fn a_panic_of_the_program_is_internal_whatever_it_says() {
        for text in [
            "size mismatch",
            "our own index is out of memory",
            "CUDA error",
        ] {
            assert_eq!(
                Failed::from_panic(&text.to_owned()).class,
                Failure::Internal
            );
        }
    }

    #[test]
    fn what_libtorch_says_tells_exhausted_memory_from_a_broken_device_and_from_a_mistake() {
        for (said, class) in [
            (
                "CUDA out of memory. Tried to allocate 2 GiB",
                Failure::Memory,
            ),
            ("CUDA error: out of memory", Failure::Memory),
            (
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`",
                Failure::Memory,
            ),
            (
                "[enforce fail] DefaultCPUAllocator: can't allocate memory",
                Failure::HostMemory,
            ),
            (
                "CUDA error: uncorrectable ECC error encountered",
                Failure::Device,
            ),
            (
                "CUDA error: an illegal memory access was encountered",
                Failure::Device,
            ),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", Failure::Device),
            ("Found no NVIDIA driver on your system.", Failure::Device),
            (
                "CUDA error: device-side assert triggered",
                Failure::Internal,
            ),
            ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", Failure::Internal),
            ("shape mismatch", Failure::Internal),
        ] {
            assert_eq!(libtorch(said).class, class, "{said}");
        }
    }

    #[test]
    fn exhausted_memory_is_recognized_in_libtorch_itself() {
        let allocate = || tch::Tensor::zeros([1 << 48], (tch::Kind::Double, tch::Device::Cpu));
        let panic = std::panic::catch_unwind(allocate).unwrap_err();
        let failed = Failed::from_panic(panic.as_ref());
        assert_eq!(failed.class, Failure::HostMemory, "{}", failed.message);
        assert!(!failed.message.contains("\\n") && !failed.message.contains("unwrap"));
    }

    #[test]
    fn a_sentence_of_libtorch_is_passed_on_without_quotes_and_traces() {
        assert_eq!(
            libtorch("no \"kernel\"\nframe #0: c10::Error").message,
            "libtorch: no \"kernel\""
        );
        assert_eq!(libtorch("one line").message, "libtorch: one line");
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
