//! `sweep schema`: what editors need to complete and check sweep files.

use clap::Args;

use super::{Exit, show_json};
use crate::config::json_schema;

/// Prints a JSON Schema of sweep files, with which editors complete keys, explain settings and mark mistakes.
#[derive(Debug, Args)]
#[command(after_help = "\
Once:
  sweep schema > sweep.schema.json

Then, as the first line of a sweep file beside it:
  #:schema ./sweep.schema.json

Editors with Taplo understand that line: VS Code with \"Even Better TOML\", Neovim, Helix and Emacs with
`taplo lsp`, and on the command line `taplo lint FILE`. For all sweep files of a project write instead, into .taplo.toml:
  [[rule]]
  include = [\"sweeps/*.toml\"]
  schema.path = \"./sweep.schema.json\"

The schema knows every key and its type; what goes with what is for `sweep check FILE` to say.")]
pub(super) struct SchemaCommand {}

impl SchemaCommand {
    #[expect(clippy::unused_self, reason = "commands have one shape")]
    pub(super) fn run(&self) -> Result<(), Exit> {
        show_json(&json_schema())
    }
}
