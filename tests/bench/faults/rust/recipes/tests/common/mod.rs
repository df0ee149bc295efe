use recipes::book::Book;
use recipes::shopping::{shop, List};

pub const TEXT: &str = "
    Pancakes (serves 4) #sweet #quick
        250 g | Flour
        0.5 l | Milk
        3 | eggs

    Bread (serves 2) #slow
        1.5 kg | flour
        2 tbsp | oil
";

pub fn book() -> Book {
    Book::parse(TEXT).unwrap_or_else(|error| panic!("the book does not parse: {error}"))
}

pub fn list(meals: &[(&str, u32)]) -> List {
    shop(&book(), meals).unwrap()
}

pub fn assert_lines(list: &List, want: &[&str]) {
    assert_eq!(list.lines(), want);
}
