#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/output.h"
#include "base/text.h"

/* "." for a bare name, "/" for a name in the root */
static char *dir_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return strdup(".");
    }
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static void pending_free(ib_pending *p) {
    free(p->final);
    free(p->temp);
    p->final = p->temp = NULL;
}

/* Removes what killed runs have left of this file: temporary ones that nobody has written to for an hour. A
 * living writer, perhaps on another machine, writes more often. */
static void remove_leftovers(const char *path) {
    enum { OLD_SECONDS = 3600 };
    char *dir = dir_of(path), prefix[NAME_MAX + 1];
    DIR *d = dir ? opendir(dir) : NULL;
    int n = snprintf(prefix, sizeof prefix, ".%.200s.", ib_basename(path));
    struct dirent *e;
    while (d && (e = readdir(d))) {
        const char *rest = e->d_name + n;
        struct stat st;
        if (strncmp(e->d_name, prefix, (size_t)n) || !*rest ||
            strcmp(rest + strspn(rest, "0123456789abcdef"), ".tmp")) {
            continue;
        }
        if (!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
            time(NULL) - st.st_mtime > OLD_SECONDS) {
            unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d) {
        closedir(d);
    }
    free(dir);
}

/* A name that nobody else has: processes of two machines, or of two containers, may share their numbers. */
static int make_temp(ib_pending *p, const char *path) {
    const char *name = ib_basename(path);
    for (int tries = 0; tries < 100; tries++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) {
            random = (uint64_t)getpid() << 32 ^ (uint64_t)clock() ^ (uint64_t)time(NULL) << 8;
        }
        /* a long name is cut: the temporary one must fit into 255 bytes too */
        if (asprintf(&p->temp, "%.*s.%.200s.%012llx.tmp", (int)(name - path), path, name,
                     (unsigned long long)(random & 0xffffffffffffu)) < 0) {
            p->temp = NULL;
            errno = ENOMEM;
            return -1;
        }
        int fd = open(p->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
        free(p->temp);
        p->temp = NULL;
    }
    return -1;
}

int ib_pending_begin(ib_pending *p, const char *path, ib_error *err) {
    struct stat st;
    p->final = p->temp = NULL;
    if (!*ib_basename(path)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected the name of a file to write, got '%s'", path);
    }
    bool there = stat(path, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: it is %s, not a regular file", path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a special file");
    }
    if (there && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (!(p->final = strdup(path))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    remove_leftovers(path);
    int fd = make_temp(p, path);
    if (fd < 0) {
        int e = errno;
        pending_free(p);
        return ib_fail(err, e == ENOMEM ? IB_E_MEMORY : IB_E_IO, "%s: cannot be written: %s", path,
                       strerror(e));
    }
    if (there) {
        fchmod(fd, st.st_mode & 0777);
    }
    close(fd);
    return IB_OK;
}

int ib_pending_publish(ib_pending *p, ib_error *err) {
    int fd = open(p->temp, O_RDWR | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd), e = errno;
    if (fd >= 0 && close(fd) && !rc) {
        rc = -1;
        e = errno;
    }
    if (!rc) {
        rc = rename(p->temp, p->final);
        e = errno;
    }
    if (rc) {
        ib_fail(err, IB_E_IO, "%s: cannot be written: %s", p->final, strerror(e));
        ib_pending_abort(p);
        return IB_E_IO;
    }
    rc = ib_sync_folder_of(p->final, err);
    pending_free(p);
    return rc;
}

void ib_pending_abort(ib_pending *p) {
    if (p->temp) {
        unlink(p->temp);
    }
    pending_free(p);
}

int ib_mkdirs(const char *path, ib_error *err) {
    char *copy = strdup(path);
    int rc = IB_OK;
    if (!copy) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    if (!*path) {
        rc = ib_fail(err, IB_E_ARGUMENT, "expected the name of a directory, got an empty one");
        goto end;
    }
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/') {
            continue;
        }
        char c = *p;
        *p = 0;
        if (mkdir(copy, 0777) && errno != EEXIST) {
            rc = ib_fail(err, IB_E_IO, "%s: the directory cannot be created: %s", copy, strerror(errno));
            goto end;
        }
        *p = c;
        if (!c) {
            break;
        }
    }
    if (!ib_is_dir(path)) {
        rc = ib_fail(err, IB_E_IO, "%s: the directory cannot be created: a file of that name is in the way",
                     path);
    }
end:
    free(copy);
    return rc;
}

bool ib_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ib_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

const char *ib_basename(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *ib_join(const char *dir, const char *name) {
    char *out;
    size_t n = strlen(dir);
    const char *between = n && dir[n - 1] == '/' ? "" : "/";
    return asprintf(&out, "%s%s%s", dir, between, name) < 0 ? NULL : out;
}

int ib_paths_add(ib_paths *l, const char *path, ib_error *err) {
    if (!(l->n & (l->n - 1))) { /* grown when n reaches a power of two */
        char **v = realloc(l->v, (l->n ? 2 * l->n : 1) * sizeof *v);
        if (!v) {
            return ib_fail(err, IB_E_MEMORY, "out of memory for a list of %zu files", l->n);
        }
        l->v = v;
    }
    if (!(l->v[l->n] = strdup(path))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    l->n++;
    return IB_OK;
}

void ib_paths_free(ib_paths *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i]);
    }
    free(l->v);
    l->v = NULL;
    l->n = 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int ib_paths_expand(ib_paths *l, const char *path, bool (*accept)(const char *name), ib_error *err) {
    struct stat st;
    if (stat(path, &st)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return ib_paths_add(l, path, err);
    }
    DIR *dir = opendir(path);
    if (!dir) {
        return ib_fail(err, IB_E_IO, "%s: the directory cannot be read: %s", path, strerror(errno));
    }
    size_t first = l->n, seen = 0;
    int rc = IB_OK;
    struct dirent *e;
    while (!rc && (e = readdir(dir))) {
        if (e->d_name[0] == '.') {
            continue;
        }
        seen++;
        if (accept && !accept(e->d_name)) {
            continue;
        }
        char *full = ib_join(path, e->d_name);
        if (!full) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", path);
        } else if (ib_is_file(full)) {
            rc = ib_paths_add(l, full, err);
        }
        free(full);
    }
    closedir(dir);
    if (rc) {
        return rc;
    }
    if (l->n == first) {
        return ib_fail(err, IB_E_EMPTY,
                       seen ? "directory %s holds no file of the wanted kind" : "directory %s is empty",
                       path);
    }
    qsort(l->v + first, l->n - first, sizeof *l->v, by_name);
    return IB_OK;
}

static void finish_sha256(struct sha256_ctx *ctx, char hex[65]) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(ctx, sizeof digest, digest);
    ib_text_hex(digest, sizeof digest, hex);
}

void ib_sha256_bytes(const void *bytes, size_t n, char hex[65]) {
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, n, bytes);
    finish_sha256(&ctx, hex);
}

int ib_sha256_file(const char *path, char hex[65], ib_error *err) {
    enum { CHUNK = 1 << 18 };
    struct sha256_ctx ctx;
    uint8_t *buf = NULL;
    int rc = IB_OK, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (!(buf = malloc(CHUNK))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for reading %s", path);
        goto end;
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    sha256_init(&ctx);
    for (;;) {
        ssize_t n = read(fd, buf, CHUNK);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = ib_fail(err, IB_E_IO, "%s: cannot be read: %s", path, strerror(errno));
            goto end;
        }
        if (n == 0) {
            break;
        }
        sha256_update(&ctx, (size_t)n, buf);
    }
    finish_sha256(&ctx, hex);
end:
    free(buf);
    close(fd);
    return rc;
}
