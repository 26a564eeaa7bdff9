#include "render/keyframes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "latent/latent_file.h"
#include "video_io/reader.h"

static const char prompt_mark[] = "text:";

const char *ib_key_kind_name(ib_key_kind k) {
    static const char *const names[] = {"prompt", "picture", "latent"};
    return names[k];
}

/* The end of NAME.h5 in NAME.h5 or NAME.h5@..., NULL in anything else. */
static const char *latent_end(const char *spec) {
    const char *end = NULL;
    for (const char *at = spec; (at = strstr(at, ".h5")); at += 3) {
        if (at[3] == '\0' || at[3] == '@') {
            end = at + 3;
        }
    }
    return end;
}

ib_key_kind ib_key_kind_of(const char *spec) {
    return !strncmp(spec, prompt_mark, sizeof prompt_mark - 1) ? IB_KEY_PROMPT
           : latent_end(spec)                                  ? IB_KEY_LATENT
                                                               : IB_KEY_PICTURE;
}

const char *ib_key_prompt(const char *spec) {
    return spec + sizeof prompt_mark - 1;
}

int ib_key_exists(const char *spec, ib_error *err) {
    const char *at = strrchr(spec, '@');
    struct stat st; /* whatever kind of file it is: pipes can be read, too */
    if (ib_key_kind_of(spec) == IB_KEY_PROMPT || !stat(spec, &st)) {
        return IB_OK;
    }
    char *path = at ? strndup(spec, (size_t)(at - spec)) : NULL;
    bool there = path && !stat(path, &st);
    free(path);
    return there ? IB_OK
                 : ib_fail(err, IB_E_IO,
                           "%s: there is no such file; a prompt begins with text:, as in 'text:%s'", spec,
                           strchr(spec, '/') ? "a red ball" : spec);
}

static int read_prompt(const ib_space *s, const char *spec, float *z, ib_error *err) {
    int rc = ib_space_encode_text(s, ib_key_prompt(spec), z, err);
    return rc ? ib_error_prefix(err, rc, "'%.100s'", spec) : IB_OK;
}

/* How a still has to be read for guides: as the first picture, as far as that can be. */
static ib_reader_options guide_reading(const ib_keyframes *k, const ib_frame *own,
                                       const ib_reader_options *rgb) {
    ib_reader_options how = *rgb;
    const ib_frame *first = NULL;
    for (size_t i = 0; !first && i < k->n; i++) {
        first = k->frame[i].plane[0] ? &k->frame[i] : NULL;
    }
    if (!first) {
        return how;
    }
    bool fits = first->width % 2 == 0 && first->height % 2 == 0 && first->width >= 16 && first->height >= 16;
    if (fits && (own->width != first->width || own->height != first->height)) {
        how.width = first->width;
        how.height = first->height;
    }
    if (own->matrix != first->matrix) {
        how.matrix = first->matrix == IB_MATRIX_UNSPECIFIED ? IB_MATRIX_BT601 : first->matrix;
    }
    return how;
}

/* Takes over *own, also on failure. */
static int keep_picture(ib_keyframes *k, size_t i, ib_still *still, ib_frame *own,
                        const ib_reader_options *rgb, ib_error *err) {
    ib_reader_options how = guide_reading(k, own, rgb);
    if (!how.width && how.matrix == rgb->matrix) {
        k->frame[i] = *own;
        return IB_OK;
    }
    ib_frame_free(own);
    return ib_still_convert(still, &k->frame[i], &how, err);
}

static int read_picture(ib_keyframes *k, size_t i, const ib_space *s, const char *spec,
                        const ib_key_reading *how, float *z, ib_error *err) {
    ib_reader_options rgb = {
        .rgb = true, .threads = how->threads, .keep_interlaced = how->keep_interlaced, .stop = how->stop};
    ib_still *still = NULL;
    ib_frame frame = {0};
    int rc = ib_still_open(&still, spec, &rgb, err);
    rc = rc ? rc : ib_still_convert(still, &frame, &rgb, err);
    if (rc) {
        ib_still_close(&still);
        return rc;
    }
    k->interlaced += ib_still_info(still)->interlaced;
    if ((rc = ib_space_encode(s, &frame, z, err))) {
        rc = ib_error_prefix(err, rc, "%s", spec);
    }
    if (!rc && how->frames) {
        rc = keep_picture(k, i, still, &frame, &rgb, err);
    } else {
        ib_frame_free(&frame);
    }
    ib_still_close(&still);
    return rc;
}

static int parse_seconds(const char *spec, const char *at, double *seconds, ib_error *err) {
    *seconds = 0;
    return *at != '@' || ib_text_seconds(at + 1, seconds) ? IB_OK : ib_text_no_seconds(spec, err);
}

/* Opens the file of a NAME.h5@TIME and finds the frame that is on screen then. */
static int open_latent(const char *spec, ib_latent_file **f, size_t *frame, ib_error *err) {
    const char *end = latent_end(spec);
    double seconds;
    int rc = parse_seconds(spec, end, &seconds, err);
    char *path = rc ? NULL : strndup(spec, (size_t)(end - spec));
    if (!path) {
        return rc ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", spec);
    }
    rc = ib_latent_open(f, path, err);
    free(path);
    if (rc) {
        return rc;
    }
    const ib_latent_info *info = ib_latent_info_of(*f);
    const double *pts = ib_latent_pts(*f);
    *frame = 0;
    while (*frame + 1 < info->frames && pts[*frame + 1] <= seconds + 1e-6) {
        ++*frame;
    }
    if (seconds > pts[info->frames - 1] + 1 / info->fps + 1e-6) {
        rc = ib_fail(err, IB_E_ARGUMENT, "%s: has no frame at %g s, its last begins at %g s",
                     ib_latent_path(*f), seconds, pts[info->frames - 1]);
        ib_latent_close(f);
    }
    return rc;
}

static bool same_shape(const ib_shape *a, const ib_shape *b) {
    return a->layout == b->layout && a->tokens == b->tokens && a->width == b->width;
}

static int read_latent(const ib_keyframes *k, const char *spec, float *z, ib_error *err) {
    ib_latent_file *f;
    size_t frame;
    int rc = open_latent(spec, &f, &frame, err);
    if (rc) {
        return rc;
    }
    const ib_latent_info *info = ib_latent_info_of(f);
    if (strcmp(info->space_id, k->space_id)) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: of the space '%s', the other keyframes are of '%s'",
                     ib_latent_path(f), info->space_id, k->space_id);
    } else if (!same_shape(&info->shape, &k->shape)) {
        rc = ib_fail(
            err, IB_E_MISMATCH, "%s: holds %zu x %zu values a frame, the other keyframes have %zu x %zu",
            ib_latent_path(f), info->shape.tokens, info->shape.width, k->shape.tokens, k->shape.width);
    }
    rc = rc ? rc : ib_latent_read(f, frame, 1, z, err);
    ib_latent_close(&f);
    return rc;
}

/* Space and shape: the space's, or, without one, those of the first latent. */
static int find_shape(ib_keyframes *k, const ib_space *space, const char *first, ib_error *err) {
    ib_latent_file *f;
    size_t frame;
    if (space) {
        snprintf(k->space_id, sizeof k->space_id, "%s", ib_space_id(space));
        return ib_space_shape(space, 224, 224, &k->shape, err); /* one for all sizes, where a space resizes */
    }
    int rc = open_latent(first, &f, &frame, err);
    if (!rc) {
        snprintf(k->space_id, sizeof k->space_id, "%s", ib_latent_info_of(f)->space_id);
        k->shape = ib_latent_info_of(f)->shape;
        ib_latent_close(&f);
    }
    return rc;
}

int ib_keyframes_read(ib_keyframes *k, const ib_space *space, const char *const *specs, size_t n,
                      const ib_key_reading *how, ib_error *err) {
    size_t all, values;
    int rc = IB_OK;
    *k = (ib_keyframes){.n = n};
    for (size_t i = 0; !rc && i < n; i++) {
        rc = ib_key_exists(specs[i], err);
        if (!rc && !space && ib_key_kind_of(specs[i]) != IB_KEY_LATENT) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "'%.200s': a %s becomes an embedding by a space; say which (--space clip:PATH)",
                         specs[i], ib_key_kind_name(ib_key_kind_of(specs[i])));
        }
    }
    rc = rc ? rc : find_shape(k, space, specs[0], err);
    values = k->shape.tokens * k->shape.width;
    if (!rc && ib_size_mul(values, n, &all)) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", n);
    }
    rc = rc ? rc : ib_alloc_floats(&k->z, all, "the keyframes", err);
    if (!rc && how->frames && !(k->frame = calloc(n, sizeof *k->frame))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", n);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        float *z = k->z + i * values;
        ib_key_kind kind = ib_key_kind_of(specs[i]);
        rc = kind == IB_KEY_PROMPT    ? read_prompt(space, specs[i], z, err)
             : kind == IB_KEY_PICTURE ? read_picture(k, i, space, specs[i], how, z, err)
                                      : read_latent(k, specs[i], z, err);
    }
    if (rc) {
        ib_keyframes_free(k);
    }
    return rc;
}

void ib_keyframes_free(ib_keyframes *k) {
    for (size_t i = 0; k->frame && i < k->n; i++) {
        ib_frame_free(&k->frame[i]);
    }
    free(k->frame);
    ib_free(k->z);
    *k = (ib_keyframes){0};
}
