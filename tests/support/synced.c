/* LD_PRELOAD: writes down how long a file was when it was last synced.
 *
 * After each fdatasync or fsync that succeeded, "LENGTH PATH" is appended to the file SYNCED_LOG. The length is taken before
 * the call: what others append meanwhile may not be on the disk. What lies behind it is what a power failure can take. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(int fd, off_t length) {
    const char *log = getenv("SYNCED_LOG");
    char link[64], path[PATH_MAX], line[PATH_MAX + 32];
    if (!log) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t octets = readlink(link, path, sizeof path - 1);
    if (octets <= 0 || path[0] != '/') return;
    path[octets] = 0;
    int length_of_line = snprintf(line, sizeof line, "%lld %s\n", (long long)length, path);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* One write: a line is whole or not there. */
    if (out < 0 || write(out, line, length_of_line) != length_of_line) abort();
    close(out);
}

static int synced(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct stat before;
    int known = fstat(fd, &before);
    int result = real(fd);
    int kept = errno;
    if (result == 0 && known == 0 && S_ISREG(before.st_mode)) note(fd, before.st_size);
    errno = kept;
    return result;
}

int fdatasync(int fd) { return synced(fd, "fdatasync"); }
int fsync(int fd) { return synced(fd, "fsync"); }
