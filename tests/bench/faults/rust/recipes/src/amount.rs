use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    Gram,
    Millilitre,
    Piece,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount {
    pub value: f64,
    pub unit: Unit,
}

impl Amount {
    /// Read an amount such as `1.5 kg`.
    pub fn parse(text: &str) -> Result<Amount, String> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let value: f64 = number.parse().map_err(|_| format!("{text:?} has no number"))?;
        let (factor, unit) = factor_of(unit.trim()).ok_or_else(|| format!("{text:?} has no known unit"))?;
        Ok(Amount { value: value * factor, unit })
    }

    pub fn scaled(self, factor: f64) -> Amount {
        Amount { value: self.value * factor, ..self }
    }

    pub fn plus(self, other: Amount) -> Option<Amount> {
        (self.unit == other.unit).then(|| Amount { value: self.value + other.value, ..self })
    }
}

fn factor_of(unit: &str) -> Option<(f64, Unit)> {
    Some(match unit {
        "g" => (1.0, Unit::Gram),
        "kg" => (1000.0, Unit::Gram),
        "ml" => (1.0, Unit::Millilitre),
        "l" => (1000.0, Unit::Millilitre),
        "tbsp" => (15.0, Unit::Millilitre),
        "" => (1.0, Unit::Piece),
        _ => return None,
    })
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.unit {
            Unit::Gram if self.value >= 1000.0 => (self.value / 1000.0, " kg"),
            Unit::Gram => (self.value, " g"),
            Unit::Millilitre if self.value >= 1000.0 => (self.value / 1000.0, " l"),
            Unit::Millilitre => (self.value, " ml"),
            Unit::Piece => (self.value, ""),
        };
        write!(f, "{}{unit}", (value * 100.0).round() / 100.0)
    }
}
