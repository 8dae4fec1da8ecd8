/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the result that are made and not copied: the merged answer in its output_format, the input as one text, and
 * the hash of the input. Pure but for the arena. Loop thread. source: CONTRACTS 3, 4 */
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "core/record.h"

static const char *const role_names[] = {
    [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant", [ROLE_TOOL] = "tool"};

/* --- output_format --- */

static size_t line_length(const char *p, const char *end)
{
    const char *feed = memchr(p, '\n', (size_t)(end - p));

    return feed != NULL ? (size_t)(feed + 1 - p) : (size_t)(end - p);
}

/* Which fence opens or closes in this line, '`', '~' or 0: three of them behind at most three blanks. */
static char fence_of(const char *line, size_t len)
{
    size_t i = 0;

    while (i < 3 && i < len && line[i] == ' ')
        i++;
    if (i + 3 > len || (line[i] != '`' && line[i] != '~') || line[i + 1] != line[i] || line[i + 2] != line[i])
        return '\0';
    return line[i];
}

/* Bytes of "## " at the start of a heading's line. */
static size_t heading_mark(const char *line, size_t len)
{
    size_t n = 0;

    while (n < len && line[n] == '#')
        n++;
    return n >= 1 && n <= 6 && n < len && line[n] == ' ' ? n + 1 : 0;
}

/* Takes the marks of headings and the lines of code fences off; what stands inside a fence stays as it is. */
static struct text to_plain(struct arena *a, struct text answer)
{
    size_t len, n = 0;
    char *out = text_decode(a, answer, &len);
    const char *p = out, *end = out + len;
    char open = '\0';

    while (p < end) {
        size_t line = line_length(p, end), mark;
        char fence = fence_of(p, line);

        if (fence != '\0' && (open == '\0' || fence == open)) {
            open = open == '\0' ? fence : '\0';
            p += line;
            continue;
        }
        mark = open == '\0' ? heading_mark(p, line) : 0;
        memmove(out + n, p + mark, line - mark);
        n += line - mark;
        p += line;
    }
    return text_slice(out, n);
}

/* {"answer": text}, cut inside of the string so that it stays JSON. */
static void write_as_json(struct json_write *w, struct text answer, struct cutter *cut)
{
    struct json_write inner;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&inner, &b);
    jw_open(&inner, '{');
    record_kv_cut(&inner, "answer", answer, cut);
    jw_close(&inner, '}');
    jw_kv_text(w, "answer", text_slice(b.p, b.len));
    buf_done(&b);
}

void record_write_answer(struct json_write *w, const struct job *j, struct cutter *cut)
{
    static const char *const names[] = {
        [FORMAT_AS_IS] = "markdown", [FORMAT_PLAIN] = "plain", [FORMAT_MARKDOWN] = "markdown", [FORMAT_JSON] = "json"};
    struct text answer = j->status != JOB_FAILED ? j->merged.answer : TEXT_NONE;

    if (answer.p != NULL && j->spec.output_format == FORMAT_JSON)
        write_as_json(w, answer, cut);
    else if (answer.p != NULL && j->spec.output_format == FORMAT_PLAIN)
        record_kv_cut(w, "answer", to_plain(j->arena, answer), cut);
    else
        record_kv_cut(w, "answer", answer, cut);
    jw_kv_str(w, "answer_format", answer.p != NULL ? names[j->spec.output_format] : NULL);
}

/* --- the input --- */

/* Is it a prompt and nothing else? */
static bool is_bare_prompt(const struct job_spec *spec)
{
    return spec->n_messages == 1 && spec->system.p == NULL && spec->tools.p == NULL &&
           spec->messages[0].role == ROLE_USER && spec->messages[0].n_parts == 1 &&
           spec->messages[0].parts[0].kind == PART_TEXT;
}

static void add_heading(struct buf *b, const char *role)
{
    buf_printf(b, "%s## %s\\n\\n", b->len > 0 ? "\\n\\n" : "", role);
}

struct text record_input_text(const struct job *j)
{
    const struct job_spec *spec = &j->spec;
    struct text out;
    struct buf b;

    if (is_bare_prompt(spec))
        return spec->messages[0].parts[0].text;
    buf_init(&b, 0);
    if (spec->system.p != NULL) {
        add_heading(&b, "system");
        text_add_escaped(&b, spec->system);
    }
    for (int i = 0; i < spec->n_messages; i++) {
        const struct chat_message *m = &spec->messages[i];

        add_heading(&b, role_names[m->role]);
        for (int p = 0; p < m->n_parts; p++)
            text_add_escaped(&b, m->parts[p].kind == PART_TEXT ? m->parts[p].text : TEXT_LIT("[image]"));
        text_add_escaped(&b, m->tool_calls);
    }
    out = (struct text){.p = arena_copy(j->arena, b.p, b.len), .len = b.len, .is_escaped = true};
    buf_done(&b);
    return out;
}

/* One piece: what it is, 0x1f, its bytes, 0x1e. */
static void add_piece(struct buf *b, const char *what, struct text t)
{
    if (t.p == NULL)
        return;
    buf_add_str(b, what);
    buf_add_char(b, 0x1f);
    text_add_plain(b, t);
    buf_add_char(b, 0x1e);
}

static void add_all(struct buf *b, const struct job *j)
{
    const struct job_spec *spec = &j->spec;

    add_piece(b, "system", spec->system);
    for (int i = 0; i < spec->n_members; i++)
        add_piece(b, "member_system", spec->members[i].system);
    for (int i = 0; i < spec->n_messages; i++) {
        const struct chat_message *m = &spec->messages[i];

        add_piece(b, "role", text_of(role_names[m->role]));
        for (int p = 0; p < m->n_parts; p++)
            add_piece(b, m->parts[p].kind == PART_TEXT ? "text" : "image", m->parts[p].text);
        add_piece(b, "tool_calls", m->tool_calls);
        add_piece(b, "tool_call_id", m->tool_call_id);
    }
    add_piece(b, "tools", spec->tools);
}

static bool has_member_system(const struct job_spec *spec)
{
    for (int i = 0; i < spec->n_members; i++)
        if (spec->members[i].system.p != NULL)
            return true;
    return false;
}

void record_hash_input(const struct job *j, char *out)
{
    uint8_t digest[DIGEST_BYTES];
    struct buf b;

    buf_init(&b, 0);
    if (is_bare_prompt(&j->spec) && !has_member_system(&j->spec))
        text_add_plain(&b, j->spec.messages[0].parts[0].text);
    else
        add_all(&b, j);
    digest_sha256(b.p, b.len, digest);
    digest_hex(digest, sizeof(digest), out);
    buf_done(&b);
}
