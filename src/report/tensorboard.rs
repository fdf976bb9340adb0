//! Learning curves as the event files of TensorBoard.
//!
//! An event file is a sequence of records: the length of the data as u64, the masked CRC32C of the length, the data,
//! and the masked CRC32C of the data, all little-endian. The data is a message `Event` of
//! `tensorflow/core/util/event.proto` in the encoding of protocol buffers.

use std::path::PathBuf;

use crate::{text::plain, training::Training};

/// The numbers of the fields of `Event`, `Summary` and `Summary.Value`.
mod field {
    pub(super) const STEP: u64 = 2;
    pub(super) const FILE_VERSION: u64 = 3;
    pub(super) const SUMMARY: u64 = 5;
    pub(super) const VALUE: u64 = 1;
    pub(super) const TAG: u64 = 1;
    pub(super) const SIMPLE_VALUE: u64 = 2;
}

/// How a field is encoded.
mod wire {
    pub(super) const VARINT: u64 = 0;
    pub(super) const BYTES: u64 = 2;
    pub(super) const FIXED32: u64 = 5;
}

impl Training {
    /// Returns the path of its event file in a folder for TensorBoard, which shows each folder as a run.
    pub fn event_path(&self) -> PathBuf {
        let run = format!("seed-{}-{}", self.seed, self.run);
        [
            plain(&self.row()),
            run,
            "events.out.tfevents.sweep".to_owned(),
        ]
        .iter()
        .collect()
    }

    /// Returns the event file of this training. Events have no time, so that the file depends on the results alone.
    pub fn event_file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut version = Vec::new();
        put_bytes(&mut version, field::FILE_VERSION, b"brain.Event:2");
        put_record(&mut file, &version);
        for (curve, points) in &self.curves {
            for &(step, value) in points {
                put_record(&mut file, &event(&curve.to_string(), step, value));
            }
        }
        file
    }
}

/// One value of one curve.
fn event(tag: &str, step: u64, value: f64) -> Vec<u8> {
    let mut scalar = Vec::new();
    put_bytes(&mut scalar, field::TAG, tag.as_bytes());
    put_key(&mut scalar, field::SIMPLE_VALUE, wire::FIXED32);
    scalar.extend((value as f32).to_le_bytes());
    let mut summary = Vec::new();
    put_bytes(&mut summary, field::VALUE, &scalar);
    let mut event = Vec::new();
    put_key(&mut event, field::STEP, wire::VARINT);
    put_varint(&mut event, step);
    put_bytes(&mut event, field::SUMMARY, &summary);
    event
}

fn put_record(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked(data).to_le_bytes());
}

/// The CRC32C as records have it, so that the checksum of data that contain checksums is as good.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn put_key(message: &mut Vec<u8>, field: u64, wire: u64) {
    put_varint(message, field << 3 | wire);
}

fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(message, field, wire::BYTES);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

/// Seven bits a byte, the lowest first; all but the last byte have their highest bit set.
fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use schema::{Dataset, Metric};

    use super::*;
    use crate::training::Curve;

    fn training() -> Training {
        let curves = [
            (Curve::Loss, vec![(1, 0.5), (300, 0.25)]),
            (Curve::Validation(Metric::MapAtR), vec![(300, 0.125)]),
        ];
        Training {
            dataset: Dataset::Omniglot,
            method: "Triplet".to_owned(),
            settings: Vec::new(),
            seed: 0,
            fold: None,
            run: "0123456789abcdef".parse().unwrap(),
            curves: curves.into_iter().collect(),
        }
    }

    /// `scripts/golden_tensorboard.py` writes the same file with the package tensorboard.
    #[test]
    fn the_file_is_that_of_the_tensorboard_package() {
        let expected = include_bytes!("testdata/events.tfevents");
        assert_eq!(training().event_file(), expected);
    }

    #[test]
    fn tensorboard_reads_the_file() {
        let installed = Command::new("python3")
            .args(["-c", "import tensorboard"])
            .output();
        if !installed.is_ok_and(|output| output.status.success()) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.out.tfevents.0");
        fs::write(&file, training().event_file()).unwrap();
        let script = "import sys\n\
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
            events = EventAccumulator(sys.argv[1])\n\
            events.Reload()\n\
            for tag in events.Tags()['scalars']:\n    \
                print(tag, [(event.step, event.value) for event in events.Scalars(tag)])\n";
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(&file)
            .output()
            .unwrap();
        let read = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            read,
            "loss [(1, 0.5), (300, 0.25)]\nvalidation map@r [(300, 0.125)]\n"
        );
    }
}
