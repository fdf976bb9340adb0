//! Photos that belong to no data set, decoded and resized as the images that a network was trained on.
//!
//! They are prepared like the images of a data set, but nothing is kept of them: each is decoded when its batch is due.

use std::path::{Path, PathBuf};

use dml::data::{Preparation, PreparedData, Source};
use schema::{Cache, Recipe, StoredImages};
use tempfile::TempDir;

use crate::{Emit, Failed, prepare::with_progress};

/// Some photos, ready to be embedded.
pub(crate) struct Photos {
    pub(crate) data: PreparedData,
    /// Their files, in order.
    pub(crate) paths: Vec<PathBuf>,
    /// One sentence for each that cannot be decoded and is left out.
    pub(crate) corrupt: Vec<String>,
    /// Where their index is, as long as they are used.
    _folder: TempDir,
}

impl Photos {
    /// Opens a photo, or all photos below a folder, for the network of a recipe. With `skip_broken`, those that cannot be
    /// decoded are left out.
    ///
    /// # Errors
    /// There is none, or one cannot be decoded.
    pub(crate) fn open(
        recipe: &Recipe,
        images: &Path,
        skip_broken: bool,
        emit: Emit,
    ) -> Result<Photos, Failed> {
        let (source, corrupt) = with_progress(emit, |progress| {
            let source = Source::photos(&recipe.dataset, images)?;
            Ok::<_, Failed>(match skip_broken {
                true => source.without_broken(progress),
                false => (source, Vec::new()),
            })
        })?;
        let paths = source.test_files();
        if paths.is_empty() {
            return Err(Failed::data(format!(
                "there is no image that can be decoded in `{}`",
                images.display()
            )));
        }
        let folder = TempDir::new().map_err(|error| {
            Failed::internal(format!("cannot create a temporary folder: {error}"))
        })?;
        let stored = StoredImages {
            bounding_boxes: false,
            ..recipe.images
        };
        let preparation = Preparation::new(&source, stored, Cache::Never, folder.path())?;
        with_progress(emit, |progress| preparation.run(progress))?;
        Ok(Photos {
            data: PreparedData::open(folder.path())?,
            paths,
            corrupt,
            _folder: folder,
        })
    }
}
