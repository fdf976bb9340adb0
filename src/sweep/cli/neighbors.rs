//! `sweep neighbors`: a picture of a test image and those nearest to it.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use schema::{Drawn, DrawnImage, NeighboursWork, TestImage};

use super::{
    Exit,
    evaluate::{LocatedRun, ResultsArgs},
    picture::png,
    show, tell,
};
use crate::ledger::absolute;

/// Draw an image and the test images nearest to it
///
/// The query is a test image, or any photo. Neighbors of the same class have green frames, others have red ones. Prints the
/// files of all of them, and the path of the picture.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("asked").required(true).args(["query", "image"]), after_help = "\
Examples:
  sweep neighbors 6b1c5a0e7a1f2d34 --query 17 --count 20
  sweep neighbors 6b1c5a0e7a1f2d34 --image photo.jpg")]
pub(super) struct Neighbors {
    /// Id of a run or its beginning, the folder of a run, or best:METHOD with --sweep
    run: String,
    /// Index of the test image, from 0, or the end of its path
    #[arg(long, value_name = "IMAGE", allow_negative_numbers = true)]
    query: Option<TestImage>,
    /// A photo that belongs to no data set, in the place of a test image
    #[arg(long, value_name = "PHOTO")]
    image: Option<PathBuf>,
    /// Number of neighbors
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Picture to write [default: neighbors-RUN-IMAGE.png]
    #[arg(long, value_name = "FILE", value_parser = png)]
    into: Option<PathBuf>,
    #[command(flatten)]
    place: ResultsArgs,
}

impl Neighbors {
    /// The picture if the user names no other: in the working folder, because results may be read-only.
    fn picture(&self, found: &LocatedRun) -> PathBuf {
        let run = found.identity.run();
        let image = match self.query() {
            TestImage::Index(index) => index.to_string(),
            TestImage::File(file) | TestImage::Photo { photo: file } => {
                let name = file.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
        };
        format!("neighbors-{run}-{image}.png").into()
    }

    fn query(&self) -> TestImage {
        match (&self.image, &self.query) {
            (Some(photo), _) => TestImage::Photo {
                photo: absolute(photo),
            },
            (None, Some(query)) => query.clone(),
            // One of the two is required.
            (None, None) => TestImage::Index(0),
        }
    }

    pub(super) fn run(&self) -> Result<(), Exit> {
        let found = self.place.find(&self.run)?;
        let into = match &self.into {
            Some(into) => absolute(into),
            None => absolute(&self.picture(&found)),
        };
        let work = NeighboursWork {
            recipe: found.identity.recipe,
            data: found.data,
            run: found.run.path().to_owned(),
            query: self.query(),
            count: self.count,
            into: into.clone(),
        };
        let drawn = self.place.attempt(work, "embedding")?;
        tell(&described(&drawn, self.image.is_some()));
        show(&format!("{}\n", into.display()))
    }
}

/// Returns a line for each image, and how many neighbors are of the class of the query; that of a photo is not known.
fn described(drawn: &Drawn, is_photo: bool) -> String {
    let query = (!is_photo).then(|| "query".to_owned());
    let names = (1..).map(|place: usize| place.to_string());
    let names = query.into_iter().chain(names);
    let lines = names
        .zip(&drawn.images)
        .map(|(name, image)| format!("{name:>5}  {}\n", line(image)));
    let lines: String = lines.collect();
    match is_photo {
        true => lines.trim_end().to_owned(),
        false => format!(
            "{lines}{} of {} are of its class",
            drawn.correct, drawn.count
        ),
    }
}

fn line(image: &DrawnImage) -> String {
    let DrawnImage { index, class, path } = image;
    match path {
        Some(path) => format!("test image {index} of {class}: {path}"),
        None => format!("test image {index} of {class}"),
    }
}
