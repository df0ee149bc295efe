#ifndef INI_H
#define INI_H
#include "map.h"

typedef struct ini {
    map values;
    char error[120];
} ini;

/* Give 0, or the number of the first bad line (from 1); error says what is wrong. */
int ini_parse(ini *doc, const char *text);
void ini_free(ini *doc);
const char *ini_get(const ini *doc, const char *key);
long ini_number(const ini *doc, const char *key, long otherwise);
int ini_flag(const ini *doc, const char *key, int otherwise);
/* The value with ${section.key} replaced; NULL where one is missing or they go in circles. */
char *ini_expand(const ini *doc, const char *key);
char *ini_write(const ini *doc);
#endif
