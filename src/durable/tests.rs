use std::{fs, io, os::unix::fs::symlink, path::Path, thread};

use super::*;

#[test]
fn a_full_disk_is_called_a_full_disk() {
    let path = Path::new("/data/images.u8");
    let full = DiskError::at("write", path)(io::ErrorKind::StorageFull.into());
    assert!(full.is_full());
    assert_eq!(
        full.to_string(),
        "the disk is full: cannot write `/data/images.u8`"
    );
    let denied = DiskError::at("create", path)(io::ErrorKind::PermissionDenied.into());
    assert!(!denied.is_full());
    assert_eq!(
        denied.to_string(),
        "cannot create `/data/images.u8`: permission denied"
    );
    let large = DiskError::at("write", path)(io::ErrorKind::FileTooLarge.into());
    assert!(!large.is_full());
    assert!(large.to_string().ends_with("may be here (`ulimit -f`)"));
}

#[test]
fn a_file_is_read_to_its_end_whatever_its_size_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for content in ["", "a", "abc"] {
        fs::write(&path, content).unwrap();
        assert_eq!(read(&path).unwrap(), content.as_bytes());
    }
    // The system makes its content when it is read, and says that it has no bytes.
    let made = Path::new("/proc/self/stat");
    assert_eq!(fs::metadata(made).unwrap().len(), 0);
    assert!(read(made).unwrap().ends_with(b"\n"));
}

#[test]
fn a_write_replaces_the_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/record.json");
    write(&path, b"the first, longer one").unwrap();
    write(&path, b"the second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"the second");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_failed_write_keeps_the_old_file_and_removes_the_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let temporary = folder.path().join("model.incomplete");
    write(&path, b"old").unwrap();
    symlink("/dev/full", &temporary).unwrap();
    assert!(write(&path, b"new").unwrap_err().is_full());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert!(fs::symlink_metadata(&temporary).is_err());
}

#[test]
fn what_a_killed_process_left_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.u8");
    fs::write(folder.path().join("images.u8.incomplete"), "half of it").unwrap();
    write(&path, b"whole").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn concurrent_writers_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fingerprints.json");
    let write_often = |letter: u8| {
        for length in 1..200 {
            write(&path, &vec![letter; length * 50]).unwrap();
            let read = fs::read(&path).unwrap();
            assert!(read.iter().all(|byte| *byte == read[0]));
        }
    };
    thread::scope(|scope| {
        for letter in [b'a', b'b', b'c'] {
            scope.spawn(move || write_often(letter));
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_copy_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("a"), folder.path().join("b/c"));
    fs::write(&from, "content").unwrap();
    copy(&from, &to).unwrap();
    fs::remove_file(&from).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"content");
    assert_eq!(copy(&from, &to).unwrap_err().action, "read");
}

#[test]
fn a_renamed_file_replaces_the_one_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("a"), folder.path().join("b"));
    write(&from, b"new").unwrap();
    write(&to, b"old").unwrap();
    rename(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert_eq!(rename(&from, &to).unwrap_err().action, "write");
}

#[test]
fn leftovers_are_removed_unless_somebody_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    fs::write(name("record.json"), "whole").unwrap();
    fs::write(name("record.json.incomplete"), "ha").unwrap();
    let mut busy = WholeFile::create(&name("model.safetensors")).unwrap();
    busy.append(b"half").unwrap();
    remove_leftovers(folder.path()).unwrap();
    assert!(!name("record.json.incomplete").exists());
    busy.publish().unwrap();
    assert_eq!(fs::read(name("model.safetensors")).unwrap(), b"half");
    assert_eq!(fs::read(name("record.json")).unwrap(), b"whole");
    remove_leftovers(&name("nowhere")).unwrap();
}

#[test]
fn pipes_devices_and_folders_are_refused_and_never_block() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("record.json.incomplete");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [&pipe, &socket, Path::new("/dev/zero"), folder.path()] {
        let error = read(path).unwrap_err();
        assert_eq!(error.to_string(), "it is not a file", "{path:?}");
    }
    let error = write(&folder.path().join("record.json"), b"x").unwrap_err();
    assert!(error.to_string().contains("is a pipe"), "{error}");
    assert_eq!(
        read(&folder.path().join("none")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
