/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti init`: a commented configuration and a few jobs to begin with. It never overwrites. Main thread. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/embedded.h"
#include "base/check.h"
#include "cli/cli.h"

enum { PATH_BYTES = 4096 };

static const struct {
    const char *from; /* in the repository */
    const char *to;
} files[] = {
    {"config/tutti.yaml", "tutti.yaml"},
    {"config/examples/first-jobs.jsonl", "jobs.jsonl"},
};

static const struct embedded_file *find(const char *name)
{
    const struct embedded_file *f = embedded_files;

    while (f->name != NULL && strcmp(f->name, name) != 0)
        f++;
    CHECK(f->name != NULL);
    return f;
}

static int fail(const struct cli *c, const char *path, int error)
{
    (void)fprintf(c->err, "tutti init: %s: %s\n", path,
                  error == EEXIST ? "exists already; nothing was written" : strerror(error));
    return CLI_CANNOT_CREATE;
}

static int write_file(const struct cli *c, const char *path, const struct embedded_file *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    ssize_t n;
    int error;

    if (fd < 0)
        return fail(c, path, errno);
    n = write(fd, f->bytes, f->len);
    error = n < 0 ? errno : ENOSPC;
    if (close(fd) < 0 || n != (ssize_t)f->len)
        return fail(c, path, error);
    return CLI_OK;
}

/* Asks on a terminal; --yes and pipes take it for granted. */
static bool is_agreed(const struct cli *c, const char *dir)
{
    char answer[16] = "";

    if (cli_flag(c, "yes") != NULL || !isatty(STDIN_FILENO))
        return true;
    (void)fprintf(c->err, "write %s/tutti.yaml and %s/jobs.jsonl? [Y/n] ", dir, dir);
    (void)fflush(c->err);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        return false;
    return answer[0] == '\n' || answer[0] == 'y' || answer[0] == 'Y';
}

int cmd_init(struct cli *c)
{
    const char *dir = c->n_args > 0 ? c->args[0] : ".";
    char paths[ARRAY_LEN(files)][PATH_BYTES];
    int code = CLI_OK;

    if (c->n_args > 1)
        return cli_usage(c, "takes one DIR");
    if (c->is_json || c->config_path != NULL)
        return cli_usage(c, "has no --%s", c->is_json ? "json" : "config");
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if ((size_t)snprintf(paths[i], PATH_BYTES, "%s/%s", dir, files[i].to) >= PATH_BYTES)
            return fail(c, dir, ENAMETOOLONG);
        if (access(paths[i], F_OK) == 0)
            return fail(c, paths[i], EEXIST); /* before anything is written */
    }
    if (!is_agreed(c, dir))
        return CLI_OK;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return fail(c, dir, errno);
    for (size_t i = 0; i < ARRAY_LEN(files) && code == CLI_OK; i++) {
        code = write_file(c, paths[i], find(files[i].from));
        if (code == CLI_OK)
            (void)fprintf(c->out, "wrote %s\n", paths[i]);
    }
    if (code == CLI_OK)
        (void)fprintf(c->out,
                      "next: set OPENAI_API_KEY, change what is not so at your place, then\n"
                      "  tutti config check -c %s/tutti.yaml\n"
                      "  tutti ask \"Name three colours\" -c %s/tutti.yaml -m mini\n"
                      "  tutti run -c %s/tutti.yaml                # the service: wants Kafka and Redis\n"
                      "  tutti submit %s/jobs.jsonl -c %s/tutti.yaml --wait\n",
                      dir, dir, dir, dir, dir);
    return code;
}
