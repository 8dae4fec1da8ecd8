/* SPDX-License-Identifier: Apache-2.0 */
/* attachments, and the messages as they are sent: the prompt becomes one, attachments are put behind the last message
 * of the user's, each under its heading and cut at a length that models are served well with. Pure but for the arena.
 * source: CONTRACTS 3, reference/seed-behaviour.md 1.9 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"

enum { CHARACTERS_MAX = 8000, ATTACHMENTS_MAX = 100 };

static void read_name(struct decode *d, void *out)
{
    decode_short(d, &((struct attachment *)out)->name);
}

static void read_text(struct decode *d, void *out)
{
    decode_text(d, &((struct attachment *)out)->text);
}

static void read_attachment(struct decode *d, void *cap)
{
    static const struct decode_key keys[] = {DECODE_KEY("name", read_name), DECODE_KEY("text", read_text)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct attachment a = {.name = TEXT_NONE, .text = TEXT_NONE};

    if (d->n_attachments == ATTACHMENTS_MAX) {
        decode_fail(d, "more than 100 attachments");
        return;
    }
    decode_object(d, &table, &a);
    if (a.name.p == NULL)
        decode_fail_at(d, "name", "the attachment's name is missing");
    else if (a.text.p == NULL)
        decode_fail_at(d, "text", "the attachment's text is missing");
    d->attachments = decode_grow(d, d->attachments, d->n_attachments, cap, sizeof(a));
    d->attachments[d->n_attachments++] = a;
}

void decode_attachments(struct decode *d, void *unused)
{
    int cap = 0;

    (void)unused;
    decode_items(d, read_attachment, &cap);
}

/* Bytes of the first `max` characters; *out_n counts all of them. */
static size_t cut_characters(const char *s, size_t len, size_t max, size_t *out_n)
{
    size_t n = 0, end = len;

    for (size_t i = 0; i < len; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80 && n++ == max)
            end = i;
    *out_n = n;
    return end;
}

/* In JSON form, so that a prompt that came so is copied and not decoded. */
static void add_attachment(struct decode *d, const struct attachment *a, struct buf *b)
{
    size_t len = 0, n, end;
    const char *plain = text_decode(d->arena, a->text, &len);

    end = cut_characters(plain, len, CHARACTERS_MAX, &n);
    buf_add_str(b, "\\n\\n## Attachment: ");
    text_add_escaped(b, a->name);
    buf_add_str(b, "\\n\\n");
    text_add_escaped(b, text_slice(plain, end));
    if (end == len)
        return;
    buf_printf(b, "\\n[... cut by tutti: %zu of %zu characters left out]", n - CHARACTERS_MAX, n);
    d->spec->is_input_truncated = true;
}

/* The last text of the message with the attachments behind it, in a new list of parts. */
static void attach(struct decode *d, struct chat_message *m)
{
    struct part_list parts = {.n = 0};
    struct text last = TEXT_NONE;
    struct buf b;

    for (int i = 0; i < m->n_parts; i++)
        if (i == m->n_parts - 1 && m->parts[i].kind == PART_TEXT)
            last = m->parts[i].text;
        else
            decode_add_part(d, &parts, m->parts[i].kind, m->parts[i].text);
    buf_init(&b, 0);
    if (last.p != NULL)
        text_add_escaped(&b, last);
    for (int i = 0; i < d->n_attachments; i++)
        add_attachment(d, &d->attachments[i], &b);
    decode_add_part(d, &parts, PART_TEXT,
                    (struct text){.p = arena_copy(d->arena, b.p, b.len), .len = b.len, .is_escaped = true});
    buf_done(&b);
    m->parts = parts.items;
    m->n_parts = parts.n;
}

static void attach_to_last(struct decode *d)
{
    for (int i = d->messages.n; i-- > 0;)
        if (d->messages.items[i].role == ROLE_USER) {
            attach(d, &d->messages.items[i]);
            return;
        }
    decode_fail_at(d, "attachments", "no message of the user's to append them to");
}

void decode_finish_messages(struct decode *d)
{
    struct part_list parts = {.n = 0};

    if (decode_has_failed(d))
        return;
    if (d->prompt.p != NULL && d->messages.n > 0) {
        decode_fail_at(d, "messages", "prompt and messages exclude each other");
        return;
    }
    if (d->prompt.p != NULL) {
        decode_add_part(d, &parts, PART_TEXT, d->prompt);
        decode_add_message(d, ROLE_USER, &parts);
    }
    if (d->n_attachments > 0)
        attach_to_last(d);
    d->spec->messages = d->messages.items;
    d->spec->n_messages = d->messages.n;
}
