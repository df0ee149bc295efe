use crate::address::Address;
use crate::value::Value;
use crate::Sheet;

struct Shown {
    text: String,
    right: bool,
}

fn show(sheet: &Sheet, address: Address) -> Shown {
    match sheet.get(&address.to_string()) {
        Ok(value) => Shown { right: matches!(value, Value::Number(_)), text: value.to_string() },
        Err(error) => {
            let text = error.to_string();
            let short = text.split(' ').next().unwrap_or("#ERR");
            Shown { text: short.to_string(), right: false }
        }
    }
}

pub fn table(sheet: &Sheet) -> String {
    let Some(range) = sheet.used() else { return String::new() };
    let columns = range.last.column + 1;
    let mut rows: Vec<Vec<Shown>> = Vec::new();
    for row in 0..=range.last.row {
        rows.push((0..columns).map(|column| show(sheet, Address { column, row })).collect());
    }
    let mut widths = vec![0; columns];
    for row in &rows {
        for (width, shown) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown.text.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (index, (shown, width)) in row.iter().zip(&widths).enumerate() {
            if index > 0 {
                line.push_str(" | ");
            }
            if shown.right {
                line.push_str(&format!("{:>width$}", shown.text, width = *width));
            } else {
                line.push_str(&format!("{:<width$}", shown.text, width = *width));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
