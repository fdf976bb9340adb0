//! Reads the output of a trainer, which may be of any length, with bounded memory.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Read, Seek, SeekFrom, Write},
    path::Path,
};

use schema::visible::visible;

/// Lines of a text, without empty ones and those longer than `limit` bytes.
pub(super) struct Lines<R> {
    text: R,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(text: R, limit: usize) -> Lines<R> {
        Lines { text, limit }
    }

    /// Reads up to the end of a line that is not empty, and keeps the beginning of it.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        self.skip_empty()?;
        let mut line = Vec::new();
        let limit = self.limit as u64 + 1;
        self.text
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)?;
        if line.len() > self.limit && !line.ends_with(b"\n") {
            self.text.skip_until(b'\n')?;
        }
        Ok(line)
    }

    fn skip_empty(&mut self) -> io::Result<()> {
        loop {
            let text = self.text.fill_buf()?;
            let empty = text.iter().take_while(|&&byte| byte == b'\n').count();
            if empty == 0 {
                return Ok(());
            }
            self.text.consume(empty);
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut line = self.read_line().ok().filter(|line| !line.is_empty())?;
            if line.ends_with(b"\n") {
                line.pop();
            }
            if line.len() <= self.limit {
                return Some(line);
            }
        }
    }
}

/// The most of the end of a log that is kept beyond its limit, and that is read for its last line.
const TAIL: usize = 64 << 10;

/// Copies a log into a file: at most `limit` bytes of its beginning, and its end. The log is for
/// people; it is read to its end even if the disk is full.
pub(super) fn copy_log(mut log: impl Read, file: &mut impl Write, limit: u64) {
    let beginning = io::copy(&mut log.by_ref().take(limit), file);
    if let Ok((left_out, end)) = skip(log)
        && beginning.is_ok()
    {
        let _ = write_end(file, left_out, &end);
    }
}

fn write_end(file: &mut impl Write, left_out: u64, end: &[u8]) -> io::Result<()> {
    if left_out > 0 {
        writeln!(file, "\n[{left_out} bytes are left out here]")?;
    }
    file.write_all(end)
}

/// Reads to the end. Returns the number of bytes before the last ones, and the last ones.
fn skip(mut log: impl Read) -> io::Result<(u64, Vec<u8>)> {
    let mut buffer = vec![0; TAIL];
    let (mut end, mut left_out) = (VecDeque::new(), 0);
    loop {
        let read = match log.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((left_out, end.into()));
        }
        end.extend(&buffer[..read]);
        let excess = end.len().saturating_sub(TAIL);
        end.drain(..excess);
        left_out += excess as u64;
    }
}

/// Returns the last line of a log that is not empty, shortened.
pub(super) fn last_line(log: &Path) -> Option<String> {
    let mut file = durable::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(TAIL as u64);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut end = Vec::new();
    file.take(TAIL as u64).read_to_end(&mut end).ok()?;
    let text = String::from_utf8_lossy(&end);
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty())?;
    Some(shortened(&visible(line), 300))
}

/// Returns the text, or its first `limit` characters.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let lines = Lines::new(text.as_bytes(), 4);
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_that_are_too_long_are_skipped_and_the_others_are_not() {
        assert_eq!(lines("ab\n12345\ncd\n"), ["ab", "cd"]);
        assert_eq!(lines("\n\n1234\n\n123456789"), ["1234"]);
        assert_eq!(lines("123456789\n1234"), ["1234"]);
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let copied = |length: usize| {
            let log: String = (0..length)
                .map(|at| char::from(b'a' + (at % 26) as u8))
                .collect();
            let mut file = Vec::new();
            copy_log(log.as_bytes(), &mut file, 1000);
            (log, String::from_utf8(file).unwrap())
        };
        for length in [0, 999, 1000, 1001, 1000 + TAIL] {
            let (log, file) = copied(length);
            assert_eq!(log, file, "{length}");
        }
        let (log, file) = copied(1000 + 3 * TAIL);
        let (beginning, rest) = file
            .split_once("\n[131072 bytes are left out here]\n")
            .unwrap();
        assert_eq!((beginning, rest), (&log[..1000], &log[1000 + 2 * TAIL..]));
    }

    #[test]
    fn the_last_line_of_a_log_is_short_and_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let last = |text: &str| {
            std::fs::write(&path, text).unwrap();
            last_line(&path)
        };
        assert_eq!(last("first\n last \n\n").as_deref(), Some("last"));
        assert_eq!(last("\n\n"), None);
        assert_eq!(last(&"ä".repeat(200_000)).unwrap().chars().count(), 303);
        assert_eq!(last_line(folder.path()), None);
    }
}
