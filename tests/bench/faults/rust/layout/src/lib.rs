//! Lays out boxes in rows and columns, as a terminal would show them.

mod canvas;
mod measure;
pub mod widgets;

pub use canvas::Canvas;
pub use widgets::{Column, Label, Padded, Row, Widget};

/// Draw a widget as large as it wants to be.
pub fn render(widget: &dyn Widget) -> String {
    let size = widget.size();
    let mut canvas = Canvas::new(size.width, size.height);
    widget.draw(&mut canvas, 0, 0);
    canvas.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Box<dyn Widget> {
        Box::new(Label::new(text))
    }

    #[test]
    fn a_label_is_as_wide_as_its_longest_line() {
        assert_eq!(render(&Label::new("ab\nabcd")), "ab  \nabcd\n");
    }

    #[test]
    fn wide_signs_take_two_places() {
        let size = Label::new("日本").size();
        assert_eq!((size.width, size.height), (4, 1));
    }

    #[test]
    fn rows_stand_side_by_side() {
        let row = Row::new(vec![label("a\nb"), label("cd")], 1);
        assert_eq!(render(&row), "a cd\nb   \n");
    }

    #[test]
    fn columns_can_be_centred() {
        let column = Column::new(vec![label("abcde"), label("x")]).centred();
        assert_eq!(render(&column), "abcde\n  x  \n");
    }

    #[test]
    fn padding_goes_around() {
        let padded = Padded::new(label("x"), 1, 2);
        assert_eq!(render(&padded), "     \n  x  \n     \n");
    }

    #[test]
    fn a_nest_of_all() {
        let inner = Padded::new(Box::new(Column::new(vec![label("a"), label("bc")])), 0, 1);
        let row = Row::new(vec![Box::new(inner), label("|\n|")], 0);
        assert_eq!(render(&row), " a  |\n bc |\n");
    }
}
