/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a request, before a dialect words it: the message templates and which problem an ordered status or
 * a fault stands for. Never writes a body. No state; any thread. */
#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "sim/dialect.h"

static void add_word(struct buf *out, const char *word, size_t len, const struct problem *p)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"limit", p->limit},
        {"used", p->over != NULL ? p->over->used : 0},
        {"requested", p->over != NULL ? p->over->requested : 0},
        {"tokens", p->tokens},
    };
    struct text name = text_slice(word, len);

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (text_is(name, numbers[i].name)) {
            buf_add_i64(out, numbers[i].value);
            return;
        }
    if (text_is(name, "model"))
        buf_add_str(out, p->model);
    else if (text_is(name, "unit"))
        buf_add_str(out, p->unit != NULL ? p->unit : "requests");
    else if (text_is(name, "wait"))
        buf_printf(out, "%gs", (double)((p->wait_us + 999) / 1000) / 1000);
    else if (p->detail.p != NULL)
        text_add_plain(out, p->detail);
}

void problem_say(struct buf *out, const char *message, const struct problem *p)
{
    const char *open;

    while ((open = strchr(message, '{')) != NULL) {
        const char *close = strchr(open, '}');

        CHECK(close != NULL);
        buf_add(out, message, (size_t)(open - message));
        add_word(out, open + 1, (size_t)(close - open - 1), p);
        message = close + 1;
    }
    buf_add_str(out, message);
}

enum problem_kind problem_of_status(const struct problem_row *rows, int status)
{
    static const enum problem_kind kinds[] = {
        PROBLEM_BAD_KEY, PROBLEM_FORBIDDEN, PROBLEM_MODEL,       PROBLEM_TOO_LARGE,
        PROBLEM_RATE,    PROBLEM_SERVER,    PROBLEM_UNAVAILABLE, PROBLEM_OVERLOADED,
    };
    static const int statuses[] = {401, 403, 404, 413, 429, 500, 503, 529};
    static_assert(ARRAY_LEN(kinds) == ARRAY_LEN(statuses), "pairs");

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (statuses[i] == status && rows[kinds[i]].status == status)
            return kinds[i];
    return PROBLEM_STATUS;
}

enum problem_kind problem_of_fault(enum sim_fault f)
{
    static const enum problem_kind kinds[SIM_FAULT_MAX] = {
        [SIM_E429] = PROBLEM_RATE,     [SIM_E500] = PROBLEM_SERVER,           [SIM_E503] = PROBLEM_UNAVAILABLE,
        [SIM_QUOTA] = PROBLEM_QUOTA,   [SIM_OVERLOADED] = PROBLEM_OVERLOADED, [SIM_CONTEXT] = PROBLEM_CONTEXT,
        [SIM_FILTER] = PROBLEM_FILTER, [SIM_ERROR200] = PROBLEM_INSIDE_200,   [SIM_STATUS] = PROBLEM_STATUS,
    };

    return kinds[f];
}
