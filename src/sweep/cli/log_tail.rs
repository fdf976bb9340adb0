//! The end of a log.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Returns the last lines of a log that are not empty, at most `count`; none if it cannot be read.
pub(super) fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let text = end(log).unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let first = lines.len().saturating_sub(count);
    lines[first..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

fn end(log: &Path) -> io::Result<String> {
    const MOST: u64 = 1 << 14;
    let mut file = durable::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
