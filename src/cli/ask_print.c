/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of `tutti ask`. Main thread. */
#include "cli/ask_print.h"

#include <string.h>

#include "base/mem.h"
#include "cli/term.h"

enum { WIDE = 100, GAP = 3, LINE_BYTES = 512, HEAD_BYTES = 256 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s != NULL ? s : "";
}

static bool is_ok(const json_t *answer)
{
    return strcmp(text_at(answer, "status"), "ok") == 0;
}

/* "  $0.000021"; nothing for what failed and cost nothing known. */
static void format_cost(char *out, size_t size, const json_t *usd, bool is_failed)
{
    if (json_is_number(usd))
        (void)snprintf(out, size, "  $%.6f", json_number_value(usd));
    else
        (void)snprintf(out, size, "%s", is_failed ? "" : "  cost unknown");
}

/* "sim/fast  0.12 s  $0.000021" */
static void format_head(char *out, size_t size, const json_t *a)
{
    const char *asked = text_at(a, "request_model"), *served = text_at(a, "served_model");
    char cost[32];

    format_cost(cost, sizeof(cost), json_object_get(a, "cost_usd"), !is_ok(a));
    (void)snprintf(out, size, "%s%s%s%s  %.2f s%s", asked, *served != '\0' && strcmp(asked, served) != 0 ? " by " : "",
                   *served != '\0' && strcmp(asked, served) != 0 ? served : "", is_ok(a) ? "" : "  failed",
                   json_number_value(json_object_get(a, "duration_ms")) / 1000, cost);
}

/* The answer, or what happened instead; arena-free: points into the record or into `room`. */
static const char *body_of(const json_t *a, char *room, size_t size)
{
    const char *answer = text_at(a, "answer"), *refusal = text_at(a, "refusal");
    int attempts = (int)json_integer_value(json_object_get(a, "attempts"));
    char again[48] = "";

    if (is_ok(a) && *answer != '\0')
        return answer;
    if (attempts > 1)
        (void)snprintf(again, sizeof(again), " (after %d attempts)", attempts);
    if (is_ok(a))
        (void)snprintf(room, size, "(%s)", *refusal != '\0' ? refusal : "no text: see --json for its tool calls");
    else
        (void)snprintf(room, size, "%s: %s%s", text_at(a, "error_code"), text_at(a, "error_message"), again);
    return room;
}

/* One column on its way down. */
struct column {
    char head[HEAD_BYTES];
    char room[LINE_BYTES];
    const char *text;
    size_t len, at;
    bool is_ok;
};

static void column_init(struct column *c, const json_t *answer)
{
    memset(c, 0, sizeof(*c));
    if (answer == NULL)
        return;
    format_head(c->head, sizeof(c->head), answer);
    c->text = body_of(answer, c->room, sizeof(c->room));
    c->len = strlen(c->text);
    c->is_ok = is_ok(answer);
}

static void pad(FILE *out, int columns)
{
    for (; columns > 0; columns--)
        (void)fputc(' ', out); /* cli_main() tests the stream */
}

static void print_head(const struct column *c, const struct ask_look *look, FILE *out)
{
    if (look->has_color)
        (void)fprintf(out, "\033[%sm%s\033[0m", c->is_ok ? "1" : "1;31", c->head);
    else
        (void)fprintf(out, "%s", c->head);
}

/* Writes the next line of the column; returns its columns. */
static int print_line(struct column *c, int width, FILE *out)
{
    size_t next = 0, n;
    const char *s = c->text + c->at;

    if (c->at >= c->len)
        return 0;
    n = term_line(s, c->len - c->at, width, &next);
    term_write(out, s, n);
    c->at += next;
    return term_columns(s, n);
}

static void print_pair(const json_t *left, const json_t *right, const struct ask_look *look, FILE *out)
{
    int width = (look->width - GAP) / 2;
    struct column l, r;

    column_init(&l, left);
    column_init(&r, right);
    print_head(&l, look, out);
    if (right != NULL) {
        pad(out, width + GAP - term_columns(l.head, strlen(l.head)));
        print_head(&r, look, out);
    }
    (void)fputc('\n', out);
    while (l.at < l.len || r.at < r.len) {
        int used = print_line(&l, width, out);

        if (r.at < r.len) {
            pad(out, width - used);
            (void)fputs(" | ", out);
            (void)print_line(&r, width, out);
        }
        (void)fputc('\n', out);
    }
    (void)fputc('\n', out);
}

/* The whole text, an empty line after it. */
static void print_body(struct column *c, const struct ask_look *look, FILE *out)
{
    while (look->width > 0 && c->at < c->len) {
        (void)print_line(c, look->width, out);
        (void)fputc('\n', out);
    }
    if (look->width == 0)
        (void)fprintf(out, "%s\n", c->text);
    (void)fputc('\n', out);
}

static void print_below(const json_t *answer, const struct ask_look *look, FILE *out)
{
    struct column c;

    column_init(&c, answer);
    print_head(&c, look, out);
    (void)fputc('\n', out);
    print_body(&c, look, out);
}

/* Into a pipe goes the answer and nothing else. */
static void print_single(const json_t *answer, FILE *out, FILE *err)
{
    struct column c;

    column_init(&c, answer);
    (void)fprintf(c.is_ok ? out : err, "%s\n", c.text);
    (void)fprintf(err, "%s\n", c.head);
}

static void print_merged(const json_t *result, const struct ask_look *look, FILE *out)
{
    const char *text = text_at(result, "answer"), *winner = text_at(result, "winner");
    const json_t *agreement = json_object_get(result, "agreement");
    char head[HEAD_BYTES];
    int n = snprintf(head, sizeof(head), "merged (%s)", text_at(result, "strategy"));

    if (*winner != '\0')
        n += snprintf(head + n, sizeof(head) - (size_t)n, "  by %s", winner);
    if (json_is_number(agreement) && n < (int)sizeof(head))
        (void)snprintf(head + n, sizeof(head) - (size_t)n, "  %.0f %% agree", json_number_value(agreement) * 100);
    (void)fprintf(out, look->has_color ? "\033[1;32m%s\033[0m\n" : "%s\n", head);
    if (*text == '\0') {
        (void)fprintf(out, "(no merged answer: %s)\n\n", text_at(result, "error_code"));
        return;
    }
    print_body(&(struct column){.text = text, .len = strlen(text)}, look, out);
}

static void print_sum(const json_t *result, FILE *err)
{
    char cost[32];

    format_cost(cost, sizeof(cost), json_object_get(result, "cost_usd"), false);
    (void)fprintf(err, "%lld of %lld answered  %.2f s%s%s\n",
                  (long long)json_integer_value(json_object_get(result, "models_ok")),
                  (long long)json_integer_value(json_object_get(result, "models_asked")),
                  json_number_value(json_object_get(result, "duration_ms")) / 1000, cost,
                  json_is_false(json_object_get(result, "cost_complete")) ? " at least" : "");
}

void ask_print(const json_t *result, const struct ask_look *look, FILE *out, FILE *err)
{
    const json_t *answers = json_object_get(result, "answers");
    const char *strategy = text_at(result, "strategy");
    size_t n = json_array_size(answers);

    if (n == 1 && look->width == 0) {
        print_single(json_array_get(answers, 0), out, err);
        return;
    }
    if (n > 1 && look->width >= WIDE) {
        for (size_t i = 0; i < n; i += 2)
            print_pair(json_array_get(answers, i), json_array_get(answers, i + 1), look, out);
    } else {
        for (size_t i = 0; i < n; i++)
            print_below(json_array_get(answers, i), look, out);
    }
    if (strcmp(strategy, "none") != 0)
        print_merged(result, look, out);
    if (n > 1)
        print_sum(result, err);
}
