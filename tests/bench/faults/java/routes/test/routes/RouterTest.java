package routes;

import static org.junit.Assert.assertEquals;

import java.util.Map;
import org.junit.Before;
import org.junit.Test;
import routes.Router.Answer;

public class RouterTest {
    private Router router;

    @Before
    public void setUp() {
        router =
                new Router()
                        .on("get", "/users/{id}", values -> "user " + values.get("id"))
                        .on("get", "/users/me", values -> "myself")
                        .on("get", "/users/{id}/files/{rest...}", values -> values.get("id") + ":" + values.get("rest"))
                        .on("post", "/search", RouterTest::search);
    }

    private static String search(Map<String, String> values) {
        if (values.getOrDefault("q", "").isBlank()) {
            throw new IllegalArgumentException("q is missing");
        }
        return values.get("q") + "/" + values.getOrDefault("page", "1");
    }

    private void check(String method, String target, int status, String body) {
        assertEquals(new Answer(status, body), router.handle(method, target));
    }

    @Test
    public void namesAreTaken() {
        check("GET", "/users/42?id=7", 200, "user 42");
    }

    @Test
    public void plainPartsWin() {
        check("GET", "/users/me", 200, "myself");
    }

    @Test
    public void theRestMayHaveSlashes() {
        check("GET", "/users/7/files/a/b.txt", 200, "7:a/b.txt");
        check("GET", "/users/7/files", 200, "7:");
    }

    @Test
    public void queriesAreDecoded() {
        check("POST", "/search?q=red+tea%21&page=2", 200, "red tea!/2");
        check("POST", "/search?q", 400, "q is missing");
    }

    @Test
    public void otherMethodsAreTold() {
        check("GET", "/search", 405, "no such method");
    }

    @Test
    public void longerPathsAreNotFound() {
        check("GET", "/users/7/letters", 404, "not found: /users/7/letters");
    }
}
