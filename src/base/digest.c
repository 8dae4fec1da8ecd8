/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (libcrypto) and what is made of it, hex, base64url, CRC-32C. Never used for secrets' comparison. Any
 * thread. */
#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Fetched once: OpenSSL 3 looks the algorithm up under locks at every use of EVP_sha256(). Lives until exit. */
static EVP_MD *sha256;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(sha256 != NULL);
}

static const EVP_MD *sha256_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, fetch_sha256); /* cannot fail with a valid once */
    return sha256;
}

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_BYTES])
{
    CHECK(EVP_Digest(bytes, len, out, NULL, sha256_get(), NULL) == 1);
}

void digest_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        *out++ = hex_digits[bytes[i] >> 4];
        *out++ = hex_digits[bytes[i] & 15];
    }
    *out = '\0';
}

void digest_uuid8(const char *const *parts, size_t n, char out[UUID_CHARS + 1])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t hash[DIGEST_BYTES];
    char *p = out;

    CHECK(ctx != NULL && EVP_DigestInit_ex(ctx, sha256_get(), NULL) == 1);
    for (size_t i = 0; i < n; i++) {
        CHECK(i == 0 || EVP_DigestUpdate(ctx, "\x1f", 1) == 1);
        CHECK(EVP_DigestUpdate(ctx, parts[i], strlen(parts[i])) == 1);
    }
    CHECK(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
    EVP_MD_CTX_free(ctx);

    hash[6] = (hash[6] & 0x0f) | 0x80; /* version 8 */
    hash[8] = (hash[8] & 0x3f) | 0x80; /* variant 10 */
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex_digits[hash[i] >> 4];
        *p++ = hex_digits[hash[i] & 15];
    }
    *p = '\0';
}

uint32_t digest_crc32c(const void *bytes, size_t len)
{
    /* One row per half byte of the reflected polynomial 0x82f63b78: small, and quick enough for a few KiB. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = bytes;
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

size_t digest_base64url(const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;
    uint32_t bits = 0;
    int n_bits = 0;
    char *p = out;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            *p++ = base64_alphabet[bits >> (n_bits - 6) & 63];
    }
    if (n_bits > 0)
        *p++ = base64_alphabet[bits << (6 - n_bits) & 63];
    *p = '\0';
    return (size_t)(p - out);
}

static int base64url_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_alphabet, c);

    return at == NULL ? -1 : (int)(at - base64_alphabet);
}

long digest_unbase64url(const char *s, size_t len, void *out, size_t out_size)
{
    size_t need = len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0);
    uint8_t *p = out;
    uint32_t bits = 0;
    int n_bits = 0;

    if (len % 4 == 1 || need > out_size)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        int v = base64url_value(s[i]);

        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            *p++ = (uint8_t)(bits >> n_bits);
        }
    }
    if ((bits & ((1u << n_bits) - 1)) != 0)
        return -EINVAL; /* left-over bits: two spellings of one value would compare as different */
    return (long)need;
}
