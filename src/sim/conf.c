/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's configuration from words: one table of a model's words, one of the options. Never reads a file. No
 * state but a thread's last error text; any thread. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim.h"

enum { WORD_BYTES = 512 };

static _Thread_local char why_text[256];

__attribute__((format(printf, 2, 3))) static int refuse(const char **why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why_text, sizeof(why_text), fmt, args); /* cut is fine */
    va_end(args);
    *why = why_text;
    return -EINVAL;
}

static int set_duration(void *to, const char *value)
{
    return units_duration(value, to);
}

static int set_count(void *to, const char *value)
{
    return units_count(value, to);
}

static int set_status(void *to, const char *value)
{
    int64_t status;

    if (units_count(value, &status) < 0 || status < 300 || status > 599)
        return -EINVAL;
    *(int64_t *)to = status;
    return 0;
}

static int set_bytes(void *to, const char *value)
{
    int64_t bytes;

    if (units_size(value, &bytes) < 0 || bytes > 64 * 1024 * 1024)
        return -EINVAL;
    *(int *)to = (int)bytes;
    return 0;
}

static int set_factor(void *to, const char *value)
{
    char *end;
    double d = strtod(value, &end);

    if (end == value || *end != '\0' || !(d >= 0 && d <= 1000))
        return -EINVAL;
    *(double *)to = d;
    return 0;
}

/* "5%", "0.25%", or parts of 10,000 */
static int set_share(void *to, const char *value)
{
    char *end;
    double d = strtod(value, &end);

    if (end == value)
        return -EINVAL;
    if (strcmp(end, "%") == 0)
        d *= SIM_SHARE_WHOLE / 100;
    else if (*end != '\0')
        return -EINVAL;
    if (!(d >= 0 && d <= SIM_SHARE_WHOLE))
        return -EINVAL;
    *(int *)to = (int)(d + 0.5);
    return 0;
}

static int set_errors(void *to, const char *value)
{
    int *shares = to;
    int share;

    if (set_share(&share, value) < 0)
        return -EINVAL;
    shares[SIM_E503] = share / 4;
    shares[SIM_RESET] = share / 4;
    shares[SIM_E500] = share - share / 4 * 2;
    return 0;
}

static int set_string(void *to, const char *value)
{
    char **s = to;

    mem_free(*s);
    *s = mem_strdup(value);
    return 0;
}

#define AT(field) offsetof(struct sim_model, field)
#define SHARE(f)  (AT(shares) + sizeof(int) * (f))
static const struct word {
    const char *name;
    int (*set)(void *to, const char *value);
    size_t offset;
} words[] = {
    {"latency", set_duration, AT(latency_us)},
    {"p99", set_factor, AT(p99_factor)},
    {"bytes", set_bytes, AT(answer_bytes)},
    {"errors", set_errors, AT(shares)},
    {"e429", set_share, SHARE(SIM_E429)},
    {"e500", set_share, SHARE(SIM_E500)},
    {"e503", set_share, SHARE(SIM_E503)},
    {"reset", set_share, SHARE(SIM_RESET)},
    {"truncate", set_share, SHARE(SIM_TRUNCATE)},
    {"silence", set_share, SHARE(SIM_SILENCE)},
    {"drip", set_share, SHARE(SIM_DRIP)},
    {"stall", set_share, SHARE(SIM_STALL)},
    {"empty", set_share, SHARE(SIM_EMPTY)},
    {"bad_json", set_share, SHARE(SIM_BAD_JSON)},
    {"error200", set_share, SHARE(SIM_ERROR200)},
    {"overloaded", set_share, SHARE(SIM_OVERLOADED)},
    {"quota", set_share, SHARE(SIM_QUOTA)},
    {"filter", set_share, SHARE(SIM_FILTER)},
    {"refusal", set_share, SHARE(SIM_REFUSAL)},
    {"fail", set_count, AT(fail_first)},
    {"fail_status", set_status, AT(fail_status)},
    {"retry_after", set_duration, AT(retry_after_us)},
    {"context", set_count, AT(context_tokens)},
    {"prompt_tokens", set_count, AT(prompt_tokens)},
    {"completion_tokens", set_count, AT(completion_tokens)},
    {"rpm", set_count, AT(requests_per_window)},
    {"tpm", set_count, AT(tokens_per_window)},
    {"input_tpm", set_count, AT(input_tokens_per_window)},
    {"output_tpm", set_count, AT(output_tokens_per_window)},
    {"concurrency", set_count, AT(concurrency)},
    {"window", set_duration, AT(window_us)},
    {"meter", set_string, AT(meter)},
};

static int set_word(struct sim_model *m, const char *name, const char *value, const char **why)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i].name, name) != 0)
            continue;
        if (words[i].set((char *)m + words[i].offset, value) < 0)
            return refuse(why, "%s=%s: not a value for it", name, value);
        return 0;
    }
    return refuse(why, "%s: a model has no such word", name);
}

static int check_model(const struct sim_model *m, const char **why)
{
    int sum = 0;

    for (int f = SIM_OK + 1; f < SIM_STATUS; f++)
        sum += m->shares[f];
    if (sum > SIM_SHARE_WHOLE)
        return refuse(why, "%s: the shares of faults are more than the whole", m->name != NULL ? m->name : "defaults");
    if (m->window_us < 1000)
        return refuse(why, "window: at least 1ms");
    return 0;
}

/* "latency=50ms,errors=5%"; `text` is changed. */
static int set_words(struct sim_model *m, char *text, const char **why)
{
    char *save = NULL;

    for (char *word = strtok_r(text, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(word, '=');

        if (equals == NULL)
            return refuse(why, "%s: expected word=value", word);
        *equals = '\0';
        if (set_word(m, word, equals + 1, why) < 0)
            return -EINVAL;
    }
    return check_model(m, why);
}

/* A copy of the defaults under a new name. */
static struct sim_model model_of(const struct sim_conf *c, const char *name)
{
    struct sim_model m = c->defaults;

    m.name = mem_strdup(name);
    m.meter = mem_strdup(c->defaults.meter);
    return m;
}

static void model_done(struct sim_model *m)
{
    mem_free(m->name);
    mem_free(m->meter);
}

/* Takes the model over, also on error. */
static int add_model(struct sim_conf *c, struct sim_model m, const char **why)
{
    int r = 0;

    if (m.name[0] == '\0')
        r = refuse(why, "a model needs a name");
    for (size_t i = 0; i < c->n_models && r == 0; i++)
        if (strcmp(c->models[i].name, m.name) == 0)
            r = refuse(why, "%s: there are two models of this name", m.name);
    if (r == 0)
        r = check_model(&m, why);
    if (r < 0) {
        model_done(&m);
        return r;
    }
    c->models = mem_resize(c->models, sizeof(m) * (c->n_models + 1));
    c->models[c->n_models++] = m;
    return 0;
}

static int set_model(struct sim_conf *c, const char *value, const char **why)
{
    AUTO_FREE char *text = mem_strdup(value);
    size_t name_len = strcspn(text, ",");
    bool has_words = text[name_len] == ',';
    struct sim_model m;

    text[name_len] = '\0';
    m = model_of(c, text);
    if (has_words && set_words(&m, text + name_len + 1, why) < 0) {
        model_done(&m);
        return -EINVAL;
    }
    return add_model(c, m, why);
}

static int set_listen(struct sim_conf *c, const char *value, const char **why)
{
    const char *colon = strrchr(value, ':');
    const char *port = colon != NULL ? colon + 1 : value;
    char *end;
    long n = strtol(port, &end, 10);

    if (end == port || *end != '\0' || n < 0 || n > 65535)
        return refuse(why, "listen %s: expected host:port", value);
    c->port = (int)n;
    if (colon != NULL && colon > value) {
        bool has_brackets = value[0] == '[' && colon[-1] == ']';

        mem_free(c->host);
        c->host = mem_strndup(value + has_brackets, (size_t)(colon - value) - 2 * has_brackets);
    }
    return 0;
}

int sim_conf_set(struct sim_conf *c, const char *key, const char *value, const char **why)
{
    char *end;

    if (strcmp(key, "listen") == 0)
        return set_listen(c, value, why);
    if (strcmp(key, "model") == 0)
        return set_model(c, value, why);
    if (strcmp(key, "log") == 0)
        return set_string(&c->log_path, value);
    if (strcmp(key, "api_key") == 0)
        return set_string(&c->api_keys, value);
    if (strcmp(key, "seed") == 0) {
        c->seed = strtoull(value, &end, 10);
        return end != value && *end == '\0' ? 0 : refuse(why, "seed %s: expected an integer", value);
    }
    if (strcmp(key, "defaults") == 0) {
        AUTO_FREE char *text = mem_strdup(value);

        return set_words(&c->defaults, text, why);
    }
    return refuse(why, "%s: no such option of the simulator", key);
}

/* A scalar as the text it would have been in a flag; NULL when it is none. */
static const char *scalar(const json_t *v, char text[WORD_BYTES])
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        (void)snprintf(text, WORD_BYTES, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(text, WORD_BYTES, "%.15g", json_real_value(v));
    else
        return NULL;
    return text;
}

static int set_words_json(struct sim_model *m, json_t *object, const char **why)
{
    char text[WORD_BYTES];
    const char *name;
    json_t *v;

    json_object_foreach(object, name, v)
    {
        const char *value = scalar(v, text);

        if (strcmp(name, "name") == 0)
            continue;
        if (value == NULL)
            return refuse(why, "%s: expected a string or a number", name);
        if (set_word(m, name, value, why) < 0)
            return -EINVAL;
    }
    return check_model(m, why);
}

static int add_models_json(struct sim_conf *c, json_t *models, const char **why)
{
    size_t i;
    json_t *v;

    json_array_foreach(models, i, v)
    {
        const char *name = json_string_value(json_object_get(v, "name"));
        struct sim_model m;

        if (json_is_string(v)) {
            if (set_model(c, json_string_value(v), why) < 0)
                return -EINVAL;
            continue;
        }
        if (name == NULL)
            return refuse(why, "models[%zu]: expected an object with a name", i);
        m = model_of(c, name);
        if (set_words_json(&m, v, why) < 0) {
            model_done(&m);
            return -EINVAL;
        }
        if (add_model(c, m, why) < 0)
            return -EINVAL;
    }
    return 0;
}

int sim_conf_set_json(struct sim_conf *c, const char *json, size_t len, const char **why)
{
    json_error_t error;
    json_auto_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
    char text[WORD_BYTES];
    const char *key;
    json_t *v;

    if (!json_is_object(root))
        return refuse(why, "not a JSON object: %s", root == NULL ? error.text : "another type");
    v = json_object_get(root, "defaults"); /* before the models, wherever it stands */
    if (v != NULL && (!json_is_object(v) || set_words_json(&c->defaults, v, why) < 0))
        return json_is_object(v) ? -EINVAL : refuse(why, "defaults: expected an object");
    json_object_foreach(root, key, v)
    {
        if (strcmp(key, "defaults") == 0)
            continue;
        if (strcmp(key, "models") == 0) {
            if (!json_is_array(v))
                return refuse(why, "models: expected a list");
            if (add_models_json(c, v, why) < 0)
                return -EINVAL;
        } else {
            const char *value = scalar(v, text);

            if (value == NULL)
                return refuse(why, "%s: expected a string or a number", key);
            if (sim_conf_set(c, key, value, why) < 0)
                return -EINVAL;
        }
    }
    return 0;
}

void sim_conf_init(struct sim_conf *c)
{
    *c = (struct sim_conf){
        .host = mem_strdup("127.0.0.1"),
        .seed = 1,
        .defaults = {.latency_us = 50000,
                     .answer_bytes = 400,
                     .prompt_tokens = -1,
                     .completion_tokens = -1,
                     .fail_status = 500,
                     .retry_after_us = -1,
                     .window_us = 60 * 1000000},
    };
}

void sim_conf_done(struct sim_conf *c)
{
    for (size_t i = 0; i < c->n_models; i++)
        model_done(&c->models[i]);
    mem_free(c->models);
    model_done(&c->defaults);
    mem_free(c->host);
    mem_free(c->log_path);
    mem_free(c->api_keys);
    *c = (struct sim_conf){.port = 0};
}
