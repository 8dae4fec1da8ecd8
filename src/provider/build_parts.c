/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a request that more than one dialect writes: the system text, images, lists of strings; and the version in
 * a model's name. Never fetches an image, never checks its bytes. No state; any thread. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "provider/build.h"

bool build_has_content(struct building *b, const struct chat_message *m, bool has_images)
{
    if (m->role == ROLE_TOOL || m->tool_calls.p != NULL)
        return true;
    for (int i = 0; i < m->n_parts; i++) {
        if (m->parts[i].text.p == NULL)
            build_fail(b, -EINVAL, "a message without text");
        if (m->parts[i].kind == PART_IMAGE ? has_images : !text_is_blank(m->parts[i].text))
            return true;
    }
    return false;
}

bool build_has_system(const struct building *b)
{
    if (!text_is_blank(b->q->system))
        return true;
    for (int i = 0; i < b->q->n_messages; i++)
        for (int k = 0; b->q->messages[i].role == ROLE_SYSTEM && k < b->q->messages[i].n_parts; k++)
            if (b->q->messages[i].parts[k].kind == PART_TEXT && !text_is_blank(b->q->messages[i].parts[k].text))
                return true;
    return false;
}

/* One more piece inside of the string that is being written. */
static void add_piece(struct building *b, struct text piece, bool *is_first)
{
    if (text_is_blank(piece))
        return;
    if (!*is_first)
        buf_add_str(&b->body, "\\n\\n");
    text_add_escaped(&b->body, piece);
    *is_first = false;
}

void build_write_system(struct building *b)
{
    bool is_first = true;

    jw_raw(&b->w, TEXT_LIT("\"")); /* the comma before, if one is due; then the string is written by hand */
    add_piece(b, b->q->system, &is_first);
    for (int i = 0; i < b->q->n_messages; i++)
        for (int k = 0; b->q->messages[i].role == ROLE_SYSTEM && k < b->q->messages[i].n_parts; k++)
            if (b->q->messages[i].parts[k].kind == PART_TEXT)
                add_piece(b, b->q->messages[i].parts[k].text, &is_first);
    buf_add_char(&b->body, '"');
}

void build_write_strings(struct building *b, struct text json)
{
    size_t at = 0;

    while (at < json.len && strchr(" \t\r\n", json.p[at]) != NULL)
        at++;
    if (at < json.len && json.p[at] == '[') {
        jw_raw(&b->w, json);
        return;
    }
    jw_open(&b->w, '[');
    jw_raw(&b->w, json);
    jw_close(&b->w, ']');
}

/* The type that a path's ending promises; a guess, for those who ask for one. */
static struct text mime_of_path(const char *url)
{
    static const struct {
        const char *ending;
        struct text mime;
    } rows[] = {
        {".png", TEXT_LIT("image/png")},   {".jpg", TEXT_LIT("image/jpeg")}, {".jpeg", TEXT_LIT("image/jpeg")},
        {".webp", TEXT_LIT("image/webp")}, {".gif", TEXT_LIT("image/gif")},  {".heic", TEXT_LIT("image/heic")},
        {".heif", TEXT_LIT("image/heif")}, {".bmp", TEXT_LIT("image/bmp")},
    };
    size_t len = strcspn(url, "?#");

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].ending);

        if (len > n && strncasecmp(url + len - n, rows[i].ending, n) == 0)
            return rows[i].mime;
    }
    return TEXT_NONE;
}

bool build_image(struct building *b, const struct message_part *p, struct image *out)
{
    static const char mark[] = ";base64,";
    struct text url = p->text;
    const char *comma, *semicolon;

    if (url.is_escaped) /* "data:image\/png" */
        url.p = text_decode(b->a, p->text, &url.len);
    url.is_escaped = false;
    *out = (struct image){TEXT_NONE, TEXT_NONE};
    if (url.len < 5 || strncasecmp(url.p, "data:", 5) != 0) {
        out->mime = mime_of_path(arena_copy(b->a, url.p, url.len));
        return true;
    }
    comma = memchr(url.p, ',', url.len);
    if (comma == NULL || (size_t)(comma + 1 - url.p) < 5 + sizeof(mark) - 1 ||
        strncasecmp(comma + 1 - (sizeof(mark) - 1), mark, sizeof(mark) - 1) != 0) {
        build_fail(b, -EINVAL, "an image's data: URL is not base64");
        return false;
    }
    url.len -= (size_t)(comma + 1 - url.p);
    semicolon = memchr(url.p + 5, ';', (size_t)(comma - (url.p + 5))); /* before ";base64" at the latest */
    out->mime = text_slice(url.p + 5, (size_t)(semicolon - (url.p + 5)));
    if (text_is(out->mime, "image/jpg")) /* widespread, but no registered type: the APIs but OpenAI's refuse it */
        out->mime = TEXT_LIT("image/jpeg");
    out->data = text_slice(comma + 1, url.len);
    if (out->mime.len == 0) {
        build_fail(b, -EINVAL, "an image's data: URL names no type");
        return false;
    }
    return true;
}

int model_version(const char *name, const char *prefix)
{
    static const char between[] = "-.@:_/";
    const char *p = strstr(name, prefix);
    int numbers[2] = {-1, 0};
    int n = 0;

    if (p == NULL)
        return -1;
    for (p += strlen(prefix); *p != '\0' && n < 2; p += strspn(p, between)) {
        size_t len = strcspn(p, between);
        size_t digits = strspn(p, "0123456789");

        if (len > 0 && digits == len && len <= 2)
            numbers[n++] = len == 1 ? p[0] - '0' : (p[0] - '0') * 10 + p[1] - '0';
        else if (n > 0)
            break;
        p += len;
    }
    return n == 0 ? -1 : numbers[0] * 100 + numbers[1];
}
