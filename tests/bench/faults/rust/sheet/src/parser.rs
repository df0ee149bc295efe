use crate::address::{Address, Range};
use crate::lexer::{tokens, Token};
use crate::value::SheetError;

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Number(f64),
    Text(String),
    Bool(bool),
    Cell(Address),
    Area(Range),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
}

const LEVELS: [(&str, u8); 11] = [
    ("=", 1), ("<>", 1), ("<", 1), (">", 1), ("<=", 1), (">=", 1),
    ("&", 2),
    ("+", 3), ("-", 3),
    ("*", 4), ("/", 4),
];

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    pub fn parse(text: &str) -> Result<Expr, SheetError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let expr = parser.binary(1)?;
        match parser.peek() {
            None => Ok(expr),
            Some(token) => Err(SheetError::Syntax(format!("{token:?} after the end"))),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn expect(&mut self, wanted: Token) -> Result<(), SheetError> {
        match self.take() {
            Some(token) if token == wanted => Ok(()),
            other => Err(SheetError::Syntax(format!("{other:?} instead of {wanted:?}"))),
        }
    }

    fn binary(&mut self, lowest: u8) -> Result<Expr, SheetError> {
        let mut left = self.power()?;
        while let Some(Token::Operator(operator)) = self.peek() {
            let operator = *operator;
            let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == operator) else { break };
            if *level < lowest {
                break;
            }
            self.take();
            let right = self.binary(level + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn power(&mut self) -> Result<Expr, SheetError> {
        let base = self.unary()?;
        if self.peek() == Some(&Token::Operator("^")) {
            self.take();
            let exponent = self.power()?;
            return Ok(Expr::Binary("^", Box::new(base), Box::new(exponent)));
        }
        Ok(base)
    }

    fn unary(&mut self) -> Result<Expr, SheetError> {
        if self.peek() == Some(&Token::Operator("-")) {
            self.take();
            return Ok(Expr::Negative(Box::new(self.unary()?)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, SheetError> {
        match self.take() {
            Some(Token::Number(number)) => Ok(Expr::Number(number)),
            Some(Token::Text(text)) => Ok(Expr::Text(text)),
            Some(Token::Open) => {
                let inner = self.binary(1)?;
                self.expect(Token::Close)?;
                Ok(inner)
            }
            Some(Token::Name(name)) => self.named(name),
            other => Err(SheetError::Syntax(format!("unexpected {other:?}"))),
        }
    }

    fn named(&mut self, name: String) -> Result<Expr, SheetError> {
        if self.peek() == Some(&Token::Open) {
            self.take();
            let mut arguments = Vec::new();
            while self.peek() != Some(&Token::Close) {
                arguments.push(self.binary(1)?);
                if self.peek() == Some(&Token::Comma) {
                    self.take();
                } else {
                    break;
                }
            }
            self.expect(Token::Close)?;
            return Ok(Expr::Call(name, arguments));
        }
        if name == "TRUE" || name == "FALSE" {
            return Ok(Expr::Bool(name == "TRUE"));
        }
        let first: Address = name.parse()?;
        if self.peek() != Some(&Token::Colon) {
            return Ok(Expr::Cell(first));
        }
        self.take();
        match self.take() {
            Some(Token::Name(last)) => Ok(Expr::Area(Range::new(first, last.parse()?))),
            other => Err(SheetError::Syntax(format!("a range ends in {other:?}"))),
        }
    }
}
