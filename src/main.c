/* SPDX-License-Identifier: Apache-2.0 */
/* The program: hands everything to the command line. Main thread. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a closed socket or pipe is an error of write(), not the end of the process */
    return cli_main(argc, (const char *const *)argv, (const char *const *)environ, stdout, stderr);
}
