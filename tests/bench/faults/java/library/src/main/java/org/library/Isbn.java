package org.library;

final class Isbn {
    private static final int LENGTH = 13;

    private Isbn() {}

    static String digits(String text) {
        StringBuilder digits = new StringBuilder();
        for (char c : text.toCharArray()) {
            if (Character.isDigit(c)) {
                digits.append(c);
            } else if (c != '-' && c != ' ') {
                return "";
            }
        }
        return digits.toString();
    }

    static boolean isValid(String text) {
        String digits = digits(text);
        if (digits.length() != LENGTH) {
            return false;
        }
        int sum = 0;
        for (int i = 0; i < LENGTH; i++) {
            int weight = i % 2 == 0 ? 1 : 3;
            sum += weight * Character.getNumericValue(digits.charAt(i));
        }
        return sum % 10 == 0;
    }
}
