/* SPDX-License-Identifier: Apache-2.0 */
/* The offset window: two rings of bits over [base, base + WINDOW_SPAN). Pure arithmetic, no I/O, no clock; one
 * partition's thread. */
#include "core/window.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/digest.h"

/* The form of the metadata; another version or another program's metadata is ignored, never guessed at. */
enum { METADATA_VERSION = '1', CRC_BYTES = 4, METADATA_MAX = 4096 };

static bool bit_get(const uint64_t *bits, int64_t offset)
{
    uint64_t i = (uint64_t)offset % WINDOW_SPAN;

    return (bits[i / 64] >> (i % 64)) & 1;
}

static void bit_set(uint64_t *bits, int64_t offset)
{
    uint64_t i = (uint64_t)offset % WINDOW_SPAN;

    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static void bit_clear(uint64_t *bits, int64_t offset)
{
    uint64_t i = (uint64_t)offset % WINDOW_SPAN;

    bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

void window_init(struct window *w, int64_t start)
{
    memset(w, 0, sizeof(*w));
    w->base = start;
    w->next = start;
}

/* Moves the base over everything that is not open. Each offset is passed once in its life, so this is O(1) amortised; a
 * gap longer than the span is jumped. */
static void window_advance(struct window *w)
{
    int64_t target = w->base;

    if (w->n_open == 0 && w->next - w->base >= WINDOW_SPAN) {
        memset(w->done, 0, sizeof(w->done));
        w->base = w->next;
        return;
    }
    while (target < w->next && !bit_get(w->open, target)) {
        bit_clear(w->done, target);
        target++;
    }
    w->base = target;
}

int window_open(struct window *w, int64_t offset)
{
    if (offset < w->next)
        return -EINVAL;
    if (offset - w->base >= WINDOW_SPAN) {
        if (w->n_open > 0)
            return -ENOSPC;
        /* nothing is open: whatever lies between was never delivered */
        memset(w->done, 0, sizeof(w->done));
        w->base = offset;
    }
    w->next = offset + 1;
    if (bit_get(w->done, offset)) {
        window_advance(w);
        return 1;
    }
    bit_set(w->open, offset);
    w->n_open++;
    /* the base is the lowest open offset: over a gap it moves up to this one at once */
    window_advance(w);
    return 0;
}

void window_close(struct window *w, int64_t offset)
{
    CHECK(offset >= w->base && offset < w->next && bit_get(w->open, offset));
    bit_clear(w->open, offset);
    bit_set(w->done, offset);
    w->n_open--;
    window_advance(w);
}

bool window_has_room(const struct window *w)
{
    return w->next - w->base < WINDOW_SPAN;
}

/* The bits from the base on as bytes, least significant bit first; returns how many bytes up to the last set bit. The
 * base stands anywhere in its word, so each word of the result is made of two. */
static size_t done_bytes(const struct window *w, uint8_t out[WINDOW_SPAN / 8])
{
    const size_t n_words = WINDOW_SPAN / 64;
    size_t first = (uint64_t)w->base % WINDOW_SPAN / 64;
    unsigned shift = (uint64_t)w->base % 64;
    size_t used = 0;

    memset(out, 0, WINDOW_SPAN / 8);
    for (size_t i = 0; i < n_words; i++) {
        uint64_t word = w->done[(first + i) % n_words] >> shift;

        if (shift > 0)
            word |= w->done[(first + i + 1) % n_words] << (64 - shift);
        for (size_t k = 0; word != 0; k++, word >>= 8) {
            out[i * 8 + k] = (uint8_t)word;
            used = i * 8 + k + 1;
        }
    }
    return used;
}

/* The checksum covers the base too: a bitmap that belongs to another commit is not taken. */
static uint32_t position_crc(int64_t base, uint8_t *bits, size_t len)
{
    uint8_t bytes[WINDOW_SPAN / 8 + 8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)base >> (56 - 8 * i));
    memcpy(bytes + 8, bits, len);
    return digest_crc32c(bytes, len + 8);
}

void window_position(const struct window *w, int64_t *out_base, struct buf *out)
{
    uint8_t bytes[WINDOW_SPAN / 8 + CRC_BYTES];
    char text[METADATA_MAX];
    size_t len = done_bytes(w, bytes);
    uint32_t crc;

    *out_base = w->base;
    if (len == 0)
        return;
    crc = position_crc(w->base, bytes, len);
    for (int i = 0; i < CRC_BYTES; i++)
        bytes[len++] = (uint8_t)(crc >> (24 - 8 * i));
    buf_add_char(out, METADATA_VERSION);
    buf_add(out, text, digest_base64url(bytes, len, text));
}

int window_load(struct window *w, const char *metadata, int64_t high)
{
    uint8_t bytes[WINDOW_SPAN / 8 + CRC_BYTES];
    size_t chars = strlen(metadata);
    long len;
    uint32_t crc = 0;

    CHECK(w->n_open == 0 && w->next == w->base);
    if (chars == 0)
        return 0;
    if (metadata[0] != METADATA_VERSION)
        return -EINVAL;
    len = digest_unbase64url(metadata + 1, chars - 1, bytes, sizeof(bytes));
    if (len <= CRC_BYTES)
        return -EINVAL;
    len -= CRC_BYTES;
    for (int i = 0; i < CRC_BYTES; i++)
        crc = crc << 8 | bytes[len + i];
    if (crc != position_crc(w->base, bytes, (size_t)len))
        return -EINVAL;
    for (int64_t i = len * 8 - 1; high >= 0 && i >= 0 && w->base + i >= high; i--)
        if (bytes[i / 8] >> (i % 8) & 1)
            return -EINVAL;
    for (int64_t i = 0; i < len * 8; i++)
        if (bytes[i / 8] >> (i % 8) & 1)
            bit_set(w->done, w->base + i);
    return 0;
}
