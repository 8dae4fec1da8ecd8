/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, deterministic UUIDs, hex, base64url and CRC-32C. Any thread. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX = 64, UUID_CHARS = 36 };

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_BYTES]);
/* Lower-case hex of `len` bytes and a NUL; out holds 2 * len + 1. */
void digest_hex(const uint8_t *bytes, size_t len, char *out);
/* A UUIDv8 (RFC 9562) from the first 128 bits of SHA-256 over the parts joined by 0x1f (CONTRACTS 1).
 * parts[n]: NUL-terminated, numbers already in decimal. */
void digest_uuid8(const char *const *parts, size_t n, char out[UUID_CHARS + 1]);
/* CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
uint32_t digest_crc32c(const void *bytes, size_t len);
/* base64url without padding, RFC 4648 5. encode: returns characters written (out holds 4*((len+2)/3)+1, NUL added).
 * decode: bytes written, or -EINVAL. */
size_t digest_base64url(const void *bytes, size_t len, char *out);
long digest_unbase64url(const char *s, size_t len, void *out, size_t out_size);

#endif
