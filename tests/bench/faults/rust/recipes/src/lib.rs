pub mod amount;
pub mod book;
pub mod shopping;
