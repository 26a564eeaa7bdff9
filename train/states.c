#include "train/states.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The step in a kept state's name; -1 for any other name. */
static int64_t step_of(const char *name) {
    enum { DIGITS = 10 };
    const char *p = name + 5;
    if (strncmp(name, "step-", 5) || strspn(p, "0123456789") != DIGITS || strcmp(p + DIGITS, ".h5")) {
        return -1;
    }
    return strtoll(p, NULL, 10);
}

static bool is_kept(const char *name) {
    return step_of(name) >= 0;
}

/* Bytewise order of the names is that of the steps: they are of one length. */
int ib_states_list(ib_paths *l, const char *dir, ib_error *err) {
    if (!ib_is_dir(dir)) {
        return IB_OK;
    }
    int rc = ib_paths_expand(l, dir, is_kept, err);
    return rc == IB_E_EMPTY ? IB_OK : rc;
}

/* A second name for `path`, put in place at once. */
static int link_to(const char *path, const char *name) {
    ib_pending p = {0};
    if (ib_pending_begin(&p, name, NULL)) {
        return -1;
    }
    /* ib_pending has made an empty file of that name */
    if (unlink(p.temp) || link(path, p.temp)) {
        ib_pending_abort(&p);
        return -1;
    }
    return ib_pending_publish(&p, NULL);
}

static int prune(const char *dir, int64_t step, size_t most, ib_error *err) {
    ib_paths all = {0};
    int rc = ib_states_list(&all, dir, err);
    size_t past = 0;
    for (size_t i = 0; !rc && i < all.n; i++) {
        past += step_of(ib_basename(all.v[i])) <= step;
    }
    for (size_t i = 0; !rc && i < all.n; i++) {
        if ((i + most < past || i >= past) && unlink(all.v[i])) {
            rc = ib_fail(err, IB_E_IO, "%s: cannot be removed: %s", all.v[i], strerror(errno));
        }
    }
    ib_paths_free(&all);
    return rc;
}

int ib_states_keep(const char *dir, const ib_state *s, const char *path, size_t most, ib_error *err) {
    char name[32];
    snprintf(name, sizeof name, "step-%010" PRId64 ".h5", s->step);
    int rc = ib_mkdirs(dir, err);
    char *kept = ib_join(dir, name);
    if (!kept) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", dir);
    }
    if (!rc && link_to(path, kept)) {
        rc = ib_state_save(s, kept, err);
    }
    free(kept);
    return rc ? rc : prune(dir, s->step, most, err);
}
