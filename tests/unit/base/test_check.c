/* SPDX-License-Identifier: Apache-2.0 */
/* CHECK(): passes silently, else one line and SIGABRT (in a child); the intrusive list beside it. */
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"

static void test_check(void **state)
{
    char line[1000] = "";
    int status = 0;
    int fds[2];
    pid_t pid;

    (void)state;
    CHECK(1 + 1 == 2);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)dup2(fds[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka may catch it */
        CHECK(strcmp("a", "b") == 0);
        _exit(0);
    }
    (void)close(fds[1]);
    assert_true(read(fds[0], line, sizeof(line) - 1) > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(line, "event=check_failed condition=\"strcmp(\\\"a\\\", \\\"b\\\") == 0\" file=\""));
    assert_non_null(strstr(line, "test_check.c\" line="));
    (void)close(fds[0]);
}

struct item {
    int n;
    struct list node;
};

static void test_list(void **state)
{
    struct item items[4] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}};
    struct list head, other;
    int sum = 0;

    (void)state;
    list_init(&head);
    list_init(&other);
    assert_true(list_is_empty(&head));
    assert_null(list_take_first(&head));
    for (int i = 0; i < 4; i++) {
        list_init(&items[i].node);
        assert_false(list_is_linked(&items[i].node));
    }
    list_add_tail(&head, &items[1].node);
    list_add_tail(&head, &items[2].node);
    list_add_head(&head, &items[0].node);
    list_add_tail(&other, &items[3].node);
    list_move_all(&head, &other);
    assert_true(list_is_empty(&other));
    LIST_EACH (it, &head)
        sum = sum * 10 + LIST_ENTRY(it, struct item, node)->n;
    assert_int_equal(sum, 123); /* 0 1 2 3 */
    LIST_EACH_SAFE (it, &head) {
        if (LIST_ENTRY(it, struct item, node)->n % 2 == 0)
            list_del(it);
    }
    assert_ptr_equal(list_take_first(&head), &items[1].node);
    assert_ptr_equal(list_take_first(&head), &items[3].node);
    assert_true(list_is_empty(&head));
    list_del(&items[0].node); /* in no list: fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check), cmocka_unit_test(test_list)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
