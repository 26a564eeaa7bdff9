#include "render/modality_gap.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/safetensors.h"
#include "latent/latent_file.h"

enum { FRAMES_AT_ONCE = 256 };
static const char format_key[] = "inbetween.modality_gap", format_version[] = "1";

static double norm_modality_gap(const float *z, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)z[i] * z[i];
    }
    return sqrt(s);
}

/* sum [D] += the mean of a file's frames, *norms += their mean norm. */
static int add_file(ib_modality_gap *g, const char *path, double *sum, double *norms, ib_error *err) {
    ib_latent_file *f;
    float *z = NULL;
    int rc = ib_latent_open(&f, path, err);
    if (rc) {
        return rc;
    }
    const ib_latent_info *info = ib_latent_info_of(f);
    if (strcmp(info->space_id, g->space_id)) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: of the space '%s', the prompts are of '%s'", path,
                     info->space_id, g->space_id);
    } else if (info->shape.tokens != 1 || info->shape.width != g->width) {
        rc = ib_fail(err, IB_E_MISMATCH, "%s: holds %zu x %zu values a frame, the prompts have 1 x %zu", path,
                     info->shape.tokens, info->shape.width, g->width);
    }
    rc = rc ? rc : ib_alloc_floats(&z, FRAMES_AT_ONCE * g->width, "frames", err);
    for (size_t first = 0, n; !rc && first < info->frames; first += n) {
        n = info->frames - first < FRAMES_AT_ONCE ? info->frames - first : FRAMES_AT_ONCE;
        rc = ib_latent_read(f, first, n, z, err);
        for (size_t i = 0; !rc && i < n; i++) {
            for (size_t j = 0; j < g->width; j++) {
                sum[j] += (double)z[i * g->width + j] / (double)info->frames;
            }
            *norms += norm_modality_gap(z + i * g->width, g->width) / (double)info->frames;
        }
    }
    g->videos++;
    g->frames += (int64_t)info->frames;
    ib_free(z);
    ib_latent_close(&f);
    return rc;
}

static int begin_modality_gap(ib_modality_gap *g, const char *space_id, size_t width, ib_error *err) {
    *g = (ib_modality_gap){.width = width};
    snprintf(g->space_id, sizeof g->space_id, "%s", space_id);
    int rc = ib_alloc_floats(&g->image, width, "the mean of the pictures", err);
    return rc ? rc : ib_alloc_floats(&g->text, width, "the mean of the prompts", err);
}

static int check_space(const ib_space *space, ib_shape *shape, size_t n_prompts, ib_error *err) {
    int rc = ib_space_shape(space, 224, 224, shape, err);
    if (!rc && (!ib_space_reads_text(space) || shape->layout != IB_LAYOUT_SINGLE)) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "the space %s has no text side to measure the gap to",
                     ib_space_id(space));
    }
    if (!rc && !n_prompts) {
        rc = ib_fail(err, IB_E_EMPTY, "there are no prompts to measure the gap with");
    }
    return rc;
}

int ib_modality_gap_measure(ib_modality_gap *g, const ib_space *space, const ib_paths *latents,
                            const char *const *prompts, size_t n_prompts, const atomic_int *stop,
                            void (*progress)(void *user, double fraction), void *user, ib_error *err) {
    ib_shape shape = {0};
    ib_paths files = {0};
    double *sum = NULL;
    *g = (ib_modality_gap){0};
    int rc = check_space(space, &shape, n_prompts, err);
    rc = rc ? rc : begin_modality_gap(g, ib_space_id(space), shape.width, err);
    if (!rc && !(sum = ib_calloc(2 * shape.width, sizeof *sum))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for two means");
    }
    for (size_t i = 0; !rc && i < latents->n; i++) {
        rc = ib_paths_expand(&files, latents->v[i], ib_is_latent_name, err);
    }
    size_t steps = files.n + n_prompts;
    for (size_t i = 0; !rc && i < steps; i++) {
        if (stop && atomic_load(stop)) {
            rc = ib_fail(err, IB_E_INTERRUPTED, "interrupted");
        } else if (i < files.n) {
            rc = add_file(g, files.v[i], sum, &g->image_norm, err);
        } else if (!(rc = ib_space_encode_text(space, prompts[i - files.n], g->text, err))) {
            for (size_t j = 0; j < shape.width; j++) {
                sum[shape.width + j] += g->text[j];
            }
            g->text_norm += norm_modality_gap(g->text, shape.width);
        }
        if (progress) {
            progress(user, (double)(i + 1) / (double)steps);
        }
    }
    if (!rc && !files.n) {
        rc = ib_fail(err, IB_E_EMPTY, "there are no latent files to measure the gap with");
    }
    if (!rc) {
        g->prompts = (int64_t)n_prompts;
        g->image_norm /= (double)files.n;
        g->text_norm /= (double)n_prompts;
        for (size_t j = 0; j < shape.width; j++) {
            g->image[j] = (float)(sum[j] / (double)files.n);
            g->text[j] = (float)(sum[shape.width + j] / (double)n_prompts);
        }
    } else {
        ib_modality_gap_free(g);
    }
    ib_free(sum);
    ib_paths_free(&files);
    return rc;
}

void ib_modality_gap_free(ib_modality_gap *g) {
    ib_free(g->image);
    ib_free(g->text);
    *g = (ib_modality_gap){0};
}

int ib_modality_gap_save(const ib_modality_gap *g, const char *path, ib_error *err) {
    char videos[24], frames[24], prompts[24], image[24], text[24];
    snprintf(videos, sizeof videos, "%" PRId64, g->videos);
    snprintf(frames, sizeof frames, "%" PRId64, g->frames);
    snprintf(prompts, sizeof prompts, "%" PRId64, g->prompts);
    snprintf(image, sizeof image, "%.6g", g->image_norm);
    snprintf(text, sizeof text, "%.6g", g->text_norm);
    const ib_st_meta meta[] = {{format_key, format_version},   {"inbetween.space", g->space_id},
                               {"inbetween.videos", videos},   {"inbetween.frames", frames},
                               {"inbetween.prompts", prompts}, {"inbetween.image_norm", image},
                               {"inbetween.text_norm", text}};
    const ib_st_tensor tensors[] = {
        {.name = "image_mean", .dtype = IB_F32, .rank = 1, .shape = {(int64_t)g->width}, .data = g->image},
        {.name = "text_mean", .dtype = IB_F32, .rank = 1, .shape = {(int64_t)g->width}, .data = g->text}};
    return ib_st_write(path, tensors, 2, meta, sizeof meta / sizeof *meta, err);
}

static int read_mean(const ib_st *f, const char *path, const char *name, size_t width, float *out,
                     ib_error *err) {
    const ib_st_tensor *t = ib_st_find(f, name);
    if (!t || t->rank != 1 || t->elements != width) {
        return ib_fail(err, IB_E_FORMAT, "%s: a tensor '%s' of %zu values was expected", path, name, width);
    }
    if (t->dtype != IB_F32 && t->dtype != IB_F16 && t->dtype != IB_BF16) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: the tensor '%s' is %s, expected F32, F16 or BF16", path,
                       name, ib_dtype_name(t->dtype));
    }
    int rc = ib_st_to_f32(t, out, err);
    for (size_t i = 0; !rc && i < width; i++) {
        if (!isfinite(out[i])) {
            return ib_fail(err, IB_E_NONFINITE, "%s: the tensor '%s' holds a number that is not finite", path,
                           name);
        }
    }
    return rc ? ib_error_prefix(err, rc, "%s: tensor '%s'", path, name) : IB_OK;
}

static double number_modality_gap(const ib_st *f, const char *key) {
    const char *v = ib_st_metadata(f, key);
    return v ? strtod(v, NULL) : 0;
}

int ib_modality_gap_open(ib_modality_gap *g, const char *path, ib_error *err) {
    ib_st *f;
    *g = (ib_modality_gap){0};
    int rc = ib_st_open(&f, path, err);
    if (rc) {
        return rc;
    }
    const char *version = ib_st_metadata(f, format_key), *space = ib_st_metadata(f, "inbetween.space");
    const ib_st_tensor *t = ib_st_find(f, "image_mean");
    if (!version || strcmp(version, format_version) || !space || strlen(space) >= sizeof g->space_id || !t) {
        rc = ib_fail(err, IB_E_FORMAT,
                     "%s: not a measured modality gap of this version (inbetween modality-gap makes one)",
                     path);
    }
    rc = rc ? rc : begin_modality_gap(g, space, t->elements, err);
    rc = rc ? rc : read_mean(f, path, "image_mean", g->width, g->image, err);
    rc = rc ? rc : read_mean(f, path, "text_mean", g->width, g->text, err);
    if (rc) {
        ib_modality_gap_free(g);
    } else {
        g->videos = (int64_t)number_modality_gap(f, "inbetween.videos");
        g->frames = (int64_t)number_modality_gap(f, "inbetween.frames");
        g->prompts = (int64_t)number_modality_gap(f, "inbetween.prompts");
        g->image_norm = number_modality_gap(f, "inbetween.image_norm");
        g->text_norm = number_modality_gap(f, "inbetween.text_norm");
    }
    ib_st_close(&f);
    return rc;
}

void ib_modality_gap_apply(const ib_modality_gap *g, float *z) {
    for (size_t i = 0; i < g->width; i++) {
        z[i] += g->image[i] - g->text[i];
    }
}

double ib_modality_gap_length(const ib_modality_gap *g) {
    double s = 0;
    for (size_t i = 0; i < g->width; i++) {
        s += ((double)g->image[i] - g->text[i]) * ((double)g->image[i] - g->text[i]);
    }
    return sqrt(s);
}

double ib_modality_gap_cosine(const ib_modality_gap *g) {
    double dot = 0, lengths = norm_modality_gap(g->image, g->width) * norm_modality_gap(g->text, g->width);
    for (size_t i = 0; i < g->width; i++) {
        dot += (double)g->image[i] * g->text[i];
    }
    return lengths > 0 ? dot / lengths : 0;
}
