#include "textfmt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_wrap(const char *text, size_t columns, const char *expected)
{
    char *got = wrap(text, columns);
    if (strcmp(got, expected) != 0)
        fprintf(stderr, "wrap(\"%s\", %zu) gave:\n%s\n", text, columns, got);
    assert(strcmp(got, expected) == 0);
    free(got);
}

static void test_wrap(void)
{
    expect_wrap("the quick  brown fox", 9, "the quick\nbrown fox");
    expect_wrap("a bb", 4, "a bb");
}

static void test_wrap_long_words(void)
{
    expect_wrap("incomprehensible", 6, "incomp\nrehens\nible");
    expect_wrap("caf\xc3\xa9s", 4, "caf\xc3\xa9\ns");
}

static void test_table(void)
{
    static const enum align aligns[] = {ALIGN_LEFT, ALIGN_RIGHT, ALIGN_CENTRE};
    struct table t = {3, aligns};
    const char *cells[] = {"tea", "2", "green", "coffee", "10", "b"};
    char *got = table_format(&t, cells, 2);
    assert(strcmp(got, "tea    |  2 | green\ncoffee | 10 |   b  \n") == 0);
    free(got);
}

static void test_buffer_grows(void)
{
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < 100; i++)
        buf_adds(&b, "0123456789");
    assert(b.len == 1000);
    assert(b.cap > b.len && strlen(b.data) == 1000);
    buf_free(&b);
}

int main(void)
{
    test_wrap();
    test_wrap_long_words();
    test_table();
    test_buffer_grows();
    puts("all tests passed");
    return 0;
}
