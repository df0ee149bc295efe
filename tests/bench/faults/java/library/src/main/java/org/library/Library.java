package org.library;

import java.time.LocalDate;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Library {
    private final Map<String, Book> books = new HashMap<>();
    private final Map<String, List<Loan>> loans = new HashMap<>();
    private final Map<String, Deque<String>> waiting = new HashMap<>();

    public void add(Book book) {
        books.put(book.isbn(), book);
    }

    public int available(String isbn) {
        return find(isbn).copies() - loansOf(isbn).size();
    }

    public LocalDate lend(String isbn, String member, LocalDate today) {
        Deque<String> queue = waiting.getOrDefault(isbn, new ArrayDeque<>());
        if (available(isbn) == 0 || (!queue.isEmpty() && !queue.peekFirst().equals(member))) {
            throw new IllegalStateException(find(isbn).title() + " is not to be had");
        }
        queue.pollFirst();
        Loan loan = new Loan(member, today);
        loansOf(isbn).add(loan);
        return loan.due();
    }

    public int giveBack(String isbn, String member, LocalDate today) {
        Loan loan = loan(isbn, member);
        loansOf(isbn).remove(loan);
        return Fees.of(loan, today);
    }

    public boolean renew(String isbn, String member, LocalDate today) {
        if (!waiting.getOrDefault(isbn, new ArrayDeque<>()).isEmpty()) {
            return false;
        }
        return loan(isbn, member).renew(today);
    }

    public int reserve(String isbn, String member) {
        Deque<String> queue = waiting.computeIfAbsent(isbn, key -> new ArrayDeque<>());
        if (!queue.contains(member)) {
            queue.addLast(member);
        }
        return queue.size();
    }

    public int owed(String member, LocalDate today) {
        List<Loan> own = loans.values().stream().flatMap(List::stream).filter(loan -> loan.member().equals(member)).toList();
        return Fees.total(own, today);
    }

    private Book find(String isbn) {
        Book book = books.get(isbn);
        if (book == null) {
            throw new IllegalArgumentException("no book " + isbn);
        }
        return book;
    }

    private List<Loan> loansOf(String isbn) {
        return loans.computeIfAbsent(isbn, key -> new ArrayList<>());
    }

    private Loan loan(String isbn, String member) {
        return loansOf(isbn).stream()
                .filter(loan -> loan.member().equals(member))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(member + " does not have " + isbn));
    }
}
