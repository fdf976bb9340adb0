//! The sweep files of `sweeps/`, as part of the program: they are at hand outside a checkout, too.

use include_dir::{Dir, include_dir};

static SWEEPS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/sweeps");

/// A sweep file that comes with the program.
pub(super) struct Shipped {
    /// Its name, without `.toml`.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// Returns all, in the order of their names.
pub(super) fn all() -> Vec<Shipped> {
    let shipped = SWEEPS.files().filter_map(|file| {
        let is_toml = file.path().extension()? == "toml";
        Some(Shipped {
            name: file.path().file_stem()?.to_str().filter(|_| is_toml)?,
            text: file.contents_utf8()?,
        })
    });
    let mut all: Vec<Shipped> = shipped.collect();
    all.sort_by_key(|shipped| shipped.name);
    all
}

impl Shipped {
    /// True if it builds on another file, which a copy of it would lack.
    pub(super) fn builds_on_another(&self) -> bool {
        let extends = self.text.lines().find(|line| line.starts_with("extends"));
        extends.is_some_and(|line| line.contains(".toml"))
    }
}

/// Returns the first sentence of the comment at the beginning of a sweep file or a preset.
pub(super) fn title(text: &str) -> String {
    let comment = text.lines().take_while(|line| line.starts_with('#'));
    let comment: Vec<&str> = comment
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let comment = comment.join(" ");
    let end = comment.find(". ").map_or(comment.len(), |end| end + 1);
    comment[..end].to_owned()
}
