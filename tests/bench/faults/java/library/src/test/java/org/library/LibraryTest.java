package org.library;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.LocalDate;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

class LibraryTest {
    private static final String ISBN = "978-0-306-40615-7";
    private static final LocalDate TODAY = LocalDate.of(2024, 3, 1);

    private Library library;

    @BeforeEach
    void fill() {
        library = new Library();
        library.add(new Book(ISBN, "Granite", "A. Stone", 2));
    }

    private void assertFee(int cents, int daysLate) {
        library.lend(ISBN, "eve", TODAY);
        assertEquals(cents, library.giveBack(ISBN, "eve", TODAY.plusDays(28 + daysLate)), daysLate + " days late");
    }

    @Test
    void lendsForFourWeeks() {
        assertEquals(LocalDate.of(2024, 3, 29), library.lend(ISBN, "ann", TODAY));
        assertEquals(1, library.available(ISBN));
    }

    @Test
    void waitsInOrder() {
        library.reserve(ISBN, "bob");
        assertEquals(2, library.reserve(ISBN, "eve"));
        assertThrows(IllegalStateException.class, () -> library.lend(ISBN, "eve", TODAY));
        library.lend(ISBN, "bob", TODAY);
        library.lend(ISBN, "eve", TODAY);
        assertEquals(0, library.available(ISBN));
    }

    @Test
    void refusesBadNumbers() {
        assertThrows(IllegalArgumentException.class, () -> new Book("978-0-306-40615-8", "Chalk", "A. Stone", 1));
    }

    @Nested
    @DisplayName("fees")
    class FeesTest {
        @Test
        void areNothingInTheDaysOfGrace() {
            assertFee(0, 3);
        }

        @Test
        void countEveryDay() {
            assertFee(100, 5);
        }

        @Test
        void haveAnEnd() {
            assertFee(1000, 365);
        }
    }

    @Test
    void renewsTwice() {
        library.lend(ISBN, "ann", TODAY);
        assertTrue(library.renew(ISBN, "ann", TODAY.plusDays(28)));
        assertTrue(library.renew(ISBN, "ann", TODAY.plusDays(56)));
        assertFalse(library.renew(ISBN, "ann", TODAY.plusDays(57)));
    }

    @Test
    void sumsWhatIsOwed() {
        library.lend(ISBN, "ann", TODAY);
        library.lend(ISBN, "eve", TODAY);
        assertEquals(200, library.owed("ann", TODAY.plusDays(38)));
    }
}
