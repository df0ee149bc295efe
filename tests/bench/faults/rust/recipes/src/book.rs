use std::collections::BTreeMap;

use crate::amount::Amount;

#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub name: String,
    pub serves: u32,
    pub needs: Vec<(String, Amount)>,
    pub tags: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Book {
    recipes: BTreeMap<String, Recipe>,
}

impl Book {
    /// Read recipes: a heading `name (serves 4) #tag`, then lines `amount | what`.
    pub fn parse(text: &str) -> Result<Book, String> {
        let mut book = Book::default();
        let mut current: Option<Recipe> = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some((amount, what)) = line.split_once('|') {
                let recipe = current.as_mut().ok_or("an ingredient before any recipe")?;
                recipe.needs.push((what.trim().to_lowercase(), Amount::parse(amount.trim())?));
            } else {
                book.keep(current.take());
                current = Some(heading(line)?);
            }
        }
        book.keep(current);
        Ok(book)
    }

    fn keep(&mut self, recipe: Option<Recipe>) {
        if let Some(recipe) = recipe {
            self.recipes.insert(recipe.name.clone(), recipe);
        }
    }

    pub fn get(&self, name: &str) -> Option<&Recipe> {
        self.recipes.get(name)
    }

    pub fn tagged<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.recipes.values().filter(move |recipe| recipe.tags.iter().any(|own| own == tag)).map(|recipe| recipe.name.as_str())
    }
}

fn heading(line: &str) -> Result<Recipe, String> {
    let (name, rest) = line.split_once('(').ok_or_else(|| format!("{line:?} serves no one"))?;
    let (serves, tags) = rest.split_once(')').ok_or_else(|| format!("{line:?} has an open bracket"))?;
    let serves = serves.trim_start_matches("serves").trim();
    Ok(Recipe {
        name: name.trim().to_string(),
        serves: serves.parse().map_err(|_| format!("{serves:?} is no number"))?,
        needs: Vec::new(),
        tags: tags.split_whitespace().filter_map(|tag| tag.strip_prefix('#')).map(String::from).collect(),
    })
}
