//! `sweep schema`: what editors need to complete and check sweep files.

use clap::Args;

use super::{Exit, show_json};
use crate::config::json_schema;

/// Print a JSON Schema of sweep files for editors
///
/// With it, editors complete keys, explain settings and mark mistakes.
#[derive(Debug, Args)]
#[command(after_help = "\
Create the schema once:
  sweep schema > sweep.schema.json

Write this as the first line of a sweep file in the same folder:
  #:schema ./sweep.schema.json

Editors with Taplo read that line: VS Code with \"Even Better TOML\"; Neovim, Helix and Emacs with `taplo lsp`. \
For all sweep files of a project, write this into .taplo.toml instead:
  [[rule]]
  include = [\"sweeps/*.toml\"]
  schema.path = \"./sweep.schema.json\"

The schema knows keys and types. `sweep check FILE` also knows which settings go together.")]
pub(super) struct SchemaCommand {}

impl SchemaCommand {
    #[expect(clippy::unused_self, reason = "commands have one shape")]
    pub(super) fn run(&self) -> Result<(), Exit> {
        show_json(&json_schema())
    }
}
