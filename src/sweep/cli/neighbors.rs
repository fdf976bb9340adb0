//! `sweep neighbors`: a picture of a test image and those nearest to it.

use std::path::PathBuf;

use clap::Args;
use schema::NeighboursWork;

use super::{
    Exit,
    evaluate::{LocatedRun, ResultsArgs},
    show, tell,
};
use crate::ledger::absolute;

/// Draw a test image and its nearest neighbors
///
/// Neighbors of the same class have green frames, others have red ones. Prints the path of the picture.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sweep neighbors 6b1c5a0e7a1f2d34 --query 17 --count 20")]
pub(super) struct Neighbors {
    /// Id of a run or its beginning, or the folder of a run
    run: String,
    /// Index of the test image, from 0
    #[arg(long, value_name = "IMAGE")]
    query: u64,
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
        format!("neighbors-{run}-{}.png", self.query).into()
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
            query: self.query,
            count: self.count,
            into: into.clone(),
        };
        let drawn = self.place.attempt(work)?;
        tell(&format!(
            "{} of {} are of its class",
            drawn.correct, drawn.count
        ));
        show(&format!("{}\n", into.display()))
    }
}
