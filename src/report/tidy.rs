//! CSV with a line for each cell of a table.

use crate::{
    ReportError, Table,
    csv::{HEAD, head_field, optional, text},
    text::field,
};

impl Table {
    /// Returns a CSV file with a line for each cell: fractions in full precision, empty where nothing was
    /// measured. `state` is `measured`, `published`, `diverged`, `collapsed`, `dead`, `failed` or `missing`;
    /// the other columns are those of [`Table::csv`].
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn tidy(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let mut headings = ["dataset", "folds", "method"].map(str::to_owned).to_vec();
        let has_heads = self.has_heads();
        if has_heads {
            headings.push(HEAD.to_owned());
        }
        headings.extend(self.axes.iter().map(|axis| field(axis)));
        let measured = [
            "metric", "value", "ci95", "n", "of", "state", "standing", "lowest", "highest",
        ];
        headings.extend(measured.map(str::to_owned));
        writer.write_record(headings)?;
        for flat in self.cells() {
            let together = flat.shows.together;
            let mut fields = vec![
                field(self.dataset_of(flat.shows)),
                together.map_or_else(String::new, |together| together.to_string()),
                field(&flat.line.method),
            ];
            if has_heads {
                fields.push(head_field(flat.line));
            }
            fields.extend(flat.line.settings.iter().map(|setting| field(setting)));
            let (value, half_width) = flat.cell.numbers();
            fields.extend([
                flat.metric.to_string(),
                optional(value),
                optional(half_width),
                flat.cell.runs.to_string(),
                flat.cell.of.to_string(),
                flat.cell.state().to_owned(),
                flat.cell.standing().to_owned(),
                optional(flat.cell.ties.map(|bounds| bounds.low)),
                optional(flat.cell.ties.map(|bounds| bounds.high)),
            ]);
            writer.write_record(fields)?;
        }
        text(writer)
    }
}
