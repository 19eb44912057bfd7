//! Which rows of a table belong together.

use std::collections::HashMap;

use crate::{Result, Table};

/// Numbers the values of a column in the order of first appearance: rows with equal text are one cluster.
///
/// # Errors
/// [`crate::Error::MissingColumn`], and [`crate::Error::Cell`] for a row whose cluster is missing or NaN.
pub fn clusters(table: &Table, column: &str) -> Result<Vec<usize>> {
    let names = table.column_text(column)?;
    if let Some(row) = names.iter().position(|name| name.trim().is_empty() || name.eq_ignore_ascii_case("nan")) {
        return Err(table.cell_error(row, column, format!("`{}`", names[row]), "the name of a cluster"));
    }
    let mut index = HashMap::new();
    Ok(names
        .into_iter()
        .map(|name| {
            let next = index.len();
            *index.entry(name).or_insert(next)
        })
        .collect())
}
