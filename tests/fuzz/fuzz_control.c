/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a command: refused with a reason, or one whose id is whole and that is written and read again as it was.
 * One thread. */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/cancel.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena *a = arena_new(1024);
    struct cancel c, again;
    const char *why = NULL;
    struct buf b;

    if (cancel_read((const char *)bytes, len, a, &c, &why) == 0) {
        CHECK(strlen(c.id) >= 1 && strlen(c.id) <= CANCEL_ID_MAX && c.run >= -1 && (!c.is_batch || c.run == -1));
        buf_init(&b, 0);
        cancel_write(&c, &b);
        CHECK(cancel_read(b.p, b.len, a, &again, &why) == 0);
        CHECK(again.is_batch == c.is_batch && again.run == c.run && strcmp(again.id, c.id) == 0);
        buf_done(&b);
    } else {
        CHECK(why != NULL);
    }
    arena_free(a);
    return 0;
}
