#include "check.h"
#include "json.h"

static const char *round_trip(const char *source)
{
    char error[64];
    json *value = json_parse(source, error, sizeof error);
    return value ? json_print(value) : error[0] ? "(error)" : "(nothing)";
}

static void test_compact(void)
{
    CHECK_TEXT(round_trip(" { \"a\" : [ 1 , true , null ] } "), "{\"a\":[1,true,null]}");
}

static void test_escaped_again(void)
{
    CHECK_TEXT(round_trip("\"a\\n\\\"b\\\"\""), "\"a\\n\\\"b\\\"\"");
}

static void test_fractions(void)
{
    CHECK_TEXT(round_trip("[0.5, 100000, -3]"), "[0.5,100000,-3]");
}

static void test_long_text(void)
{
    CHECK_TEXT(round_trip("\"a text of more than sixteen characters\""), "\"a text of more than sixteen characters\"");
}

void run_print_tests(void)
{
    RUN(test_compact);
    RUN(test_escaped_again);
    RUN(test_fractions);
    RUN(test_long_text);
}
