/// A heap that gives the least entry first.
pub struct Queue<T> {
    entries: Vec<(u32, T)>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { entries: Vec::new() }
    }
}

impl<T> Queue<T> {
    pub fn push(&mut self, key: u32, value: T) {
        self.entries.push((key, value));
        self.rise(self.entries.len() - 1);
    }

    pub fn pop(&mut self) -> Option<(u32, T)> {
        if self.entries.is_empty() {
            return None;
        }
        let least = self.entries.swap_remove(0);
        self.sink(0);
        Some(least)
    }

    fn rise(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / 2;
            if self.entries[parent].0 <= self.entries[index].0 {
                break;
            }
            self.entries.swap(parent, index);
            index = parent;
        }
    }

    fn sink(&mut self, mut index: usize) {
        loop {
            let left = 2 * index + 1;
            let right = left + 1;
            let mut least = index;
            for child in [left, right] {
                if child < self.entries.len() && self.entries[child].0 < self.entries[least].0 {
                    least = child;
                }
            }
            if least == index {
                return;
            }
            self.entries.swap(least, index);
            index = least;
        }
    }
}
