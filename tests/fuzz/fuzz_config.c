/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds bytes to the configuration reader. Whatever they are, it gives a whole configuration or at least one error that
 * can be printed. One thread. */
#include <stdint.h>
#include <string.h>

#include "app/config.h"
#include "app/config_report.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* libfyaml 0.7.12 loses 1 KiB per single-quoted scalar with dozens of '' (found here); a file is read once. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static void check_config(const struct config *c)
{
    CHECK(c->n_models > 0 && c->kafka.jobs.n > 0);
    CHECK(c->kafka.brokers != NULL && c->redis.url != NULL && c->journal.url != NULL);
    for (size_t i = 0; i < c->n_models; i++) {
        const struct config_model *m = &c->models[i];

        CHECK(m->provider != NULL && m->provider->base_url != NULL && m->name != NULL);
        CHECK(m->timeout.connect_us <= m->timeout.total_us && m->timeout.total_us <= c->jobs.deadline_us);
        CHECK((m->limits.largest_call > 0) == (m->limits.tokens_per_minute > 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char *const env[] = {"KEY=sk-secret", "EMPTY=", NULL};
    struct config_input in = {.env = env};
    struct config_report report;
    struct config *c = NULL;
    struct buf b;
    int r;

    if (memmem(bytes, len, "${file:", 7) != NULL)
        return 0; /* a fuzzer should not read any file it likes */
    buf_init(&b, 0);
    config_report_init(&report, "fuzz");
    r = config_parse((const char *)bytes, len, "fuzz.yaml", &in, &report, &c);
    CHECK((r == 0) == (c != NULL) && (r == 0) == (report.n_errors == 0));
    if (c != NULL)
        check_config(c);
    config_report_print(&report, &b);
    CHECK((b.len > 0) == (report.n_problems > 0));
    config_free(c);
    config_report_done(&report);
    buf_done(&b);
    return 0;
}
