// Loaded into `sweep` by LD_PRELOAD: its N-th file operation below a folder fails, is torn, or is its last one.
//
//   FAULT_FOLDER  the folder; other files are left alone
//   FAULT_AT      N, from 1; 0 only counts
//   FAULT_MODE    fail: the N-th fails once; full: all from the N-th on fail; torn: half of the N-th write happens, then
//                 the process is killed; kill: the process is killed before it
//   FAULT_ERRNO   the error
//   FAULT_COUNT   a file to which a byte is appended for each operation
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum mode { OFF, FAIL, FULL, TORN, KILL };

static enum mode mode = OFF;
static long at;
static int failure = ENOSPC, count = -1;
static const char *folder;
static atomic_long operations;

// Trainers are started by `sweep` with the same environment: only `sweep` itself is meant.
__attribute__((constructor)) static void begin(void) {
  folder = getenv("FAULT_FOLDER");
  const char *name = getenv("FAULT_MODE"), *counted = getenv("FAULT_COUNT");
  if (!folder || !name || strcmp(program_invocation_short_name, "sweep")) return;
  mode = !strcmp(name, "full") ? FULL : !strcmp(name, "torn") ? TORN : !strcmp(name, "kill") ? KILL : FAIL;
  at = atol(getenv("FAULT_AT"));
  failure = atoi(getenv("FAULT_ERRNO"));
  if (counted) count = syscall(SYS_openat, AT_FDCWD, counted, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int is_below(const char *path) {
  char whole[PATH_MAX];
  if (path[0] == '/') return !strncmp(path, folder, strlen(folder));
  return getcwd(whole, sizeof whole) && !strncmp(whole, folder, strlen(folder));
}

static int is_open_below(int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return is_below(path);
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// True if this operation is the one that is meant.
static int is_due(void) {
  long number = atomic_fetch_add(&operations, 1) + 1;
  if (count >= 0) syscall(SYS_write, count, ".", 1);
  int due = at > 0 && (mode == FULL ? number >= at : number == at);
  if (due && mode == KILL) die();
  return due;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// Ends an operation that writes nothing in part.
#define FAIL_IF(meant) \
  if (mode && (meant) && is_due()) { \
    if (mode == TORN) die(); \
    errno = failure; \
    return -1; \
  }

ssize_t write(int file, const void *bytes, size_t length) {
  REAL(write);
  if (mode && is_open_below(file) && is_due()) {
    if (mode == TORN) {
      real(file, bytes, length / 2);
      die();
    }
    errno = failure;
    return -1;
  }
  return real(file, bytes, length);
}

int fsync(int file) { REAL(fsync); FAIL_IF(is_open_below(file)) return real(file); }
int fdatasync(int file) { REAL(fdatasync); FAIL_IF(is_open_below(file)) return real(file); }
int rename(const char *from, const char *to) { REAL(rename); FAIL_IF(is_below(to)) return real(from, to); }
int mkdir(const char *path, mode_t rights) { REAL(mkdir); FAIL_IF(is_below(path)) return real(path, rights); }
int unlink(const char *path) { REAL(unlink); FAIL_IF(is_below(path)) return real(path); }
int ftruncate64(int file, off64_t length) { REAL(ftruncate64); FAIL_IF(is_open_below(file)) return real(file, length); }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    mode_t rights = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
      va_list rest; \
      va_start(rest, flags); \
      rights = va_arg(rest, mode_t); \
      va_end(rest); \
    } \
    FAIL_IF((flags & (O_CREAT | O_TRUNC)) && is_below(path)) \
    return real(path, flags, rights); \
  }
OPEN(open)
OPEN(open64)
