/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities: every unit, decimals that come out even, and all that is refused. */
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/check.h"

static const struct {
    int (*read)(const char *, int64_t *);
    const char *in;
    int r;
    int64_t value;
} rows[] = {
    {units_size, "0", 0, 0},
    {units_size, "1024", 0, 1024},
    {units_size, "1KiB", 0, 1024},
    {units_size, "4MiB", 0, 4 << 20},
    {units_size, "2GiB", 0, INT64_C(2) << 30},
    {units_size, "1kB", 0, 1000},
    {units_size, "1MB", 0, 1000000},
    {units_size, "1GB", 0, 1000000000},
    {units_size, "1.5KiB", 0, 1536},
    {units_size, "0.1KiB", -EINVAL, 0}, /* 102.4 bytes */
    {units_size, "1KB", -EINVAL, 0},
    {units_size, "1 KiB", -EINVAL, 0},
    {units_size, " 1", -EINVAL, 0},
    {units_size, "1KiBx", -EINVAL, 0},
    {units_size, "-1", -EINVAL, 0},
    {units_size, "+1", -EINVAL, 0},
    {units_size, "", -EINVAL, 0},
    {units_size, "KiB", -EINVAL, 0},
    {units_size, "0x10", -EINVAL, 0},
    {units_size, "9223372036854775807", 0, INT64_MAX},
    {units_size, "9223372036854775808", -ERANGE, 0},
    {units_size, "8589934592GiB", -ERANGE, 0},
    {units_size, "8589934591GiB", 0, INT64_C(8589934591) << 30},
    {units_duration, "250ms", 0, 250000},
    {units_duration, "1.5s", 0, 1500000},
    {units_duration, "5m", 0, 300000000},
    {units_duration, "2h", 0, INT64_C(7200000000)},
    {units_duration, "1d", 0, INT64_C(86400000000)},
    {units_duration, "100us", 0, 100},
    {units_duration, "0.001ms", 0, 1},
    {units_duration, "0", 0, 0},
    {units_duration, "0s", 0, 0},
    {units_duration, "00", -EINVAL, 0},
    {units_duration, "30", -EINVAL, 0},
    {units_duration, "1.5us", -EINVAL, 0},
    {units_duration, "1.s", -EINVAL, 0},
    {units_duration, ".5s", -EINVAL, 0},
    {units_duration, "1.2.3s", -EINVAL, 0},
    {units_duration, "1m30s", -EINVAL, 0},
    {units_duration, "1M", -EINVAL, 0},
    {units_duration, "106751992d", -ERANGE, 0},
    {units_count, "60", 0, 60},
    {units_count, "25k", 0, 25000},
    {units_count, "1.5M", 0, 1500000},
    {units_count, "1.0005k", -EINVAL, 0},
    {units_count, "1.5", -EINVAL, 0},
    {units_count, "1K", -EINVAL, 0},
    {units_nano, "2.50", 0, INT64_C(2500000000)},
    {units_nano, "0", 0, 0},
    {units_nano, "0.000000001", 0, 1},
    {units_nano, "0.0000000001", -EINVAL, 0},
    {units_nano, "9223372036.854775807", 0, INT64_MAX},
    {units_nano, "9223372036.854775808", -ERANGE, 0},
    {units_nano, "-1", -EINVAL, 0},
    {units_nano, "1e3", -EINVAL, 0},
    {units_nano, "1k", -EINVAL, 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = -77;
        int r = rows[i].read(rows[i].in, &value);

        if (r != rows[i].r || value != (r == 0 ? rows[i].value : -77))
            fail_msg("row %zu \"%s\": %d, %lld", i, rows[i].in, r, (long long)value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
