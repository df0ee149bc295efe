use std::collections::BTreeMap;

use crate::amount::{Amount, Unit};
use crate::book::{Book, Recipe};

#[derive(Debug, Default)]
pub struct List {
    items: BTreeMap<(String, Unit), Amount>,
}

impl List {
    pub fn add(&mut self, recipe: &Recipe, people: u32) {
        let factor = f64::from(people) / f64::from(recipe.serves);
        for (what, amount) in &recipe.needs {
            self.put(what, amount.scaled(factor));
        }
    }

    fn put(&mut self, what: &str, amount: Amount) {
        let key = (what.to_string(), amount.unit);
        let sum = match self.items.get(&key) {
            Some(known) => known.plus(amount).expect("the same unit"),
            None => amount,
        };
        self.items.insert(key, sum);
    }

    /// Take off what is in the larder; never below nothing.
    pub fn without(mut self, larder: &[(&str, &str)]) -> Result<List, String> {
        for (what, text) in larder {
            let have = Amount::parse(text)?;
            let key = (what.to_string(), have.unit);
            if let Some(needed) = self.items.get(&key).copied() {
                let left = needed.value - have.value;
                if left > 0.0 {
                    self.items.insert(key, Amount { value: left, ..needed });
                } else {
                    self.items.remove(&key);
                }
            }
        }
        Ok(self)
    }

    pub fn lines(&self) -> Vec<String> {
        self.items.iter().map(|((what, _), amount)| format!("{amount} {what}")).collect()
    }
}

pub fn shop(book: &Book, meals: &[(&str, u32)]) -> Result<List, String> {
    let mut list = List::default();
    for (name, people) in meals {
        let recipe = book.get(name).ok_or_else(|| format!("no recipe for {name}"))?;
        list.add(recipe, *people);
    }
    Ok(list)
}
