#include "check.h"
#include "json.h"

static json *parsed(const char *source)
{
    char error[64] = "";
    json *value = json_parse(source, error, sizeof error);
    if (!value)
        printf("  (%s: %s)\n", source, error);
    return value;
}

static void test_numbers(void)
{
    json *list = parsed("[1, -2.5, 1e3]");
    CHECK(list && list->count == 3);
    CHECK(json_at(list, 1)->number == -2.5);
    CHECK(json_at(list, 2)->number == 1000);
    CHECK(json_at(list, 3) == NULL);
}

static void test_last_key_counts(void)
{
    json *object = parsed("{\"a\": 1, \"b\": {\"c\": null}, \"a\": 2}");
    CHECK(object != NULL);
    CHECK(json_get(object, "a")->number == 2);
    CHECK(json_get(json_get(object, "b"), "c")->type == JSON_NULL);
}

static void test_escapes(void)
{
    json *text = parsed("\"tab\\t quote\\\" \\u00e9 \\u20ac\"");
    CHECK(text && text->type == JSON_STRING);
    CHECK_TEXT(text->text, "tab\t quote\" \xc3\xa9 \xe2\x82\xac");
}

static void test_many_siblings(void)
{
    char source[200] = "[";
    for (int i = 0; i < 40; i++)
        strcat(source, i ? ",[]" : "[]");
    strcat(source, "]");
    json *list = parsed(source);
    CHECK(list && list->count == 40);
}

static void test_errors_have_places(void)
{
    char error[64];
    CHECK(json_parse("[1, 2", error, sizeof error) == NULL);
    CHECK_TEXT(error, "open list at 5");
    CHECK(json_parse("{} x", error, sizeof error) == NULL);
    CHECK_TEXT(error, "something follows at 3");
}

void run_parse_tests(void)
{
    RUN(test_numbers);
    RUN(test_last_key_counts);
    RUN(test_escapes);
    RUN(test_many_siblings);
    RUN(test_errors_have_places);
}
