package routes;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

public class Router {
    public record Answer(int status, String body) {}

    private record Route(String method, Pattern pattern, Function<Map<String, String>, String> action) {}

    private final List<Route> routes = new ArrayList<>();

    public Router on(String method, String path, Function<Map<String, String>, String> action) {
        routes.add(new Route(method.toUpperCase(), new Pattern(path), action));
        routes.sort(Comparator.comparingInt((Route route) -> route.pattern().weight()).reversed());
        return this;
    }

    public Answer handle(String method, String target) {
        int at = target.indexOf('?');
        String path = at < 0 ? target : target.substring(0, at);
        Map<String, String> query = Query.parse(at < 0 ? "" : target.substring(at + 1));
        boolean known = false;
        for (Route route : routes) {
            var found = route.pattern().match(path);
            if (found.isEmpty()) {
                continue;
            }
            known = true;
            if (route.method().equals(method)) {
                return call(route, merge(query, found.get()));
            }
        }
        return known ? new Answer(405, "no such method") : new Answer(404, "not found: " + path);
    }

    private Map<String, String> merge(Map<String, String> query, Map<String, String> path) {
        Map<String, String> merged = new LinkedHashMap<>(query);
        merged.putAll(path);
        return merged;
    }

    private Answer call(Route route, Map<String, String> values) {
        try {
            return new Answer(200, route.action().apply(values));
        } catch (IllegalArgumentException error) {
            return new Answer(400, error.getMessage());
        }
    }
}
