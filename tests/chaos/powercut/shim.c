/* Preloaded: notes every change below POWERCUT_ROOT, in order, in POWERCUT_JOURNAL. Syncs are noted, not done.
 *
 * What would be left after a power cut is then a question to the journal (filesystem.py): any number of cuts from one run.
 * A record is one append: the fields of `struct record`, then `size` bytes. Paths are relative to the root, with symbolic
 * links resolved. What is not modelled (a shared writable mapping, sendfile, io_uring) leaves a record '!' and fails the
 * run; the self-test also compares the journal's final state with the real directory, so nothing can pass by unnoticed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536

struct record {
    uint64_t time_ns; /* CLOCK_MONOTONIC, after the operation and before its caller goes on */
    uint64_t inode;
    int64_t offset;
    uint32_t size;
    uint32_t op;
};

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static uint64_t inode_of[MAX_FD]; /* 0: not below the root */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real_##name())
#define DECLARE(name)                                      \
    static void *real_##name(void) {                       \
        static void *found;                                \
        if (!found) found = dlsym(RTLD_NEXT, #name);       \
        return found;                                      \
    }
DECLARE(open) DECLARE(open64) DECLARE(openat) DECLARE(openat64) DECLARE(creat) DECLARE(write) DECLARE(pwrite)
DECLARE(pwrite64) DECLARE(writev) DECLARE(pwritev) DECLARE(pwritev64) DECLARE(rename) DECLARE(renameat)
DECLARE(renameat2) DECLARE(unlink) DECLARE(unlinkat) DECLARE(rmdir) DECLARE(link) DECLARE(linkat) DECLARE(symlink)
DECLARE(symlinkat) DECLARE(mkdir) DECLARE(mkdirat) DECLARE(ftruncate) DECLARE(ftruncate64) DECLARE(truncate)
DECLARE(fallocate) DECLARE(posix_fallocate) DECLARE(fsync) DECLARE(fdatasync) DECLARE(syncfs) DECLARE(sync)
DECLARE(close) DECLARE(dup) DECLARE(dup2) DECLARE(dup3) DECLARE(mmap) DECLARE(mmap64) DECLARE(sendfile)
DECLARE(sendfile64) DECLARE(copy_file_range) DECLARE(syscall) DECLARE(fcntl) DECLARE(fcntl64)
DECLARE(dlopen)

/* -- the journal ----------------------------------------------------------------------------------------------------- */

static void note(char op, uint64_t inode, int64_t offset, const void *data, size_t size) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct record record = {now.tv_sec * 1000000000ull + now.tv_nsec, inode, offset, (uint32_t)size, (uint32_t)op};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, size}};
    ssize_t done = REAL(writev)(journal, parts, 2);
    if (done != (ssize_t)(sizeof record + size)) {
        dprintf(2, "powercut: the journal cannot be written: %m\n");
        abort();
    }
}

static void note_two(char op, uint64_t inode, const char *first, const char *second) {
    char both[2 * PATH_MAX];
    size_t length = strlen(first) + 1;
    memcpy(both, first, length);
    memcpy(both + length, second, strlen(second));
    note(op, inode, (int64_t)length, both, length + strlen(second));
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("POWERCUT_ROOT"), *to = getenv("POWERCUT_JOURNAL");
    struct stat about;
    if (!where || !to || !realpath(where, root) || stat(root, &about)) return;
    root_length = strlen(root);
    journal = REAL(open)(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) abort();
    int high = REAL(fcntl)(journal, F_DUPFD_CLOEXEC, 1000); /* out of the way of programs that close what they see */
    if (high >= 0) {
        REAL(close)(journal);
        journal = high;
    }
    note('R', about.st_ino, 0, "", 0);
}

/* The path below the root ("" is the root itself), symbolic links in its folders resolved; 0 when it is not there. */
static int locate(int folder, const char *path, char *found) {
    char whole[2 * PATH_MAX], parent[PATH_MAX];
    if (journal < 0 || !path) return 0;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else if (folder == AT_FDCWD) {
        if (!getcwd(parent, sizeof parent)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", parent, path);
    } else {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(name, parent, sizeof parent - 1);
        if (length < 0) return 0;
        parent[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", parent, path);
    }
    size_t length = strlen(whole);
    while (length > 1 && whole[length - 1] == '/') whole[--length] = 0;
    if (!strcmp(whole, root)) {
        found[0] = 0;
        return 1;
    }
    char *slash = strrchr(whole, '/');
    if (!slash || slash == whole) return 0;
    *slash = 0;
    if (!realpath(whole, parent)) return 0;
    if (strncmp(parent, root, root_length) || (parent[root_length] && parent[root_length] != '/')) return 0;
    const char *inside = parent + root_length + (parent[root_length] == '/');
    return snprintf(found, PATH_MAX, "%s%s%s", inside, *inside ? "/" : "", slash + 1) < PATH_MAX;
}

/* libc closes some descriptors without asking us (closedir); the number may be a socket by now. */
static uint64_t watched(int fd) {
    struct stat about;
    if (fd < 0 || fd >= MAX_FD || !inode_of[fd]) return 0;
    if (fstat(fd, &about) || about.st_ino != inode_of[fd]) inode_of[fd] = 0;
    return inode_of[fd];
}

static void forget(int fd) {
    if (fd >= 0 && fd < MAX_FD) inode_of[fd] = 0;
}

#define LOCK pthread_mutex_lock(&mutex)
#define UNLOCK                       \
    do {                             \
        int kept = errno;            \
        pthread_mutex_unlock(&mutex); \
        errno = kept;                \
    } while (0)

/* A library loaded with RTLD_DEEPBIND (chdb is) would find libc before us. */
void *dlopen(const char *path, int mode) { return REAL(dlopen)(path, mode & ~RTLD_DEEPBIND); }

/* -- names ------------------------------------------------------------------------------------------------------------ */

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char where[PATH_MAX];
    struct stat about;
    if ((flags & O_TMPFILE) == O_TMPFILE || !locate(folder, path, where)) {
        int fd = REAL(openat)(folder, path, flags, mode);
        forget(fd);
        return fd;
    }
    LOCK;
    int there = fstatat(folder, path, &about, 0) == 0;
    int fd = REAL(openat)(folder, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD && fstat(fd, &about) == 0) {
        inode_of[fd] = S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) ? about.st_ino : 0;
        if ((flags & O_CREAT) && !there) note('c', about.st_ino, 0, where, strlen(where));
        else if ((flags & O_TRUNC) && S_ISREG(about.st_mode)) note('t', about.st_ino, 0, "", 0);
    }
    UNLOCK;
    return fd;
}

#define MODE                                    \
    mode_t mode = 0;                            \
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list rest;                           \
        va_start(rest, flags);                  \
        mode = va_arg(rest, mode_t);            \
        va_end(rest);                           \
    }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int renamed(int from, const char *old, int to, const char *new, unsigned flags) {
    char before[PATH_MAX], after[PATH_MAX];
    int ours = locate(from, old, before), there = locate(to, new, after);
    LOCK;
    int result = flags ? (int)REAL(syscall)(SYS_renameat2, from, old, to, new, flags) : REAL(renameat)(from, old, to, new);
    if (!result && ours && there) note_two(flags & RENAME_EXCHANGE ? 'e' : 'r', 0, before, after);
    else if (!result && (ours || there)) note('!', 0, 0, "rename across the root", 22);
    UNLOCK;
    return result;
}
int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return renamed(from, old, to, new, flags);
}

static int removed(int folder, const char *path, int flags) {
    char where[PATH_MAX];
    int ours = locate(folder, path, where);
    LOCK;
    int result = REAL(unlinkat)(folder, path, flags);
    if (!result && ours) note('u', 0, 0, where, strlen(where));
    UNLOCK;
    return result;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    char before[PATH_MAX], after[PATH_MAX];
    int ours = locate(from, old, before), there = locate(to, new, after);
    LOCK;
    int result = REAL(linkat)(from, old, to, new, flags);
    if (!result && ours && there) note_two('l', 0, before, after);
    else if (!result && there) note('!', 0, 0, "link across the root", 20);
    UNLOCK;
    return result;
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int symlinkat(const char *target, int folder, const char *path) {
    char where[PATH_MAX];
    int ours = locate(folder, path, where);
    LOCK;
    int result = REAL(symlinkat)(target, folder, path);
    if (!result && ours) note_two('y', 0, where, target);
    UNLOCK;
    return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char where[PATH_MAX];
    struct stat about;
    int ours = locate(folder, path, where);
    LOCK;
    int result = REAL(mkdirat)(folder, path, mode);
    if (!result && ours && !fstatat(folder, path, &about, 0)) note('d', about.st_ino, 0, where, strlen(where));
    UNLOCK;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* -- contents --------------------------------------------------------------------------------------------------------- */

static void note_vector(uint64_t inode, int64_t offset, const struct iovec *parts, int count, ssize_t done) {
    for (int n = 0; n < count && done > 0; n++) {
        size_t size = (size_t)done < parts[n].iov_len ? (size_t)done : parts[n].iov_len;
        note('w', inode, offset, parts[n].iov_base, size);
        offset += (int64_t)size;
        done -= (ssize_t)size;
    }
}

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
    LOCK;
    ssize_t done = positioned ? REAL(pwritev)(fd, parts, count, offset) : REAL(writev)(fd, parts, count);
    if (done > 0) note_vector(inode_of[fd], positioned ? offset : lseek(fd, 0, SEEK_CUR) - done, parts, count, done);
    UNLOCK;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!watched(fd)) return REAL(write)(fd, data, size);
    struct iovec part = {(void *)data, size};
    return written(fd, &part, 1, 0, 0);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return watched(fd) ? written(fd, parts, count, 0, 0) : REAL(writev)(fd, parts, count);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (!watched(fd)) return REAL(pwrite64)(fd, data, size, offset);
    struct iovec part = {(void *)data, size};
    return written(fd, &part, 1, offset, 1);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return watched(fd) ? written(fd, parts, count, offset, 1) : REAL(pwritev64)(fd, parts, count, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t size) {
    LOCK;
    int result = REAL(ftruncate64)(fd, size);
    if (!result && watched(fd)) note('t', watched(fd), size, "", 0);
    UNLOCK;
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int truncate(const char *path, off_t size) {
    char where[PATH_MAX];
    struct stat about;
    int ours = locate(AT_FDCWD, path, where);
    LOCK;
    int result = REAL(truncate)(path, size);
    if (!result && ours && !stat(path, &about)) note('t', about.st_ino, size, "", 0);
    UNLOCK;
    return result;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

/* -- syncs ------------------------------------------------------------------------------------------------------------ */

static int synced(int fd, int (*real)(int), char op) {
    if (!watched(fd)) return real(fd);
    LOCK;
    note(op, watched(fd), 0, "", 0);
    UNLOCK;
    return 0;
}
int fsync(int fd) { return synced(fd, REAL(fsync), 's'); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync), 's'); }
int syncfs(int fd) { return synced(fd, REAL(syncfs), 'S'); }
void sync(void) {
    LOCK;
    if (journal >= 0) note('S', 0, 0, "", 0);
    UNLOCK;
}

/* -- descriptors ------------------------------------------------------------------------------------------------------ */

int close(int fd) {
    if (fd == journal && fd >= 0) return 0;
    forget(fd);
    return REAL(close)(fd);
}
static int copied(int from, int to) {
    if (to >= 0 && to < MAX_FD) inode_of[to] = watched(from);
    return to;
}
int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }
#define CONTROL(name)                                                                   \
    int name(int fd, int command, ...) {                                                \
        va_list rest;                                                                   \
        va_start(rest, command);                                                        \
        void *argument = va_arg(rest, void *);                                          \
        va_end(rest);                                                                   \
        int result = REAL(name)(fd, command, argument);                                 \
        return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result; \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

/* -- what is not modelled ---------------------------------------------------------------------------------------------- */

static void unknown(const char *what) {
    LOCK;
    if (journal >= 0) note('!', 0, 0, what, strlen(what));
    UNLOCK;
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    if (watched(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) unknown("shared writable mapping");
    return REAL(mmap64)(at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, length, protection, flags, fd, offset);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    if (watched(to)) unknown("sendfile");
    return REAL(sendfile64)(to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t size, unsigned flags) {
    if (watched(to)) unknown("copy_file_range");
    return REAL(copy_file_range)(from, at, to, where, size, flags);
}
int fallocate(int fd, int mode, off_t offset, off_t size) {
    if (watched(fd)) unknown("fallocate");
    return REAL(fallocate)(fd, mode, offset, size);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) {
    if (watched(fd)) unknown("posix_fallocate");
    return REAL(posix_fallocate)(fd, offset, size);
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    if (watched(fd) && (offset < 0 || flags)) unknown("pwritev2 with flags");
    return pwritev(fd, parts, count, offset);
}
long syscall(long number, ...) {
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    switch (number) {
    case SYS_renameat2: return renamed((int)a, (const char *)b, (int)c, (const char *)d, (unsigned)e);
    case SYS_copy_file_range:
        if (watched((int)c)) unknown("copy_file_range");
        break;
#ifdef SYS_io_uring_setup
    case SYS_io_uring_setup: unknown("io_uring"); break;
#endif
    case SYS_io_submit: unknown("io_submit"); break;
    }
    return REAL(syscall)(number, a, b, c, d, e, f);
}
