package bank;

import java.util.ArrayList;
import java.util.List;

public class Account {
    private final List<Long> entries = new ArrayList<>();

    public void deposit(long cents) {
        entries.add(cents);
    }

    public void withdraw(long cents) {
        entries.add(cents);
    }

    public long balance() {
        return entries.stream().mapToLong(Long::longValue).sum();
    }
}
