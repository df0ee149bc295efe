//! A small spreadsheet: cells hold numbers, texts or formulas.

pub mod address;
pub mod eval;
pub mod functions;
pub mod lexer;
pub mod parser;
pub mod render;
pub mod value;

use std::collections::BTreeMap;

pub use address::{Address, Range};
pub use value::{SheetError, Value};

#[derive(Debug, Default)]
pub struct Sheet {
    cells: BTreeMap<Address, String>,
}

impl Sheet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn from_rows(rows: &[&str]) -> Self {
        let mut sheet = Self::new();
        for (row, line) in rows.iter().enumerate() {
            for (column, text) in line.split('|').enumerate() {
                let text = text.trim();
                if !text.is_empty() {
                    sheet.cells.insert(Address { column, row }, text.to_string());
                }
            }
        }
        sheet
    }

    pub fn set(&mut self, address: &str, text: &str) -> Result<(), SheetError> {
        let address: Address = address.parse()?;
        self.cells.insert(address, text.to_string());
        Ok(())
    }

    pub fn get(&self, address: &str) -> Result<Value, SheetError> {
        let address: Address = address.parse()?;
        eval::Evaluator::new(self).cell(address)
    }

    pub(crate) fn raw(&self, address: Address) -> Option<&str> {
        self.cells.get(&address).map(String::as_str)
    }

    pub fn used(&self) -> Option<Range> {
        let last_row = self.cells.keys().map(|a| a.row).max()?;
        let last_column = self.cells.keys().map(|a| a.column).max()?;
        Some(Range { first: Address { column: 0, row: 0 }, last: Address { column: last_column, row: last_row } })
    }

    pub fn render(&self) -> String {
        render::table(self)
    }
}
