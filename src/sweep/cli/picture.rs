//! The pictures that commands write.

use std::path::PathBuf;

/// Reads the path of a picture to write, as an argument of a command.
///
/// # Errors
/// Its name promises another format than PNG.
pub(super) fn png(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = |extension: &std::ffi::OsStr| extension.eq_ignore_ascii_case("png");
    match path.extension().is_some_and(is_png) {
        true => Ok(path),
        false => Err("pictures are PNG files: write NAME.png".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_name_of_its_format() {
        assert!(png("birds.png").is_ok() && png("a.b/BIRDS.PNG").is_ok());
        for other in ["birds.jpg", "birds", "png", ".png", "folder.png/birds"] {
            assert!(png(other).is_err(), "{other}");
        }
    }
}
