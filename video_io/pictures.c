#include "video_io/pictures.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/resume.h"

enum { MAX_DIGITS = 9 };
static const char ending[] = ".png";

struct ib_pictures {
    ib_writer_options opt; /* path, codec and key are not kept */
    char *path;            /* owned; with the directory's pattern filled in */
    bool sequence, made_directory, resumable, finished;
    size_t number_at; /* where in path the %0Nd begins */
    int digits, pattern_bytes;
    uint8_t *rgb;       /* [H,W,3] */
    char *comment;      /* owned; NULL: none */
    ib_pending pending; /* a single picture */
    ib_resume resume;   /* a sequence */
    int64_t done;
};

/* Finds the one %d or %0Nd of a sequence's name. 1: found, 0: no percent sign at all. */
static int find_pattern(ib_pictures *p, ib_error *err) {
    const char *percent = strchr(p->path, '%');
    if (!percent) {
        return 0;
    }
    char *end = NULL;
    long digits = percent[1] == '0' ? strtol(percent + 1, &end, 10) : 0;
    const char *d = end ? end : percent + 1;
    if (*d != 'd' || digits < 0 || digits > MAX_DIGITS || strchr(d, '%') || strchr(d, '/')) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: a picture sequence has one %%d or %%0Nd (N up to %d) in its file name", p->path,
                       MAX_DIGITS);
    }
    p->number_at = (size_t)(percent - p->path);
    p->digits = (int)digits;
    p->pattern_bytes = (int)(d + 1 - percent);
    return 1;
}

/* malloc'ed; NULL when memory is out. */
static char *picture_name(const ib_pictures *p, int64_t number) {
    char *name = NULL;
    if (asprintf(&name, "%.*s%0*lld%s", (int)p->number_at, p->path, p->digits, (long long)number,
                 p->path + p->number_at + p->pattern_bytes) < 0) {
        return NULL;
    }
    return name;
}

/* "DIR/" stands for "DIR/%04d.png", and DIR is made. */
static int resolve_path(ib_pictures *p, const char *path, ib_error *err) {
    size_t n = strlen(path);
    bool directory = n && path[n - 1] == '/';
    if (asprintf(&p->path, "%s%s", path, directory ? "%04d.png" : "") < 0) {
        p->path = NULL;
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    }
    if (directory && strchr(path, '%')) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: a directory for pictures cannot have %% in its name", path);
    }
    int rc = find_pattern(p, err);
    p->sequence = rc > 0;
    if (rc < 0 || !directory) {
        return rc < 0 ? rc : 0;
    }
    p->made_directory = !ib_is_dir(path);
    return ib_mkdirs(path, err);
}

/* The number in a file's name, if the pattern could have made it; else 0. name: without its folder. */
static int64_t number_of(const ib_pictures *p, const char *name) {
    const char *pattern = ib_basename(p->path), *tail = p->path + p->number_at + p->pattern_bytes;
    size_t head = (size_t)(p->path + p->number_at - pattern);
    if (strncmp(name, pattern, head)) {
        return 0;
    }
    size_t digits = strspn(name + head, "0123456789");
    if (!digits || digits > 18 || strcmp(name + head + digits, tail)) {
        return 0;
    }
    int64_t number = strtoll(name + head, NULL, 10);
    char *made = picture_name(p, number);
    bool same = made && !strcmp(ib_basename(made), name);
    free(made);
    return same ? number : 0;
}

/* Already put under its final name by an earlier run with the same key, which did not come to its end. */
static bool is_published(const ib_pictures *p, int64_t number) {
    if (!p->resume.publishing || number > p->resume.done) {
        return false;
    }
    char *part = ib_resume_part(&p->resume, number, ending);
    bool there = part && ib_is_file(part);
    free(part);
    return !there;
}

/* What the folder holds under names that this sequence could use stays, unless it may be overwritten; an
 * input always does. */
static int check_folder(const ib_pictures *p, ib_error *err) {
    size_t head = (size_t)(ib_basename(p->path) - p->path);
    char *folder = head ? strndup(p->path, head) : strdup(".");
    DIR *d = folder ? opendir(folder) : NULL;
    const struct dirent *e;
    int rc = folder ? 0 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", p->path);
    while (d && !rc && (e = readdir(d))) {
        int64_t number = number_of(p, e->d_name);
        if (number < 1 || is_published(p, number)) {
            continue;
        }
        char *path = picture_name(p, number);
        if (!path) {
            rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a name", p->path);
        } else if (!p->opt.overwrite) {
            rc = ib_fail(err, IB_E_ARGUMENT, "%s: there is a picture of that name; --overwrite replaces it",
                         path);
        } else {
            rc = ib_output_check(path, p->opt.inputs, p->opt.n_inputs, NULL, err);
        }
        free(path);
    }
    if (d) {
        closedir(d);
    }
    free(folder);
    return rc;
}

static int open_sequence(ib_pictures *p, const char *key, ib_error *err) {
    int rc = ib_resume_begin(&p->resume, p->path, key, ending, err);
    if (rc) {
        return rc;
    }
    p->resumable = key != NULL;
    p->done = p->resume.done;
    return check_folder(p, err);
}

static int open_single(ib_pictures *p, ib_error *err) {
    if (p->opt.frames > 1) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: is one picture, and there are %lld; NAME-%%04d.png takes many", p->path,
                       (long long)p->opt.frames);
    }
    int rc = ib_output_check(p->path, p->opt.inputs, p->opt.n_inputs, NULL, err);
    return rc ? rc : ib_pending_begin(&p->pending, p->path, err);
}

int ib_pictures_open(ib_pictures **out, const char *path, const ib_writer_options *opt, ib_error *err) {
    *out = NULL;
    if (opt->codec || opt->crf >= 0) {
        return ib_fail(err, IB_E_ARGUMENT, "%s: PNG pictures take neither --codec nor --crf", path);
    }
    ib_pictures *p = calloc(1, sizeof *p);
    if (!p) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    }
    p->opt = *opt;
    int rc = resolve_path(p, path, err);
    if (!rc && opt->comment && !(p->comment = strdup(opt->comment))) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a text", path);
    }
    if (!rc && !(p->rgb = ib_calloc((size_t)opt->width * (size_t)opt->height, 3))) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a picture of %d x %d", path, opt->width,
                     opt->height);
    }
    if (!rc) {
        rc = p->sequence ? open_sequence(p, opt->resume_key, err) : open_single(p, err);
    }
    if (rc) {
        ib_pictures_close(&p);
        return rc;
    }
    *out = p;
    return 0;
}

int64_t ib_pictures_done(const ib_pictures *p) {
    return p->done;
}

const char *ib_pictures_kept(const ib_pictures *p) {
    return p->sequence && p->resumable && p->done ? p->resume.folder : NULL;
}

static int to_rgb(ib_pictures *p, const ib_frame *f, ib_error *err) {
    size_t row = (size_t)f->width * 3;
    if (!p->opt.rgb || !f->rgb) {
        return ib_frame_to_rgb(f, p->rgb, err);
    }
    for (size_t y = 0; y < (size_t)f->height; y++) {
        memcpy(p->rgb + y * row, f->rgb + y * f->rgb_stride, row);
    }
    return 0;
}

int ib_pictures_write(ib_pictures *p, const ib_frame *frame, ib_error *err) {
    if (!p->sequence && p->done) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: is one picture and takes one frame; NAME-%%04d.png takes many", p->path);
    }
    int rc = to_rgb(p, frame, err);
    if (!rc && !p->sequence) {
        rc = ib_png_write(p->pending.temp, p->path, p->rgb, frame->width, frame->height, p->comment, err);
    } else if (!rc) {
        char *part = ib_resume_part(&p->resume, p->done + 1, ending);
        rc = part ? ib_png_publish(part, p->rgb, frame->width, frame->height, p->comment, err)
                  : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a name", p->path);
        free(part);
    }
    p->done += !rc;
    return rc;
}

/* From the folder of unfinished work to the final name. */
static int publish(const ib_pictures *p, int64_t number, ib_error *err) {
    char *part = ib_resume_part(&p->resume, number, ending), *name = picture_name(p, number);
    int rc = part && name ? 0 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a name", p->path);
    if (!rc && !(p->resume.publishing && !ib_is_file(part))) {
        rc = ib_move(part, name, p->opt.overwrite, err);
    }
    free(part);
    free(name);
    return rc;
}

int ib_pictures_finish(ib_pictures *p, ib_error *err) {
    if (!p->sequence) {
        p->finished = true;
        return ib_pending_publish(&p->pending, err);
    }
    int rc = check_folder(p, err);
    rc = rc ? rc : ib_resume_publish(&p->resume, p->done, err);
    for (int64_t i = 1; !rc && i <= p->done; i++) {
        rc = publish(p, i, err);
    }
    rc = rc ? rc : ib_sync_folder_of(p->path, err);
    p->finished = !rc;
    return rc;
}

void ib_pictures_close(ib_pictures **pp) {
    ib_pictures *p = *pp;
    *pp = NULL;
    if (!p) {
        return;
    }
    ib_pending_abort(&p->pending);
    if (p->finished || !ib_pictures_kept(p)) {
        ib_resume_remove(&p->resume);
    } else {
        ib_resume_leave(&p->resume);
    }
    if (p->made_directory && !p->finished) {
        *strrchr(p->path, '/') = 0;
        rmdir(p->path); /* only if there is nothing in it */
    }
    ib_free(p->rgb);
    free(p->comment);
    free(p->path);
    free(p);
}
