#ifndef CHECK_H
#define CHECK_H
#include <stdio.h>
#include <string.h>

static int check_failed;
static const char *check_test;

#define CHECK_STR(got, want)                                                                        \
    do {                                                                                            \
        const char *got_ = (got), *want_ = (want);                                                  \
        if (!got_ || strcmp(got_, want_) != 0) {                                                    \
            printf("%s:%d: %s: expected \"%s\", got \"%s\"\n", __FILE__, __LINE__, check_test, want_, \
                   got_ ? got_ : "(null)");                                                         \
            check_failed++;                                                                         \
            return;                                                                                 \
        }                                                                                           \
    } while (0)

#define CHECK_INT(got, want)                                                                        \
    do {                                                                                            \
        long got_ = (got), want_ = (want);                                                          \
        if (got_ != want_) {                                                                        \
            printf("%s:%d: %s: expected %ld, got %ld\n", __FILE__, __LINE__, check_test, want_, got_); \
            check_failed++;                                                                         \
            return;                                                                                 \
        }                                                                                           \
    } while (0)

#define RUN(test)             \
    do {                      \
        check_test = #test;   \
        test();               \
    } while (0)
#endif
