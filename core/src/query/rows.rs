//! Records that wait for what is nested in them: flat buffers, no allocation per record.

use crate::value::{Row, ValueRef};

/// One value; texts lie one after the other in the arena of [`Rows`].
#[derive(Clone, Copy, Debug)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text { start: usize, len: u32 },
}

/// Rows of one statement.
#[derive(Debug, Default)]
pub(super) struct Rows {
    width: usize,
    count: usize,
    cells: Vec<Cell>,
    text: String,
}

impl Rows {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// About how many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Cell>()
    }

    /// Takes the columns of `row` from `skip` on.
    pub(super) fn push(&mut self, row: &dyn Row, skip: usize) {
        for column in 0..self.width {
            let cell = match row.get(column + skip) {
                ValueRef::Null => Cell::Null,
                ValueRef::Int(n) => Cell::Int(n),
                ValueRef::Float(x) => Cell::Float(x),
                // SQLite's own longest text is below 2 GB.
                ValueRef::Text(text) => u32::try_from(text.len()).map_or(Cell::Null, |len| {
                    let start = self.text.len();
                    self.text.push_str(text);
                    Cell::Text { start, len }
                }),
            };
            self.cells.push(cell);
        }
        self.count += 1;
    }

    pub(super) fn row(&self, row: usize) -> StoredRow<'_> {
        StoredRow { rows: self, row }
    }
}

/// One row of [`Rows`].
#[derive(Clone, Copy)]
pub(super) struct StoredRow<'a> {
    rows: &'a Rows,
    row: usize,
}

impl Row for StoredRow<'_> {
    fn get(&self, column: usize) -> ValueRef<'_> {
        if column >= self.rows.width {
            return ValueRef::Null;
        }
        match self.rows.cells.get(self.row * self.rows.width + column) {
            None | Some(Cell::Null) => ValueRef::Null,
            Some(Cell::Int(n)) => ValueRef::Int(*n),
            Some(Cell::Float(x)) => ValueRef::Float(*x),
            Some(Cell::Text { start, len }) => {
                ValueRef::Text(self.rows.text.get(*start..*start + *len as usize).unwrap_or_default())
            }
        }
    }
}
