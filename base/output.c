#include "base/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int refuse(const char *output, const char *input, ib_error *err) {
    return ib_fail(err, IB_E_ARGUMENT, "%s: is the input %s and would be lost; choose another name", output,
                   input);
}

/* Whether the file itself is in the folder under an accepted name. */
static bool holds(const char *folder, bool (*accept)(const char *name), const struct stat *out) {
    DIR *d = accept ? opendir(folder) : NULL;
    const struct dirent *e;
    struct stat st;
    bool found = false;
    while (d && !found && (e = readdir(d))) {
        found = accept(e->d_name) && !fstatat(dirfd(d), e->d_name, &st, 0) && S_ISREG(st.st_mode) &&
                same_file(&st, out);
    }
    if (d) {
        closedir(d);
    }
    return found;
}

static int check_path(const char *output, const struct stat *out, const char *path,
                      bool (*accept)(const char *name), ib_error *err) {
    struct stat st;
    if (stat(path, &st)) {
        return IB_OK;
    }
    bool same = S_ISDIR(st.st_mode) ? holds(path, accept, out) : same_file(&st, out);
    return same ? refuse(output, path, err) : IB_OK;
}

/* A word may be read in several ways; each that names something is looked at. */
static int check_input(const char *output, const struct stat *out, const char *input,
                       bool (*accept)(const char *name), ib_error *err) {
    const char *at = strrchr(input, '@'), *colon = strchr(input, ':');
    int rc = check_path(output, out, input, accept, err);
    if (!rc && at && at > input) {
        char *path = strndup(input, (size_t)(at - input));
        rc = path ? check_path(output, out, path, accept, err)
                  : ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", input);
        free(path);
    }
    return rc || !colon || !strncmp(input, "text:", 5) ? rc : check_path(output, out, colon + 1, accept, err);
}

int ib_output_check(const char *output, const char *const *inputs, size_t n, bool (*accept)(const char *name),
                    ib_error *err) {
    struct stat out;
    int rc = IB_OK;
    if (stat(output, &out) || S_ISDIR(out.st_mode)) {
        return IB_OK;
    }
    for (size_t i = 0; !rc && i < n; i++) {
        if (inputs[i]) {
            rc = check_input(output, &out, inputs[i], accept, err);
        }
    }
    return rc;
}

int ib_output_try(const char *output, ib_error *err) {
    ib_pending p = {0};
    int rc = ib_pending_begin(&p, output, err);
    ib_pending_abort(&p);
    return rc;
}

int ib_move(const char *from, const char *to, bool replace, ib_error *err) {
    struct stat st;
    if (!replace) {
        /* a second name never replaces the first one of another file; without hard links a look has to do */
        if (!link(from, to)) {
            return unlink(from) ? ib_fail(err, IB_E_IO, "%s: cannot be removed: %s", from, strerror(errno))
                                : IB_OK;
        }
        if (errno == EEXIST || !lstat(to, &st)) {
            return ib_fail(err, IB_E_IO, "%s: cannot be written: there is a file of that name", to);
        }
    }
    return rename(from, to) ? ib_fail(err, IB_E_IO, "%s: cannot be written: %s", to, strerror(errno)) : IB_OK;
}

int ib_sync_folder_of(const char *path, ib_error *err) {
    const char *slash = strrchr(path, '/');
    /* "." for a bare name, "/" for a name in the root */
    char *dir = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (fd < 0) {
        return IB_OK; /* a directory that may be written but not read */
    }
    int rc = fsync(fd), e = errno;
    close(fd);
    if (rc && e != EINVAL && e != ENOTSUP && e != ENOSYS) {
        return ib_fail(err, IB_E_IO, "cannot make %s durable: %s", path, strerror(e));
    }
    return IB_OK;
}
