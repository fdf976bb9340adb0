//! Keeps `README.md` and `docs/` true.
//!
//! `reference` writes the sections that list settings from the types of the sweep file, `examples` gives every example
//! to the parsers of the program, `links` follows every link and every path of a source file, and `promises` holds sentences about all commands against them.

mod examples;
mod links;
mod promises;
mod reference;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Markdown file of the project.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block of a page.
struct Block<'p> {
    /// The info string, such as `toml fragment`.
    language: &'p str,
    /// The line of the opening fence, from 1.
    line: usize,
    text: String,
}

impl Page {
    fn read(path: PathBuf) -> Page {
        let text = fs::read_to_string(&path).unwrap();
        Page { path, text }
    }

    /// Returns the path relative to the repository.
    fn name(&self) -> String {
        let relative = self.path.strip_prefix(root()).unwrap();
        relative.display().to_string()
    }

    /// Returns the fenced blocks in order.
    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open.as_mut()) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    open = Some(Block {
                        language,
                        line: index + 1,
                        text: String::new(),
                    });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.name());
        blocks
    }

    /// Returns the text without its fenced blocks, with the line numbers kept.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut prose = Vec::new();
        let mut fenced = false;
        for (index, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                prose.push((index + 1, line));
            }
        }
        prose
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pages of `docs/`.
fn docs() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

/// Returns every page that people read: `docs/` and the README, CONTRIBUTING and CHANGELOG files.
fn pages() -> Vec<Page> {
    let others = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "benches/README.md",
        "reports/README.md",
        "results/README.md",
    ];
    let mut pages = docs();
    pages.extend(others.map(|path| Page::read(root().join(path))));
    pages
}
