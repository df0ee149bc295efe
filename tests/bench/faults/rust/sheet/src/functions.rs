use crate::value::{SheetError, Value};

pub type Function = fn(&[Value]) -> Result<Value, SheetError>;

const TABLE: &[(&str, Function)] = &[
    ("SUM", sum),
    ("AVERAGE", average),
    ("COUNT", count),
    ("MEDIAN", median),
    ("MAX", |values| extreme(values, f64::max)),
    ("MIN", |values| extreme(values, f64::min)),
    ("ROUND", round),
    ("CONCAT", concat),
];

pub fn find(name: &str) -> Option<Function> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

fn numbers(values: &[Value]) -> Vec<f64> {
    values
        .iter()
        .filter_map(|value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
        .collect()
}

fn sum(values: &[Value]) -> Result<Value, SheetError> {
    Ok(Value::Number(numbers(values).iter().sum()))
}

fn average(values: &[Value]) -> Result<Value, SheetError> {
    let found = numbers(values);
    if found.is_empty() {
        return Err(SheetError::Divide);
    }
    Ok(Value::Number(found.iter().sum::<f64>() / found.len() as f64))
}

fn count(values: &[Value]) -> Result<Value, SheetError> {
    Ok(Value::Number(numbers(values).len() as f64))
}

fn median(values: &[Value]) -> Result<Value, SheetError> {
    let mut found = numbers(values);
    if found.is_empty() {
        return Err(SheetError::Divide);
    }
    found.sort_by(f64::total_cmp);
    let middle = found.len() / 2;
    let value = if found.len() % 2 == 1 {
        found[middle]
    } else {
        (found[middle - 1] + found[middle]) / 2.0
    };
    Ok(Value::Number(value))
}

fn extreme(values: &[Value], better: fn(f64, f64) -> f64) -> Result<Value, SheetError> {
    Ok(numbers(values).into_iter().reduce(better).map_or(Value::Empty, Value::Number))
}

fn round(values: &[Value]) -> Result<Value, SheetError> {
    let number = values.first().unwrap_or(&Value::Empty).number()?;
    let places = values.get(1).unwrap_or(&Value::Empty).number()? as i32;
    let by = 10f64.powi(places);
    Ok(Value::Number((number * by).round() / by))
}

fn concat(values: &[Value]) -> Result<Value, SheetError> {
    Ok(Value::Text(values.iter().map(|value| value.to_string()).collect()))
}
