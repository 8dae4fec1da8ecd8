/* SPDX-License-Identifier: Apache-2.0 */
/* A plain main for fuzz targets: runs every file of the corpus directories given as arguments through the target once,
 * so that a corpus is an ordinary test. Used when not built with libFuzzer. One thread. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Runs one file. The bytes end where their allocation ends, as libFuzzer does it: ASan sees a read too far. */
static int replay_file(const char *path)
{
    AUTO_FREE uint8_t *bytes = NULL;
    struct stat st;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, &st) == 0) {
        bytes = mem_alloc((size_t)st.st_size);
        n = read(fd, bytes, (size_t)st.st_size);
    }
    if (fd >= 0)
        (void)close(fd); /* was only read */
    if (n < 0 || n != st.st_size) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        return -1;
    }
    (void)fprintf(stderr, "%s\n", path); /* the last one named is the one that crashed */
    (void)LLVMFuzzerTestOneInput(bytes, (size_t)n);
    return 0;
}

/* Runs all files of a directory; returns how many, -1 on an error. */
static int replay_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    int n = dir == NULL ? -1 : 0;
    struct dirent *entry;

    if (dir == NULL)
        (void)fprintf(stderr, "cannot open %s\n", directory);
    while (n >= 0 && (entry = readdir(dir)) != NULL) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        n = replay_file(path) < 0 ? -1 : n + 1;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n = replay_directory(argv[i]);

        if (n < 0)
            return 1;
        total += n;
    }
    (void)fprintf(stderr, "%d inputs\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing: a wrong path */
}
