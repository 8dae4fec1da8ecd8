/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration's tests share: reading a text, comparing the report, finding the repository's files. */
#ifndef TESTS_CONFIG_TESTING_H
#define TESTS_CONFIG_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/config_report.h"
#include "base/buf.h"
#include "base/mem.h"

/* Stands before a test's own lines where these do not matter; six lines. */
#define CONFIG_BASE \
    "providers:\n" \
    "  openai: {api: openai, base_url: https://api.openai.com/v1}\n" \
    "models:\n" \
    "  gpt: {provider: openai, name: gpt-4o}\n"

/* One reading; config_reading_done() frees it. */
struct config_reading {
    struct config *config; /* NULL: refused */
    char *report;          /* as printed, "" when there is no problem */
    int n_errors;
};

static inline struct config_reading config_read_named(const char *text, size_t len, const char *name,
                                                      const struct config_input *in)
{
    static const struct config_input nothing;
    struct config_reading r = {0};
    struct config_report report;
    struct buf b;

    buf_init(&b, 0);
    config_report_init(&report, "tutti");
    (void)config_parse(text, len, name, in == NULL ? &nothing : in, &report, &r.config);
    r.n_errors = report.n_errors;
    config_report_print(&report, &b);
    r.report = b.p == NULL ? mem_strdup("") : buf_take(&b, NULL);
    buf_done(&b);
    config_report_done(&report);
    return r;
}

static inline struct config_reading config_read(const char *text, const struct config_input *in)
{
    return config_read_named(text, strlen(text), "tutti.yaml", in);
}

static inline void config_reading_done(struct config_reading *r)
{
    config_free(r->config);
    mem_free(r->report);
}

/* The report without its last line. */
static inline void cut_summary(char *report)
{
    size_t len = strlen(report);

    while (len > 1 && report[len - 2] != '\n')
        len--;
    if (len > 0)
        report[len - 1] = '\0';
}

/* Path of a file of the repository: this header is tests/unit/app/config_testing.h. */
static inline const char *repository_file(const char *path)
{
    static char out[1024];
    const char *here = strstr(__FILE__, "tests/unit/app/");

    (void)snprintf(out, sizeof(out), "%.*s%s", (int)(here - __FILE__), __FILE__, path);
    return out;
}

/* The file as a string; mem_free() it. */
static inline char *read_repository_file(const char *path)
{
    FILE *f = fopen(repository_file(path), "rb");
    struct buf b;
    char part[4096];
    size_t n;

    if (f == NULL)
        return NULL;
    buf_init(&b, 0);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, n);
    (void)fclose(f);
    return buf_take(&b, NULL);
}

#endif
