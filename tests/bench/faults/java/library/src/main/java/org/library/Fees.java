package org.library;

import java.time.LocalDate;
import java.util.Collection;

/** Cents that are due for late books. */
final class Fees {
    private static final int GRACE = 3;
    private static final int PER_DAY = 20;
    private static final int MOST = 1000;

    private Fees() {}

    static int of(Loan loan, LocalDate today) {
        long late = loan.daysLate(today);
        if (late <= GRACE) {
            return 0;
        }
        return (int) Math.min(MOST, late * PER_DAY);
    }

    static int total(Collection<Loan> loans, LocalDate today) {
        return loans.stream().mapToInt(loan -> of(loan, today)).sum();
    }
}
