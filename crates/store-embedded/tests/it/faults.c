/* Makes the disk fail on demand, for a process that is started with LD_PRELOAD.
 *
 * In the directory $FAULTS, the file "syncs" grows by one byte with every sync of a write-ahead log;
 * while there is a file "sync-fails", syncs of logs fail with EIO; while there is a file
 * "disk-full", writes under $FAULTS_UNDER fail with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_there(const char *name) {
    char path[4096];
    const char *dir = getenv("FAULTS");
    if (!dir) return 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
}

static int is_log(int fd) {
    char path[4096];
    path_of(fd, path, sizeof path);
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".log") == 0;
}

static int is_full(int fd) {
    char path[4096];
    const char *under = getenv("FAULTS_UNDER");
    if (!under || !is_there("disk-full")) return 0;
    path_of(fd, path, sizeof path);
    return strncmp(path, under, strlen(under)) == 0;
}

static ssize_t (*real_write)(int, const void *, size_t);

static void count_sync(void) {
    char path[4096];
    const char *dir = getenv("FAULTS");
    if (!dir) return;
    snprintf(path, sizeof path, "%s/syncs", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0) return;
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    real_write(fd, ".", 1);
    close(fd);
}

static int sync_with(const char *name, int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (is_log(fd)) {
        if (is_there("sync-fails")) {
            errno = EIO;
            return -1;
        }
        count_sync();
    }
    return real(fd);
}

int fdatasync(int fd) { return sync_with("fdatasync", fd); }
int fsync(int fd) { return sync_with("fsync", fd); }

ssize_t write(int fd, const void *bytes, size_t size) {
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return real_write(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, bytes, size, at);
}
