/* SPDX-License-Identifier: Apache-2.0 */
/* Values in the places of their names; the job key `vars` that brings them. */
#include "unit/core/spec_dump.h"

#include <errno.h>

#include "core/template.h"

/* clang-format off */
static struct template_var items[] = {
    {"a", TEXT_LIT("A")},
    {"a.b-c_1", TEXT_LIT("dotted")},
    {"ab", TEXT_LIT("AB")},
    {"again", TEXT_LIT("{{a}}")},
    {"esc", {"q\\\"\\n", 5, true}},
    {"half", TEXT_LIT("{{")},
    {"none", TEXT_LIT("")},
    {"user", TEXT_LIT("<b>&\"\\</b>")},
};
/* clang-format on */
static const struct template_vars vars = {items, ARRAY_LEN(items)};

static const struct {
    const char *text;
    const char *is;
} expansions[] = {
    {"", ""},
    {"plain } { text", "plain } { text"},
    {"{{a}}", "A"},
    {"x{{a}}y{{ab}}z", "xAyABz"},
    {"{{ a }}{{a \t}}{{\ta}}", "AAA"},
    {"{{a.b-c_1}}", "dotted"},
    {"[{{none}}]", "[]"},
    {"{{user}}", "<b>&\"\\</b>"}, /* no markup is escaped */
    {"{{esc}}", "q\"\n"},         /* either form */
    {"{{again}}{{a}}", "{{a}}A"}, /* a value is never looked into */
    {"{{half}}a}}", "{{a}}"},     /* nor put together with what stands behind it */
    {"{{{a}}}", "{A}"},           /* the innermost pair */
    {"{{{{a}}}}", "{{A}}"},
    {"{{", "{{"},
    {"{{{{", "{{{{"},
    {"{{a", "{{a"},
    {"{{a}", "{{a}"},
    {"{{a }", "{{a }"},
    {"{{a} }", "{{a} }"},
    {"{{a {{a}}", "{{a A"}, /* no place before, one behind */
    {"{{}}", "{{}}"},
    {"{{ }}", "{{ }}"},
    {"{{1}}", "{{1}}"}, /* no names */
    {"{{.a}}{{-a}}", "{{.a}}{{-a}}"},
    {"{{#if a}}{{/if}}", "{{#if a}}{{/if}}"},
    {"{{a b}}", "{{a b}}"},
    {"{{a|upper}}", "{{a|upper}}"},
    {"{{\na}}", "{{\na}}"},
    {"{\"k\":{\"n\":{}}}", "{\"k\":{\"n\":{}}}"},
    {"\xc3\xa9{{a}}\xe2\x82\xac", "\xc3\xa9"
                                  "A\xe2\x82\xac"},
};

static void check(struct arena *a, struct text t, const char *wanted)
{
    struct text out = TEXT_NONE, unbound = TEXT_NONE;

    assert_int_equal(template_expand(a, t, &vars, 1000, &out, &unbound), 0);
    if (!text_is(out, wanted))
        fail_msg("%.*s: %s, wanted %s", (int)t.len, t.p, text_decode(a, out, NULL), wanted);
}

static void test_expand(void **state)
{
    struct arena *a = arena_new(4096);
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(expansions); i++) {
        struct text plain = text_of(expansions[i].text);

        check(a, plain, expansions[i].is);
        buf_clear(&b); /* the same as JSON may write it: each byte of ASCII as an escape */
        for (size_t k = 0; k < plain.len; k++)
            if ((plain.p[k] & 0x80) == 0)
                buf_printf(&b, "\\u%04x", (unsigned)plain.p[k]);
            else
                buf_add_char(&b, plain.p[k]);
        check(a, (struct text){.p = b.p != NULL ? b.p : "", .len = b.len, .is_escaped = true}, expansions[i].is);
    }
    buf_done(&b);
    arena_free(a);
}

static void test_untouched_text_keeps_its_form(void **state)
{
    struct text t = {"say \\\"{{}}\\\"", 13, true}, out = TEXT_NONE, unbound;
    struct arena *a = arena_new(4096);

    (void)state;
    assert_int_equal(template_expand(a, t, &vars, 100, &out, &unbound), 0);
    assert_ptr_equal(out.p, t.p);
    assert_true(out.is_escaped);
    arena_free(a);
}

static void test_errors(void **state)
{
    static const struct {
        const char *text;
        int error;
        const char *unbound;
    } rows[] = {
        {"{{b}}", -ENOENT, "b"},         {"{{a}} {{ aa }} {{c}}", -ENOENT, "aa"},
        {"{{A}}", -ENOENT, "A"},         {"{{a.b-c_}}", -ENOENT, "a.b-c_"},
        {"{{users}}", -ENOENT, "users"}, {"{{use}}", -ENOENT, "use"},
        {"12345678", 0, NULL},           {"123456789", -E2BIG, NULL},
        {"1234567{{a}}", 0, NULL},       {"12345678{{a}}", -E2BIG, NULL},
        {"{{a}}12345678", -E2BIG, NULL}, {"{{ab}}{{ab}}{{ab}}{{ab}}{{ab}}", -E2BIG, NULL},
    };
    struct arena *a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text out = TEXT_NONE, unbound = TEXT_NONE;
        int r = template_expand(a, text_of(rows[i].text), &vars, 8, &out, &unbound);

        if (r != rows[i].error || (out.p != NULL) != (r == 0))
            fail_msg("row %zu: %d", i, r);
        if (r == -ENOENT && !text_is(unbound, rows[i].unbound))
            fail_msg("row %zu: %.*s", i, (int)unbound.len, unbound.p);
    }
    arena_free(a);
}

static void test_names(void **state)
{
    static const char *const good[] = {"a", "_", "A9", "a.b-c_d", "_1", "Z-"};
    static const char *const bad[] = {"", "1", ".a", "-a", "a b", "a ", "\xc3\xa4", "a{", "a\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(template_is_name(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(template_is_name(bad[i], strlen(bad[i])));
    assert_false(template_is_name("a\0b", 3));
}

/* --- as a job brings them --- */

static const struct spec_row jobs[] = {
    {"{\"prompt\":\"Say {{ what }}\",\"vars\":{\"what\":\"\\\"hi\\\"\\n{{what}}\",\"unused\":\"\"}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say \\\"hi\\\"\\n{{what}}\"}]}]}"},
    {"{\"vars\":{\"w\\u0068at\":\"x\\u00e9\"},\"prompt\":\"\\u007b{what}\\u007d \\\"{{what}}\\\"\"}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\xc3\xa9 \\\"x\xc3\xa9\\\"\"}]}]}"},
    {"{\"prompt\":\"{{a}} {{b\",\"vars\":null}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"{{a}} {{b\"}]}]}"},
    {"{\"prompt\":\"{{a}}\"}", "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"{{a}}\"}]}]}"},
    {"{\"prompt\":\"{{z}}{{a}}{{m}}\",\"vars\":{\"z\":\"1\",\"m\":\"3\",\"a\":\"2\"}}",
     "{\"messages\":[{\"role\":\"user\",\"parts\":[{\"text\":\"123\"}]}]}"},
    {"{\"system\":\"For {{a}}\",\"models\":[{\"model\":\"m\",\"system\":\"As {{a}}\"}],\"messages\":["
     "{\"role\":\"system\",\"content\":\"s{{a}}\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
     "\"text\":\"u{{a}}\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/{{a}}\"}}]},"
     "{\"role\":\"assistant\",\"content\":\"a{{a}}\"},{\"role\":\"user\",\"content\":\"x\"}],"
     "\"attachments\":[{\"name\":\"{{a}}\",\"text\":\"{{b}}\"}],\"vars\":{\"a\":\"V\"}}",
     "{\"messages\":[{\"role\":\"system\",\"parts\":[{\"text\":\"sV\"}]},{\"role\":\"user\",\"parts\":["
     "{\"text\":\"uV\"},{\"image\":\"https://a/{{a}}\"}]},{\"role\":\"assistant\",\"parts\":[{\"text\":\"aV\"}]},"
     "{\"role\":\"user\",\"parts\":[{\"text\":\"x\\n\\n## Attachment: {{a}}\\n\\n{{b}}\"}]}],"
     "\"system\":\"For V\",\"models\":[{\"model\":\"m\",\"system\":\"As V\"}]}"},
};

static void test_jobs(void **state)
{
    (void)state;
    spec_check(jobs, ARRAY_LEN(jobs));
}

static const struct {
    const char *job;
    const char *pointer;
    const char *says;
} errors[] = {
    {"{\"prompt\":\"{{nmae}}\",\"vars\":{\"name\":\"x\"}}", "/prompt", "vars has no 'nmae' (did you mean 'name'?)"},
    {"{\"prompt\":\"{{a}}\",\"vars\":{}}", "/prompt", "vars has no 'a'"},
    {"{\"prompt\":\"x\",\"system\":\"{{b}}\",\"vars\":{}}", "/system", "vars has no 'b'"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"{{b}}\"}],\"vars\":{}}", "/messages/0/content", "'b'"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\","
     "\"text\":\"{{b}}\"}]}],\"vars\":{}}",
     "/messages/0/content/1/text", "'b'"},
    {"{\"prompt\":\"x\",\"models\":[\"a\",{\"model\":\"m\",\"system\":\"{{b}}\"}],\"vars\":{}}", "/models/1/system",
     "'b'"},
    {"{\"prompt\":\"{{a}}\",\"vars\":{\"a\":\" \"}}", "/prompt", "prompt is empty"},
    {"{\"prompt\":\"x\",\"vars\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}", "/vars/a", "given twice"},
    {"{\"prompt\":\"x\",\"vars\":{},\"vars\":{}}", "/vars", "given twice"},
    {"{\"prompt\":\"x\",\"vars\":[]}", "/vars", "object of strings"},
    {"{\"prompt\":\"x\",\"vars\":{\"a\":1}}", "/vars/a", "a var must be a string"},
    {"{\"prompt\":\"x\",\"vars\":{\"a/b\":\"\"}}", "/vars/a~1b", "a var's name"},
    {"{\"prompt\":\"x\",\"vars\":{\"a\\u0000\":\"\"}}", "/vars/a\xef\xbf\xbd", "a var's name"},
    {"{\"custom_id\":\"c\",\"url\":\"/v1/chat/completions\",\"vars\":{},\"body\":{\"messages\":[{\"role\":\"user\","
     "\"content\":\"x\"}]}}",
     "/vars", "unknown key 'vars'"},
};

static void test_errors_of_jobs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct spec_rig r;

        spec_start(&r);
        assert_int_equal(spec_decode(&r, errors[i].job), -EINVAL);
        if (strcmp(r.err.code, "invalid_job") != 0 || strcmp(r.err.pointer, errors[i].pointer) != 0 ||
            strstr(r.err.message, errors[i].says) == NULL)
            fail_msg("row %zu: %s %s: %s", i, r.err.code, r.err.pointer, r.err.message);
        spec_stop(&r);
    }
}

/* A short job may not become a request of any size: 8 MiB are all that its texts have together. */
static void decode_repeated(int n_system, int n_prompt, const char *pointer)
{
    enum { VALUE_BYTES = 1 << 16 };
    struct spec_rig r;
    struct buf b;

    buf_init(&b, 0);
    buf_add_str(&b, "{\"system\":\".");
    for (int i = 0; i < n_system; i++)
        buf_add_str(&b, "{{v}}");
    buf_add_str(&b, "\",\"prompt\":\"");
    for (int i = 0; i < n_prompt; i++)
        buf_add_str(&b, "{{v}}");
    buf_add_str(&b, "\",\"vars\":{\"v\":\"");
    for (int i = 0; i < VALUE_BYTES; i++)
        buf_add_char(&b, 'v');
    buf_add_str(&b, "\"}}");
    spec_start(&r);
    assert_int_equal(spec_decode(&r, b.p), pointer != NULL ? -EINVAL : 0);
    if (pointer != NULL)
        assert_string_equal(r.err.pointer, pointer);
    else
        assert_int_equal(r.j.spec.messages[0].parts[0].text.len, (size_t)n_prompt * VALUE_BYTES);
    spec_stop(&r);
    buf_done(&b);
}

static void test_size_of_the_input(void **state)
{
    (void)state;
    decode_repeated(27, 100, NULL);
    decode_repeated(28, 100, "/prompt"); /* by the one byte that stands in front */
    decode_repeated(128, 1, "/system");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_untouched_text_keeps_its_form),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_errors_of_jobs),
        cmocka_unit_test(test_size_of_the_input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
