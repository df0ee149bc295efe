mod common;

use common::{assert_lines, book, list};
use recipes::amount::Amount;

#[test]
fn one_meal() {
    assert_lines(&list(&[("Pancakes", 4)]), &["3 eggs", "250 g flour", "500 ml milk"]);
}

#[test]
fn flour_is_added_up() {
    let list = list(&[("Pancakes", 8), ("Bread", 2)]);
    assert_lines(&list, &["6 eggs", "2 kg flour", "1 l milk", "30 ml oil"]);
}

#[test]
fn the_larder_helps() -> Result<(), String> {
    let list = list(&[("Pancakes", 4)]).without(&[("milk", "0.2 l"), ("eggs", "6")])?;
    assert_lines(&list, &["250 g flour", "300 ml milk"]);
    Ok(())
}

#[test]
fn tags_find_recipes() {
    assert_eq!(book().tagged("quick").collect::<Vec<_>>(), ["Pancakes"]);
    assert_eq!(book().tagged("slow").count(), 1);
}

#[test]
fn spoons_are_known() {
    assert_eq!(Amount::parse("2 tbsp").unwrap().to_string(), "30 ml");
    assert!(Amount::parse("2 cups").is_err());
}

#[test]
fn a_missing_recipe_is_named() {
    let error = recipes::shopping::shop(&book(), &[("Soup", 1)]).unwrap_err();
    assert_eq!(error, "no recipe for Soup");
}
