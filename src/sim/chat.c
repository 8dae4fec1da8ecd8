/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the body of a chat completion request: model, the texts of all messages, the token limit. Passes over all
 * parameters it does not know. No state; any thread. */
#include <errno.h>
#include <string.h>

#include "base/scan.h"
#include "sim/sim_internal.h"

static void add_text(struct scan *s, struct buf *prompt)
{
    struct text t;

    if (scan_string(s, &t, NULL) < 0)
        return;
    if (prompt->len > 0)
        buf_add_char(prompt, '\n');
    text_add_plain(prompt, t);
}

/* A list of parts: the texts among them. */
static void read_parts(struct scan *s, struct buf *prompt)
{
    struct text key;

    (void)scan_enter_array(s);
    while (scan_next_item(s)) {
        if (scan_peek(s) != SCAN_OBJECT) {
            (void)scan_skip(s, NULL);
            continue;
        }
        (void)scan_enter_object(s);
        while (scan_next_key(s, &key)) {
            if (text_is(key, "text") && scan_peek(s) == SCAN_STRING)
                add_text(s, prompt);
            else
                (void)scan_skip(s, NULL);
        }
    }
}

static void read_message(struct scan *s, struct buf *prompt)
{
    struct text key;

    if (scan_peek(s) != SCAN_OBJECT) {
        (void)scan_skip(s, NULL);
        return;
    }
    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        if (!text_is(key, "content"))
            (void)scan_skip(s, NULL);
        else if (scan_peek(s) == SCAN_STRING)
            add_text(s, prompt);
        else if (scan_peek(s) == SCAN_ARRAY)
            read_parts(s, prompt);
        else
            (void)scan_skip(s, NULL);
    }
}

static void read_messages(struct scan *s, struct chat *c)
{
    if (scan_peek(s) != SCAN_ARRAY) {
        (void)scan_skip(s, NULL);
        return;
    }
    (void)scan_enter_array(s);
    while (scan_next_item(s)) {
        c->has_messages = true;
        read_message(s, c->prompt);
    }
}

int chat_read(const char *bytes, size_t len, struct chat *out)
{
    struct chat c = {.model = TEXT_NONE, .prompt = out->prompt, .max_tokens = -1};
    struct text key;
    struct scan s;

    buf_clear(c.prompt);
    scan_init(&s, bytes, len);
    if (scan_peek(&s) != SCAN_OBJECT)
        return -EINVAL;
    (void)scan_enter_object(&s);
    while (scan_next_key(&s, &key)) {
        enum scan_type type = scan_peek(&s);

        if (text_is(key, "model") && type == SCAN_STRING)
            (void)scan_string(&s, &c.model, NULL);
        else if (text_is(key, "messages"))
            read_messages(&s, &c);
        else if ((text_is(key, "max_tokens") || text_is(key, "max_completion_tokens")) && type == SCAN_NUMBER)
            (void)scan_int(&s, &c.max_tokens);
        else if (text_is(key, "stream") && type == SCAN_TRUE)
            (void)scan_bool(&s, &c.is_stream);
        else
            (void)scan_skip(&s, NULL);
    }
    if (scan_end(&s) < 0)
        return -EINVAL;
    *out = c;
    return 0;
}

static bool is_tag_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:/@-", c) != NULL);
}

void chat_job_tag(const struct buf *prompt, char out[LABEL_BYTES])
{
    static const char mark[] = "JOB:";
    const char *p = prompt->len > 0 ? memmem(prompt->p, prompt->len, mark, sizeof(mark) - 1) : NULL;
    const char *end = prompt->p + prompt->len;
    size_t n = 0;

    if (p != NULL)
        for (p += sizeof(mark) - 1; p < end && n + 1 < LABEL_BYTES && is_tag_char(*p); p++)
            out[n++] = *p;
    out[n] = '\0';
}
