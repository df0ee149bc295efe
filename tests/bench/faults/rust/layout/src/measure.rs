#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

impl Size {
    pub fn beside(self, other: Size, gap: usize) -> Size {
        Size {
            width: self.width + gap + other.width,
            height: self.height.max(other.height),
        }
    }

    pub fn below(self, other: Size) -> Size {
        Size {
            width: self.width.max(other.width),
            height: self.height + other.height,
        }
    }

    pub fn grown(self, vertical: usize, horizontal: usize) -> Size {
        Size {
            width: self.width + 2 * horizontal,
            height: self.height + 2 * vertical,
        }
    }
}

/// How many places a sign takes.
pub fn places(sign: char) -> usize {
    match sign as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xff00..=0xff60 => 2,
        0x300..=0x36f => 0,
        _ => 1,
    }
}

pub fn text_width(text: &str) -> usize {
    text.chars().map(places).sum()
}

pub fn text_size(text: &str) -> Size {
    Size {
        width: text.lines().map(text_width).max().unwrap_or(0),
        height: text.lines().count(),
    }
}
