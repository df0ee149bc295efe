use crate::canvas::Canvas;
use crate::measure::{text_size, Size};

pub trait Widget {
    fn size(&self) -> Size;
    fn draw(&self, canvas: &mut Canvas, x: usize, y: usize);
}

pub struct Label {
    text: String,
}

impl Label {
    pub fn new(text: &str) -> Self {
        Label { text: text.into() }
    }
}

impl Widget for Label {
    fn size(&self) -> Size {
        text_size(&self.text)
    }

    fn draw(&self, canvas: &mut Canvas, x: usize, y: usize) {
        for (row, line) in self.text.lines().enumerate() {
            canvas.put(x, y + row, line);
        }
    }
}

pub struct Row {
    children: Vec<Box<dyn Widget>>,
    gap: usize,
}

impl Row {
    pub fn new(children: Vec<Box<dyn Widget>>, gap: usize) -> Self {
        Row { children, gap }
    }
}

impl Widget for Row {
    fn size(&self) -> Size {
        let mut sizes = self.children.iter().map(|child| child.size());
        let first = sizes.next().unwrap_or_default();
        sizes.fold(first, |sum, size| sum.beside(size, self.gap))
    }

    fn draw(&self, canvas: &mut Canvas, x: usize, y: usize) {
        let mut left = x;
        for child in &self.children {
            child.draw(canvas, left, y);
            left += child.size().width + self.gap;
        }
    }
}

pub struct Column {
    children: Vec<Box<dyn Widget>>,
    centre: bool,
}

impl Column {
    pub fn new(children: Vec<Box<dyn Widget>>) -> Self {
        Column { children, centre: false }
    }

    pub fn centred(mut self) -> Self {
        self.centre = true;
        self
    }
}

impl Widget for Column {
    fn size(&self) -> Size {
        self.children.iter().fold(Size::default(), |sum, child| sum.below(child.size()))
    }

    fn draw(&self, canvas: &mut Canvas, x: usize, y: usize) {
        let width = self.size().width;
        let mut top = y;
        for child in &self.children {
            let size = child.size();
            let shift = if self.centre { (width - size.width) / 2 } else { 0 };
            child.draw(canvas, x + shift, top);
            top += size.height;
        }
    }
}

pub struct Padded {
    child: Box<dyn Widget>,
    vertical: usize,
    horizontal: usize,
}

impl Padded {
    pub fn new(child: Box<dyn Widget>, vertical: usize, horizontal: usize) -> Self {
        Padded { child, vertical, horizontal }
    }
}

impl Widget for Padded {
    fn size(&self) -> Size {
        self.child.size().grown(self.vertical, self.horizontal)
    }

    fn draw(&self, canvas: &mut Canvas, x: usize, y: usize) {
        self.child.draw(canvas, x + self.horizontal, y + self.vertical);
    }
}
