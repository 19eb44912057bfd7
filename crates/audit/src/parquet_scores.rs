//! Score files in Parquet: a column `score` of doubles or floats, a column `member` of booleans, a row a canary.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::{Error, Result, ScoreSet};

/// Values read at once.
const BATCH: usize = 1 << 13;

impl ScoreSet {
    /// Reads a Parquet file: columns `score` (double or float) and `member` (boolean), a row a canary; other columns are
    /// left alone. Uncompressed, Snappy, gzip and LZ4 pages. Memory stays in proportion to the rows that are there.
    ///
    /// # Errors
    /// If the bytes are no such file, a value is missing, or as [`ScoreSet::new`], with the row as index.
    pub fn from_parquet(bytes: Vec<u8>) -> Result<Self> {
        // A damaged file is an error, also where the library doubts its own invariants.
        let read = catch_unwind(AssertUnwindSafe(|| rows(bytes)));
        let rows = read.unwrap_or_else(|_| Err("the file is damaged".to_owned()));
        let (scores, members) = rows.map_err(|reason| Error::ParquetScores { reason })?;
        if let Some((index, &value)) = scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
            return Err(Error::NotFinite { list: "score", index, value });
        }
        let of = |side: bool| {
            let scores = scores.iter().zip(&members).filter(|&(_, &member)| member == side);
            scores.map(|(&score, _)| score).collect()
        };
        Self::new(of(true), of(false))
    }
}

fn rows(bytes: Vec<u8>) -> Result<(Vec<f64>, Vec<bool>), String> {
    let said = |error: ParquetError| error.to_string();
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(said)?;
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let column = |name: &str| {
        let found = schema.columns().iter().position(|column| column.path().string() == name);
        found.ok_or_else(|| {
            let names: Vec<String> = schema.columns().iter().take(20).map(|column| column.path().string()).collect();
            format!("no column `{name}`; there is {}", names.join(", "))
        })
    };
    let (score, member) = (column("score")?, column("member")?);
    let (mut scores, mut members) = (Vec::new(), Vec::new());
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(said)?;
        match group.get_column_reader(score).map_err(said)? {
            ColumnReader::DoubleColumnReader(column) => values(column, "score", &mut scores)?,
            ColumnReader::FloatColumnReader(column) => {
                let mut narrow: Vec<f32> = Vec::new();
                values(column, "score", &mut narrow)?;
                scores.extend(narrow.into_iter().map(f64::from));
            }
            _ => return Err("column `score` holds neither doubles nor floats".to_owned()),
        }
        match group.get_column_reader(member).map_err(said)? {
            ColumnReader::BoolColumnReader(column) => values(column, "member", &mut members)?,
            _ => return Err("column `member` doesn't hold booleans".to_owned()),
        }
        if scores.len() != members.len() {
            return Err(format!("{} scores and {} members", scores.len(), members.len()));
        }
    }
    Ok((scores, members))
}

/// All values of a column chunk.
fn values<T: DataType>(mut column: ColumnReaderImpl<T>, name: &str, to: &mut Vec<T::T>) -> Result<(), String> {
    loop {
        let (mut levels, mut repeated) = (Vec::new(), Vec::new());
        let read = column.read_records(BATCH, Some(&mut levels), Some(&mut repeated), to);
        let (records, values, _) = read.map_err(|error| format!("column `{name}`: {error}"))?;
        if records != values {
            return Err(format!("column `{name}`: a value is missing, or a row has several"));
        }
        if records == 0 {
            return Ok(());
        }
    }
}
