//! `sweep data`: brings a downloaded data set into its place.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use schema::{Attempt, Dataset, Device, Event, Finished, ImportWork, PROTOCOL, Work};

use super::{Exit, progress::Bar, tell};
use crate::{
    ledger::absolute,
    run::trainer::{Trainer, converse},
};

/// Commands about data sets.
#[derive(Debug, Subcommand)]
pub(super) enum Data {
    /// Unpack and verify a downloaded data set
    Add(Add),
}

/// Unpacks what was downloaded into the data root and verifies it: counts, and that every image decodes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep data add omniglot images_background.zip images_evaluation.zip
  sweep data add omniglot ~/Downloads --root /datasets      a folder that holds the archives, or the images")]
pub(super) struct Add {
    /// Which data set it is
    dataset: Name,
    /// Downloaded archives, or folders that are already unpacked
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// The data root: the data set gets a folder of its own in it
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    root: PathBuf,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Two zip files from github.com/brendenlake/omniglot: images_background.zip and images_evaluation.zip
    Omniglot,
}

impl Data {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match self {
            Data::Add(add) => add.run(),
        }
    }
}

impl Add {
    fn run(&self) -> Result<(), Exit> {
        for path in &self.from {
            if !path.exists() {
                return Err(Exit::mistake(format!("there is no file or folder `{}`", path.display())));
            }
        }
        let dataset = match self.dataset {
            Name::Omniglot => Dataset::Omniglot,
        };
        let into = absolute(&self.root).join(dataset.name());
        let from = self.from.iter().map(|path| absolute(path)).collect();
        let trainer = Trainer::find(self.trainer.as_deref()).map_err(Exit::mistake)?;
        let threads = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let work = Work::Import(ImportWork { dataset: dataset.clone(), from, into: into.clone() });
        let attempt = Attempt { protocol: PROTOCOL, number: 1, device: Device::Cpu, threads, work };
        let bar = Bar::images(&format!("adding {}", dataset.title()));
        let last = converse(&trainer, &attempt, |event| {
            if let Event::Progress { done, total, .. } = event {
                bar.set(*done, *total);
            }
        });
        bar.close();
        match last.map_err(Exit::mistake)? {
            Some(Event::Finished(Finished::Imported { images })) => {
                tell(&format!("{}: {images} images verified in `{}`", dataset.title(), into.display()));
                Ok(())
            }
            Some(Event::Failed { message, .. }) => Err(Exit::Mistake(message)),
            _ => Err(Exit::Mistake("the trainer left without a last word".to_owned())),
        }
    }
}
