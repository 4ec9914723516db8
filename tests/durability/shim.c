/* Loaded with LD_PRELOAD: fails the N-th call of a kind, or writes what is done to files to a log, for files below a folder alone.

   SHIM_ROOT     the folder, with its links resolved
   SHIM_COUNT    a file of two int64, shared by all processes of a run: calls of the kind so far, and failures
   SHIM_KIND     write, fsync, rename, open, unlink, fork, memory (large allocations) or allocation (of any size)
   SHIM_NTH      which call fails, from 1; 0: none
   SHIM_ERRNO    its error
   SHIM_LOG      a log to append to, instead: records of a line of text and, for written data, the data.

   With SHIM_STEERED in place of root, kind, number and error, SHIM_COUNT is a `struct steered`, which a test changes while the first
   process that loaded this runs: calls of that process alone count, for any file, and of these kinds besides: thread, socket,
   connect. */

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
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LARGE = 1 << 17 }; /* bytes of an allocation that is counted: smaller ones are Python's own, in their millions */

struct steered {
    volatile int64_t calls, failures;
    volatile int64_t process;    /* whose calls count; 0 until the first process has loaded this */
    volatile int64_t nth, error; /* which call fails, from 1, and with what; 0: none */
    volatile char kind[16];
};

static struct steered *shared; /* without SHIM_STEERED its first two fields alone */
static const char *root, *kind;
static int64_t nth;
static int failure, logged = -1, started, steered, any_size;
static __thread int inside;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* a child's calls do not count */
static void leave(void) { steered = 0, shared = NULL; }

__attribute__((constructor)) static void begin(void)
{
    const char *count = getenv("SHIM_COUNT"), *log = getenv("SHIM_LOG");
    root = getenv("SHIM_ROOT");
    kind = getenv("SHIM_KIND");
    nth = getenv("SHIM_NTH") ? atoll(getenv("SHIM_NTH")) : 0;
    any_size = kind && !strcmp(kind, "allocation");
    failure = getenv("SHIM_ERRNO") ? atoi(getenv("SHIM_ERRNO")) : EIO;
    if (log) logged = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (count) {
        const int fd = (int)syscall(SYS_openat, AT_FDCWD, count, O_RDWR | O_CLOEXEC, 0);
        if (fd >= 0) {
            void *found = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (found != MAP_FAILED) shared = found;
            syscall(SYS_close, fd);
        }
    }
    if (shared && getenv("SHIM_STEERED")) {
        const int64_t own = getpid();
        __sync_bool_compare_and_swap(&shared->process, 0, own);
        steered = started = shared->process == own;
        if (!steered) shared = NULL;
        pthread_atfork(NULL, NULL, leave);
    }
}

static int below(const char *path) { return root && path && strncmp(path, root, strlen(root)) == 0 && path[strlen(root)] == '/'; }

/* the absolute path of what `path` names, whose last part need not exist */
static int whole(int folder, const char *path, char *out)
{
    char start[PATH_MAX], link[64];
    if (steered) return 1;
    if (!path || !root) return 0;
    if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
    else {
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        const ssize_t n = readlink(link, start, sizeof start - 1);
        if (n < 0) return 0;
        start[n] = 0;
        if (snprintf(out, PATH_MAX, "%s/%s", start, path) >= PATH_MAX) return 0;
    }
    return below(out);
}

static int path_of(int fd, char *out)
{
    char link[64];
    if (steered) return 1;
    if (!root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n < 0) return 0;
    out[n] = 0;
    return below(out);
}

/* whether this call is the one that fails */
static int fails(const char *what)
{
    if (steered) {
        if (!shared->nth || strcmp((const char *)shared->kind, what)) return 0;
        if (__sync_add_and_fetch(&shared->calls, 1) != shared->nth) return 0;
        __sync_add_and_fetch(&shared->failures, 1);
        errno = (int)shared->error;
        return 1;
    }
    if (!shared || !kind || strcmp(kind, what)) return 0;
    if (__sync_add_and_fetch(&shared->calls, 1) != nth) return 0;
    __sync_add_and_fetch(&shared->failures, 1);
    errno = failure;
    return 1;
}

static void put(const char *line, const void *data, size_t size)
{
    struct iovec parts[2] = {{(void *)line, strlen(line)}, {(void *)data, size}};
    const int before = errno;
    if (logged < 0) return;
    syscall(SYS_flock, logged, LOCK_EX);
    syscall(SYS_writev, logged, parts, size ? 2 : 1);
    syscall(SYS_flock, logged, LOCK_UN);
    errno = before;
}

static void tell(const char *what, const char *a, const char *b, long long x, long long y)
{
    char line[2 * PATH_MAX + 100];
    snprintf(line, sizeof line, "%s\t%lld\t%lld\t%s\t%s\n", what, x, y, a, b);
    put(line, NULL, 0);
}

static unsigned long long inode_of(int fd)
{
    struct stat found;
    return fstat(fd, &found) ? 0 : (unsigned long long)found.st_ino;
}

static void told_data(int fd, const char *path, long long at, const void *data, size_t size)
{
    char line[PATH_MAX + 100];
    snprintf(line, sizeof line, "write\t%lld\t%zu\t%s\t%llu\n", at, size, path, inode_of(fd));
    put(line, data, size);
}

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    const int ours = whole(folder, path, name);
    struct stat before;
    started |= ours;
    if (ours && !(flags & O_DIRECTORY) && fails("open")) return -1;
    const int there = ours && logged >= 0 && stat(name, &before) == 0;
    const int fd = (int)syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
    if (fd >= 0 && ours && logged >= 0 && (flags & O_TMPFILE) != O_TMPFILE) {
        const long long inode = (long long)inode_of(fd);
        if (!there && flags & O_CREAT) tell("create", name, "", inode, 0);
        else if (flags & O_TRUNC) tell("truncate", name, "", 0, inode);
    }
    return fd;
}

#define OPEN(name, first, given, folder) \
    int name(first const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        return opened(folder, path, flags, mode); \
    }
#define COMMA ,
OPEN(open, , , AT_FDCWD)
OPEN(open64, , , AT_FDCWD)
OPEN(openat, int folder COMMA, , folder)
OPEN(openat64, int folder COMMA, , folder)

ssize_t write(int fd, const void *data, size_t size)
{
    char path[PATH_MAX];
    const int ours = path_of(fd, path);
    if (ours && fails("write")) return -1;
    const ssize_t done = syscall(SYS_write, fd, data, size);
    if (ours && done > 0 && logged >= 0) told_data(fd, path, (long long)lseek(fd, 0, SEEK_CUR) - done, data, (size_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    char path[PATH_MAX];
    const int ours = path_of(fd, path);
    if (ours && fails("write")) return -1;
    const ssize_t done = syscall(SYS_pwrite64, fd, data, size, at);
    if (ours && done > 0 && logged >= 0) told_data(fd, path, at, data, (size_t)done);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

static int shortened(int fd, off64_t size)
{
    char path[PATH_MAX];
    const int ours = path_of(fd, path);
    if (ours && fails("write")) return -1;
    const int done = (int)syscall(SYS_ftruncate, fd, size);
    if (ours && !done && logged >= 0) tell("truncate", path, "", size, (long long)inode_of(fd));
    return done;
}
int ftruncate(int fd, off_t size) { return shortened(fd, size); }
int ftruncate64(int fd, off64_t size) { return shortened(fd, size); }

static int synced(int fd, long number)
{
    char path[PATH_MAX];
    struct stat found;
    const int ours = path_of(fd, path) || (root && !strcmp(path, root));
    if (ours && fails("fsync")) return -1;
    const int done = (int)syscall(number, fd);
    if (ours && !done && logged >= 0 && !fstat(fd, &found)) tell(S_ISDIR(found.st_mode) ? "fsyncdir" : "fsync", path, "", (long long)found.st_ino, 0);
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    char a[PATH_MAX], b[PATH_MAX];
    const int from_ours = whole(from_folder, from, a), to_ours = whole(to_folder, to, b);
    if ((from_ours || to_ours) && fails("rename")) return -1;
    const int done = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if ((from_ours || to_ours) && !done && logged >= 0) tell("rename", a, b, 0, 0);
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int linked(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    char a[PATH_MAX], b[PATH_MAX];
    const int ours = whole(from_folder, from, a) & whole(to_folder, to, b);
    if (ours && fails("rename")) return -1;
    const int done = (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    if (ours && !done && logged >= 0) tell("link", a, b, 0, 0);
    return done;
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }

static int removed(int folder, const char *path, int flags)
{
    char name[PATH_MAX];
    const int ours = whole(folder, path, name);
    if (ours && fails("unlink")) return -1;
    const int done = (int)syscall(SYS_unlinkat, folder, path, flags);
    if (ours && !done && logged >= 0) tell(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name, "", 0, 0);
    return done;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }

static int made(int folder, const char *path, mode_t mode)
{
    char name[PATH_MAX];
    const int ours = whole(folder, path, name);
    const int done = (int)syscall(SYS_mkdirat, folder, path, mode);
    if (ours && !done && logged >= 0) tell("mkdir", name, "", 0, 0);
    return done;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return made(folder, path, mode); }

pid_t fork(void) { return fails("fork") ? -1 : REAL(fork)(); }
pid_t vfork(void) { return fails("fork") ? -1 : REAL(fork)(); }

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*work)(void *), void *with)
{
    static __typeof__(&pthread_create) real;
    if (!real) real = REAL(pthread_create);
    return fails("thread") ? errno : real(thread, how, work, with);
}

/* whatever makes a descriptor that is not of a file */
int socket(int family, int type, int protocol) { return fails("socket") ? -1 : (int)syscall(SYS_socket, family, type, protocol); }
int socketpair(int family, int type, int protocol, int ends[2])
{
    return fails("socket") ? -1 : (int)syscall(SYS_socketpair, family, type, protocol, ends);
}
int accept4(int fd, struct sockaddr *from, socklen_t *size, int flags)
{
    return fails("socket") ? -1 : (int)syscall(SYS_accept4, fd, from, size, flags);
}
int pipe2(int ends[2], int flags) { return fails("socket") ? -1 : (int)syscall(SYS_pipe2, ends, flags); }
int epoll_create1(int flags) { return fails("socket") ? -1 : (int)syscall(SYS_epoll_create1, flags); }
int connect(int fd, const struct sockaddr *to, socklen_t size) { return fails("connect") ? -1 : (int)syscall(SYS_connect, fd, to, size); }

/* allocations: those of glibc, which dlsym itself needs before it is done */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static int out_of_memory(size_t size)
{
    if (!started || inside || (size < LARGE && !any_size && !(steered && shared->nth))) return 0;
    inside = 1;
    const int found = (size >= LARGE && fails("memory")) || fails("allocation");
    inside = 0;
    return found;
}
void *malloc(size_t size) { return out_of_memory(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return out_of_memory(size && n > SIZE_MAX / size ? SIZE_MAX : n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return out_of_memory(size) ? NULL : __libc_realloc(old, size); }
