use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Empty,
    Number(f64),
    Text(String),
    Bool(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub enum SheetError {
    Reference(String),
    Syntax(String),
    Cycle(String),
    Divide,
    Kind(&'static str, String),
    Unknown(String),
}

impl Value {
    pub fn from_text(text: &str) -> Value {
        match text.to_ascii_lowercase().as_str() {
            "" => Value::Empty,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            lower => match lower.strip_suffix('%').map(|t| (t, 100.0)).unwrap_or((lower, 1.0)) {
                (digits, by) => match digits.trim().parse::<f64>() {
                    Ok(number) => Value::Number(number / by),
                    Err(_) => Value::Text(text.to_string()),
                },
            },
        }
    }

    pub fn number(&self) -> Result<f64, SheetError> {
        match self {
            Value::Empty => Ok(0.0),
            Value::Number(number) => Ok(*number),
            Value::Bool(yes) => Ok(if *yes { 1.0 } else { 0.0 }),
            Value::Text(text) => Err(SheetError::Kind("number", text.clone())),
        }
    }

    pub fn truth(&self) -> Result<bool, SheetError> {
        match self {
            Value::Bool(yes) => Ok(*yes),
            Value::Text(text) => Err(SheetError::Kind("condition", text.clone())),
            other => Ok(other.number()? != 0.0),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Empty => Ok(()),
            Value::Number(n) if n.fract() == 0.0 => write!(f, "{}", *n as i64),
            Value::Number(n) => write!(f, "{}", format!("{:.4}", n).trim_end_matches('0')),
            Value::Text(text) => f.write_str(text),
            Value::Bool(yes) => f.write_str(if *yes { "TRUE" } else { "FALSE" }),
        }
    }
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SheetError::Reference(text) => write!(f, "#REF {text}"),
            SheetError::Syntax(text) => write!(f, "#SYNTAX {text}"),
            SheetError::Cycle(text) => write!(f, "#CYCLE {text}"),
            SheetError::Divide => f.write_str("#DIV"),
            SheetError::Kind(wanted, text) => write!(f, "#KIND {text} is no {wanted}"),
            SheetError::Unknown(name) => write!(f, "#NAME {name}"),
        }
    }
}
