/* SPDX-License-Identifier: Apache-2.0 */
/* Published vectors: FIPS 180 SHA-256, RFC 3720 CRC-32C, RFC 4648 base64url; our UUIDv8. */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"

static void test_sha256(void **state)
{
    static const struct {
        const char *in;
        const char *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t hash[DIGEST_BYTES];
    char hex[DIGEST_HEX + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        digest_sha256(rows[i].in, strlen(rows[i].in), hash);
        digest_hex(hash, sizeof(hash), hex);
        assert_string_equal(hex, rows[i].hex);
    }
    digest_hex(NULL, 0, hex);
    assert_string_equal(hex, "");
}

static void test_uuid8(void **state)
{
    static const struct {
        const char *parts[5];
        size_t n;
        const char *uuid;
    } rows[] = {
        /* computed with Python's hashlib */
        {{"tutti", "jobs", "3", "42", "call"}, 5, "33978425-5d79-8337-9a26-0729b3b80ee0"},
        {{"a"}, 1, "ca978112-ca1b-8dca-bac2-31b39a23dc4d"},
        {{"a", "b"}, 2, "f04cdced-9736-869d-a610-3f08a4daaf8c"},
        {{""}, 1, "e3b0c442-98fc-8c14-9afb-f4c8996fb924"},
        {{"", ""}, 2, "ffe679bb-831c-85b6-bdc1-7819c63c5090"},
    };
    char uuid[UUID_CHARS + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        digest_uuid8(rows[i].parts, rows[i].n, uuid);
        assert_string_equal(uuid, rows[i].uuid);
        assert_int_equal(uuid[14], '8');
        assert_non_null(strchr("89ab", uuid[19]));
    }
}

static void test_crc32c(void **state)
{
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(digest_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(digest_crc32c("", 0), 0);
    assert_int_equal(digest_crc32c(bytes, 32), 0x8a9136aa); /* RFC 3720 B.4 */
    memset(bytes, 0xff, 32);
    assert_int_equal(digest_crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(digest_crc32c(bytes, 32), 0x46dd794e);
}

static void test_base64url(void **state)
{
    static const struct {
        const char *plain;
        const char *coded;
    } rows[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
                {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "__77"}};
    static const char *const bad[] = {"A", "Zg=", "Zh", "Zm9", "Z g", "+/", "AAAAA", "\xc3\xa9"};
    char out[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].plain);

        assert_int_equal(digest_base64url(rows[i].plain, len, out), strlen(rows[i].coded));
        assert_string_equal(out, rows[i].coded);
        assert_int_equal(digest_unbase64url(rows[i].coded, strlen(rows[i].coded), out, len), len);
        assert_memory_equal(out, rows[i].plain, len);
        if (len > 0)
            assert_int_equal(digest_unbase64url(rows[i].coded, strlen(rows[i].coded), out, len - 1), -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(digest_unbase64url(bad[i], strlen(bad[i]), out, sizeof(out)), -EINVAL);
    assert_int_equal(digest_unbase64url("A\0AA", 4, out, sizeof(out)), -EINVAL);
    for (size_t len = 0; len < 32; len++) {
        char bytes[32];

        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 37 + len * 101);
        assert_int_equal(digest_unbase64url(out, digest_base64url(bytes, len, out), out, sizeof(out)), len);
        assert_memory_equal(out, bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_uuid8),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_base64url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
