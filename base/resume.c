#include "base/resume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

static const char title[] = "inbetween resume 1\n";

/* ---- the key ---- */

void ib_key_add(ib_key *k, const char *fmt, ...) {
    char *more = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&more, fmt, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : realloc(k->text, k->bytes + (size_t)n + 1);
    k->failed = k->failed || !text;
    if (text) {
        memcpy(text + k->bytes, more, (size_t)n + 1);
        k->text = text;
        k->bytes += (size_t)n;
    }
    if (n >= 0) {
        free(more);
    }
}

static void add_file(ib_key *k, const char *path) {
    struct stat st;
    if (!stat(path, &st)) {
        ib_key_add(k, "  %s %jd bytes %jd.%09ld\n", path, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                   st.st_mtim.tv_nsec);
    }
}

void ib_key_add_input(ib_key *k, const char *input) {
    const char *at = input ? strrchr(input, '@') : NULL, *colon = input ? strchr(input, ':') : NULL;
    ib_key_add(k, "%s\n", input ? input : "(none)");
    if (!input || !strncmp(input, "text:", 5)) {
        return;
    }
    add_file(k, input);
    char *path = at && at > input ? strndup(input, (size_t)(at - input)) : NULL;
    if (path) {
        add_file(k, path);
    }
    free(path);
    if (colon) {
        add_file(k, colon + 1);
    }
}

void ib_key_free(ib_key *k) {
    free(k->text);
    *k = (ib_key){0};
}

/* ---- the folder ---- */

static bool is_ours(const char *name) {
    size_t n = strlen(name);
    return !strcmp(name, "key") || !strcmp(name, "lock") || !strncmp(name, "part-", 5) ||
           ((!strncmp(name, ".part-", 6) || !strncmp(name, ".key.", 5)) && n > 4 &&
            !strcmp(name + n - 4, ".tmp"));
}

/* Calls `use` for every name in the folder but its own; stops at the first that is not 0. */
static int each(const ib_resume *r, int (*use)(int folder, const char *name), ib_error *err) {
    DIR *d = opendir(r->folder);
    const struct dirent *e;
    int rc = 0;
    if (!d) {
        return ib_fail(err, IB_E_IO, "%s: cannot be read: %s", r->folder, strerror(errno));
    }
    while (!rc && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            rc = use(dirfd(d), e->d_name);
        }
    }
    closedir(d);
    return rc;
}

static int find_foreign(int folder, const char *name) {
    (void)folder;
    return !is_ours(name);
}

static int remove_part(int folder, const char *name) {
    if (is_ours(name) && strcmp(name, "lock")) {
        unlinkat(folder, name, 0);
    }
    return 0;
}

char *ib_resume_part(const ib_resume *r, int64_t number, const char *ending) {
    char *name = NULL;
    return asprintf(&name, "%s/part-%09" PRId64 "%s", r->folder, number, ending) < 0 ? NULL : name;
}

static char *key_path(const ib_resume *r) {
    return ib_join(r->folder, "key");
}

/* Whole or not at all, as everything else. parts >= 0: they are being published. */
static int write_key(const ib_resume *r, int64_t parts, ib_error *err) {
    ib_pending p = {0};
    char *path = key_path(r);
    int rc =
        path ? ib_pending_begin(&p, path, err) : ib_fail(err, IB_E_MEMORY, "out of memory for %s", r->folder);
    free(path);
    if (rc) {
        return rc;
    }
    FILE *f = fopen(p.temp, "we");
    bool good = f && fprintf(f, "%s%s\n", title, r->key) > 0;
    if (good && parts >= 0) {
        good = fprintf(f, "publishing %" PRId64 "\n", parts) > 0;
    }
    int e = errno;
    if (f && fclose(f)) {
        e = good ? errno : e;
        good = false;
    }
    if (good) {
        return ib_pending_publish(&p, err);
    }
    ib_pending_abort(&p);
    return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", r->folder, strerror(e));
}

/* True if what is there was left by a run with this key; then also how far that had come. */
static bool same_key(ib_resume *r) {
    char first[32] = "", key[80] = "", *path = key_path(r);
    FILE *f = path ? fopen(path, "re") : NULL;
    free(path);
    if (!f) {
        return false;
    }
    bool same = fgets(first, sizeof first, f) && !strcmp(first, title) && fgets(key, sizeof key, f) &&
                strlen(key) == 65 && !strncmp(key, r->key, 64);
    if (same && fscanf(f, "publishing %" SCNd64, &r->done) == 1 && r->done > 0) {
        r->publishing = true;
    } else {
        r->done = 0;
    }
    fclose(f);
    return same;
}

static int make_folder(ib_resume *r, const char *output, ib_error *err) {
    struct stat st;
    const char *name = ib_basename(output);
    int head = (int)(name - output);
    /* a long name is cut: the folder's must fit into 255 bytes too */
    if (asprintf(&r->folder, "%.*s.%.200s.resume", head, output, name) < 0) {
        r->folder = NULL;
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", output);
    }
    if (mkdir(r->folder, 0777) && errno != EEXIST) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", output, strerror(errno));
    }
    if (lstat(r->folder, &st) || !S_ISDIR(st.st_mode)) {
        return ib_fail(err, IB_E_IO, "%s: is in the way: a folder for unfinished work was expected",
                       r->folder);
    }
    return IB_OK;
}

static int lock_folder(ib_resume *r, const char *output, ib_error *err) {
    char *path = ib_join(r->folder, "lock");
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", output);
    }
    r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    int e = errno;
    free(path);
    if (r->lock < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", r->folder, strerror(e));
    }
    /* where the file system knows no locks there is none to be had */
    if (flock(r->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        return ib_fail(err, IB_E_IO, "%s: another process is writing it", output);
    }
    return IB_OK;
}

static void count_parts(ib_resume *r, const char *ending) {
    for (bool there = true; there;) {
        char *path = ib_resume_part(r, r->done + 1, ending);
        there = path && ib_is_file(path);
        r->done += there;
        free(path);
    }
}

int ib_resume_begin(ib_resume *r, const char *output, const char *key, const char *ending, ib_error *err) {
    *r = (ib_resume){.lock = -1};
    if (key) {
        ib_sha256_bytes(key, strlen(key), r->key);
    }
    int rc = make_folder(r, output, err);
    if (!rc && (rc = each(r, find_foreign, err)) > 0) {
        rc =
            ib_fail(err, IB_E_IO, "%s: is in the way: it holds files that are not this program's", r->folder);
    }
    rc = rc ? rc : lock_folder(r, output, err);
    if (rc) {
        if (r->folder) {
            rmdir(r->folder); /* only if there is nothing in it */
        }
        ib_resume_leave(r);
        return rc;
    }
    if (key && same_key(r)) {
        if (!r->publishing) {
            count_parts(r, ending);
        }
        return IB_OK;
    }
    if ((rc = each(r, remove_part, err)) || (rc = write_key(r, -1, err))) {
        ib_resume_remove(r);
    }
    return rc;
}

int ib_resume_publish(ib_resume *r, int64_t parts, ib_error *err) {
    return r->publishing ? IB_OK : write_key(r, parts, err);
}

void ib_resume_leave(ib_resume *r) {
    if (r->folder && r->lock >= 0) {
        close(r->lock);
    }
    free(r->folder);
    *r = (ib_resume){.lock = -1};
}

void ib_resume_remove(ib_resume *r) {
    if (r->folder) {
        each(r, remove_part, NULL);
        char *lock = ib_join(r->folder, "lock");
        if (lock) {
            unlink(lock);
        }
        free(lock);
        rmdir(r->folder);
    }
    ib_resume_leave(r);
}
