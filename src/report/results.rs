//! All results of a sweep as one table of typed columns, for people's own analysis: a line for each run, under
//! each seed and fold that it serves. `results.csv` and `results.parquet` are the same table.
//!
//! The Parquet file is written column by column, uncompressed, and has the same bytes for the same results.

use std::{collections::BTreeSet, sync::Arc};

use ::bytes::Bytes;
use ::parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::Type,
};
use schema::Metric;

use crate::{
    ReportError, Row, RunState, Titles,
    csv::{optional, text},
    text::field,
};

/// The results of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    columns: Vec<Column>,
    /// The number of lines.
    height: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    values: Values,
}

/// The values of a column; none where a run has none.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Texts(Vec<Option<String>>),
    Flags(Vec<Option<bool>>),
    /// Whole numbers.
    Numbers(Vec<Option<u64>>),
    Fractions(Vec<Option<f64>>),
}

impl Results {
    /// The results of these runs, with a column for each axis and each metric that any run measured, and `search` if
    /// searches are repeated. Metrics are fractions.
    pub fn of(rows: &[Row]) -> Results {
        let titles = Titles::of(rows.iter().map(|row| &row.dataset));
        let mut columns = vec![
            texts("dataset", rows, |row| {
                Some(titles.title(&row.dataset).to_owned())
            }),
            texts("folds", rows, |row| {
                row.together.map(|together| together.to_string())
            }),
            texts("method", rows, |row| Some(row.method.clone())),
            Column {
                name: "is_baseline".to_owned(),
                values: Values::Flags(rows.iter().map(|row| Some(row.is_baseline)).collect()),
            },
        ];
        for axis in axes(rows) {
            columns.push(texts(axis, rows, |row| {
                row.setting(axis).map(str::to_owned)
            }));
        }
        if rows.iter().any(|row| row.repeat.is_some()) {
            columns.push(numbers("search", rows, |row| {
                row.repeat.map(|number| number as u64 + 1)
            }));
        }
        columns.extend([
            numbers("seed", rows, |row| Some(row.seed)),
            numbers("fold", rows, |row| {
                row.fold.map(|fold| u64::from(fold.index))
            }),
            texts("run", rows, |row| Some(row.run.to_string())),
            texts("state", rows, |row| Some(row.state.word().to_owned())),
        ]);
        let metrics: BTreeSet<Metric> = rows.iter().flat_map(measured).collect();
        for metric in metrics {
            let values = rows.iter().map(|row| row.measured(metric)).collect();
            columns.push(Column {
                name: metric.to_string(),
                values: Values::Fractions(values),
            });
        }
        Results {
            columns,
            height: rows.len(),
        }
    }

    /// Returns them as CSV: numbers in full precision, empty where a run has none.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| field(&column.name)))?;
        for line in 0..self.height {
            let fields = self.columns.iter().map(|column| column.values.field(line));
            writer.write_record(fields)?;
        }
        text(writer)
    }

    /// Returns them as a Parquet file, with null where a run has none.
    ///
    /// # Errors
    /// If two columns have the same name.
    pub fn parquet(&self) -> Result<Vec<u8>, ReportError> {
        let types = self.columns.iter().map(Column::parquet_type);
        let schema = Type::group_type_builder("results")
            .with_fields(types.collect::<Result<_, _>>()?)
            .build()?;
        let properties = WriterProperties::builder()
            .set_created_by("sweep".to_owned())
            .build();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for column in &self.columns {
            if let Some(mut into) = group.next_column()? {
                column.values.write(&mut into)?;
                into.close()?;
            }
        }
        group.close()?;
        Ok(writer.into_inner()?)
    }
}

/// Returns the lines of a Parquet file as text, to compare two of them.
///
/// # Errors
/// If it is damaged.
pub fn parquet_as_text(file: Vec<u8>) -> Result<String, ReportError> {
    let mut lines = Vec::new();
    let reader = SerializedFileReader::new(Bytes::from(file))?;
    for row in reader.get_row_iter(None)? {
        lines.push(row?.to_string());
    }
    Ok(lines.join("\n"))
}

impl Column {
    fn parquet_type(&self) -> Result<Arc<Type>, ParquetError> {
        let (physical, logical) = match self.values {
            Values::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Values::Flags(_) => (Physical::BOOLEAN, None),
            Values::Numbers(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Values::Fractions(_) => (Physical::DOUBLE, None),
        };
        let of_column = Type::primitive_type_builder(&self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        of_column.build().map(Arc::new)
    }
}

impl Values {
    /// The value in a line of a CSV file.
    fn field(&self, line: usize) -> String {
        match self {
            Values::Texts(values) => values[line].as_deref().map(field).unwrap_or_default(),
            Values::Flags(values) => or_empty(values[line]),
            Values::Numbers(values) => or_empty(values[line]),
            Values::Fractions(values) => optional(values[line]),
        }
    }

    fn write(&self, into: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Values::Texts(values) => {
                let (levels, values) =
                    present(values, |text| ByteArray::from(text.as_bytes().to_vec()));
                into.typed::<ByteArrayType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            Values::Flags(values) => {
                let (levels, values) = present(values, |flag| *flag);
                into.typed::<BoolType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            Values::Numbers(values) => {
                // Unsigned numbers are stored with the same bits.
                let (levels, values) = present(values, |number| number.cast_signed());
                into.typed::<Int64Type>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            Values::Fractions(values) => {
                let (levels, values) = present(values, |value| *value);
                into.typed::<DoubleType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}

fn texts(name: &str, rows: &[Row], of: impl Fn(&Row) -> Option<String>) -> Column {
    Column {
        name: name.to_owned(),
        values: Values::Texts(rows.iter().map(of).collect()),
    }
}

fn numbers(name: &str, rows: &[Row], of: impl Fn(&Row) -> Option<u64>) -> Column {
    Column {
        name: name.to_owned(),
        values: Values::Numbers(rows.iter().map(of).collect()),
    }
}

/// For each line 1 if it has a value, else 0, and the values that are there.
fn present<T, V>(values: &[Option<T>], of: impl Fn(&T) -> V) -> (Vec<i16>, Vec<V>) {
    let levels = values.iter().map(|value| i16::from(value.is_some()));
    (levels.collect(), values.iter().flatten().map(of).collect())
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The axes, by first appearance.
fn axes(rows: &[Row]) -> Vec<&str> {
    let mut axes: Vec<&str> = Vec::new();
    for setting in rows.iter().flat_map(|row| &row.settings) {
        if !axes.contains(&setting.axis.as_str()) {
            axes.push(&setting.axis);
        }
    }
    axes
}

/// The metrics that a run measured.
fn measured(row: &Row) -> Vec<Metric> {
    match &row.state {
        RunState::Finished(evaluated) => evaluated.scores.keys().copied().collect(),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::record::RowAccessor;

    use super::*;
    use crate::tests::example;

    #[test]
    fn both_files_have_the_same_values() {
        let results = Results::of(&example());
        let csv = results.csv().unwrap();
        let mut csv = ::csv::Reader::from_reader(csv.as_bytes());
        let headings = csv.headers().unwrap().clone();
        let bytes = results.parquet().unwrap();
        assert_eq!(bytes, results.parquet().unwrap());
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let file = reader.get_row_iter(None).unwrap();
        let mut lines = 0;
        for (record, row) in csv.records().zip(file) {
            let (record, row) = (record.unwrap(), row.unwrap());
            lines += 1;
            for (place, (name, value)) in row.get_column_iter().enumerate() {
                assert_eq!(name, &headings[place]);
                let expected = match &record[place] {
                    "" => "null".to_owned(),
                    text => text.to_owned(),
                };
                match row.get_double(place) {
                    Ok(value) => assert_eq!(value, expected.parse::<f64>().unwrap()),
                    Err(_) => assert_eq!(value.to_string().trim_matches('"'), expected),
                }
            }
        }
        assert_eq!(lines, example().len());
    }

    #[test]
    fn repeated_searches_have_a_column() {
        let mut rows = example();
        let names = |rows: &[Row]| -> Vec<String> {
            let columns = Results::of(rows).columns.into_iter();
            columns.map(|column| column.name).collect()
        };
        assert!(!names(&rows).contains(&"search".to_owned()));
        rows[0].repeat = Some(1);
        assert!(names(&rows).contains(&"search".to_owned()));
        let csv = Results::of(&rows).csv().unwrap();
        assert!(
            csv.lines()
                .next()
                .unwrap()
                .contains(",search,seed,fold,run,state,")
        );
    }

    #[test]
    fn no_results_are_an_empty_table() {
        let results = Results::of(&[]);
        assert_eq!(results.csv().unwrap().lines().count(), 1);
        assert_eq!(parquet_as_text(results.parquet().unwrap()).unwrap(), "");
        assert!(parquet_as_text(b"nothing".to_vec()).is_err());
    }
}
