/* Preloaded into the server by the tests of power loss and of disks that fail.
 *
 * It watches the directory SYNC_SHIM_DIR (an absolute path), and does two things there:
 *
 * 1. It notes in SYNC_SHIM_JOURNAL what is known to be on stable storage, a line each, written
 *    when the sync has returned and before its caller knows:
 *        F <inode> <bytes> <written> <path>  a file: its length when the sync began, and how much of it
 *                                            was written: the rest of a write-ahead log is zeros
 *        D <time> <path>\t<inode>:<name>/... a directory: its entries at this time, when the sync began; of two
 *                                            syncs at once the later one may be noted first
 *    Files that are unlinked or renamed over are kept by a hard link in SYNC_SHIM_GRAVEYARD,
 *    named by their inode: after a power loss they may be there again.
 *    While the file SYNC_SHIM_DEAF exists, syncs are done but not noted, as if they had been
 *    left out.
 * 2. While the file SYNC_SHIM_FAULT exists, writes fail as its first letter says:
 *        f  the disk is full: half of what is written fits, then ENOSPC
 *        s  syncs fail with EIO
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *watched, *graveyard, *deaf_file, *fault_file;
static int journal = -1;

/* The C library's own function. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                     \
        real;                                                                                      \
    })

__attribute__((constructor)) static void begin(void) {
    watched = getenv("SYNC_SHIM_DIR");
    graveyard = getenv("SYNC_SHIM_GRAVEYARD");
    deaf_file = getenv("SYNC_SHIM_DEAF");
    fault_file = getenv("SYNC_SHIM_FAULT");
    const char *path = getenv("SYNC_SHIM_JOURNAL");
    if (path)
        journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_watched(const char *path) {
    size_t length = watched ? strlen(watched) : 0;
    return length > 0 && strncmp(path, watched, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

/* The path of an open file; 0 if it is not watched. */
static int watched_path(int fd, char *path) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = '\0';
    return is_watched(path);
}

/* --- what is on stable storage --- */

/* The engine writes to its log from the beginning to the end, and syncs it by the same descriptor. Whoever
 * has written nothing by his descriptor syncs all that is there. */
static off_t written(int fd, const char *path, const struct stat *file) {
    size_t length = strlen(path);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (length < 4 || strcmp(path + length - 4, ".log") != 0 || at <= 0)
        return file->st_size;
    return at;
}

static char *file_line(int fd, const char *path, const struct stat *file) {
    char *line = NULL;
    if (asprintf(&line, "F %ju %jd %jd %s\n", (uintmax_t)file->st_ino, (intmax_t)file->st_size,
                 (intmax_t)written(fd, path, file), path) < 0)
        abort();
    return line;
}

static char *directory_line(const char *path) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    struct timespec now;
    char *line = NULL;
    size_t length = 0;
    pthread_mutex_lock(&one_at_a_time);
    clock_gettime(CLOCK_MONOTONIC, &now);
    FILE *out = open_memstream(&line, &length);
    DIR *directory = opendir(path);
    if (!out || !directory)
        abort();
    fprintf(out, "D %jd%09ld %s\t", (intmax_t)now.tv_sec, now.tv_nsec, path);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fprintf(out, "%ju:%s/", (uintmax_t)entry->d_ino, entry->d_name);
    fputc('\n', out);
    closedir(directory);
    fclose(out);
    pthread_mutex_unlock(&one_at_a_time);
    return line;
}

/* What can be said of this file once a sync that begins now has returned. */
static char *before_sync(int fd) {
    char path[PATH_MAX];
    struct stat file;
    if (journal < 0 || !watched_path(fd, path) || fstat(fd, &file) != 0)
        return NULL;
    if (deaf_file && access(deaf_file, F_OK) == 0)
        return NULL;
    return S_ISDIR(file.st_mode) ? directory_line(path) : file_line(fd, path, &file);
}

static void after_sync(char *line, int result) {
    if (!line)
        return;
    int error = errno;
    ssize_t length = (ssize_t)strlen(line);
    if (result == 0 && write(journal, line, (size_t)length) != length)
        abort();
    free(line);
    errno = error;
}

static void bury(int directory, const char *path) {
    struct stat file;
    char grave[PATH_MAX];
    if (!graveyard || fstatat(directory, path, &file, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(file.st_mode) || !is_watched(path))
        return;
    int error = errno;
    snprintf(grave, sizeof grave, "%s/%ju", graveyard, (uintmax_t)file.st_ino);
    linkat(directory, path, AT_FDCWD, grave, 0);
    errno = error;
}

int unlink(const char *path) {
    bury(AT_FDCWD, path);
    return REAL(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags) {
    if (!(flags & AT_REMOVEDIR))
        bury(directory, path);
    return REAL(unlinkat)(directory, path, flags);
}

int rename(const char *from, const char *to) {
    bury(AT_FDCWD, to);
    return REAL(rename)(from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    bury(to_directory, to);
    return REAL(renameat)(from_directory, from, to_directory, to);
}

/* --- disks that fail --- */

static char fault(int fd) {
    char path[PATH_MAX], letter = 0;
    if (!fault_file || fd == journal || access(fault_file, F_OK) != 0 || !watched_path(fd, path))
        return 0;
    int error = errno;
    int file = open(fault_file, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &letter, 1) != 1)
            letter = 0;
        close(file);
    }
    errno = error;
    return letter;
}

/* How many of so many bytes still fit; -1 when none do. */
static ssize_t room(int fd, size_t count) {
    static __thread int is_full;
    if (fault(fd) != 'f') {
        is_full = 0;
        return (ssize_t)count;
    }
    is_full = !is_full && count > 1;
    if (is_full)
        return (ssize_t)(count / 2);
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t fits = room(fd, count);
    return fits < 0 ? -1 : REAL(write)(fd, bytes, (size_t)fits);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    ssize_t fits = room(fd, count);
    return fits < 0 ? -1 : REAL(pwrite)(fd, bytes, (size_t)fits, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    ssize_t fits = room(fd, count);
    return fits < 0 ? -1 : REAL(pwrite64)(fd, bytes, (size_t)fits, offset);
}

int fdatasync(int fd) {
    if (fault(fd) == 's') {
        errno = EIO;
        return -1;
    }
    char *line = before_sync(fd);
    int result = REAL(fdatasync)(fd);
    after_sync(line, result);
    return result;
}

int fsync(int fd) {
    if (fault(fd) == 's') {
        errno = EIO;
        return -1;
    }
    char *line = before_sync(fd);
    int result = REAL(fsync)(fd);
    after_sync(line, result);
    return result;
}
