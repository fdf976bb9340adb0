//! Reads the output of a trainer, which may be of any length, with bounded memory.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Read, Seek, SeekFrom, Write},
    mem,
    path::Path,
};

use schema::visible::visible;

/// Puts lines together that arrive in pieces; empty ones and those longer than `limit` bytes are left out.
#[derive(Debug)]
pub(super) struct LineBuffer {
    limit: usize,
    /// The beginning of a line.
    line: Vec<u8>,
    /// True if the line is too long.
    is_long: bool,
}

impl LineBuffer {
    pub(super) fn new(limit: usize) -> LineBuffer {
        LineBuffer {
            limit,
            line: Vec::new(),
            is_long: false,
        }
    }

    /// Takes bytes from the beginning of a piece up to the end of the next line, and returns that line; `None` once the
    /// piece is used up.
    pub(super) fn next_in(&mut self, piece: &mut &[u8]) -> Option<Vec<u8>> {
        while !piece.is_empty() {
            let end = piece.iter().position(|&byte| byte == b'\n');
            let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
            self.add(part);
            *piece = rest.strip_prefix(b"\n").unwrap_or(rest);
            if end.is_some()
                && let Some(line) = self.end()
            {
                return Some(line);
            }
        }
        None
    }

    fn add(&mut self, part: &[u8]) {
        self.is_long |= self.line.len() + part.len() > self.limit;
        if self.is_long {
            self.line.clear();
        } else {
            self.line.extend(part);
        }
    }

    /// Ends the line, and returns it.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        let line = mem::take(&mut self.line);
        let is_long = mem::take(&mut self.is_long);
        (!line.is_empty() && !is_long).then_some(line)
    }
}

/// Lines of a text, without empty ones and those longer than `limit` bytes.
pub(super) struct Lines<R> {
    text: R,
    buffer: LineBuffer,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(text: R, limit: usize) -> Lines<R> {
        Lines {
            text,
            buffer: LineBuffer::new(limit),
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let text = self.text.fill_buf().unwrap_or_default();
            if text.is_empty() {
                return self.buffer.end();
            }
            let mut rest = text;
            let line = self.buffer.next_in(&mut rest);
            let used = text.len() - rest.len();
            self.text.consume(used);
            if line.is_some() {
                return line;
            }
        }
    }
}

/// The most of the end of a log that is kept beyond its limit, and that is read for its last line.
const TAIL: usize = 64 << 10;

/// Copies a log into a file: at most `limit` bytes of its beginning, and its end. The log is for people; a full disk
/// does not matter.
#[derive(Debug)]
pub(super) struct LogCopy<W> {
    file: W,
    /// The bytes that the beginning may still have.
    room: u64,
    /// The number of bytes between the beginning and the end.
    left_out: u64,
    end: VecDeque<u8>,
    /// True if the disk did not take the beginning.
    is_broken: bool,
}

impl<W: Write> LogCopy<W> {
    pub(super) fn new(file: W, limit: u64) -> LogCopy<W> {
        LogCopy {
            file,
            room: limit,
            left_out: 0,
            end: VecDeque::new(),
            is_broken: false,
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let (beginning, end) = bytes.split_at(room.min(bytes.len()));
        self.room -= beginning.len() as u64;
        self.is_broken |= self.file.write_all(beginning).is_err();
        self.end.extend(end);
        let excess = self.end.len().saturating_sub(TAIL);
        self.end.drain(..excess);
        self.left_out += excess as u64;
    }

    /// Writes the end.
    pub(super) fn close(mut self) {
        if !self.is_broken {
            let _ = self.write_end();
        }
    }

    fn write_end(&mut self) -> io::Result<()> {
        if self.left_out > 0 {
            let left_out = self.left_out;
            writeln!(self.file, "\n[{left_out} bytes are left out here]")?;
        }
        self.file.write_all(self.end.make_contiguous())
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
    fn lines_that_arrive_in_pieces_are_put_together() {
        let mut buffer = LineBuffer::new(4);
        let mut lines = Vec::new();
        for mut piece in [b"a".as_slice(), b"b\n\nc\n12", b"345\nd", b"\n"] {
            while let Some(line) = buffer.next_in(&mut piece) {
                lines.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(lines, ["ab", "c", "d"]);
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let copied = |length: usize| {
            let log: String = (0..length)
                .map(|at| char::from(b'a' + (at % 26) as u8))
                .collect();
            let mut file = Vec::new();
            let mut copy = LogCopy::new(&mut file, 1000);
            log.as_bytes().chunks(700).for_each(|piece| copy.add(piece));
            copy.close();
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
