//! Lists of paths and labels, one image a line, as the code of several papers expects them.
//!
//! `images/001.jpg 0`, of Deep_Metric, or `images/001.jpg,0`, of multi-similarity and cross-batch memory. The
//! label is what follows the last comma or white space, so that a path may have spaces. Paths are relative to the
//! folder of the lists. Labels are any numbers or names; gaps between them mean nothing.

use std::path::Path;

use super::{DataError, Layout, Listing, Role, Row, label_key, named_by_folders, part, text};

pub(super) const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "`train.txt`, `query.txt` and `gallery.txt`",
        list: with_gallery,
    },
    Layout {
        name: "`train.txt` and `test.txt`",
        list: plain,
    },
];

fn plain(root: &Path) -> Result<Option<Listing>, DataError> {
    let (train, test) = (
        text::lines(&root.join("train.txt"))?,
        text::lines(&root.join("test.txt"))?,
    );
    let (Some(train), Some(test)) = (train, test) else {
        return Ok(None);
    };
    let half = |lines| rows(root, lines, Role::Both);
    Ok(Some(listing(half(train)?, half(test)?)))
}

fn with_gallery(root: &Path) -> Result<Option<Listing>, DataError> {
    let list = |name| text::lines(&root.join(name));
    let (Some(train), Some(query), Some(gallery)) =
        (list("train.txt")?, list("query.txt")?, list("gallery.txt")?)
    else {
        return Ok(None);
    };
    let mut test = rows(root, query, Role::Query)?;
    test.extend(rows(root, gallery, Role::Gallery)?);
    Ok(Some(listing(rows(root, train, Role::Both)?, test)))
}

type ListedRows = Vec<Row<(u64, String)>>;

fn listing(mut training: ListedRows, mut test: ListedRows) -> Listing {
    named_by_folders(&mut training);
    named_by_folders(&mut test);
    Listing {
        training: part(training),
        test: part(test),
    }
}

fn rows(root: &Path, lines: Vec<text::TextLine>, role: Role) -> Result<ListedRows, DataError> {
    let row = |line: text::TextLine| {
        let separator = |c: char| c == ',' || c.is_whitespace();
        let (path, label) = line
            .text
            .rsplit_once(separator)
            .ok_or_else(|| line.wrong("expected a path and a label"))?;
        let path = path.trim_end_matches(separator);
        if path.is_empty() || label.is_empty() {
            return Err(line.wrong(format!(
                "expected a path and a label, found `{}`",
                line.text
            )));
        }
        let path = text::located(root, path).map_err(|why| line.wrong(why))?;
        Ok(Row {
            role,
            ..Row::new(label_key(label), label, path)
        })
    };
    lines.into_iter().map(row).collect()
}
