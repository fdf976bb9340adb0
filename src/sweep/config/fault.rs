//! A setting that makes no sense, by its key.

/// A setting that is refused after types have been checked.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its dotted key, with indices in arrays as numbers.
    pub(super) key: String,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) hint: Option<String>,
}

/// The result of a check of settings.
pub(super) type Checked = Result<(), Fault>;
