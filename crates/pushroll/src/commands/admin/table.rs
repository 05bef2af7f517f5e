//! A table for people.

use std::fmt;

use console::{Alignment, measure_text_width, pad_str};

/// A table for people: columns as wide as they must be, two spaces between them.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0);
            widest.max(measure_text_width(self.head[column]))
        };
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (cell, width) in cells.zip(&widths) {
                text += &pad_str(cell, *width, Alignment::Left, None);
                text += "  ";
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&mut self.head.iter().copied())?;
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_on_the_screen() {
        let mut table = Table::new(&["ID", "NAME", "MODE"]);
        table.row(["1".into(), "Größe".into(), "auto".into()]);
        table.row(["200".into(), "日本".into(), String::new()]);
        let expected = "ID   NAME   MODE\n1    Größe  auto\n200  日本\n";
        assert_eq!(table.to_string(), expected);
    }
}
