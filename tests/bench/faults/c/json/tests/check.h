#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

extern int failures;
extern const char *running;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("FAIL %s (%s:%d): %s\n", running, __FILE__, __LINE__, #condition); \
            failures++; \
            return; \
        } \
    } while (0)

#define CHECK_TEXT(actual, expected) \
    do { \
        const char *actual_ = (actual); \
        if (strcmp(actual_, expected) != 0) { \
            printf("FAIL %s (%s:%d): expected <%s>, got <%s>\n", running, __FILE__, __LINE__, expected, actual_); \
            failures++; \
            return; \
        } \
    } while (0)

#define RUN(test) (running = #test, test())

void run_parse_tests(void);
void run_print_tests(void);

#endif
