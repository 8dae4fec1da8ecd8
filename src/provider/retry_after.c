/* SPDX-License-Identifier: Apache-2.0 */
/* The hints to wait in response headers: Retry-After in all its spellings, the ratelimit-reset families,
 * x-should-retry. Never reads a clock: moments are measured against the wall time given. No state; any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "provider/head.h"

enum { VALUE_BYTES = 64 };

static const int64_t wait_max_us = 24 * 3600 * INT64_C(1000000);

static int64_t clamp_us(double us)
{
    if (!(us >= 0))
        return 0;
    return us > (double)wait_max_us ? wait_max_us : (int64_t)us;
}

int64_t head_wait_until_us(int64_t moment_ms, int64_t wall_ms)
{
    return clamp_us(((double)moment_ms - (double)wall_ms) * 1000.0);
}

/* A plain decimal number, nothing behind it: no sign, no exponent, no inf. */
static bool read_number(const char *s, double *out)
{
    char *end;

    if (strspn(s, "0123456789.") != strlen(s) || s[0] < '0' || s[0] > '9')
        return false;
    *out = strtod(s, &end);
    return *end == '\0';
}

/* Days since 1970-01-01 of a Gregorian date (Howard Hinnant, days_from_civil). */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    int64_t era;
    int64_t yoe;
    int64_t doy;

    y -= m <= 2;
    era = y / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool moment_of(int y, int month, int d, int h, int min, int sec, int64_t *out_ms)
{
    if (y < 1970 || month < 1 || month > 12 || d < 1 || d > 31 || h < 0 || h > 23 || min < 0 || min > 59 || sec < 0 ||
        sec > 60)
        return false;
    *out_ms = (days_from_civil(y, month, d) * 86400 + h * 3600 + min * 60 + sec) * 1000;
    return true;
}

static int month_of(const char *name)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++)
        if (strncasecmp(name, months + 3 * i, 3) == 0)
            return i + 1;
    return 0;
}

/* The three forms of HTTP-date (RFC 9110 5.6.7) and RFC 3339 in UTC. */
static bool read_date(const char *s, int64_t *out_ms)
{
    char month[4] = "";
    int y;
    int mo;
    int d;
    int h;
    int mi;
    int sec;

    if (sscanf(s, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &d, month, &y, &h, &mi, &sec) == 6)
        return moment_of(y, month_of(month), d, h, mi, sec, out_ms);
    if (sscanf(s, "%*[A-Za-z], %2d-%3s-%2d %2d:%2d:%2d GMT", &d, month, &y, &h, &mi, &sec) == 6)
        return moment_of(y + (y < 70 ? 2000 : 1900), month_of(month), d, h, mi, sec, out_ms);
    if (sscanf(s, "%*3s %3s %2d %2d:%2d:%2d %4d", month, &d, &h, &mi, &sec, &y) == 6)
        return moment_of(y, month_of(month), d, h, mi, sec, out_ms);
    if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d", &y, &mo, &d, &h, &mi, &sec) == 6)
        return moment_of(y, mo, d, h, mi, sec, out_ms);
    return false;
}

/* "1m26.4s", "6ms", "21m36.001s", "0s" */
static bool read_go_duration(const char *s, double *out_us)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"ms", 1e3}, {"us", 1}, {"d", 86400e6}, {"h", 3600e6}, {"m", 60e6}, {"s", 1e6}};
    double sum = 0;

    if (*s == '\0')
        return false;
    while (*s != '\0') {
        size_t digits = strspn(s, "0123456789.");
        size_t i;

        if (digits == 0)
            return false;
        for (i = 0; i < ARRAY_LEN(units); i++)
            if (strncmp(s + digits, units[i].name, strlen(units[i].name)) == 0)
                break;
        if (i == ARRAY_LEN(units))
            return false;
        sum += strtod(s, NULL) * units[i].us;
        s += digits + strlen(units[i].name);
    }
    *out_us = sum;
    return true;
}

int64_t head_duration_us(const char *s)
{
    double us;

    return read_go_duration(s, &us) ? clamp_us(us) : -1;
}

int64_t head_retry_after_us(const struct transfer *t, int64_t wall_ms)
{
    char value[VALUE_BYTES];
    int64_t moment_ms;
    double n;

    /* Azure sends 0 ms beside 1 s: then the seconds count. */
    if (head_get(t, "retry-after-ms", value, sizeof(value)) == 0 && read_number(value, &n) && n > 0)
        return clamp_us(n * 1e3);
    if (head_get(t, "retry-after", value, sizeof(value)) < 0)
        return -1;
    if (read_number(value, &n))
        return clamp_us(n * 1e6);
    if (read_date(value, &moment_ms))
        return head_wait_until_us(moment_ms, wall_ms);
    return -1;
}

/* One reset value: a duration, seconds, or a moment as epoch seconds, epoch milliseconds or RFC 3339. */
static int64_t reset_of(const char *value, int64_t wall_ms)
{
    int64_t moment_ms;
    double n;

    if (read_number(value, &n)) {
        if (n >= 1e12)
            return head_wait_until_us(n < 1e15 ? (int64_t)n : (int64_t)1e15, wall_ms);
        if (n >= 1e9)
            return head_wait_until_us((int64_t)(n * 1e3), wall_ms);
        return clamp_us(n * 1e6);
    }
    if (read_go_duration(value, &n))
        return clamp_us(n);
    if (read_date(value, &moment_ms) && moment_ms > 0) /* 1970 is Anthropic's "none" */
        return head_wait_until_us(moment_ms, wall_ms);
    return -1;
}

int64_t head_reset_us(const struct transfer *t, int64_t wall_ms)
{
    static const struct {
        const char *remaining;
        const char *reset;
    } limits[] = {
        {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
        {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
        {"x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"},
        {"x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"},
        {"x-ratelimit-remaining", "x-ratelimit-reset"},
        {"ratelimit-remaining", "ratelimit-reset"},
        {"x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens"},
        {"x-ratelimit-remaining", "x-ratelimit-timeremaining"}, /* GitHub Models */
        {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
        {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
        {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
        {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
    };
    int64_t used_up = -1;  /* longest wait of the limits that are at 0: all of them must pass */
    int64_t shortest = -1; /* a reset says when a limit is full again, which is more than one call needs */

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        char value[VALUE_BYTES];
        double remaining;
        int64_t wait;

        if (head_get(t, limits[i].reset, value, sizeof(value)) < 0)
            continue;
        wait = reset_of(value, wall_ms);
        if (wait < 0)
            continue;
        if (shortest < 0 || wait < shortest)
            shortest = wait;
        if (head_get(t, limits[i].remaining, value, sizeof(value)) == 0 && read_number(value, &remaining) &&
            remaining == 0 && wait > used_up)
            used_up = wait;
    }
    if (used_up >= 0)
        shortest = used_up;
    return shortest == 0 ? -1 : shortest; /* "0s" beside a 429 says nothing */
}

enum retry_hint head_retry_hint(const struct transfer *t)
{
    char value[VALUE_BYTES];

    if (head_get(t, "x-should-retry", value, sizeof(value)) < 0)
        return RETRY_HINT_NONE;
    if (strcasecmp(value, "true") == 0)
        return RETRY_HINT_YES;
    return strcasecmp(value, "false") == 0 ? RETRY_HINT_NO : RETRY_HINT_NONE;
}
