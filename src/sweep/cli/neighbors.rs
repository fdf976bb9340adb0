//! `sweep neighbors`: a picture of a test image and those nearest to it.

use std::path::PathBuf;

use clap::Args;
use schema::{Drawn, DrawnImage, NeighboursWork, TestImage};

use super::{
    Exit,
    evaluate::{LocatedRun, ResultsArgs},
    show, tell,
};
use crate::ledger::absolute;

/// Draw a test image and its nearest neighbors
///
/// Neighbors of the same class have green frames, others have red ones. Prints the files of all of them, and the path of
/// the picture.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sweep neighbors 6b1c5a0e7a1f2d34 --query 17 --count 20")]
pub(super) struct Neighbors {
    /// Id of a run or its beginning, or the folder of a run
    run: String,
    /// Index of the test image, from 0, or the end of its path
    #[arg(long, value_name = "IMAGE")]
    query: TestImage,
    /// Number of neighbors
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Picture to write [default: neighbors-RUN-IMAGE.png]
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    #[command(flatten)]
    place: ResultsArgs,
}

impl Neighbors {
    /// The picture if the user names no other: in the working folder, because results may be read-only.
    fn picture(&self, found: &LocatedRun) -> PathBuf {
        let run = found.identity.run();
        let image = match &self.query {
            TestImage::Index(index) => index.to_string(),
            TestImage::File(file) => {
                let name = file.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
        };
        format!("neighbors-{run}-{image}.png").into()
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
            query: self.query.clone(),
            count: self.count,
            into: into.clone(),
        };
        let drawn = self.place.attempt(work, "embedding")?;
        tell(&described(&drawn));
        show(&format!("{}\n", into.display()))
    }
}

/// Returns a line for each image, and how many neighbors are of the class of the query.
fn described(drawn: &Drawn) -> String {
    let names = ["query".to_owned()].into_iter();
    let names = names.chain((1..).map(|place: usize| place.to_string()));
    let lines = names
        .zip(&drawn.images)
        .map(|(name, image)| format!("{name:>5}  {}\n", line(image)));
    format!(
        "{}{} of {} are of its class",
        lines.collect::<String>(),
        drawn.correct,
        drawn.count
    )
}

fn line(image: &DrawnImage) -> String {
    let DrawnImage { index, class, path } = image;
    match path {
        Some(path) => format!("test image {index} of {class}: {path}"),
        None => format!("test image {index} of {class}"),
    }
}
