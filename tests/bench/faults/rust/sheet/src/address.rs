use crate::value::SheetError;
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub column: usize,
    pub row: usize,
}

impl FromStr for Address {
    type Err = SheetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (letters, digits) = text.split_at(split);
        if letters.is_empty() || !letters.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err(SheetError::Reference(text.to_string()));
        }
        let mut column = 0;
        for letter in letters.to_ascii_uppercase().bytes() {
            column = column * 26 + (letter - b'A') as usize + 1;
        }
        match digits.parse::<usize>() {
            Ok(row) if row > 0 => Ok(Address { column: column - 1, row: row - 1 }),
            _ => Err(SheetError::Reference(text.to_string())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Vec::new();
        let mut rest = self.column + 1;
        while rest > 0 {
            let digit = (rest - 1) % 26;
            letters.push((b'A' + digit as u8) as char);
            rest = (rest - 1) / 26;
        }
        let name: String = letters.iter().rev().collect();
        write!(f, "{}{}", name, self.row + 1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub first: Address,
    pub last: Address,
}

impl Range {
    pub fn new(a: Address, b: Address) -> Self {
        Range {
            first: Address { column: a.column.min(b.column), row: a.row.min(b.row) },
            last: Address { column: a.column.max(b.column), row: a.row.max(b.row) },
        }
    }

    pub fn cells(&self) -> impl Iterator<Item = Address> + '_ {
        (self.first.row..=self.last.row)
            .flat_map(move |row| (self.first.column..=self.last.column).map(move |column| Address { column, row }))
    }
}
