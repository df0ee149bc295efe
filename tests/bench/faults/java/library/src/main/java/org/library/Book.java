package org.library;

import java.util.Objects;

public record Book(String isbn, String title, String author, int copies) {
    public Book {
        Objects.requireNonNull(title);
        if (!Isbn.isValid(isbn)) {
            throw new IllegalArgumentException("not an ISBN: " + isbn);
        }
        if (copies < 1) {
            throw new IllegalArgumentException("no copy of " + title);
        }
    }
}
