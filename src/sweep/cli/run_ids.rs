//! Runs as they are named on the command line: by the beginning of their ids.

use schema::RunId;

use super::Exit;

/// Returns the only one of these runs whose id has this beginning; `None` if there is none.
///
/// # Errors
/// Several have it.
pub(super) fn the_only(
    beginning: &str,
    runs: impl IntoIterator<Item = RunId>,
) -> Result<Option<RunId>, Exit> {
    const NAMED: usize = 8;
    let beginning = beginning.to_ascii_lowercase();
    let mut found: Vec<RunId> = runs.into_iter().collect();
    found.retain(|run| run.to_string().starts_with(&beginning));
    found.sort();
    found.dedup();
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let mut names: Vec<String> = found.iter().take(NAMED).map(RunId::to_string).collect();
    if found.len() > NAMED {
        names.push("..".to_owned());
    }
    Err(Exit::mistake(format!(
        "{} runs begin with `{beginning}`: {}",
        found.len(),
        names.join(", ")
    )))
}
