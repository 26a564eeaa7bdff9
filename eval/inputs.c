/* Which files are evaluated, and how each becomes a latent file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/private.h"
#include "eval/remarks.h"
#include "guide/encode.h"

/* By its name, or by how every HDF5 file begins. */
bool ib_eval_is_latents(const char *path) {
    static const char begins[8] = "\211HDF\r\n\032\n";
    char b[8] = "";
    FILE *f =
        ib_is_latent_name(path) || !ib_is_file(path) ? NULL : fopen(path, "rb"); /* a pipe is read once */
    size_t n = f ? fread(b, 1, sizeof b, f) : 0;
    if (f) {
        fclose(f);
    }
    return ib_is_latent_name(path) || (n == sizeof b && !memcmp(b, begins, sizeof b));
}

bool ib_eval_is_stream(const char *path) {
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static bool accept_input(const char *name) {
    return ib_is_latent_name(name) || ib_is_video_name(name);
}

static int compare_paths(const void *a, const void *b) {
    const char *p = *(char *const *)a, *q = *(char *const *)b;
    int rc = strcmp(ib_basename(p), ib_basename(q));
    return rc ? rc : strcmp(p, q);
}

/* The same file under two names stays once, under the first. */
static int drop_twins(ib_paths *l, ib_error *err) {
    struct stat *st = calloc(l->n + 1, sizeof *st);
    size_t n = 0;
    if (!st) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu files", l->n);
    }
    for (size_t i = 0; i < l->n; i++) {
        struct stat here;
        bool twin = false, known = !stat(l->v[i], &here);
        for (size_t k = 0; k < n && known && !twin; k++) {
            twin = st[k].st_ino == here.st_ino && st[k].st_dev == here.st_dev && here.st_ino;
        }
        if (twin) {
            free(l->v[i]);
        } else {
            st[n] = known ? here : (struct stat){0};
            l->v[n++] = l->v[i];
        }
    }
    l->n = n;
    free(st);
    return IB_OK;
}

int ib_eval_list_inputs(ib_evaluation *e, ib_paths *files, ib_error *first, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < e->o->inputs->n && !rc; i++) {
        ib_error bad = {0};
        if (ib_paths_expand(files, e->o->inputs->v[i], accept_input, &bad)) {
            *first = first->code ? *first : bad;
            rc = ib_remarks_add(&e->report->failed, e->o->inputs->v[i], bad.text, err);
        }
    }
    if (!rc && files->n) {
        qsort(files->v, files->n, sizeof *files->v, compare_paths);
        rc = drop_twins(files, err);
    }
    return rc;
}

static int make_folder(ib_evaluation *e, ib_error *err) {
    const char *parent = getenv("TMPDIR");
    parent = parent && *parent ? parent : "/tmp";
    int n = snprintf(e->folder, sizeof e->folder, "%s/inbetween-eval.XXXXXX", parent);
    if (n < 0 || (size_t)n >= sizeof e->folder || !mkdtemp(e->folder)) {
        int why = n < 0 || (size_t)n >= sizeof e->folder ? ENAMETOOLONG : errno;
        e->folder[0] = 0;
        return ib_fail(err, IB_E_IO, "cannot make a directory for temporary files in %s: %s", parent,
                       strerror(why));
    }
    return IB_OK;
}

static void on_encoded(void *user, size_t frames, int64_t estimate) {
    ib_evaluation *e = user;
    double part = estimate > 0 ? (double)frames / (double)estimate : 0;
    ib_eval_tell(e, e->encoded * (part < 1 ? part : 1));
}

int ib_eval_open_input(ib_evaluation *e, const char *path, ib_latent_file **f, char **temporary, char *remark,
                       size_t remark_bytes, ib_error *err) {
    *f = NULL;
    *temporary = NULL;
    e->encoded = 0;
    if (remark_bytes) {
        *remark = 0;
    }
    if (ib_eval_is_latents(path)) {
        return e->o->native
                   ? ib_fail(err, IB_E_ARGUMENT,
                             "%s: latent files hold small frames; the videos' own size needs the videos",
                             path)
                   : ib_latent_open(f, path, err);
    }
    if (e->o->native && ib_eval_is_stream(path)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: is a stream, which can be read once; the videos' own size needs it twice", path);
    }
    int rc = e->folder[0] ? IB_OK : make_folder(e, err);
    if (rc) {
        return rc;
    }
    if (!(*temporary = ib_join(e->folder, "clip.h5"))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of a temporary file");
    }
    e->encoded = e->o->native ? 0.1 : e->makes_guides ? 0.8 : 0.3;
    ib_encode_options o;
    ib_encode_stats stats;
    ib_encode_defaults(&o);
    o.width = e->o->native ? o.width : e->o->width;
    o.height = e->o->native ? o.height : e->o->height;
    o.threads = e->judge.threads;
    o.keep_interlaced = e->o->keep_interlaced;
    o.guide = e->makes_guides ? e->pixel_model : IB_GUIDE_NONE;
    o.guide_gaps = e->o->gaps;
    memcpy(o.guide_gap, e->o->gap, e->o->gaps * sizeof *o.guide_gap);
    o.guide_windows = e->o->windows_per_clip ? e->o->windows_per_clip : o.guide_windows;
    o.force = true;
    o.stop = e->o->stop;
    o.progress = on_encoded;
    o.user = e;
    rc = ib_encode_video(path, *temporary, e->space, &o, &stats, err);
    if (!rc && stats.damaged && remark_bytes) {
        snprintf(remark, remark_bytes, "%s: %d damaged parts left out; the first: %s", path, stats.damaged,
                 stats.damage);
    }
    if (!rc && stats.interlaced && remark_bytes) {
        rc = ib_remarks_add(&e->report->interlaced, path, "is interlaced", err);
    }
    rc = rc ? rc : ib_latent_open(f, *temporary, err);
    if (rc) {
        ib_eval_close_input(f, temporary);
    }
    return rc;
}

void ib_eval_close_input(ib_latent_file **f, char **temporary) {
    ib_latent_close(f);
    if (*temporary) {
        unlink(*temporary);
        free(*temporary);
        *temporary = NULL;
    }
}
