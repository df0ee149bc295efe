package routes;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

final class Query {
    private Query() {}

    static Map<String, String> parse(String text) {
        Map<String, String> found = new LinkedHashMap<>();
        if (text.isEmpty()) {
            return found;
        }
        for (String pair : text.split("&")) {
            int at = pair.indexOf('=');
            String name = at < 0 ? pair : pair.substring(0, at);
            String value = at < 0 ? "" : pair.substring(at + 1);
            found.put(decode(name), decode(value));
        }
        return found;
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }
}
