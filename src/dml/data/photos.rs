//! Photos that belong to no data set: whatever can be decoded below a folder, as test images without known classes.

use std::path::{Path, PathBuf};

use schema::Dataset;

use super::{
    DataError, Progress, Source,
    broken::without_broken,
    listing::{Class, Image, Listing, Part, Role},
    walk::walk,
};

impl Source {
    /// Lists a photo, or all photos below a folder, in the order of names. They are decoded like the images of `dataset`.
    ///
    /// # Errors
    /// The file or a folder cannot be read.
    pub fn photos(dataset: &Dataset, images: &Path) -> Result<Source, DataError> {
        if !images.exists() {
            return Err(DataError::missing(
                images,
                "the photo or the folder of photos",
            ));
        }
        let walked = walk(images)?;
        let decodable = walked.images.into_iter().filter(|image| image.decodable);
        let images = decodable.map(|image| Image {
            path: image.path,
            class: 0,
            role: Role::Both,
            bounding_box: None,
            camera: None,
        });
        let test = Part {
            classes: vec![Class {
                name: "unknown".to_owned(),
                category: None,
                wider: Vec::new(),
            }],
            images: images.collect(),
        };
        Ok(Source::Files {
            dataset: dataset.clone(),
            root: PathBuf::new(),
            listing: Listing {
                training: Part::default(),
                test,
            },
        })
    }

    /// Leaves out the images that cannot be decoded. Also returns a sentence on each.
    pub fn without_broken(self, progress: Progress) -> (Source, Vec<String>) {
        match self {
            Source::Glyphs(_) => (self, Vec::new()),
            Source::Files {
                dataset,
                root,
                listing,
            } => {
                let (listing, broken) = without_broken(listing, &root, progress);
                let sentences = broken
                    .iter()
                    .map(|image| format!("`{}`: {}", image.path, image.why));
                let sentences = sentences.collect();
                let source = Source::Files {
                    dataset,
                    root,
                    listing,
                };
                (source, sentences)
            }
        }
    }

    /// Returns the files of the test images, in order; none if they are drawn.
    pub fn test_files(&self) -> Vec<PathBuf> {
        match self {
            Source::Glyphs(_) => Vec::new(),
            Source::Files { listing, .. } => {
                let images = listing.test.images.iter();
                images.map(|image| image.path.clone()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Luma};

    use super::*;

    #[test]
    fn photos_are_found_below_a_folder_and_broken_ones_can_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("b")).unwrap();
        for name in ["b/2.png", "a.png"] {
            GrayImage::from_pixel(8, 8, Luma([9]))
                .save(root.join(name))
                .unwrap();
        }
        fs::write(root.join("broken.png"), "no image").unwrap();
        fs::write(root.join("notes.txt"), "no image").unwrap();
        let source = Source::photos(&Dataset::Omniglot, root).unwrap();
        let names = ["a.png", "b/2.png", "broken.png"].map(|name| root.join(name));
        assert_eq!(source.test_files(), names);
        let (whole, broken) = source.without_broken(&|_, _| ());
        assert_eq!(whole.test_files(), names[..2]);
        assert!(
            broken.len() == 1 && broken[0].contains("broken.png"),
            "{broken:?}"
        );
        let one = Source::photos(&Dataset::Omniglot, &names[0]).unwrap();
        assert_eq!(one.test_files(), names[..1]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(Source::photos(&Dataset::Omniglot, Path::new("nowhere")).is_err());
    }
}
