#include "train/rundir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/file.h"
#include "base/output.h"
#include "latent/latent_file.h"
#include "train/states.h"

static const char header[] =
    "step,seconds,samples,rate,loss,grad_norm,train_skill,valid_skill,samples_per_second\n";

int ib_rundir_name(ib_rundir *r, const char *path, ib_error *err) {
    *r = (ib_rundir){.lock = -1};
    r->path = strdup(path);
    r->state = ib_join(path, "state.h5");
    r->adapter = ib_join(path, "adapter.safetensors");
    r->log = ib_join(path, "log.csv");
    r->samples = ib_join(path, "samples");
    r->states = ib_join(path, "states");
    if (!r->path || !r->state || !r->adapter || !r->log || !r->samples || !r->states) {
        ib_rundir_close(r);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names of %s", path);
    }
    return IB_OK;
}

/* What ib_pending leaves behind when the process is killed. */
static void clear_leftovers(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        size_t n = strlen(e->d_name);
        bool ours = !strncmp(e->d_name, ".state.h5.", 10) ||
                    !strncmp(e->d_name, ".adapter.safetensors.", 21) || !strncmp(e->d_name, ".log.csv.", 9) ||
                    !strncmp(e->d_name, ".step-", 6);
        if (ours && n > 4 && !strcmp(e->d_name + n - 4, ".tmp")) {
            unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

int ib_rundir_lock(ib_rundir *r, ib_error *err) {
    int e = ib_mkdirs(r->path, err);
    if (e) {
        return e;
    }
    char *name = ib_join(r->path, ".lock");
    if (!name) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names of %s", r->path);
    }
    r->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    e = errno;
    free(name);
    if (r->lock < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written to: %s", r->path, strerror(e));
    }
    /* where the file system knows no locks there is none to be had */
    if (flock(r->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        return ib_fail(err, IB_E_IO, "%s: in use: another process is training there", r->path);
    }
    clear_leftovers(r->path);
    clear_leftovers(r->samples);
    clear_leftovers(r->states);
    return IB_OK;
}

static bool is_our_log(const char *path) {
    char line[sizeof header] = "";
    FILE *f = fopen(path, "re");
    bool ours = f && (!fgets(line, sizeof line, f) || !strcmp(line, header));
    if (f) {
        fclose(f);
    }
    return ours;
}

static bool is_strip(const char *name) {
    return !strncmp(name, "step-", 5) && strstr(name, ".png");
}

/* Pictures of the names that samples have. */
static bool has_strips(const char *samples) {
    ib_paths l = {0};
    bool some = ib_is_dir(samples) && !ib_paths_expand(&l, samples, is_strip, NULL) && l.n;
    ib_paths_free(&l);
    return some;
}

int ib_rundir_check_new(const ib_rundir *r, ib_error *err) {
    ib_paths states = {0};
    const char *taken = NULL;
    if (ib_is_file(r->adapter)) {
        taken = r->adapter;
    } else if (ib_is_file(r->log) && !is_our_log(r->log)) {
        taken = r->log;
    } else if (!ib_is_file(r->log) && has_strips(r->samples)) {
        taken = r->samples;
    } else if (!ib_states_list(&states, r->states, NULL) && states.n) {
        taken = r->states;
    }
    ib_paths_free(&states);
    return taken ? ib_fail(err, IB_E_ARGUMENT,
                           "%s: would be replaced by the new run; choose another directory, or --overwrite",
                           taken)
                 : IB_OK;
}

int ib_rundir_check_inputs(const ib_rundir *r, const char *const *inputs, size_t n, ib_error *err) {
    const char *const written[] = {r->adapter, r->state, r->log};
    int e = IB_OK;
    for (size_t i = 0; !e && i < sizeof written / sizeof *written; i++) {
        e = ib_output_check(written[i], inputs, n, ib_is_latent_name, err);
    }
    return e;
}

/* Copies the lines up to `step` beside and renames. */
static int trim(const char *path, FILE *in, int64_t step, ib_error *err) {
    ib_pending p = {0};
    char *line = NULL;
    size_t room = 0;
    int rc = ib_pending_begin(&p, path, err);
    if (rc) {
        return rc;
    }
    FILE *out = fopen(p.temp, "w");
    bool good = out && fputs(header, out) >= 0;
    while (good && getline(&line, &room, in) > 0) {
        char *end;
        long long at = strtoll(line, &end, 10);
        if (end != line && *end == ',' && at <= step && strchr(line, '\n')) {
            good = fputs(line, out) >= 0;
        }
    }
    free(line);
    if (out && fclose(out)) {
        good = false;
    }
    if (!good) {
        rc = ib_fail(err, IB_E_IO, "%s: cannot be written: %s", path, strerror(errno));
        ib_pending_abort(&p);
        return rc;
    }
    return ib_pending_publish(&p, err);
}

int ib_rundir_open_log(ib_rundir *r, int64_t step, ib_error *err) {
    FILE *old = fopen(r->log, "re");
    if (old) {
        int e = trim(r->log, old, step, err);
        fclose(old);
        if (e) {
            return e;
        }
    }
    r->csv = fopen(r->log, "ae");
    if (!r->csv || (!old && fputs(header, r->csv) < 0) || fflush(r->csv)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", r->log, strerror(errno));
    }
    return IB_OK;
}

static void put_rundir(char *line, size_t size, const char *format, double v) {
    size_t n = strlen(line);
    snprintf(line + n, size - n, ",");
    if (isfinite(v)) {
        snprintf(line + n + 1, size - n - 1, format, v);
    }
}

int ib_rundir_log(ib_rundir *r, const ib_log_line *l, ib_error *err) {
    char line[512];
    snprintf(line, sizeof line, "%lld,%.2f,%lld", (long long)l->step, l->seconds, (long long)l->samples);
    put_rundir(line, sizeof line, "%.6g", l->rate);
    put_rundir(line, sizeof line, "%.6g", l->loss);
    put_rundir(line, sizeof line, "%.6g", l->grad_norm);
    put_rundir(line, sizeof line, "%.5f", l->train_skill);
    put_rundir(line, sizeof line, "%.5f", l->valid_skill);
    put_rundir(line, sizeof line, "%.2f", l->samples_per_second);
    if (fprintf(r->csv, "%s\n", line) < 0 || fflush(r->csv)) {
        return ib_fail(err, IB_E_IO, "%s: cannot be written: %s", r->log, strerror(errno));
    }
    return IB_OK;
}

void ib_rundir_close(ib_rundir *r) {
    if (!r->path) {
        return;
    }
    if (r->csv) {
        fclose(r->csv);
    }
    if (r->lock >= 0) {
        close(r->lock);
    }
    free(r->path);
    free(r->state);
    free(r->adapter);
    free(r->log);
    free(r->samples);
    free(r->states);
    *r = (ib_rundir){.lock = -1};
}
