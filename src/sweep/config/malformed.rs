//! Sweep files with one mistake each, under `tests/malformed/`, and beside each exactly what is said about it.
//! After a change of messages `UPDATE_MESSAGES=1 cargo test malformed` writes them anew, for a person to read.

use std::{env, fs, path::Path};

use super::Sweep;

#[test]
fn every_malformed_file_has_exactly_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    assert!(files.len() >= 50, "{}", files.len());
    for file in files {
        let name = file.file_name().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let message = match Sweep::parse(Path::new(name), &text, &[], String::new()) {
            Ok(_) => format!("{} is in order\n", name.display()),
            Err(mistake) => format!("{}\n", mistake.render(false)),
        };
        let expected = file.with_extension("txt");
        if env::var_os("UPDATE_MESSAGES").is_some() {
            fs::write(&expected, &message).unwrap();
        }
        assert_eq!(
            message,
            fs::read_to_string(&expected).unwrap_or_default(),
            "{}",
            name.display()
        );
    }
}
