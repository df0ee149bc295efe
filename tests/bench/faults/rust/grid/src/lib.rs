//! Find ways through maps drawn with characters.

pub mod map;
pub mod queue;
pub mod search;

pub use map::{Map, Point};
pub use search::{shortest, Path};
