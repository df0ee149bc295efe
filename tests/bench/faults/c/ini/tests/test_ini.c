#include <stdlib.h>

#include "../src/ini.h"
#include "check.h"

static const char *SAMPLE =
    "; a comment\n"
    "name = demo ; trailing\n"
    "[server]\n"
    "Host = localhost\n"
    "port = 0x1F90\n"
    "limit = 4k\n"
    "url = http://${host}:${port}/${path:-index}\n"
    "tags = a\n"
    "tags += b\n"
    "[.log]\n"
    "path = \"/var/log/${name}#1\"\n"
    "on = Yes\n"
    "long = one \\\n"
    "   two\n";

static ini load(const char *text)
{
    ini doc;
    ini_parse(&doc, text);
    return doc;
}

static void test_values(void)
{
    ini doc = load(SAMPLE);
    CHECK_STR(ini_get(&doc, "name"), "demo");
    CHECK_STR(ini_get(&doc, "server.host"), "localhost");
    CHECK_STR(ini_get(&doc, "server.tags"), "a,b");
    CHECK_STR(ini_get(&doc, "server.log.long"), "one two");
    ini_free(&doc);
}

static void test_kinds(void)
{
    ini doc = load(SAMPLE);
    CHECK_INT(ini_number(&doc, "server.port", 1), 8080);
    CHECK_INT(ini_number(&doc, "server.limit", 1), 4096);
    CHECK_INT(ini_number(&doc, "server.host", 7), 7);
    CHECK_INT(ini_flag(&doc, "server.log.on", 0), 1);
    CHECK_INT(ini_flag(&doc, "server.none", 1), 1);
    ini_free(&doc);
}

static void test_expand(void)
{
    ini doc = load(SAMPLE);
    char *url = ini_expand(&doc, "server.url");
    CHECK_STR(url, "http://localhost:0x1F90/index");
    char *path = ini_expand(&doc, "server.log.path");
    CHECK_STR(path, "/var/log/demo#1");
    free(url);
    free(path);
    ini_free(&doc);
}

static void test_circles(void)
{
    ini doc = load("a = ${b}\nb = ${a}\nc = ${none}\n");
    CHECK_INT(ini_expand(&doc, "a") == NULL, 1);
    CHECK_INT(ini_expand(&doc, "c") == NULL, 1);
    ini_free(&doc);
}

static void test_errors(void)
{
    ini doc;
    CHECK_INT(ini_parse(&doc, "a = 1\n\nno pair\n"), 3);
    CHECK_STR(doc.error, "line 3: no = in the line");
    ini_free(&doc);
    CHECK_INT(ini_parse(&doc, "a = 'x\n y'\nb = 'open"), 3);
    CHECK_STR(doc.error, "line 3: a quote is not closed");
    ini_free(&doc);
    CHECK_INT(ini_parse(&doc, "[.x]\n"), 1);
    ini_free(&doc);
}

static void test_write(void)
{
    ini doc = load("z = 1\n[b]\nq = \" a;\\\"b\\\"\"\n[a.c]\nn = x\\ny\n[b]\nr = \\\\\n");
    char *text = ini_write(&doc);
    CHECK_STR(text, "z = 1\n\n[b]\nq = \" a;\\\"b\\\"\"\n\n[a.c]\nn = x\\ny\n\n[b]\nr = \\\\\n");
    free(text);
    ini_free(&doc);
}

static void test_many(void)
{
    char text[4000] = "", line[40];
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "key%d = %d\n", i, i * 3);
        strcat(text, line);
    }
    ini doc = load(text);
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "KEY%d", i);
        CHECK_INT(ini_number(&doc, line, -1), i * 3);
    }
    CHECK_INT(map_remove(&doc.values, "key50"), 1);
    CHECK_INT(map_remove(&doc.values, "key50"), 0);
    CHECK_INT((long)doc.values.count, 99);
    ini_free(&doc);
}

int main(void)
{
    RUN(test_values);
    RUN(test_kinds);
    RUN(test_expand);
    RUN(test_circles);
    RUN(test_errors);
    RUN(test_write);
    RUN(test_many);
    if (check_failed)
        printf("%d failed\n", check_failed);
    return check_failed != 0;
}
