use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const FILES: [(&str, &str); 2] = [("own/a/1.jpg", "one"), ("own/b/2.jpg", "two")];

fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = io::Cursor::new(Vec::new());
    let mut zip = ZipWriter::new(&mut bytes);
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    bytes.into_inner()
}

fn tarred(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn plain_tar() -> Vec<u8> {
    tarred(&FILES.map(|(name, content)| (name, tar::EntryType::Regular, content)))
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xzipped(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file of this name and content, unpacked beside itself, and what became of it.
fn unpacked(name: &str, bytes: &[u8]) -> (TempDir, Result<(), DataError>) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(name);
    fs::write(&path, bytes).unwrap();
    let into = root.path().join("into");
    fs::create_dir(&into).unwrap();
    let done = Content::of(&path).and_then(|content| unpack(&path, content, &into, &|_, _| ()));
    (root, done)
}

fn refused(name: &str, bytes: &[u8], what: &str) {
    let (root, done) = unpacked(name, bytes);
    let message = done.unwrap_err().to_string();
    assert!(message.contains(what), "{message}");
    assert!(message.contains(name), "{message}");
    assert!(message.len() < 600, "{message}");
    let outside: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
    assert_eq!(outside.len(), 2);
}

#[test]
fn archives_are_known_by_their_content_whatever_they_are_called() {
    let kinds = [
        zipped(&FILES),
        plain_tar(),
        gzipped(&plain_tar()),
        bzipped(&plain_tar()),
        xzipped(&plain_tar()),
    ];
    for name in [
        "own.zip",
        "own.tar",
        "own.tgz",
        "own.TAR.XZ",
        "download",
        "own.part",
    ] {
        for bytes in &kinds {
            let (root, done) = unpacked(name, bytes);
            done.unwrap();
            assert_eq!(
                fs::read_to_string(root.path().join("into/own/b/2.jpg")).unwrap(),
                "two"
            );
        }
    }
}

#[test]
fn what_is_no_archive_that_is_read_is_called_what_it_is() {
    for (bytes, what) in [
        (
            &b"7z\xbc\xaf\x27\x1c\0\x04"[..],
            "`.7z` file, which is not read; unpack it",
        ),
        (b"Rar!\x1a\x07\x01\0", "`.rar` file, which is not read"),
        (
            b"\x28\xb5\x2f\xfd\x04\x00",
            "`.zst` file, which is not read",
        ),
        (b"", "it is empty"),
        (
            b"\xef\xbb\xbf\n <!DOCTYPE html><title>404</title>",
            "web page",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "git lfs pull",
        ),
        (
            b"\n{\"error\": \"quota\"}",
            "a text that begins with `{\"error\": \"quota\"}`",
        ),
        (b"\x01\x02\x03", "is named as an archive but is none"),
    ] {
        for name in ["own.zip", "own.tar.gz", "own.txz"] {
            refused(name, bytes, what);
        }
    }
    refused(
        "labels.csv.gz",
        &gzipped(b"path,label\n"),
        "holds no tar archive; decompress it",
    );
    let other = unpacked("cars_annos.mat", b"MATLAB 5.0").0;
    let content = Content::of(&other.path().join("cars_annos.mat")).unwrap();
    assert_eq!(content, Content::Other);
}

#[test]
fn zips_of_windows_are_unpacked_or_the_reason_is_said() {
    let names = [("set\\a\\1.png", "one"), ("set\\b:2\\x y.png", "two")];
    let (root, done) = unpacked("own.zip", &zipped(&names));
    done.unwrap();
    assert_eq!(
        fs::read_to_string(root.path().join("into/set/b:2/x y.png")).unwrap(),
        "two"
    );
    // A name in Shift JIS, whose second byte is that of `\`.
    let mut japanese = zipped(&[("aXY/0.png", "")]);
    for start in 0..japanese.len() - 3 {
        if japanese[start..].starts_with(b"aXY") {
            japanese[start + 1..start + 3].copy_from_slice(b"\x95\\");
        }
    }
    refused("own.zip", &japanese, "in the code page of another computer");
}

#[test]
fn an_encrypted_zip_is_not_to_be_downloaded_again() {
    let mut bytes = zipped(&[("own/1.jpg", "one")]);
    for (start, flags) in [(&b"PK\x03\x04"[..], 6), (b"PK\x01\x02", 8)] {
        let place = bytes.windows(4).position(|window| window == start).unwrap();
        bytes[place + flags] |= 1;
    }
    refused("own.zip", &bytes, "unpack the archive with another program");
}

#[test]
fn no_entry_lands_outside_of_the_folder() {
    for name in [
        "../x.jpg",
        "a/../../x.jpg",
        "..\\x.jpg",
        "/x.jpg",
        "C:\\x.jpg",
        "\\\\server\\x.jpg",
    ] {
        refused("own.zip", &zipped(&[(name, "")]), "outside of the folder");
    }
    let regular = tar::EntryType::Regular;
    refused(
        "own.tar",
        &tarred(&[("../x.jpg", regular, "")]),
        "outside of the folder",
    );
    for (kind, what) in [
        (tar::EntryType::Symlink, "it is a link"),
        (tar::EntryType::Link, "it is a link"),
        (tar::EntryType::Fifo, "a pipe or a device"),
        (tar::EntryType::Char, "a pipe or a device"),
    ] {
        refused("own.tar", &tarred(&[("own/x", kind, "")]), what);
    }
}

#[test]
fn entries_that_exclude_each_other_and_endless_names_are_refused() {
    let twice = tarred(&[
        ("x", tar::EntryType::Regular, ""),
        ("x", tar::EntryType::Regular, ""),
    ]);
    refused("own.tar", &twice, "of this name");
    let file_and_folder = zipped(&[("own/x", ""), ("own/x/1.jpg", "")]);
    refused("own.zip", &file_and_folder, "of this name");
    let long = format!("own/{}.jpg", "n".repeat(5000));
    refused("own.zip", &zipped(&[(&long, "")]), "its name is too long");
    refused(
        "own.zip",
        &zipped(&[("../\u{1b}[31mred", "")]),
        "\u{fffd}[31mred",
    );
}

#[test]
fn damaged_archives_are_to_be_downloaded_again() {
    let stored = FILES.map(|(name, _)| (name, "0123456789".repeat(100)));
    let stored: Vec<(&str, &str)> = stored
        .iter()
        .map(|(name, content)| (*name, content.as_str()))
        .collect();
    let entries: Vec<_> = stored
        .iter()
        .map(|(name, content)| (*name, tar::EntryType::Regular, *content))
        .collect();
    let tar = tarred(&entries);
    let archives = [
        zipped(&stored),
        gzipped(&tar),
        bzipped(&tar),
        xzipped(&tar),
        tar,
    ];
    for bytes in archives {
        refused("own.zip", &bytes[..bytes.len() / 3], "download");
    }
}

#[test]
fn an_archive_unpacks_to_a_bounded_size_and_number_of_files() {
    let root = tempfile::tempdir().unwrap();
    let archive = root.path().join("bomb.zip");
    let target = |bytes, files| {
        Target {
            archive: &archive,
            into: root.path(),
            bound: Bound { bytes, files },
        }
        .write("own/1.jpg", &mut &b"0123456789"[..])
        .map_err(|error| error.to_string())
        .and_then(|()| {
            fs::remove_dir_all(root.path().join("own")).map_err(|error| error.to_string())
        })
    };
    assert_eq!(target(10, 1), Ok(()));
    assert!(
        target(9, 1)
            .unwrap_err()
            .contains("unpacks to more than 100 times its size")
    );
    fs::remove_dir_all(root.path().join("own")).unwrap();
    assert!(target(10, 0).unwrap_err().contains("bomb.zip"));
    let bound = |bytes| Bound::of_archive(bytes).bytes;
    assert_eq!((bound(0), bound(1 << 30)), (1 << 30, 100 << 30));
    assert_eq!(bound(u64::MAX), u64::MAX);
}
