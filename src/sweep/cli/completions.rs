//! `sweep completions` and `sweep man`: what a shell and a manual reader need, made from the arguments.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, folder::folder, show, tell};

/// The name of the program.
const PROGRAM: &str = "sweep";

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep completions bash > ~/.local/share/bash-completion/completions/sweep
  sweep completions zsh > ~/.zfunc/_sweep
  sweep completions fish > ~/.config/fish/completions/sweep.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep man | man -l -                      read the page about the program
  sweep man --into ~/.local/share/man/man1  keep the pages of all commands")]
pub(super) struct Man {
    /// Folder for the pages of all commands; without it, the page about the program is printed
    #[arg(long, value_name = "FOLDER", value_parser = folder())]
    into: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), PROGRAM, &mut script);
        show(&String::from_utf8(script).map_err(Exit::stuck)?)
    }
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let Some(folder) = &self.into else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command().name(PROGRAM))
                .render(&mut page)
                .map_err(Exit::stuck)?;
            return show(&String::from_utf8(page).map_err(Exit::stuck)?);
        };
        let written = fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command().name(PROGRAM), folder));
        written.map_err(|error| {
            Exit::mistake(format!(
                "failed to write to `{}`: {error}",
                folder.display()
            ))
        })?;
        tell(&format!("the manual pages are in `{}`", folder.display()));
        Ok(())
    }
}
