use std::fmt;

use crate::measure::places;

pub struct Canvas {
    width: usize,
    cells: Vec<Vec<char>>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Canvas {
            width,
            cells: vec![vec![' '; width]; height],
        }
    }

    pub fn put(&mut self, x: usize, y: usize, text: &str) {
        let mut at = x;
        for sign in text.chars() {
            if at >= self.width || y >= self.cells.len() {
                break;
            }
            self.cells[y][at] = sign;
            at += places(sign);
        }
    }
}

impl fmt::Display for Canvas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.cells {
            writeln!(f, "{}", row.iter().collect::<String>())?;
        }
        Ok(())
    }
}
