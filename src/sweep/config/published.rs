//! `report.published`: the rows of other publications, read together with the sweep file that names
//! them, so that a mistake in them is known before anything runs.

use std::path::Path;

use report::{Published, published::BUILT_IN};
use schema::Dataset;

use super::{Point, bounded, fault::Fault, tables::Quoted};

/// The largest file of published rows, in bytes.
const LARGEST: u64 = 4 << 20;

/// Reads the published rows on the data sets of these points. Files lie beside the sweep file `path`.
pub(super) fn read(
    quoted: &Quoted,
    path: &Path,
    points: &[Point],
) -> Result<Vec<Published>, Fault> {
    let rows = match quoted {
        Quoted::Nothing => Ok(Vec::new()),
        Quoted::BuiltIn => built_in(points),
        Quoted::File(file) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            of_file(&folder.join(file), points)
        }
    };
    rows.map_err(|message| Fault {
        key: "report.published".to_owned(),
        message,
        hint: None,
    })
}

/// Those of the program are about its own data sets, whatever a user's are called.
fn built_in(points: &[Point]) -> Result<Vec<Published>, String> {
    let of_program = |name: &str| {
        let mut datasets = named(points, name);
        datasets.retain(|dataset| !matches!(dataset, Dataset::Own(_)));
        datasets
    };
    Published::read(BUILT_IN, of_program).map_err(|error| format!("published rows, {error}"))
}

fn of_file(file: &Path, points: &[Point]) -> Result<Vec<Published>, String> {
    let shown = file.display();
    let text = text(file).map_err(|why| format!("failed to read `{shown}`: {why}"))?;
    Published::read(&text, |name| named(points, name))
        .map_err(|error| format!("`{shown}`, {error}"))
}

/// Returns the text of a regular file of limited size.
fn text(file: &Path) -> Result<String, String> {
    let bytes = bounded::content(file, LARGEST)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text; save it as UTF-8".to_owned())
}

/// The data sets of this name, each once.
fn named(points: &[Point], name: &str) -> Vec<Dataset> {
    let mut datasets: Vec<Dataset> = Vec::new();
    for point in points {
        let dataset = &point.dataset;
        if dataset.name() == name && !datasets.contains(dataset) {
            datasets.push(dataset.clone());
        }
    }
    datasets
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_regular_file_of_limited_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let why = |path: &Path| of_file(path, &[]).unwrap_err();
        assert!(why(&folder.path().join("none.csv")).contains("none.csv"));
        assert!(why(folder.path()).contains("not a regular file"));
        assert!(why(Path::new("/dev/zero")).contains("not a regular file"));
        let large = folder.path().join("large.csv");
        fs::File::create(&large)
            .unwrap()
            .set_len(LARGEST + 1)
            .unwrap();
        assert!(why(&large).contains("larger than 4 MiB"));
        let latin = folder.path().join("latin.csv");
        fs::write(
            &latin,
            b"dataset,folds,method,source\ncub200,,M\xfcller,x\n",
        )
        .unwrap();
        assert!(why(&latin).contains("UTF-8"));
    }
}
