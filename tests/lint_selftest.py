#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each lint must find what it is for: small trees, one mistake each, and the words it is to be reported with."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
OPENING = "/* SPDX-License-Identifier: Apache-2.0 */\n/* A file of a test. */\n"
GOOD = {
    "src/base/mem.c": OPENING + "#include <stdlib.h>\n\n#include \"base/mem.h\"\n\nvoid *mem_alloc(void)\n{\n    return malloc(1);\n}\n",
    "include/base/mem.h": OPENING + "#ifndef M_H\n#define M_H\nvoid *mem_alloc(void);\n#endif\n",
    "src/core/outcome.c": OPENING + 'static const char *rows[] = {[FAULT_TIMEOUT] = {"timeout", true}};\n',
    "src/core/step.c": OPENING + 'int f(void)\n{\n    decode_fail_code(d, "not_json", "");\n    dead_letter(j, "crash_loop", "");\n'
                                 '    error_code = "quorum_not_met";\n}\n',
    "docs/errors.md": "### timeout\n### not_json\n### crash_loop\n### quorum_not_met\n",
}


def body(*lines):
    return OPENING + "int f(int x)\n{\n" + "\n".join(lines) + "\n    return x;\n}\n"


class LintTest(unittest.TestCase):
    def run_lint(self, script, files, *args):
        """(exit code, output) of a lint over the good tree with `files` laid over it."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **files}.items():
                path = os.path.join(root, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text.replace("@ROOT@", root))
            command = [os.path.join(HERE, script), *(a.replace("@ROOT@", root) for a in args), root]
            if script.endswith(".py"):
                command.insert(0, sys.executable)
            env = {**os.environ, "XDG_CACHE_HOME": os.path.join(root, "cache")}
            run = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
            return run.returncode, run.stdout + run.stderr

    def finds(self, script, why, files, *args):
        code, text = self.run_lint(script, files, *args)
        self.assertIn(why, text)
        self.assertEqual(code != 0, True, text)

    def passes(self, script, files=None, *args):
        code, text = self.run_lint(script, files or {}, *args)
        self.assertEqual(code, 0, text)


class Layers(LintTest):
    def test_good(self):
        self.passes("lint_layers.py")

    def test_forbidden(self):
        header = {"include/seam/http.h": OPENING, "include/seam/broker.h": OPENING, "include/core/job.h": OPENING,
                  "src/broker/kafka.h": OPENING, "include/engine/worker.h": OPENING}
        for path, include, why in [
            ("src/core/job.c", "<curl/curl.h>", "core may not use <curl/curl.h>"),
            ("src/provider/x.c", "<jansson.h>", "provider may not use <jansson.h>"),
            ("src/http/x.c", "<librdkafka/rdkafka.h>", "http may not use"),
            ("src/engine/x.c", '"broker/kafka.h"', "engine may not include broker"),
            ("src/core/x.c", '"engine/worker.h"', "core may not include engine"),
            ("src/base/x.c", '"core/job.h"', "base may not include core"),
            ("src/http/x.c", '"core/job.h"', "http may not include core"),
            ("src/http/x.c", '"seam/broker.h"', "another one's seam"),
            ("include/seam/x.h", '"core/job.h"', "seam may not include core"),
            ("src/merge/x.c", "<sys/socket.h>", "does no I/O"),
            ("src/core/x.c", "<pthread.h>", "does no I/O"),
            ("src/base/x.c", "<uuid/uuid.h>", "in no table"),
            ("src/base/x.c", '"base/missing.h"', "no file of ours"),
        ]:
            with self.subTest(path=path, include=include):
                self.finds("lint_layers.py", why, {**header, path: f"{OPENING}#include {include}\n"})

    def test_no_layer(self):
        self.finds("lint_layers.py", "belongs to no layer", {"src/newdir/x.c": OPENING})

    def test_clock_and_dice(self):
        for call in ("time(NULL)", "rand()", "clock_gettime(0, &t)"):
            self.finds("lint_layers.py", "runs must replay", {"src/core/x.c": body(f"    x = {call};")})
        self.passes("lint_layers.py", {"src/core/x.c": body("    x = ops->time(1); /* time(NULL) */ y = \"rand()\";")})

    def test_cycle(self):
        self.finds("lint_layers.py", "include cycle", {"include/base/a.h": '#include "base/b.h"\n',
                                                       "include/base/b.h": '#include "base/a.h"\n'})


class Style(LintTest):
    def test_good(self):
        self.passes("lint_style.py")

    def test_mistakes(self):
        for text, why in [
            ("int x;\n", "SPDX"),
            (OPENING.split("\n", 1)[0] + "\nint x;\n", "no paragraph"),
            (OPENING + "int x; /* " + "a" * 120 + " */\n", "columns"),
            (OPENING + "\tint x;\n", "a tab"),
            (OPENING + "int x; \n", "blanks at the end"),
            (OPENING + "int x;", "no newline"),
            (OPENING + "int x; // y\n", "comments are"),
            (OPENING + "/* TODO: later */\n", "a TODO has a number"),
            (OPENING + "int x;\n" * 499, "501 lines"),
            (body(*["    x++;"] * 80), "a function of 81 lines"),
            (body(" " * 20 + "if (x)"), "nested more than 4 deep"),
            (body("    char *p = malloc(3);"), "malloc()"),
            (body("    free(x);"), "free()"),
            *[(body(f"    {f}(x);"), f"{f}()") for f in
              ("strcpy", "strcat", "sprintf", "strtok", "atoi", "gettimeofday", "usleep", "sleep")],
        ]:
            with self.subTest(why=why):
                self.finds("lint_style.py", why, {"src/core/x.c": text})

    def test_no_mistake(self):
        for text in (OPENING + "/* TODO(#12): later */\n", body("    u.free(x), mem_free(x), snprintf(x); /* free(x) */"),
                     body(*["    x++;"] * 79), body(" " * 16 + "if (x)"), body('    s = "http://x sleep(1)";')):
            self.passes("lint_style.py", {"src/core/x.c": text})


class Errors(LintTest):
    def test_good(self):
        self.passes("lint_errors.py")

    def test_missing(self):
        for code in ("timeout", "not_json", "crash_loop", "quorum_not_met"):
            docs = GOOD["docs/errors.md"].replace(f"### {code}\n", "")
            self.finds("lint_errors.py", f"{code} has no heading", {"docs/errors.md": docs})

    def test_twice(self):
        self.finds("lint_errors.py", "there twice", {"docs/errors.md": GOOD["docs/errors.md"] + "### timeout\n"})

    def test_out_of_date(self):
        self.finds("lint_errors.py", "nothing looks like", {"src/core/step.c": OPENING})


class Words(LintTest):
    TREE = {
        "src/provider/error_words.c": OPENING + 'static const struct error_word a[] = {\n    {"slow_down", FAULT_OVERLOADED},\n};\n'
                                      'static const struct error_phrase b[] = {\n    {"at capacity", ON_429, FAULT_OVERLOADED, "x"},\n};\n',
        "src/provider/error_class.c": OPENING + 'static struct row rows[] = {{498, {FAULT_RATE_LIMITED, "x"}}};\n'
                                      'static const char *const marks[] = {"sk-",\n "hf_"};\n',
        "src/provider/anthropic_answer.c": OPENING + 'static const struct error_word c[] = {{"api_error", FAULT_PROVIDER_ERROR}};\n',
        "src/provider/gemini_answer.c": OPENING + 'static const struct error_word d[] = {{"aborted", FAULT_PROVIDER_ERROR}};\n',
        "tests/unit/provider/test_x.c": OPENING + 'static struct row rows[] = {{498, "{\\"code\\":\\"slow_down\\"}"}, {200, "it is at "\n'
                                        ' "Capacity"}, {200, "key sk-abc or hf_abc"}, {200, "api_error, " "ABORTED"}};\n',
    }

    def test_good(self):
        self.passes("lint_words.py", self.TREE)

    def test_missing(self):
        test = "tests/unit/provider/test_x.c"
        for word, instead in (("slow_down", "slow_down_more"), ("Capacity", "Capac"), ("498", "499"), ("hf_", "f_"), ("api_error", "error"),
                              ("ABORTED", "ABORT")):
            with self.subTest(word=word):
                text = self.TREE[test].replace(word, instead) + f"/* {word}, */\n"
                said = "at capacity" if word == "Capacity" else word.lower()
                self.finds("lint_words.py", f"no test in tests/unit/provider says {said}", {**self.TREE, test: text})

    def test_added(self):
        path = "src/provider/error_words.c"
        text = self.TREE[path].replace("    {\"slow_down", "    {\"new_word\", FAULT_AUTH},\n    {\"slow_down")
        self.finds("lint_words.py", "says new_word", {**self.TREE, path: text})

    def test_out_of_date(self):
        for path in sorted(p for p in self.TREE if p.startswith("src/")):
            self.finds("lint_words.py", f"nothing in {path} looks like", {**self.TREE, path: OPENING})


class Docs(LintTest):
    def test_links(self):
        self.passes("lint_docs.py", {"docs/a.md": "# A thing\n[b](errors.md#timeout) [c](#a-thing) [d](https://x.org/)\n"})
        self.finds("lint_docs.py", "missing.md does not exist", {"docs/a.md": "[b](missing.md)\n"})
        self.finds("lint_docs.py", "#nowhere has no such heading", {"README.md": "[b](docs/errors.md#nowhere)\n"})


class Tools(LintTest):
    """clang-format, the compiler and clang-tidy, with the repository's own configuration."""

    def config(self, name):
        with open(os.path.join(ROOT, name), encoding="utf-8") as f:
            return {name: f.read()}

    def test_format(self):
        self.passes("lint_format.sh", {**self.config(".clang-format"), "src/core/outcome.c": "int x;\n", "src/core/step.c": "int y;\n"})
        self.finds("lint_format.sh", "step.c", {**self.config(".clang-format"), "src/core/step.c": "int  x ;\n"})

    def test_headers(self):
        self.passes("lint_headers.sh")
        self.finds("lint_headers.sh", "uint8_t", {"include/base/x.h": "extern uint8_t x;\n"})

    def test_tidy(self):
        commands = '[{"directory": "@ROOT@", "command": "cc -c src/base/mem.c", "file": "@ROOT@/src/base/mem.c"}]'
        good = {**self.config(".clang-tidy"), "build/compile_commands.json": commands, "src/base/mem.c": "int f(int x);\nint f(int x)\n{\n    return x;\n}\n"}
        self.passes("lint_tidy.py", good, "@ROOT@/build")
        for line, why in (("int *p = 0; return *p + x;", "clang-analyzer-core.NullDereference"),
                          ("float y = x; if (y < 1) ; return x;", "bugprone"),
                          ("x++;\n" * 90 + "return x;", "readability-function-size")):
            bad = good["src/base/mem.c"].replace("return x;", line)
            self.finds("lint_tidy.py", why, {**good, "src/base/mem.c": bad}, "@ROOT@/build")


if __name__ == "__main__":
    unittest.main()
