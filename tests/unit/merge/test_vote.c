/* SPDX-License-Identifier: Apache-2.0 */
/* vote: what is extracted from answers, how it is counted, ties, no vote at all, and patterns that would run for years.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/outcome.h"
#include "seam/merge.h"

enum { MEMBERS = 5 };

static const struct merge_ops *find_vote(void)
{
    int n;
    const struct merge_ops *const *all = merge_all(&n);

    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, "vote") == 0)
            return all[i];
    fail_msg("no vote");
    return NULL;
}

struct stage {
    struct arena *a;
    struct outcome storage[MEMBERS];
    const struct outcome *outcomes[MEMBERS];
    double weights[MEMBERS];
    struct merged out;
    const char *why;
};

static const char *const names[MEMBERS] = {"a", "b", "c", "d", "e"};

static void stage_init(struct stage *s)
{
    memset(s, 0, sizeof(*s));
    s->a = arena_new(512);
    s->out.winner = -1;
    for (int i = 0; i < MEMBERS; i++) {
        outcome_init(&s->storage[i]);
        s->outcomes[i] = &s->storage[i];
        s->weights[i] = 1;
    }
}

static int run(struct stage *s, const char *conf, int n)
{
    struct stage_view v = {
        .n = n, .names = names, .outcomes = s->outcomes, .weights = s->weights, .quorum = 1, .conf = text_of(conf)};

    return find_vote()->merge(&v, s->a, &s->out, &s->why);
}

static const char *plain(struct stage *s, struct text t)
{
    const char *p = text_decode(s->a, t, NULL);

    return p != NULL ? p : "(none)";
}

/* --- what is extracted --- */

#define NUMBER  "{\"strategy\":\"vote\",\"extract\":\"number\"}"
#define CHOICE  "{\"strategy\":\"vote\",\"extract\":\"choice\"}"
#define WORDS   "{\"strategy\":\"vote\",\"extract\":{\"choices\":[\"Safe\",\"not safe\",\"so-so\"]}}"
#define REGEX   "{\"strategy\":\"vote\",\"extract\":{\"regex\":\"#### *(\\\\S+)\"}}"
#define WHOLE   "{\"strategy\":\"vote\",\"extract\":{\"regex\":\"(?i)yes|no\"}}"
#define POINTER "{\"strategy\":\"vote\",\"extract\":{\"json_pointer\":\"/a/1/b~1c\"}}"
#define ROOT    "{\"strategy\":\"vote\",\"extract\":{\"json_pointer\":\"\"}}"

static const struct {
    const char *conf, *answer, *value;
} extracts[] = {
    {NULL, "Paris", "Paris"},
    {NULL, " \n ", "(none)"},

    {NUMBER, "The answer is 42.", "42"},
    {NUMBER, "First 3, then 4, so 7", "7"},
    {NUMBER, "It costs $1,234.50 in all", "1234.5"},
    {NUMBER, "12,34", "34"},
    {NUMBER, "0042", "42"},
    {NUMBER, "3.000", "3"},
    {NUMBER, ".5", "0.5"},
    {NUMBER, "0.50", "0.5"},
    {NUMBER, "-0", "0"},
    {NUMBER, "-0.0", "0"},
    {NUMBER, "about -17.25 degrees", "-17.25"},
    {NUMBER,
     "\xe2\x88\x92"
     "3",
     "-3"}, /* U+2212 */
    {NUMBER, "pages 3-5", "5"},
    {NUMBER, "**\\boxed{8}**", "8"},
    {NUMBER, "1.5e3", "1500"},
    {NUMBER, "-2E-2 m", "-0.02"},
    {NUMBER, "5 km", "5"},
    {NUMBER,
     "\xe2\x82\xac"
     "12",
     "12"}, /* a euro sign */
    {NUMBER, "100%", "100"},
    {NUMBER, "H2O and v3", "(none)"},
    {NUMBER, "none", "(none)"},
    {NUMBER, "123456789012345678901234567890", "123456789012345678901234567890"},
    {NUMBER, "1000000", "1000000"},
    {NUMBER, "10", "10"},

    {CHOICE, "B", "B"},
    {CHOICE, "b", "B"},
    {CHOICE, "(c).", "C"},
    {CHOICE, "The answer is B, a good choice. I think so.", "B"},
    {CHOICE, "A is wrong. The correct option is (C)", "C"},
    {CHOICE, "Answer: **D**", "D"},
    {CHOICE, "I think A) is tempting, yet B) it is", "B"},
    {CHOICE, "A dog. I like it.", "(none)"},
    {CHOICE, "I'm sure it's C", "C"},
    {CHOICE, "\\boxed{E}", "E"},
    {CHOICE, "nothing here", "(none)"},
    {CHOICE, "", "(none)"},

    {WORDS, "This is safe.", "Safe"},
    {WORDS, "SAFE", "Safe"},
    {WORDS, "It looks safe, but it is not  SAFE", "not safe"},
    {WORDS, "unsafe", "(none)"},
    {WORDS, "so-so", "so-so"},
    {WORDS, "maybe", "(none)"},

    {REGEX, "thinking...\n#### 18", "18"},
    {REGEX, "#### a and #### b", "a"}, /* the first */
    {REGEX, "18", "(none)"},
    {WHOLE, "I say YES and no", "YES"},

    {POINTER, "{\"a\":[0,{\"b/c\":\"x\"}]}", "x"},
    {POINTER, "```json\n{\"a\":[0,{\"b/c\":1.50}]}\n```", "1.5"},
    {POINTER, "Sure: {\"a\":[0,{\"b/c\":{\"z\": [1, \"q r\"]}}]} there.", "{\"z\":[1,\"q r\"]}"},
    {POINTER, "{\"a\":[0,{\"b/c\":true}]}", "true"},
    {POINTER, "{\"a\":[0,{\"b/c\":null}]}", "(none)"},
    {POINTER, "{\"a\":[0]}", "(none)"},
    {POINTER, "{\"a\":7}", "(none)"},
    {POINTER, "not json", "(none)"},
    {POINTER, "{\"a\":[", "(none)"},
    {ROOT, "\"yes\"", "yes"},
    {ROOT, "12.0", "12"},
};

static void test_extract(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(extracts); i++) {
        struct stage s;
        int r;

        stage_init(&s);
        s.storage[0].answer = text_of(extracts[i].answer);
        r = run(&s, extracts[i].conf, 1);
        if (strcmp(plain(&s, s.out.ballots[0].value), extracts[i].value) != 0)
            fail_msg("row %zu: %s gives '%s', wanted '%s'", i, extracts[i].answer, plain(&s, s.out.ballots[0].value),
                     extracts[i].value);
        assert_int_equal(r, strcmp(extracts[i].value, "(none)") == 0 ? -ENOMSG : 0);
        arena_free(s.a);
    }
}

/* --- what counts as the same --- */

static void test_the_same(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } rows[] = {
        {"Paris", " paris\n", true},
        {"New  York", "new\tyork", true},
        {"New York", "new\xc2\xa0york", true},
        {"\xc3\x84rger", "\xc3\xa4rger", true},                                         /* Latin */
        {"\xce\x91\xce\xa3", "\xce\xb1\xcf\x82", true},                                 /* Greek, with a final sigma */
        {"\xd0\x9f\xd0\xb5\xd1\x82\xd1\x80", "\xd0\xbf\xd0\x95\xd0\xa2\xd0\xa0", true}, /* Cyrillic */
        {"\xc5\xbd", "\xc5\xbe", true},
        {"\xe6\x9d\xb1\xe4\xba\xac", "\xe6\x9d\xb1\xe4\xba\xac", true},
        {"Paris", "Paris.", false},
        {"\xc3\x97", "\xc3\xb7", false}, /* no letters */
        {"ab", "a b", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage s;

        stage_init(&s);
        s.storage[0].answer = text_of(rows[i].a);
        s.storage[1].answer = text_of(rows[i].b);
        assert_int_equal(run(&s, NULL, 2), 0);
        if ((s.out.agreement > 0.9) != rows[i].is_same)
            fail_msg("row %zu: %s, %s", i, rows[i].a, rows[i].b);
        assert_string_equal(plain(&s, s.out.answer), rows[i].a); /* as it was said */
        arena_free(s.a);
    }
}

/* --- counting --- */

struct member {
    const char *answer;
    double weight; /* negative: the call failed */
};

static const struct {
    struct member members[MEMBERS];
    int n, winner;
    double agreement;
    double votes[MEMBERS]; /* -1: none */
} counts[] = {
    {{{"x", 1}, {"y", 1}, {"Y", 1}}, 3, 1, 2.0 / 3, {1, 2, 2}},
    {{{"x", 3}, {"y", 1}, {"y", 1}}, 3, 0, 0.6, {3, 2, 2}},
    {{{"x", 1}, {"y", 1}}, 2, 0, 0.5, {1, 1}},                          /* a tie: the order asked */
    {{{"x", 1}, {"x", 1}, {"y", 2}}, 3, 2, 0.5, {2, 2, 2}},             /* a tie: the heaviest single vote */
    {{{"x", 0.1}, {"x", 0.2}, {"y", 0.3}}, 3, 2, 0.5, {0.3, 0.3, 0.3}}, /* 0.1 + 0.2 is 0.3 here */
    {{{"x", 1}, {"x", 2}, {"y", 1}}, 3, 1, 0.75, {3, 3, 1}},            /* its heaviest is the winner */
    {{{"x", -5}, {"y", 1}, {"z", -1}}, 3, 1, 1, {-1, 1, -1}},           /* D-26 */
    {{{"x", 1}, {"x", 1}, {"x", 1}, {"x", 1}, {"x", 1}}, 5, 0, 1, {5, 5, 5, 5, 5}},
    {{{" ", 9}, {"y", 1}}, 2, 1, 1, {-1, 1}},
};

static void test_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct stage s;

        stage_init(&s);
        for (int m = 0; m < counts[i].n; m++) {
            if (counts[i].members[m].weight < 0)
                outcome_fail(&s.storage[m], FAULT_TIMEOUT, NULL, "failed");
            s.storage[m].answer = text_of(counts[i].members[m].answer);
            s.weights[m] = fabs(counts[i].members[m].weight);
        }
        assert_int_equal(run(&s, NULL, counts[i].n), 0);
        if (s.out.winner != counts[i].winner || fabs(s.out.agreement - counts[i].agreement) > 1e-9)
            fail_msg("row %zu: winner %d, agreement %g", i, s.out.winner, s.out.agreement);
        for (int m = 0; m < counts[i].n; m++) {
            if (fabs(s.out.ballots[m].votes - counts[i].votes[m]) > 1e-9)
                fail_msg("row %zu: member %d has %g votes", i, m, s.out.ballots[m].votes);
            assert_int_equal(s.out.selected[m], m == s.out.winner);
        }
        arena_free(s.a);
    }
}

static void test_nobody_votes(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s);
    s.storage[0].answer = TEXT_LIT("no idea");
    s.storage[1].tool_calls = TEXT_LIT("[{}]");
    s.outcomes[2] = NULL; /* not over */
    assert_int_equal(run(&s, NUMBER, 3), -ENOMSG);
    assert_non_null(strstr(s.why, "extract found nothing"));
    assert_int_equal(s.out.winner, -1);
    assert_null(s.out.answer.p);
    for (int i = 0; i < 3; i++)
        assert_true(s.out.ballots[i].votes < 0);
    arena_free(s.a);
}

static void test_refusals_and_escaped_texts_vote(void **state)
{
    struct stage s;

    (void)state;
    stage_init(&s);
    s.storage[0].answer = (struct text){.p = "caf\\u00e9", .len = 9, .is_escaped = true};
    s.storage[1].refusal = TEXT_LIT("CAF\xc3\x89");
    assert_int_equal(run(&s, NULL, 2), 0);
    assert_true(s.out.agreement > 0.9);
    assert_true(s.out.answer.is_escaped); /* copied, not decoded */
    arena_free(s.a);
}

/* --- patterns --- */

/* Each would take longer than anyone lives without the counted steps. */
static void test_evil_patterns_end(void **state)
{
    static const char *const patterns[] = {"(a+)+$", "(a|aa)+$", "(.*a){20}$", "(a*)*b", "(?:(?:a?){40})*c"};
    struct buf text;

    (void)state;
    buf_init(&text, 0);
    for (int i = 0; i < 100000; i++)
        buf_add_char(&text, 'a');
    buf_add_char(&text, '!');
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct stage s;
        char conf[200];

        stage_init(&s);
        snprintf(conf, sizeof(conf), "{\"strategy\":\"vote\",\"extract\":{\"regex\":\"%s\"}}", patterns[i]);
        s.storage[0].answer = text_slice(text.p, text.len);
        assert_int_equal(run(&s, conf, 1), -ENOMSG);
        arena_free(s.a);
    }
    buf_done(&text);
}

static void test_check(void **state)
{
    static const struct {
        const char *conf, *pointer, *says;
    } rows[] = {
        {NUMBER, NULL, NULL},
        {CHOICE, NULL, NULL},
        {WORDS, NULL, NULL},
        {REGEX, NULL, NULL},
        {POINTER, NULL, NULL},
        {"{\"strategy\":\"vote\",\"extract\":null}", NULL, NULL},
        {"{\"extract\":\"text\"}", NULL, NULL},
        {"{\"extract\":\"Text\"}", "/extract", "extract must be"},
        {"{\"extract\":{\"regex\":\"(\"}}", "/extract/regex", "missing closing parenthesis at byte 1"},
        {"{\"extract\":{\"regex\":\"((a{1,1000}){1,1000}){1,1000}\"}}", "/extract/regex", "too large"},
        {"{\"extract\":{\"regex\":\"\\\\C\"}}", "/extract/regex", "not a regular expression"},
        {"{\"extract\":{\"json_pointer\":\"~\"}}", "/extract/json_pointer", "RFC 6901"},
        {"{\"extract\":{\"choices\":[\"a\"]}}", "/extract/choices", "two or more"},
    };
    struct arena *a = arena_new(512);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct merge_error why;
        int r = find_vote()->check(text_of(rows[i].conf), a, &why);

        assert_int_equal(r, rows[i].pointer != NULL ? -EINVAL : 0);
        if (r == 0)
            continue;
        assert_string_equal(why.pointer, rows[i].pointer);
        if (strstr(why.message, rows[i].says) == NULL)
            fail_msg("row %zu: %s", i, why.message);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_the_same),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_nobody_votes),
        cmocka_unit_test(test_refusals_and_escaped_texts_vote),
        cmocka_unit_test(test_evil_patterns_end),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
