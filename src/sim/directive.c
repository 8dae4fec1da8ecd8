/* SPDX-License-Identifier: Apache-2.0 */
/* Orders that a test writes into its prompt, `[[sim: word word=value ...]]`. Unknown words are passed over: a prompt is
 * text, not a program. No state; any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "sim/sim_internal.h"

enum { WORD_BYTES = 160 };

static const char *const fault_names[SIM_FAULT_MAX] = {
    [SIM_OK] = "ok",
    [SIM_E429] = "e429",
    [SIM_E500] = "e500",
    [SIM_E503] = "e503",
    [SIM_RESET] = "reset",
    [SIM_TRUNCATE] = "truncate",
    [SIM_SILENCE] = "silence",
    [SIM_DRIP] = "drip",
    [SIM_STALL] = "stall",
    [SIM_EMPTY] = "empty",
    [SIM_BAD_JSON] = "bad_json",
    [SIM_ERROR200] = "error200",
    [SIM_OVERLOADED] = "overloaded",
    [SIM_QUOTA] = "quota",
    [SIM_CONTEXT] = "context",
    [SIM_FILTER] = "filter",
    [SIM_REFUSAL] = "refusal",
    [SIM_STATUS] = "status",
};

const char *sim_fault_name(enum sim_fault f)
{
    return fault_names[f];
}

/* One directive being read. */
struct directive {
    struct orders o;
    bool is_for_us;
};

static void order_fault(struct directive *d, enum sim_fault f)
{
    d->o.has_fault = true;
    d->o.fault = f;
}

static int64_t read_tokens(const char *value)
{
    int64_t n = (int64_t)strtoll(value, NULL, 10);

    return n > 0 ? n : 0;
}

/* "word" or "word=value"; value is "" without one. */
static void take_word(struct directive *d, const char *word, const char *value, const char *model, uint32_t attempt)
{
    if (strcmp(word, "model") == 0) {
        d->is_for_us &= strcmp(value, model) == 0;
    } else if (strcmp(word, "times") == 0) {
        d->is_for_us &= attempt <= strtoul(value, NULL, 10);
    } else if (strcmp(word, "latency") == 0) {
        (void)units_duration(value, &d->o.latency_us); /* not a duration: not ordered */
    } else if (strcmp(word, "retry_after") == 0) {
        d->o.retry_after_ms = (int64_t)(strtod(value, NULL) * 1000);
    } else if (strcmp(word, "finish") == 0) {
        (void)snprintf(d->o.finish, sizeof(d->o.finish), "%s", value);
    } else if (strcmp(word, "tool") == 0) {
        (void)snprintf(d->o.tool, sizeof(d->o.tool), "%s", value[0] != '\0' ? value : "*");
    } else if (strcmp(word, "reasoning") == 0) {
        d->o.reasoning_tokens = read_tokens(value);
    } else if (strcmp(word, "cached") == 0) {
        d->o.cached_tokens = read_tokens(value);
    } else if (strcmp(word, "should_retry") == 0) {
        d->o.should_retry = strcmp(value, "false") != 0;
    } else if (strcmp(word, "plain") == 0) {
        d->o.is_plain = true;
    } else if (strcmp(word, "markup") == 0) {
        d->o.is_marked = true;
    } else if (strcmp(word, "status") == 0) {
        d->o.status = (int)strtol(value, NULL, 10);
        if (d->o.status >= 300 && d->o.status <= 599)
            order_fault(d, SIM_STATUS);
    } else {
        for (int f = SIM_E429; f < SIM_STATUS; f++)
            if (strcmp(word, fault_names[f]) == 0)
                order_fault(d, (enum sim_fault)f);
        if (strcmp(word, "stall") == 0)
            (void)units_duration(value, &d->o.stall_us);
    }
}

/* The words in p..end. */
static struct directive read_words(const char *p, const char *end, const char *model, uint32_t attempt)
{
    static const char answer[] = "answer=";
    struct directive d = {.is_for_us = true, .o = ORDERS_NONE};

    while (p < end) {
        char word[WORD_BYTES];
        char *equals;
        size_t len = 0;

        while (p < end && (*p == ' ' || *p == '\n'))
            p++;
        if ((size_t)(end - p) >= sizeof(answer) - 1 && memcmp(p, answer, sizeof(answer) - 1) == 0) {
            p += sizeof(answer) - 1;
            d.o.answer = text_slice(p, (size_t)(end - p)); /* all the rest */
            break;
        }
        for (; p < end && *p != ' ' && *p != '\n'; p++)
            if (len + 1 < sizeof(word))
                word[len++] = *p;
        word[len] = '\0';
        equals = strchr(word, '=');
        if (equals != NULL)
            *equals = '\0';
        take_word(&d, word, equals != NULL ? equals + 1 : "", model, attempt);
    }
    return d;
}

/* What the first directive orders stays. */
static void add_up(struct orders *sum, const struct orders *o)
{
    if (o->has_fault && !sum->has_fault) {
        sum->has_fault = true;
        sum->fault = o->fault;
        sum->status = o->status;
        sum->stall_us = o->stall_us;
    }
    if (sum->latency_us < 0)
        sum->latency_us = o->latency_us;
    if (sum->retry_after_ms < 0)
        sum->retry_after_ms = o->retry_after_ms;
    if (sum->answer.p == NULL)
        sum->answer = o->answer;
    if (sum->reasoning_tokens < 0)
        sum->reasoning_tokens = o->reasoning_tokens;
    if (sum->cached_tokens < 0)
        sum->cached_tokens = o->cached_tokens;
    if (sum->should_retry < 0)
        sum->should_retry = o->should_retry;
    sum->is_plain |= o->is_plain;
    sum->is_marked |= o->is_marked;
    if (sum->tool[0] == '\0')
        memcpy(sum->tool, o->tool, sizeof(sum->tool));
    if (sum->finish[0] == '\0')
        memcpy(sum->finish, o->finish, sizeof(sum->finish));
}

void orders_read(const char *prompt, size_t len, const char *model, uint32_t attempt, struct orders *out)
{
    static const char open[] = "[[sim:";
    struct orders sum = ORDERS_NONE;
    const char *end = len > 0 ? prompt + len : prompt;
    const char *p = prompt;

    while (p < end && (p = memmem(p, (size_t)(end - p), open, sizeof(open) - 1)) != NULL) {
        const char *close;

        p += sizeof(open) - 1;
        close = memmem(p, (size_t)(end - p), "]]", 2);
        if (close == NULL)
            break;
        struct directive d = read_words(p, close, model, attempt);

        if (d.is_for_us)
            add_up(&sum, &d.o);
        p = close + 2;
    }
    *out = sum;
}
