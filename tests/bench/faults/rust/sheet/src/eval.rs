use crate::address::Address;
use crate::functions;
use crate::parser::{Expr, Parser};
use crate::value::{SheetError, Value};
use crate::Sheet;
use std::collections::HashMap;

pub struct Evaluator<'a> {
    sheet: &'a Sheet,
    known: HashMap<Address, Value>,
    open: Vec<Address>,
}

impl<'a> Evaluator<'a> {
    pub fn new(sheet: &'a Sheet) -> Self {
        Evaluator { sheet, known: HashMap::new(), open: Vec::new() }
    }

    pub fn cell(&mut self, address: Address) -> Result<Value, SheetError> {
        if let Some(value) = self.known.get(&address) {
            return Ok(value.clone());
        }
        if self.open.contains(&address) {
            let path: Vec<String> = self.open.iter().chain([&address]).map(ToString::to_string).collect();
            return Err(SheetError::Cycle(path.join(">")));
        }
        let Some(text) = self.sheet.raw(address) else { return Ok(Value::Empty) };
        let value = match text.strip_prefix('=') {
            None => Value::from_text(text),
            Some(formula) => {
                let expr = Parser::parse(formula)?;
                self.open.push(address);
                let value = self.expr(&expr);
                self.open.pop();
                value?
            }
        };
        self.known.insert(address, value.clone());
        Ok(value)
    }

    pub fn expr(&mut self, expr: &Expr) -> Result<Value, SheetError> {
        match expr {
            Expr::Number(number) => Ok(Value::Number(*number)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Bool(yes) => Ok(Value::Bool(*yes)),
            Expr::Cell(address) => self.cell(*address),
            Expr::Area(_) => Err(SheetError::Kind("single value", "a range".to_string())),
            Expr::Negative(inner) => Ok(Value::Number(-self.expr(inner)?.number()?)),
            Expr::Binary(operator, left, right) => {
                let left = self.expr(left)?;
                let right = self.expr(right)?;
                self.binary(operator, left, right)
            }
            Expr::Call(name, arguments) if name == "IF" => {
                let [condition, rest @ ..] = arguments.as_slice() else {
                    return Err(SheetError::Syntax("IF needs a condition".to_string()));
                };
                let chosen = if self.expr(condition)?.truth()? { rest.first() } else { rest.get(1) };
                chosen.map_or(Ok(Value::Bool(false)), |expr| self.expr(expr))
            }
            Expr::Call(name, arguments) => {
                let function = functions::find(name).ok_or_else(|| SheetError::Unknown(name.clone()))?;
                let mut values = Vec::new();
                for argument in arguments {
                    self.spread(argument, &mut values)?;
                }
                function(&values)
            }
        }
    }

    fn spread(&mut self, argument: &Expr, values: &mut Vec<Value>) -> Result<(), SheetError> {
        if let Expr::Area(range) = argument {
            for address in range.cells() {
                values.push(self.cell(address)?);
            }
        } else {
            values.push(self.expr(argument)?);
        }
        Ok(())
    }

    fn binary(&self, operator: &str, left: Value, right: Value) -> Result<Value, SheetError> {
        if operator == "&" {
            return Ok(Value::Text(format!("{left}{right}")));
        }
        if let (Value::Text(a), Value::Text(b)) = (&left, &right) {
            let (a, b) = (a.to_lowercase(), b.to_lowercase());
            return compare(operator, a.cmp(&b)).ok_or(SheetError::Kind("number", a));
        }
        let (a, b) = (left.number()?, right.number()?);
        let number = match operator {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" if b == 0.0 => return Err(SheetError::Divide),
            "/" => a / b,
            "^" => a.powf(b),
            _ => {
                let order = a.partial_cmp(&b).ok_or(SheetError::Divide)?;
                return compare(operator, order).ok_or(SheetError::Syntax(operator.to_string()));
            }
        };
        Ok(Value::Number(number))
    }
}

fn compare(operator: &str, order: std::cmp::Ordering) -> Option<Value> {
    let yes = match operator {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => return None,
    };
    Some(Value::Bool(yes))
}
