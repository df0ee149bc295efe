package routes;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A path such as /users/{id}/files/{rest...}. */
final class Pattern {
    private final List<String> parts;

    Pattern(String text) {
        parts = split(text);
    }

    static List<String> split(String path) {
        List<String> parts = new ArrayList<>();
        for (String part : path.split("/")) {
            if (!part.isEmpty()) {
                parts.add(part);
            }
        }
        return parts;
    }

    private static boolean isName(String part) {
        return part.startsWith("{") && part.endsWith("}");
    }

    private static boolean isRest(String part) {
        return part.startsWith("{") && part.endsWith("...}");
    }

    Optional<Map<String, String>> match(String path) {
        List<String> given = split(path);
        Map<String, String> found = new LinkedHashMap<>();
        for (int i = 0; i < parts.size(); i++) {
            String part = parts.get(i);
            if (isRest(part)) {
                found.put(part.substring(1, part.length() - 4), String.join("/", given.subList(i, given.size())));
                return Optional.of(found);
            }
            if (i >= given.size()) {
                return Optional.empty();
            }
            if (isName(part)) {
                found.put(part.substring(1, part.length() - 1), given.get(i));
            } else if (!part.equals(given.get(i))) {
                return Optional.empty();
            }
        }
        return given.size() == parts.size() ? Optional.of(found) : Optional.empty();
    }

    /** How special a pattern is: plain parts count more than named ones. */
    int weight() {
        int weight = 0;
        for (String part : parts) {
            weight = weight * 3 + (isRest(part) ? 0 : isName(part) ? 1 : 2);
        }
        return weight;
    }
}
