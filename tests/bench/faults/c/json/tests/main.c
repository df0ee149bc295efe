#include "check.h"

int failures;
const char *running;

int main(void)
{
    run_parse_tests();
    run_print_tests();
    printf("%d failed\n", failures);
    return failures > 0;
}
