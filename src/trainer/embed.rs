//! Embeds photos that belong to no data set: an `.npy` file of embeddings, and a CSV file of their paths.
//!
//! One chunk of images is in memory at a time.

use std::path::{Path, PathBuf};

use durable::WholeFile;
use schema::{EmbedWork, Embedded, Event};
use tch::{Tensor, no_grad};

use crate::{
    Emit, End, Failed, Stop, Throttle,
    batches::BatchSource,
    evaluate::{self, images_at_a_time},
    files,
    photos::Photos,
    queries, split,
};

/// Embeds a photo, or all photos below a folder, with the network in a run's folder.
///
/// # Errors
/// The network cannot be used, an image cannot be decoded, or the files cannot be written.
pub(crate) fn embed(
    work: &EmbedWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Embedded>, Failed> {
    emit(Event::Started { from: 0 });
    let network = evaluate::trained_network(&work.recipe, &work.run, device)?;
    let photos = Photos::open(&work.recipe, &work.images, work.skip_broken, emit)?;
    let indices = split::test(&photos.data).indices;
    let batches = BatchSource::new(&work.recipe, &photos.data, device)?;
    let total = indices.len() as u64;
    let mut file = WholeFile::create(&work.into)?;
    file.append(&npy_header(total, network.width() as u64))?;
    let mut throttle = Throttle::new();
    let mut done = 0;
    for images in batches.chunks(&indices, images_at_a_time(&work.recipe, device)) {
        let images = images?;
        if stop.requested() {
            return Ok(End::Stopped);
        }
        let embeddings = no_grad(|| network.forward(&images, false));
        done += embeddings.size()[0] as u64;
        file.append(&little_endian(&embeddings)?)?;
        if throttle.ready() || done == total {
            emit(Event::Progress {
                done,
                total,
                loss: None,
            });
        }
    }
    file.publish()?;
    let paths = list(&photos.paths, &work.images);
    durable::write(&EmbedWork::paths_beside(&work.into), paths.as_bytes())?;
    Ok(End::Finished(Embedded {
        images: total,
        width: network.width() as u64,
        corrupt: photos.corrupt,
    }))
}

/// Returns the beginning of an `.npy` file (version 1.0) of `rows` rows of `width` numbers in single precision.
fn npy_header(rows: u64, width: u64) -> Vec<u8> {
    /// The beginning of every file: magic, version, and two bytes for the length of what follows.
    const PREFIX: usize = 10;
    /// The numbers begin at a multiple of this.
    const ALIGNMENT: usize = 64;
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let length = (PREFIX + text.len() + 1).next_multiple_of(ALIGNMENT) - PREFIX;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{text:<0$}\n", length - 1).bytes());
    header
}

fn little_endian(embeddings: &Tensor) -> Result<Vec<u8>, Failed> {
    let plain = embeddings
        .to_kind(tch::Kind::Float)
        .to_device(tch::Device::Cpu);
    files::bytes(&plain).map_err(Failed::internal)
}

/// Returns the path of each row, relative to the folder that was given.
fn list(paths: &[PathBuf], root: &Path) -> String {
    let mut text = EmbedWork::COLUMNS.to_owned();
    for (row, path) in paths.iter().enumerate() {
        let relative = path.strip_prefix(root).ok();
        let relative = relative.filter(|path| !path.as_os_str().is_empty());
        let path = relative.unwrap_or(path).display().to_string();
        text.push_str(&format!("{row},{}\n", queries::field(&path)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_numpy() {
        let header = npy_header(3, 64);
        assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')));
        assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([header[8], header[9]]));
        assert_eq!(header.len(), 10 + length);
        let text = String::from_utf8_lossy(&header[10..]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 64), }"));
    }

    #[test]
    fn paths_are_relative_to_the_folder() {
        let paths = ["/a/b/1.jpg", "/a/c, d.jpg"].map(PathBuf::from);
        assert_eq!(
            list(&paths, Path::new("/a")),
            "row,path\n0,b/1.jpg\n1,\"c, d.jpg\"\n"
        );
        assert_eq!(
            list(&paths[..1], Path::new("/a/b/1.jpg")),
            "row,path\n0,/a/b/1.jpg\n"
        );
    }
}
