//! `sweep data show`: draws images of some classes, one row per class.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use schema::{Half, SheetWork};

use super::{
    super::{Exit, counted, picture::png, progress::Bar, show, tell},
    Added,
};
use crate::ledger::absolute;

/// Draw some images of each class
///
/// Draws one row per class, and prints the path of the picture. Queries have blue frames if the data set has a gallery.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sweep data show cub200 --split test --classes 20 --per-class 10 --out birds.png")]
pub(in crate::cli) struct ShowSheet {
    #[command(flatten)]
    added: Added,
    /// Training or test classes
    #[arg(long, value_enum, default_value = "train")]
    split: SheetSplit,
    /// Number of classes, evenly spread
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=200))]
    classes: u32,
    /// Number of images of each class
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value = "8", value_parser = clap::value_parser!(u32).range(1..=100))]
    per_class: u32,
    /// Picture to write [default: NAME-SPLIT.png]
    #[arg(long, value_name = "FILE", value_parser = png)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SheetSplit {
    /// Training classes
    Train,
    /// Test classes
    Test,
}

impl ShowSheet {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let (dataset, source) = self.added.find()?;
        let half = match self.split {
            SheetSplit::Train => Half::Train,
            SheetSplit::Test => Half::Test,
        };
        let named = || format!("{}-{}.png", dataset.name(), half.word()).into();
        let into = absolute(&self.out.clone().unwrap_or_else(named));
        let bar = Bar::images(&format!("drawing {}", dataset.title()));
        let (classes, per_class) = (self.classes, self.per_class);
        let work = SheetWork {
            dataset,
            source,
            half,
            classes,
            per_class,
            into: into.clone(),
        };
        let drawn = self.added.attempt(work, &bar)?;
        tell(&format!(
            "{} of {} classes",
            counted(drawn.images as usize, "image"),
            drawn.classes
        ));
        for line in &drawn.corrupt {
            tell(&format!("  {line}"));
        }
        show(&format!("{}\n", into.display()))
    }
}
