/*
 * Preloaded into a process, lets its writes and syncs fail or hang. The file named by SPILLWAY_TEST_FAULTS is read
 * anew at every call; each of its lines is a rule:
 *
 *   write|sync|open  PART-OF-A-PATH  EIO|ENOSPC|EROFS|hang
 *
 * What hangs does so for as long as its rule stands there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int number_of(const char *action) {
  if (strcmp(action, "EIO") == 0) return EIO;
  if (strcmp(action, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(action, "EROFS") == 0) return EROFS;
  return strcmp(action, "hang") == 0 ? -1 : 0;
}

/* The error a call is to fail with, -1 for one that is to hang, 0 for none. */
static int rule_for(const char *call, const char *path) {
  const char *file = getenv("SPILLWAY_TEST_FAULTS");
  if (file == NULL) return 0;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  char text[4096];
  ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  if (length <= 0) return 0;
  text[length] = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char of[16], part[1024], action[16];
    if (sscanf(line, "%15s %1023s %15s", of, part, action) != 3) continue;
    if (strcmp(of, call) == 0 && strstr(path, part) != NULL) return number_of(action);
  }
  return 0;
}

/* 0 when the call may go on; else errno is set. */
static int refused(const char *call, const char *path) {
  int rule = rule_for(call, path);
  while (rule < 0) {
    usleep(5000);
    rule = rule_for(call, path);
  }
  if (rule > 0) errno = rule;
  return rule;
}

static int refused_at(const char *call, int fd) {
  char link[64], path[1024];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/') return 0;
  path[length] = 0;
  return strncmp(path, "/dev/", 5) == 0 ? 0 : refused(call, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
  return refused_at("write", fd) ? -1 : NEXT(write)(fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  return refused_at("write", fd) ? -1 : NEXT(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return refused_at("write", fd) ? -1 : NEXT(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  return refused_at("write", fd) ? -1 : NEXT(pwrite64)(fd, bytes, length, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  return refused_at("write", fd) ? -1 : NEXT(pwritev)(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  return refused_at("write", fd) ? -1 : NEXT(pwritev64)(fd, parts, count, at);
}

int fsync(int fd) {
  return refused_at("sync", fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd) {
  return refused_at("sync", fd) ? -1 : NEXT(fdatasync)(fd);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if ((flags & O_ACCMODE) != O_RDONLY && refused("open", path)) return -1;
  return NEXT(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if ((flags & O_ACCMODE) != O_RDONLY && refused("open", path)) return -1;
  return NEXT(open)(path, flags, mode);
}
