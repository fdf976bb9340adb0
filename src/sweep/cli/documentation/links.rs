//! Follows the links of every page, and finds the source files that a page names.

use std::{fs, path::Path};

use super::{Page, pages, root};

/// Folders whose files a page may name in backticks.
const FOLDERS: [&str; 8] = [
    "benches/", "docs/", "reports/", "scripts/", "src/", "sweeps/", "tests/", ".ci/",
];

/// Nouns that must not have a number of parts before them: lists grow.
const COUNTED: [&str; 12] = [
    "losses",
    "miners",
    "samplers",
    "memories",
    "optimizers",
    "schedules",
    "backbones",
    "data sets",
    "distances",
    "presets",
    "rules",
    "commands",
];

/// Returns the targets of the inline links of a line.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once("](") {
        let (target, after) = after.split_once(')').unwrap_or((after, ""));
        targets.push(target);
        rest = after;
    }
    targets
}

/// Returns the anchors of a page's headings, as code hosts make them.
fn anchors(page: &Page) -> Vec<String> {
    let headings = page
        .prose()
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for (line, text) in page.prose() {
            for target in targets(text) {
                let place = format!("{}:{line}: `{target}`", page.name());
                if target.contains("://") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = page.path.parent().unwrap().join(file);
                let linked = if file.is_empty() {
                    Page::read(page.path.clone())
                } else {
                    assert!(path.exists(), "{place}: there is no such file");
                    if anchor.is_empty() {
                        continue;
                    }
                    Page::read(fs::canonicalize(path).unwrap())
                };
                assert!(
                    anchors(&linked).iter().any(|known| known == anchor),
                    "{place}: there is no such heading"
                );
            }
        }
    }
}

/// Returns the parts of a line in backticks.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Returns the folder or file that must exist for a named path: the folder above a placeholder such as `NAME.rs`.
fn existing(path: &str) -> &Path {
    let mut path = Path::new(path);
    while path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with("NAME") || part.contains("*") || part.starts_with('<')
    }) {
        path = path.parent().unwrap();
    }
    path
}

#[test]
fn every_source_file_that_a_page_names_exists() {
    let mut named = 0;
    for page in pages() {
        for (line, text) in page.prose() {
            for path in quoted(text) {
                let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder));
                // `reports/NAME/` is written by a sweep.
                if !is_path || path.contains(' ') || path.starts_with("reports/") {
                    continue;
                }
                named += 1;
                assert!(
                    root().join(existing(path)).exists(),
                    "{}:{line}: there is no `{path}`",
                    page.name()
                );
            }
        }
    }
    assert!(named >= 20, "{named}");
}

#[test]
fn a_walk_through_the_sources_names_what_is_there() {
    // Rows of the form: | 1 | `src/file.rs` | `fn name` | ...
    let page = Page::read(root().join("docs/architecture.md"));
    let mut steps = 0;
    for (line, text) in page.prose() {
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        let [_, number, file, found, ..] = cells[..] else {
            continue;
        };
        if number.parse::<u32>().is_err() {
            continue;
        }
        let source = fs::read_to_string(root().join(file.trim_matches('`'))).unwrap();
        for name in quoted(found) {
            assert!(
                source.contains(name),
                "{}:{line}: {file} has no `{name}`",
                page.name()
            );
        }
        steps += 1;
    }
    assert!(steps >= 6, "{steps}");
}

#[test]
fn the_architecture_lists_every_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let page = Page::read(root().join("docs/architecture.md"));
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let row = format!("| [{}](", member.as_str().unwrap());
        assert!(page.text.contains(&row), "{row}");
    }
}

#[test]
fn no_page_counts_parts_by_hand() {
    for page in pages() {
        if page.name().starts_with("benches") {
            continue;
        }
        for (line, text) in page.prose() {
            let words: Vec<&str> = text.split_whitespace().collect();
            for pair in words.windows(2) {
                let counted = pair[0].parse::<u32>().is_ok();
                let noun = pair[1].trim_end_matches([',', '.', ';', ':']);
                assert!(
                    !(counted && COUNTED.contains(&noun)),
                    "{}:{line}: \"{} {noun}\" becomes wrong when one is added",
                    page.name(),
                    pair[0]
                );
            }
        }
    }
}
