/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti ask`: one job now. A simulated model answers only when it was named and its server runs (D-46). Main thread.
 */
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "app/ask.h"
#include "app/builtin.h"
#include "app/config.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/ask_print.h"
#include "cli/cli.h"
#include "cli/term.h"

enum { PROMPT_MAX = 16 << 20, READ_BYTES = 65536 };

/* The prompt: the arguments, "-" or a pipe. */
static int read_prompt(const struct cli *c, struct buf *out)
{
    bool is_stdin = c->n_args == 0 || (c->n_args == 1 && strcmp(c->args[0], "-") == 0);
    char block[READ_BYTES];
    size_t n;

    for (size_t i = 0; !is_stdin && i < c->n_args; i++) {
        buf_add_str(out, i > 0 ? " " : "");
        buf_add_str(out, c->args[i]);
    }
    if (!is_stdin)
        return CLI_OK;
    if (c->n_args == 0 && isatty(STDIN_FILENO))
        return cli_usage(c, "give a PROMPT, or - to read it from stdin");
    while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
        buf_add(out, block, n);
    while (out->len > 0 && out->p[out->len - 1] == '\n')
        out->len--;
    if (out->is_over)
        return cli_usage(c, "the prompt is larger than 16 MiB");
    return out->len > 0 ? CLI_OK : cli_usage(c, "the prompt is empty");
}

static size_t count_models(const struct cli *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_given; i++)
        n += strcmp(c->given[i].flag->name, "model") == 0;
    return n;
}

static void write_job(const struct cli *c, const struct config *config, const struct buf *prompt, struct buf *out)
{
    const char *system = cli_flag(c, "system"), *merge = cli_flag(c, "merge");
    size_t n = count_models(c), n_asked = n > 0 ? n : config->jobs.default_models.n;
    struct json_write w;

    jw_init(&w, out);
    jw_open(&w, '{');
    jw_kv_text(&w, "prompt", text_slice(prompt->p, prompt->len));
    if (system != NULL)
        jw_kv_str(&w, "system", system);
    if (merge != NULL)
        jw_kv_str(&w, "merge", merge);
    else if (n_asked == 1)
        jw_kv_str(&w, "merge", "none"); /* one answer is its own merge */
    if (n > 0) {
        jw_key(&w, "models");
        jw_open(&w, '[');
        for (size_t i = 0; i < c->n_given; i++)
            if (strcmp(c->given[i].flag->name, "model") == 0)
                jw_str(&w, c->given[i].value);
        jw_close(&w, ']');
    }
    jw_close(&w, '}');
}

/* Does every failed answer have this code? */
static bool all_failed_with(const json_t *result, const char *code)
{
    const json_t *answers = json_object_get(result, "answers"), *a;
    size_t i;

    json_array_foreach(answers, i, a)
    {
        const char *e = json_string_value(json_object_get(a, "error_code"));

        if (e == NULL || strcmp(e, code) != 0)
            return false;
    }
    return json_array_size(answers) > 0;
}

static bool names_sim(const struct cli *c)
{
    for (size_t i = 0; i < c->n_given; i++)
        if (strcmp(c->given[i].flag->name, "model") == 0 && strncmp(c->given[i].value, "sim", 3) == 0)
            return true;
    return false;
}

/* What to do next, when it is clear. */
static void advise(const struct cli *c, const json_t *result, bool is_built_in)
{
    const char *sim = cli_flag(c, "sim");

    if (is_built_in && names_sim(c) && all_failed_with(result, "network"))
        (void)fprintf(c->err, "tutti ask: no simulated models at %s: start 'tutti dev' in another terminal\n",
                      sim != NULL ? sim : BUILTIN_SIM);
    else if (is_built_in && all_failed_with(result, "unknown_model"))
        (void)fprintf(c->err, "tutti ask: without a configuration file there are sim/fast, sim/smart, sim/flaky, and "
                              "openai/NAME, anthropic/NAME, google/NAME while OPENAI_API_KEY, ANTHROPIC_API_KEY, "
                              "GEMINI_API_KEY are set\n");
    else if (all_failed_with(result, "unknown_model"))
        (void)fprintf(c->err,
                      "tutti ask: 'tutti models ls' lists the names; PROVIDER/NAME asks any model of a provider\n");
}

static int exit_of(const json_t *result)
{
    const char *status = json_string_value(json_object_get(result, "status"));

    if (status != NULL && strcmp(status, "ok") == 0)
        return CLI_OK;
    if (json_integer_value(json_object_get(result, "models_ok")) > 0)
        return CLI_SOME_FAILED;
    return all_failed_with(result, "auth") ? CLI_REFUSED : CLI_UNAVAILABLE;
}

static int show(const struct cli *c, const struct ask_answer *a, bool is_built_in)
{
    const struct ask_look look = {.width = term_width(c->out), .has_color = term_has_color(c->out, c->env)};
    json_t *result;
    int code;

    if (a->has_local_limits)
        (void)fprintf(c->err, "tutti ask: Redis does not answer; the limits hold for this call alone, not beside the "
                              "service\n");
    if (a->exit_code != 0 && a->result == NULL && a->code == NULL)
        return a->exit_code;
    if (a->result == NULL) {
        (void)fprintf(c->err, "tutti ask: %s at %s: %s\n", a->code, *a->pointer != '\0' ? a->pointer : "/", a->message);
        return CLI_USAGE;
    }
    result = json_loads(a->result, 0, NULL);
    if (result == NULL) {
        (void)fprintf(c->err, "tutti ask: the result is not readable\n");
        return CLI_INTERNAL;
    }
    if (c->is_json)
        (void)fprintf(c->out, "%s\n", a->result);
    else
        ask_print(result, &look, c->out, c->err);
    advise(c, result, is_built_in);
    code = exit_of(result);
    json_decref(result);
    return code;
}

static int ask(struct cli *c, const struct config *config, const struct buf *prompt, bool is_built_in)
{
    struct ask_answer answer;
    struct buf job;
    int code;

    if (count_models(c) == 0 && (is_built_in || config->jobs.default_models.n == 0))
        return cli_usage(c, "name a model with -m, like -m openai/gpt-4o-mini, or -m sim/fast beside 'tutti dev'");
    log_configure(LOG_ERROR, LOG_FORMAT_AUTO); /* what failed is shown per model */
    buf_init(&job, 0);
    write_job(c, config, prompt, &job);
    ask_run(config, job.p, job.len, !is_built_in, &answer);
    code = show(c, &answer, is_built_in);
    ask_answer_done(&answer);
    buf_done(&job);
    return code;
}

/* A key that is not there is said before anybody is asked, and paid. */
static int check_keys(const struct cli *c, const struct builtin *builtin)
{
    for (size_t i = 0; i < c->n_given; i++) {
        const char *model = c->given[i].value, *variable;

        if (strcmp(c->given[i].flag->name, "model") != 0)
            continue;
        variable = builtin_missing_key(builtin, model);
        if (variable == NULL)
            continue;
        (void)fprintf(c->err, "tutti ask: set %s to ask %s, or name a configuration with -c\n", variable, model);
        return CLI_REFUSED;
    }
    return CLI_OK;
}

int cmd_ask(struct cli *c)
{
    const char *sim = cli_flag(c, "sim");
    const struct builtin builtin = {.brokers = BUILTIN_BROKERS, .sim = sim != NULL ? sim : BUILTIN_SIM, .env = c->env};
    struct config *config = NULL;
    bool is_built_in = false;
    struct buf prompt, text;
    int code;

    buf_init(&prompt, PROMPT_MAX);
    buf_init(&text, 0);
    code = read_prompt(c, &prompt);
    if (code == CLI_OK) {
        builtin_write(&builtin, &text);
        code = cli_load_config_or(c, text.p, &config, &is_built_in);
    }
    if (code == CLI_OK && is_built_in)
        code = check_keys(c, &builtin);
    if (code == CLI_OK)
        code = ask(c, config, &prompt, is_built_in);
    config_free(config);
    buf_done(&text);
    buf_done(&prompt);
    return code;
}
