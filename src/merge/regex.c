/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions out of jobs, over PCRE2. Whoever may write jobs may write patterns that backtrack for years, so
 * every match counts its steps through PCRE2's automatic callouts and ends at a bound (its own match limit starts anew
 * at each place of the text). Never compiled to machine code. Pure; any thread. */
#include "merge/regex.h"

#include <errno.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    STEPS_MAX = 200000,         /* some 10 ms */
    SUBJECT_BYTES_MAX = 262144, /* of a longer answer only the beginning is looked at */
    HEAP_KIB_MAX = 4096,
    NEST_MAX = 50,
};

static pcre2_code *compile(struct text pattern, int *out_error, size_t *out_at)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_code *code;

    if (context == NULL)
        return NULL;
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    pcre2_set_max_pattern_length(context, REGEX_BYTES_MAX);
    code =
        pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, out_error, out_at, context);
    pcre2_compile_context_free(context);
    return code;
}

int regex_check(struct text pattern, char *why, size_t size)
{
    PCRE2_UCHAR words[120] = "no memory";
    int error = 0;
    size_t at = 0;
    pcre2_code *code;

    if (pattern.len > REGEX_BYTES_MAX) {
        snprintf(why, size, "a regular expression may have %d bytes", (int)REGEX_BYTES_MAX);
        return -EINVAL;
    }
    code = compile(pattern, &error, &at);
    if (code == NULL) {
        (void)pcre2_get_error_message(error, words, sizeof(words));
        snprintf(why, size, "not a regular expression: %s at byte %zu", (const char *)words, at);
        return -EINVAL;
    }
    pcre2_code_free(code);
    return 0;
}

static int on_step(pcre2_callout_block *block, void *arg)
{
    int *left = arg;

    (void)block;
    return --*left > 0 ? 0 : PCRE2_ERROR_CALLOUT;
}

static struct text match(const pcre2_code *code, struct text subject, pcre2_match_data *data,
                         pcre2_match_context *context)
{
    int left = STEPS_MAX, n;
    const size_t *at;
    size_t i;

    pcre2_set_callout(context, on_step, &left);
    pcre2_set_match_limit(context, STEPS_MAX);
    pcre2_set_heap_limit(context, HEAP_KIB_MAX);
    n = pcre2_match(code, (PCRE2_SPTR)subject.p, subject.len, 0, 0, data, context);
    if (n < 1)
        return TEXT_NONE; /* no match, a bound, or not UTF-8 */
    at = pcre2_get_ovector_pointer(data);
    i = pcre2_get_ovector_count(data) > 1 ? 2 : 0;
    if ((i > 0 && n < 2) || at[i] == PCRE2_UNSET || at[i + 1] < at[i])
        return TEXT_NONE; /* its group took no part */
    return text_slice(subject.p + at[i], at[i + 1] - at[i]);
}

struct text regex_find(struct text pattern, struct text subject)
{
    struct text found = TEXT_NONE;
    pcre2_match_data *data = NULL;
    pcre2_match_context *context = NULL;
    pcre2_code *code;
    int error;
    size_t at;

    code = compile(pattern, &error, &at);
    if (code != NULL) {
        data = pcre2_match_data_create_from_pattern(code, NULL);
        context = pcre2_match_context_create(NULL);
    }
    if (data != NULL && context != NULL)
        found = match(code, text_cut(subject, SUBJECT_BYTES_MAX), data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return found;
}
