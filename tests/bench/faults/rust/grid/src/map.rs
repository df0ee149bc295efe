use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    pub row: usize,
    pub column: usize,
}

impl Point {
    pub fn new(row: usize, column: usize) -> Self {
        Point { row, column }
    }

    pub fn distance(self, other: Point) -> usize {
        self.row.abs_diff(other.row) + self.column.abs_diff(other.column)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum MapError {
    Ragged { line: usize },
    Unknown { character: char, line: usize },
    Empty,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Ragged { line } => write!(f, "line {line} has another width"),
            MapError::Unknown { character, line } => write!(f, "{character:?} in line {line}"),
            MapError::Empty => f.write_str("nothing there"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    costs: Vec<Option<u32>>,
    width: usize,
}

impl Map {
    pub fn height(&self) -> usize {
        self.costs.len() / self.width
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// What it costs to step on a point; none where no one can.
    pub fn cost(&self, point: Point) -> Option<u32> {
        if point.column >= self.width || point.row >= self.height() {
            return None;
        }
        self.costs[point.row * self.width + point.column]
    }

    pub fn neighbours(&self, point: Point) -> impl Iterator<Item = (Point, u32)> + '_ {
        let Point { row, column } = point;
        let up = row.checked_sub(1).map(|row| Point { row, column });
        let left = column.checked_sub(1).map(|column| Point { row, column });
        let down = Some(Point::new(row + 1, column));
        let right = Some(Point::new(row, column + 1));
        [up, left, down, right]
            .into_iter()
            .flatten()
            .filter_map(|next| self.cost(next).map(|cost| (next, cost)))
    }
}

fn cost_of(character: char) -> Option<Option<u32>> {
    match character {
        '#' => Some(None),
        '.' => Some(Some(1)),
        '~' => Some(Some(9)),
        '1'..='9' => Some(character.to_digit(10)),
        _ => None,
    }
}

impl FromStr for Map {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut costs = Vec::new();
        let mut width = 0;
        for (index, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let line_number = index + 1;
            if width == 0 {
                width = line.len();
            }
            if line.len() != width {
                return Err(MapError::Ragged { line: line_number });
            }
            for character in line.chars() {
                let cost = cost_of(character).ok_or(MapError::Unknown { character, line: line_number })?;
                costs.push(cost);
            }
        }
        if width == 0 {
            return Err(MapError::Empty);
        }
        Ok(Map { costs, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_costs() {
        let map: Map = ".#\n~3".parse().unwrap();
        assert_eq!(map.cost(Point::new(1, 0)), Some(9));
        assert_eq!(map.cost(Point::new(1, 1)), Some(3));
        assert_eq!(map.cost(Point::new(0, 1)), None);
        assert_eq!(map.cost(Point::new(2, 0)), None);
    }

    #[test]
    fn names_the_ragged_line() {
        assert_eq!("...\n..".parse::<Map>(), Err(MapError::Ragged { line: 2 }));
    }

    #[test]
    fn corners_have_two_neighbours() {
        let map: Map = "...\n...\n...".parse().unwrap();
        assert_eq!(map.neighbours(Point::new(2, 2)).count(), 2);
        assert_eq!(map.neighbours(Point::new(1, 1)).count(), 4);
    }
}
