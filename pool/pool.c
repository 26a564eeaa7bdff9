#include "pool/guide.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/file.h"

/* A file that was looked at, and as what it was then: the same again is not read again. */
typedef struct seen {
    char *file;
    uint64_t inode;
    int64_t bytes, seconds, nanoseconds;
    char token[IB_POOL_TOKEN];
    int64_t serial;
} seen;

struct ib_pool {
    char *dir, *own; /* own: file name or NULL */
    char *last;      /* file that was looked at last: the next look begins behind it */
    seen *seen;
    size_t n, room;
};

int ib_pool_open(ib_pool **out, const char *dir, const char *name, ib_error *err) {
    *out = NULL;
    ib_pool *p = calloc(1, sizeof *p);
    if (!p || !(p->dir = strdup(dir)) || (name && asprintf(&p->own, "%s" IB_POOL_SUFFIX, name) < 0)) {
        if (p) {
            p->own = NULL;
        }
        ib_pool_close(&p);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the pool %s", dir);
    }
    *out = p;
    return IB_OK;
}

int ib_pool_check(const ib_pool *p, ib_error *err) {
    struct stat st;
    if (stat(p->dir, &st)) {
        return ib_fail(err, IB_E_IO, "%s: the pool cannot be opened: %s%s", p->dir, strerror(errno),
                       errno == ENOENT ? "; make the folder, or mount it, first" : "");
    }
    return S_ISDIR(st.st_mode)
               ? IB_OK
               : ib_fail(err, IB_E_IO, "%s: the pool cannot be opened: a file, expected a folder", p->dir);
}

int ib_pool_writable(const ib_pool *p, ib_error *err) {
    ib_pending pending = {0};
    char *path = ib_join(p->dir, p->own);
    int rc = path ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", p->dir);
    if (!rc && ib_member_is_other(path)) {
        rc = ib_fail(
            err, IB_E_ARGUMENT,
            "%s: is no worker's file and would be lost; choose another name for this worker (--pool-name)",
            path);
    }
    rc = rc ? rc : ib_pending_begin(&pending, path, err);
    ib_pending_abort(&pending);
    free(path);
    return rc;
}

void ib_pool_close(ib_pool **pool) {
    ib_pool *p = *pool;
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        free(p->seen[i].file);
    }
    free(p->seen);
    free(p->last);
    free(p->own);
    free(p->dir);
    free(p);
    *pool = NULL;
}

const char *ib_pool_dir(const ib_pool *p) {
    return p->dir;
}

/* The entry of a file; a new one if there is none. NULL when memory is out. */
static seen *entry_of(ib_pool *p, const char *file) {
    for (size_t i = 0; i < p->n; i++) {
        if (!strcmp(p->seen[i].file, file)) {
            return &p->seen[i];
        }
    }
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 16;
        seen *more = realloc(p->seen, room * sizeof *more);
        if (!more) {
            return NULL;
        }
        p->seen = more;
        p->room = room;
    }
    char *copy = strdup(file);
    if (!copy) {
        return NULL;
    }
    p->seen[p->n] = (seen){.file = copy, .serial = -1};
    return &p->seen[p->n++];
}

/* Notes what the file is now; false if it was that the last time. */
static bool changed(seen *e, const struct stat *st) {
    if (e->inode == (uint64_t)st->st_ino && e->bytes == st->st_size && e->seconds == st->st_mtim.tv_sec &&
        e->nanoseconds == st->st_mtim.tv_nsec) {
        return false;
    }
    e->inode = (uint64_t)st->st_ino;
    e->bytes = st->st_size;
    e->seconds = st->st_mtim.tv_sec;
    e->nanoseconds = st->st_mtim.tv_nsec;
    return true;
}

static int out_of_memory(const ib_pool *p, ib_error *err) {
    return ib_fail(err, IB_E_MEMORY, "out of memory for what lies in the pool %s", p->dir);
}

int ib_pool_remark(ib_pool_news *news, const char *text, ib_error *err) {
    char **more = realloc(news->remark, (news->remarks + 1) * sizeof *more), *copy = strdup(text);
    news->remark = more ? more : news->remark;
    if (!more || !copy) {
        free(copy);
        return ib_fail(err, IB_E_MEMORY, "out of memory for what lies in the pool");
    }
    more[news->remarks++] = copy;
    return IB_OK;
}

/* Takes over *m, also on failure. */
static int add_pool(const ib_pool *p, ib_pool_news *news, ib_member *m, const struct stat *st,
                    ib_error *err) {
    ib_member *more = realloc(news->member, (news->members + 1) * sizeof *more);
    news->member = more ? more : news->member;
    double *ages = more ? realloc(news->age_seconds, (news->members + 1) * sizeof *ages) : NULL;
    if (!ages) {
        ib_member_free(m);
        return out_of_memory(p, err);
    }
    news->age_seconds = ages;
    double age = difftime(time(NULL), st->st_mtim.tv_sec);
    ages[news->members] = age > 0 ? age : 0;
    more[news->members++] = *m;
    return IB_OK;
}

/* One file of the folder. */
static int look_pool(ib_pool *p, const char *file, const ib_adapter_config *mine, size_t most_bytes,
                     ib_pool_news *news, ib_error *err) {
    char *path = ib_join(p->dir, file);
    ib_member m = {0};
    ib_error trouble = {0};
    struct stat st;
    seen *e = entry_of(p, file);
    int rc = path && e ? IB_OK : out_of_memory(p, err);
    if (rc || stat(path, &st) || !changed(e, &st)) {
        free(path); /* gone again, or known */
        return rc;
    }
    if (!ib_member_read(&m, path, most_bytes, &trouble)) {
        news->bytes += m.bytes;
        ib_member_fits(&m, mine ? mine : &m.config, path, &trouble);
    }
    free(path);
    if (trouble.code == IB_E_MEMORY) {
        *err = trouble;
        return IB_E_MEMORY;
    }
    if (trouble.code) {
        ib_member_free(&m);
        /* not read is not known: the next look may be luckier */
        e->inode = trouble.code == IB_E_IO && S_ISREG(st.st_mode) ? 0 : e->inode;
        return ib_pool_remark(news, trouble.text, err);
    }
    if (e->serial == m.serial && !strcmp(e->token, m.token)) {
        ib_member_free(&m); /* carried here once more */
        return IB_OK;
    }
    e->serial = m.serial;
    memcpy(e->token, m.token, sizeof e->token);
    return add_pool(p, news, &m, &st, err);
}

void ib_pool_forget(ib_pool *p) {
    for (size_t i = 0; i < p->n; i++) {
        if (p->seen[i].serial >= 0) {
            p->seen[i].serial = -1;
            p->seen[i].inode = 0;
        }
    }
}

static bool is_member_file(const char *file) {
    size_t n = strlen(file), suffix = sizeof IB_POOL_SUFFIX - 1;
    return n > suffix && *file != '.' && !strcmp(file + n - suffix, IB_POOL_SUFFIX) &&
           strcmp(file, IB_POOL_GUIDE) != 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that may be members', sorted. */
static int list(const ib_pool *p, ib_paths *files, ib_error *err) {
    DIR *d = opendir(p->dir);
    const struct dirent *e;
    int rc = IB_OK;
    if (!d) {
        return ib_fail(err, IB_E_IO, "%s: the pool cannot be read: %s", p->dir, strerror(errno));
    }
    while (!rc && (errno = 0, e = readdir(d))) {
        if (is_member_file(e->d_name)) {
            rc = ib_paths_add(files, e->d_name, err);
        }
    }
    if (!rc && errno) {
        rc = ib_fail(err, IB_E_IO, "%s: the pool cannot be read: %s", p->dir, strerror(errno));
    }
    closedir(d);
    if (files->n) {
        qsort(files->v, files->n, sizeof *files->v, by_name);
    }
    return rc;
}

int ib_pool_listen(ib_pool *p, const ib_adapter_config *mine, size_t most_members, size_t most_bytes,
                   ib_pool_news *news, ib_error *err) {
    ib_paths files = {0};
    ib_error own = {0};
    err = err ? err : &own;
    *news = (ib_pool_news){0};
    int rc = list(p, &files, err);
    size_t first = 0;
    while (first < files.n && p->last && strcmp(files.v[first], p->last) <= 0) {
        first++;
    }
    for (size_t i = 0; !rc && i < files.n && news->members < most_members; i++) {
        char **file = &files.v[(first + i) % files.n];
        if (!p->own || strcmp(*file, p->own)) {
            rc = look_pool(p, *file, mine, most_bytes, news, err);
        }
        if (news->members == most_members) { /* the others' turn comes first the next time */
            free(p->last);
            p->last = *file;
            *file = NULL;
        }
    }
    ib_paths_free(&files);
    if (rc) {
        ib_pool_news_free(news);
    }
    return rc;
}

int ib_pool_own(ib_pool *p, size_t most_bytes, ib_pool_news *news, ib_error *err) {
    char *path = p->own ? ib_join(p->dir, p->own) : NULL;
    ib_member m;
    struct stat st;
    int rc = IB_OK;
    *news = (ib_pool_news){0};
    if (path && !stat(path, &st) && !ib_member_read(&m, path, most_bytes, NULL)) {
        rc = add_pool(p, news, &m, &st, err);
    }
    free(path);
    return rc;
}

void ib_pool_news_free(ib_pool_news *news) {
    for (size_t i = 0; i < news->members; i++) {
        ib_member_free(&news->member[i]);
    }
    for (size_t i = 0; i < news->remarks; i++) {
        free(news->remark[i]);
    }
    free(news->member);
    free(news->age_seconds);
    free(news->remark);
    *news = (ib_pool_news){0};
}

int64_t ib_pool_round(const ib_pool_news *news, int64_t own) {
    int64_t first = own, second = -1;
    for (size_t i = 0; i < news->members; i++) {
        int64_t r = news->member[i].round;
        if (r > first) {
            second = first;
            first = r;
        } else if (r > second) {
            second = r;
        }
    }
    return second >= 0 ? second : first;
}
