/* SPDX-License-Identifier: Apache-2.0 */
/* Reads redis:// and rediss:// URLs into a redis_conf. Never logs anything, since a URL may hold a password. Any
 * thread. */
#include "redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { DEFAULT_PORT = 6379, PORT_MAX = 65535, DB_MAX = 1000000 };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of [p, end) with %XX decoded, or NULL: a bad escape, or %00 which no C string can hold. */
static char *decode(const char *p, const char *end)
{
    AUTO_FREE char *out = mem_alloc((size_t)(end - p) + 1);
    size_t len = 0;

    for (; p < end; p++) {
        int high, low;

        if (*p != '%') {
            out[len++] = *p;
            continue;
        }
        high = end - p > 2 ? hex_value(p[1]) : -1;
        low = high >= 0 ? hex_value(p[2]) : -1;
        if (low < 0 || high + low == 0)
            return NULL;
        out[len++] = (char)(high * 16 + low);
        p += 2;
    }
    out[len] = '\0';
    return TAKE(out);
}

/* The decimal number in [p, end), at least one digit, or -1. */
static int number(const char *p, const char *end, int max)
{
    int v = 0;

    if (p == end)
        return -1;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return -1;
        v = v * 10 + (*p - '0');
        if (v > max)
            return -1;
    }
    return v;
}

/* user:pass, :pass or pass alone (as redis-cli takes it), each percent-encoded. */
static int parse_login(const char *p, const char *end, struct redis_conf *c, const char **why)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));

    if (colon != NULL && colon > p) {
        c->user = decode(p, colon);
        if (c->user == NULL) {
            *why = "bad percent-encoding in the user name";
            return -EINVAL;
        }
    }
    c->password = decode(colon != NULL ? colon + 1 : p, end);
    if (c->password == NULL) {
        *why = "bad percent-encoding in the password";
        return -EINVAL;
    }
    if (c->password[0] != '\0')
        return 0;
    if (c->user != NULL) {
        *why = "the password is missing";
        return -EINVAL;
    }
    mem_free(TAKE(c->password)); /* redis://@host: nothing to log in with */
    return 0;
}

/* host, host:port, [v6] or [v6]:port */
static int parse_address(const char *p, const char *end, struct redis_conf *c, const char **why)
{
    bool is_v6 = p < end && *p == '[';
    const char *host_end = is_v6 ? memchr(p, ']', (size_t)(end - p)) : memchr(p, ':', (size_t)(end - p));
    const char *rest;

    if (is_v6 && host_end == NULL) {
        *why = "the address has [ without ]";
        return -EINVAL;
    }
    if (host_end == NULL)
        host_end = end;
    rest = is_v6 ? host_end + 1 : host_end;
    p += is_v6;
    if (host_end == p) {
        *why = "the host is missing";
        return -EINVAL;
    }
    for (const char *q = p; q < host_end; q++) {
        if (*q <= ' ' || *q == '%' || *q == '"' || *q == '\\' || (unsigned char)*q >= 0x7f) {
            *why = "the host holds a character that no host name has";
            return -EINVAL;
        }
    }
    if (rest < end) {
        c->port = *rest == ':' ? number(rest + 1, end, PORT_MAX) : -1;
        if (c->port < 1) {
            *why = "the port is not a number from 1 to 65535";
            return -EINVAL;
        }
    }
    c->host = mem_strndup(p, (size_t)(host_end - p));
    return 0;
}

static int parse(const char *url, struct redis_conf *c, const char **why)
{
    const char *p, *end, *path, *at;

    if (strncmp(url, "redis://", 8) == 0) {
        p = url + 8;
    } else if (strncmp(url, "rediss://", 9) == 0) {
        p = url + 9;
        c->is_tls = true;
    } else {
        *why = "it must begin with redis:// or rediss://";
        return -EINVAL;
    }
    if (strpbrk(p, "?#") != NULL) {
        *why = "parameters (? and #) are not known; encode them in a password as %3F and %23";
        return -EINVAL;
    }
    end = p + strcspn(p, "/");
    path = *end == '/' ? end + 1 : end;
    at = memrchr(p, '@', (size_t)(end - p));
    if (at != NULL && parse_login(p, at, c, why) < 0)
        return -EINVAL;
    if (parse_address(at != NULL ? at + 1 : p, end, c, why) < 0)
        return -EINVAL;
    if (*path != '\0') {
        c->db = number(path, path + strlen(path), DB_MAX);
        if (c->db < 0) {
            *why = "the database after the / is not a number";
            return -EINVAL;
        }
    }
    return 0;
}

int redis_conf_parse(const char *url, struct redis_conf *out, const char **why)
{
    struct redis_conf c = {.port = DEFAULT_PORT};

    if (parse(url, &c, why) < 0) {
        redis_conf_done(&c);
        return -EINVAL;
    }
    *out = c;
    return 0;
}

void redis_conf_copy(struct redis_conf *out, const struct redis_conf *conf)
{
    *out = *conf;
    out->host = mem_strdup(conf->host);
    out->user = mem_strdup(conf->user);
    out->password = mem_strdup(conf->password);
    out->ca_file = mem_strdup(conf->ca_file);
}

/* A password does not stay in freed memory, where a core would show it. */
void redis_conf_done(struct redis_conf *c)
{
    if (c->password != NULL)
        explicit_bzero(c->password, strlen(c->password));
    mem_free(c->host);
    mem_free(c->user);
    mem_free(c->password);
    mem_free(c->ca_file);
    *c = (struct redis_conf){0};
}
