//! Suggests points for `benches/peers/search.py`: reads requests
//! `{"search": {"space": .., "settings": ..}, "history": [..], "trial": 7}` line by line and prints
//! a point for each.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use sweep::search::{Search, Settings, Space, Suggestion, TrialRecord};

#[derive(Deserialize)]
struct Request {
    search: SearchParts,
    history: Vec<TrialRecord>,
    trial: usize,
}

#[derive(Deserialize)]
struct SearchParts {
    space: Space,
    settings: Settings,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let Request {
            search,
            history,
            trial,
        } = serde_json::from_str(&line?)?;
        let search = Search::new(search.space, search.settings)?;
        let Suggestion::Try(point) = search.suggest(&history, trial) else {
            return Err(format!("there is no point for trial {trial}").into());
        };
        writeln!(output, "{}", serde_json::to_string(&point)?)?;
        output.flush()?;
    }
    Ok(())
}
