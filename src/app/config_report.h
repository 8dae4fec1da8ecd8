/* SPDX-License-Identifier: Apache-2.0 */
/* The problems found in a configuration, each with its place, as people and as programs read them. One thread. */
#ifndef APP_CONFIG_REPORT_H
#define APP_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct buf;
struct json_write;

/* Where a value was written. All zero: nowhere in particular. */
struct config_place {
    const char *origin; /* NULL: the file; else "TUTTI_REDIS__URL" or "--set jobs.deadline" */
    int line;           /* 1.., 0: unknown */
    int column;         /* 1.., in characters */
    int width;          /* characters to underline, >= 1 when line is known */
};

struct config_problem {
    bool is_warning;
    struct config_place place;
    const char *text;
    int seq; /* order of discovery */
};

struct config_report {
    struct arena *arena;
    const char *name;   /* of the file */
    const char *source; /* its bytes, for the source lines; NULL: none. Borrowed from the arena */
    size_t source_len;
    struct config_problem *problems; /* problems[n_problems] */
    int n_problems;
    int n_errors;
};

void config_report_init(struct config_report *r, const char *name);
void config_report_done(struct config_report *r);
/* Takes a copy of the file's name and bytes. */
void config_report_source(struct config_report *r, const char *name, const char *bytes, size_t len);
void config_error(struct config_report *r, struct config_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void config_warning(struct config_report *r, struct config_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends every problem as `file:line:col: error: text`, the source line and a caret line, in the order of the file,
 * then a summary line when there is a file. Values of secret keys are masked. Nothing when there is no problem. */
void config_report_print(struct config_report *r, struct buf *out);
/* The same as keys of the JSON object that the caller has opened:
 * {"file","ok","errors","warnings","problems":[{"severity","origin","line","column","text"}]}. */
void config_report_json(struct config_report *r, struct json_write *w);

#endif
