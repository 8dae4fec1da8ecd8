/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti sim`: the simulated providers alone. Main thread. */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/sim_file.h"
#include "base/check.h"
#include "cli/cli.h"
#include "loop.h"
#include "sim.h"

static void on_signal(void *arg, int fd, int what)
{
    struct signalfd_siginfo info;

    (void)what;
    if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        loop_stop(arg);
}

/* Flags in the order given: --defaults counts for the models behind it. */
static int read_flags(struct cli *c, struct sim_conf *conf)
{
    char why_file[256];
    const char *why;

    if (c->config_path != NULL && sim_file_load(c->config_path, conf, why_file, sizeof(why_file)) < 0) {
        (void)fprintf(c->err, "tutti sim: %s\n", why_file);
        return CLI_CONFIG;
    }
    for (size_t i = 0; i < c->n_given; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "%s", c->given[i].flag->name);
        if (strcmp(key, "api-key") == 0)
            key[3] = '_';
        if (sim_conf_set(conf, key, c->given[i].value, &why) < 0)
            return cli_usage(c, "--%s %s: %s", c->given[i].flag->name, c->given[i].value, why);
    }
    if (conf->n_models == 0)
        for (const char *const *m =
                 (const char *const[]){"sim/fast,latency=50ms,p99=3", "sim/smart,latency=800ms,p99=4",
                                       "sim/flaky,latency=100ms,errors=20%", NULL};
             *m != NULL; m++)
            CHECK(sim_conf_set(conf, "model", *m, &why) == 0);
    return CLI_OK;
}

static int serve(struct cli *c, const struct sim_conf *conf)
{
    struct loop *loop = loop_new();
    const char *why = "";
    struct sim *sim = loop != NULL ? sim_new(loop, conf, &why) : NULL;
    struct watch *signals;
    sigset_t set;
    int fd;

    if (sim == NULL) {
        (void)fprintf(c->err, "tutti sim: cannot listen: %s\n", why);
        loop_free(loop);
        return CLI_UNAVAILABLE;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    signals = watch_new(loop, fd, LOOP_READ, on_signal, loop);
    (void)fprintf(c->out, "listening on http://%s:%d/v1\n", conf->host, sim_port(sim));
    (void)fflush(c->out);
    loop_run(loop);
    watch_free(signals);
    (void)close(fd);
    sim_free(sim);
    loop_free(loop);
    return CLI_OK;
}

int cmd_sim(struct cli *c)
{
    struct sim_conf conf;
    int r;

    if (c->n_args > 0)
        return cli_usage(c, "takes no argument, '%s' was given", c->args[0]);
    if (c->is_json)
        return cli_usage(c, "has no --json");
    sim_raise_fd_limit();
    sim_conf_init(&conf);
    r = read_flags(c, &conf);
    if (r == CLI_OK)
        r = serve(c, &conf);
    sim_conf_done(&conf);
    return r;
}
