package org.library;

import java.time.LocalDate;
import java.time.temporal.ChronoUnit;

final class Loan {
    static final int DAYS = 28;
    static final int MAX_RENEWALS = 2;

    private final String member;
    private LocalDate due;
    private int renewals;

    Loan(String member, LocalDate from) {
        this.member = member;
        this.due = from.plusDays(DAYS);
    }

    String member() {
        return member;
    }

    LocalDate due() {
        return due;
    }

    boolean renew(LocalDate today) {
        if (renewals >= MAX_RENEWALS || isLate(today)) {
            return false;
        }
        renewals++;
        due = due.plusDays(DAYS);
        return true;
    }

    boolean isLate(LocalDate today) {
        return today.isAfter(due);
    }

    long daysLate(LocalDate today) {
        return Math.max(0, ChronoUnit.DAYS.between(due, today));
    }
}
