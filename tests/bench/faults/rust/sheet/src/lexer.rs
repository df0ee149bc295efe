use crate::value::SheetError;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Operator(&'static str),
    Open,
    Close,
    Comma,
    Colon,
}

const OPERATORS: [&str; 12] = ["<=", ">=", "<>", "+", "-", "*", "/", "^", "&", "<", ">", "="];

pub fn tokens(text: &str) -> Result<Vec<Token>, SheetError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            ':' => (Token::Colon, 1),
            '"' => quoted(rest)?,
            c if c.is_ascii_digit() || c == '.' => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let number = rest[..end].parse().map_err(|_| SheetError::Syntax(rest[..end].to_string()))?;
                (Token::Number(number), end)
            }
            c if c.is_alphabetic() => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Name(rest[..end].to_ascii_uppercase()), end)
            }
            other => match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                Some(operator) => (Token::Operator(operator), operator.len()),
                None => return Err(SheetError::Syntax(format!("unexpected {other}"))),
            },
        };
        found.push(token);
        rest = &rest[length..];
    }
    Ok(found)
}

fn quoted(rest: &str) -> Result<(Token, usize), SheetError> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            text.push(character);
        } else if matches!(characters.peek(), Some((_, '"'))) {
            characters.next();
            text.push('"');
        } else {
            return Ok((Token::Text(text), at + 1));
        }
    }
    Err(SheetError::Syntax("unclosed text".to_string()))
}
