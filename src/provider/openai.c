/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI-compatible dialect, sending side: POST {base_url}/chat/completions. Never streams, never decodes the
 * prompt (escaped text is copied as it stands), never holds a key outside of sign(). No state; any thread. source
 * reference/providers.md 4.1, 4.8 */
#include "provider/openai.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "provider/build.h"

/* The host of a URL (no port, no user), as a slice. */
static struct text host_of(const char *url)
{
    const char *p = strstr(url, "://");
    const char *at;
    size_t len;

    p = p != NULL ? p + 3 : url;
    len = strcspn(p, "/?#");
    at = memchr(p, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - p);
        p = at + 1;
    }
    return text_slice(p, *p == '[' ? len : strcspn(p, "/?#:"));
}

static bool ends_in(struct text host, const char *suffix)
{
    size_t len = strlen(suffix);

    return host.len >= len && strncasecmp(host.p + host.len - len, suffix, len) == 0;
}

/* The vendor's own service and Azure's refuse names they do not know; other servers pass over them or use them. */
static bool is_official(const struct request *q)
{
    struct text host = host_of(q->base_url);

    return ends_in(host, "api.openai.com") || ends_in(host, ".openai.azure.com");
}

/* How the limit on the answer is spelled. OpenAI's newer models refuse max_tokens and Azure takes both, many compatible
 * servers know only max_tokens. A param of either name settles it for servers that are neither; the value is always
 * the one that was reserved. */
static const char *limit_name(const struct request *q)
{
    static const char old_name[] = "max_tokens";
    static const char new_name[] = "max_completion_tokens";

    for (size_t i = 0; i < q->n_params; i++) {
        if (text_is(q->params[i].name, new_name))
            return new_name;
        if (text_is(q->params[i].name, old_name))
            return old_name;
    }
    return is_official(q) ? new_name : old_name;
}

static void add_part(struct building *b, const struct message_part *p)
{
    jw_open(&b->w, '{');
    if (p->kind == PART_TEXT) {
        jw_kv_str(&b->w, "type", "text");
        jw_kv_text(&b->w, "text", p->text);
    } else {
        jw_kv_str(&b->w, "type", "image_url");
        jw_key(&b->w, "image_url");
        jw_open(&b->w, '{');
        jw_kv_text(&b->w, "url", p->text);
        jw_close(&b->w, '}');
    }
    jw_close(&b->w, '}');
}

/* One text is a plain string, which every server takes; several parts or an image are a list. */
static void add_content(struct building *b, const struct chat_message *m, bool has_images)
{
    const struct message_part *only = NULL;
    int n = 0;

    for (int i = 0; i < m->n_parts; i++)
        if (m->parts[i].kind == PART_TEXT || has_images) {
            only = &m->parts[i];
            n++;
        }
    jw_key(&b->w, "content");
    if (n == 0) {
        jw_null(&b->w); /* an assistant that only called tools */
    } else if (n == 1 && only->kind == PART_TEXT) {
        jw_text(&b->w, only->text);
    } else {
        jw_open(&b->w, '[');
        for (int i = 0; i < m->n_parts; i++)
            if (m->parts[i].kind == PART_TEXT || has_images)
                add_part(b, &m->parts[i]);
        jw_close(&b->w, ']');
    }
}

static void add_messages(struct building *b)
{
    static const char *const roles[] = {
        [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant", [ROLE_TOOL] = "tool"};
    bool has_images = build_has_images(b);
    int n = 0;

    jw_key(&b->w, "messages");
    jw_open(&b->w, '[');
    if (b->q->system.p != NULL) {
        jw_open(&b->w, '{');
        jw_kv_str(&b->w, "role", "system");
        jw_kv_text(&b->w, "content", b->q->system);
        jw_close(&b->w, '}');
    }
    for (int i = 0; i < b->q->n_messages; i++) {
        const struct chat_message *m = &b->q->messages[i];

        if (!build_has_content(b, m, has_images))
            continue;
        n++;
        jw_open(&b->w, '{');
        jw_kv_str(&b->w, "role", roles[m->role]);
        add_content(b, m, has_images);
        if (m->role == ROLE_ASSISTANT && m->tool_calls.p != NULL)
            jw_kv_raw(&b->w, "tool_calls", m->tool_calls);
        if (m->role == ROLE_TOOL)
            jw_kv_text(&b->w, "tool_call_id", m->tool_call_id);
        jw_close(&b->w, '}');
    }
    jw_close(&b->w, ']');
    if (n == 0)
        build_fail(b, -EINVAL, "no prompt");
}

/* OpenAI's first reasoning models: sampling other than the default is an error there.
 * source  platform.openai.com, reasoning guide and "using GPT-5" */
static bool refuses_sampling(const char *model)
{
    static const char *const sizes[] = {"gpt-5", "gpt-5-mini", "gpt-5-nano"};

    if (model[0] == 'o' && model[1] >= '1' && model[1] <= '9')
        return true;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t len = strlen(sizes[i]);

        if (strncmp(model, sizes[i], len) == 0 && (model[len] == '\0' || strncmp(model + len, "-20", 3) == 0))
            return true;
    }
    return false;
}

/* Whether this one is sent; if not, that is noted or does not matter. */
static bool is_sent(struct building *b, const struct request_param *p)
{
    static const char *const sampling[] = {"temperature", "top_p", "presence_penalty", "frequency_penalty",
                                           "logit_bias"};

    if (text_is(p->name, "stream") || text_is(p->name, "stream_options"))
        return false; /* how the answer travels is our business */
    if ((text_is(p->name, "tools") && b->q->tools.p != NULL) ||
        (text_is(p->name, "tool_choice") && b->q->tool_choice.p != NULL))
        return false; /* said already */
    if (text_is(p->name, "n")) {
        if (!text_is(p->json, "1"))
            build_drop(b, p->name); /* several answers are several samples */
        return false;
    }
    if (is_official(b->q) && p->dialect == NULL &&
        (text_is(p->name, "top_k") ||
         (refuses_sampling(b->q->vendor_model) && build_is_one_of(p->name, sampling, ARRAY_LEN(sampling))))) {
        build_drop(b, p->name);
        return false;
    }
    return true;
}

static void add_params(struct building *b)
{
    for (size_t i = 0; i < b->q->n_params; i++) {
        const struct request_param *p = &b->q->params[i];

        if (!build_takes(b, p) || !is_sent(b, p))
            continue;
        jw_key_text(&b->w, p->name);
        jw_raw(&b->w, p->json);
    }
}

static void add_limit(struct building *b)
{
    const char *name = limit_name(b->q);

    if (b->q->max_output_tokens <= 0)
        return;
    if (build_is_refused(b, "max_output_tokens") || build_is_refused(b, name))
        build_drop(b, TEXT_LIT("max_output_tokens"));
    else
        jw_kv_int(&b->w, name, b->q->max_output_tokens);
}

static void add_tools(struct building *b)
{
    struct text tools = build_tools(b);

    if (tools.p != NULL)
        jw_kv_raw(&b->w, "tools", tools);
    if (b->q->tool_choice.p == NULL)
        return;
    if (!build_has_tools(b) || build_is_refused(b, "tool_choice"))
        build_drop(b, TEXT_LIT("tool_choice"));
    else
        jw_kv_raw(&b->w, "tool_choice", b->q->tool_choice);
}

static int openai_build(const struct request *q, struct arena *a, struct wire *out, const char **why)
{
    struct building b;

    build_begin(&b, q, openai_ops.name, a);
    jw_open(&b.w, '{');
    jw_kv_str(&b.w, "model", q->vendor_model);
    add_messages(&b);
    add_limit(&b);
    add_tools(&b);
    add_params(&b);
    jw_close(&b.w, '}');
    return build_end(&b, build_url(a, q->base_url, "", "/chat/completions"), out, why);
}

/* A server without keys (Ollama, vLLM) has none configured: then nothing is added. Azure's keys go into a header of
 * their own, its Entra tokens (JSON Web Tokens) do not.  source  reference/providers.md 4.8 */
static void openai_sign(const char *api_key, int64_t wall_ms, struct arena *a, struct wire *w)
{
    (void)wall_ms;
    if (api_key == NULL || api_key[0] == '\0')
        return;
    if (ends_in(host_of(w->url), ".azure.com") && strncmp(api_key, "eyJ", 3) != 0)
        build_header(w, "api-key", arena_strdup(a, api_key));
    else
        build_header(w, "Authorization", arena_join(a, "Bearer ", api_key, NULL));
}

const struct provider_ops openai_ops = {
    .name = "openai",
    .build = openai_build,
    .sign = openai_sign,
    .finish = openai_finish,
};
