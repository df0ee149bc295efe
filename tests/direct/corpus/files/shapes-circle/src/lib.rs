use std::f64::consts::PI;

/// A circle in the plane.
pub struct Circle {
    pub radius: f64,
}

pub struct Square {
    pub side: f64,
}

impl Circle {
    /// The area inside.
    pub fn area(&self) -> f64 {
        PI * self.radius * self.radius
    }
}

impl Square {
    pub fn area(&self) -> f64 {
        self.side * self.side
    }

    pub fn edge(&self) -> f64 {
        3.0 * self.side
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square() {
        assert_eq!(Square { side: 2.0 }.area(), 4.0);
    }
}
