/* SPDX-License-Identifier: Apache-2.0 */
/* none, first, concat: what goes into the answer, what is left out, and that texts in JSON form stay as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/outcome.h"
#include "seam/merge.h"

enum { MEMBERS = 4 };

/* One member: what it said. `at` is when it ended; 0: it is not over yet. */
struct member {
    const char *answer;
    const char *refusal;
    const char *tool_calls;
    enum fault fault;
    int at;
    bool is_escaped;
};

struct stage {
    struct outcome storage[MEMBERS];
    const struct outcome *outcomes[MEMBERS];
    struct stage_view v;
};

static const char *const names[MEMBERS] = {"a", "b", "c\"d", "e"};

static struct text text_as(const char *s, bool is_escaped)
{
    struct text t = text_of(s);

    t.is_escaped = is_escaped && s != NULL;
    return t;
}

static void stage_of(struct stage *s, const struct member *members, int n, int quorum)
{
    memset(s, 0, sizeof(*s));
    for (int i = 0; i < n; i++) {
        struct outcome *o = &s->storage[i];

        outcome_init(o);
        if (members[i].fault != FAULT_NONE)
            outcome_fail(o, members[i].fault, NULL, "failed");
        o->answer = text_as(members[i].answer, members[i].is_escaped);
        o->refusal = text_as(members[i].refusal, members[i].is_escaped);
        o->tool_calls = text_of(members[i].tool_calls);
        o->ended_ms = members[i].at;
        s->outcomes[i] = members[i].at > 0 ? o : NULL;
    }
    s->v = (struct stage_view){.n = n, .names = names, .outcomes = s->outcomes, .quorum = quorum};
}

static const struct merge_ops *find(const char *name)
{
    int n;
    const struct merge_ops *const *all = merge_all(&n);

    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    fail_msg("no merge %s", name);
    return NULL;
}

static const struct row {
    const char *merge;
    int n;
    struct member members[MEMBERS];
    const char *answer; /* decoded; NULL: none */
    int winner;
    unsigned selected; /* bits */
} rows[] = {
    {"none", 1, {{.answer = "yes", .at = 5}}, "yes", 0, 1},
    {"none", 1, {{.answer = "a\\nb", .at = 5, .is_escaped = true}}, "a\nb", 0, 1},
    {"none", 1, {{.refusal = "I will not", .at = 5}}, "I will not", 0, 1},
    {"none", 1, {{.answer = "", .refusal = "I will not", .at = 5}}, "I will not", 0, 1},
    {"none", 1, {{.fault = FAULT_TIMEOUT, .answer = "half", .at = 5}}, NULL, -1, 0},
    {"none", 1, {{.tool_calls = "[{}]", .at = 5}}, NULL, 0, 1},
    {"none", 1, {{.answer = "", .tool_calls = "[{}]", .at = 5}}, NULL, 0, 1},
    {"none", 2, {{.answer = "x", .at = 5}, {.answer = "y", .at = 6}}, NULL, -1, 0},

    {"first", 2, {{.answer = "late", .at = 9}, {.answer = "soon", .at = 6}}, "soon", 1, 2},
    {"first", 2, {{.answer = "one", .at = 6}, {.answer = "two", .at = 6}}, "one", 0, 1}, /* a tie: the order asked */
    {"first", 2, {{.fault = FAULT_NETWORK, .answer = "never", .at = 1}, {.answer = "good", .at = 6}}, "good", 1, 2},
    {"first", 2, {{.at = 0}, {.answer = "good", .at = 6}}, "good", 1, 2},
    {"first", 2, {{.refusal = "no", .at = 3}, {.answer = "good", .at = 6}}, "no", 0, 1},   /* a refusal counts */
    {"first", 2, {{.answer = " \n", .at = 3}, {.answer = "good", .at = 6}}, "good", 1, 2}, /* nothing was said */
    {"first", 1, {{.answer = "Error: x is not defined", .at = 3}}, "Error: x is not defined", 0, 1},
    {"first", 2, {{.fault = FAULT_AUTH, .at = 1}, {.fault = FAULT_AUTH, .at = 1}}, NULL, -1, 0},

    {"concat", 2, {{.answer = "x", .at = 9}, {.answer = "y", .at = 6}}, "## a\n\nx\n\n## b\n\ny", -1, 3}, /* as asked */
    {"concat",
     3,
     {{.answer = "x", .at = 1}, {.fault = FAULT_TIMEOUT, .answer = "half", .at = 2}, {.answer = "z", .at = 3}},
     "## a\n\nx\n\n## c\"d\n\nz",
     -1,
     5},
    {"concat", 3, {{.at = 0}, {.answer = "y", .at = 2}, {.at = 0}}, "## b\n\ny", -1, 2},
    {"concat",
     2,
     {{.answer = "say \\\"hi\\\" \\u00e9", .at = 1, .is_escaped = true}, {.answer = "say \"hi\"\t\xc3\xa9", .at = 2}},
     "## a\n\nsay \"hi\" \xc3\xa9\n\n## b\n\nsay \"hi\"\t\xc3\xa9",
     -1,
     3},
    {"concat",
     2,
     {{.answer = "Error: not really", .at = 1}, {.refusal = "I refuse", .at = 2}},
     "## a\n\nError: not really\n\n## b\n\nI refuse",
     -1,
     3},
    {"concat", 2, {{.tool_calls = "[{}]", .at = 1}, {.answer = "y", .at = 2}}, "## b\n\ny", -1, 2},
    {"concat", 2, {{.answer = "", .tool_calls = "[{}]", .at = 1}, {.answer = "y", .at = 2}}, "## b\n\ny", -1, 2},
    {"concat", 1, {{.tool_calls = "[{}]", .at = 1}}, NULL, -1, 0},
    {"concat", 1, {{.answer = "alone", .at = 1}}, "## a\n\nalone", -1, 1},
    {"concat", 2, {{.fault = FAULT_AUTH, .at = 1}, {.fault = FAULT_AUTH, .at = 1}}, NULL, -1, 0},
};

static void run_row(const struct row *row, struct arena *a)
{
    struct merged out = {.winner = -1};
    const char *why = NULL;
    struct stage s;
    char *answer;
    size_t len;

    stage_of(&s, row->members, row->n, 1);
    assert_int_equal(find(row->merge)->merge(&s.v, a, &out, &why), 0);
    answer = text_decode(a, out.answer, &len);
    if (row->answer == NULL)
        assert_null(answer);
    else
        assert_string_equal(answer, row->answer);
    assert_int_equal(out.winner, row->winner);
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(out.selected[i], row->selected >> i & 1);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *a = arena_new(512);

        print_message("row %zu: %s\n", i, rows[i].merge);
        run_row(&rows[i], a);
        arena_free(a);
    }
}

/* A text in JSON form is copied, not decoded and encoded again. */
static void test_concat_keeps_bytes(void **state)
{
    static const struct member members[] = {{.answer = "\\u00E9\\/\\ud83d\\ude00", .at = 1, .is_escaped = true}};
    struct arena *a = arena_new(512);
    struct merged out = {.winner = -1};
    const char *why = NULL;
    struct stage s;

    (void)state;
    stage_of(&s, members, 1, 1);
    assert_int_equal(find("concat")->merge(&s.v, a, &out, &why), 0);
    assert_true(out.answer.is_escaped);
    assert_int_equal(out.answer.len, strlen("## a\\n\\n") + strlen(members[0].answer));
    assert_memory_equal(out.answer.p + strlen("## a\\n\\n"), members[0].answer, strlen(members[0].answer));
    arena_free(a);
}

/* Only first is satisfied early, and not by failures. */
static void test_enough(void **state)
{
    static const struct member members[] = {
        {.fault = FAULT_NETWORK, .at = 1}, {.answer = "x", .at = 2}, {.at = 0}, {.answer = "", .at = 3}};
    struct stage s;

    (void)state;
    assert_null(find("none")->enough);
    assert_null(find("concat")->enough);
    stage_of(&s, members, 4, 1);
    assert_true(find("first")->enough(&s.v));
    stage_of(&s, members, 4, 2);
    assert_false(find("first")->enough(&s.v));
    stage_of(&s, members, 1, 1);
    assert_false(find("first")->enough(&s.v));
    assert_int_equal(find("first")->default_quorum_max, 1);
    assert_int_equal(find("none")->default_quorum_max, 2);
    assert_int_equal(find("concat")->default_quorum_max, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_concat_keeps_bytes),
        cmocka_unit_test(test_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
