#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "diffusion/vae.h"
#include "latent/space_kind.h"

typedef struct vae_state {
    ib_vae *vae;
    pthread_mutex_t lock; /* one picture at a time, which takes much memory and all threads */
} vae_state;

static int vae_threads(const ib_space *s) {
    return s->threads > 0 ? s->threads : omp_get_max_threads();
}

static void vae_close(ib_space *s) {
    vae_state *v = s->state;
    ib_vae_close(&v->vae);
    pthread_mutex_destroy(&v->lock);
    ib_free(v);
}

static int vae_open(ib_space *s, const char *argument, const ib_space_options *o, ib_error *err) {
    char hash[65];
    (void)o;
    if (!argument || !*argument) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "the vae space needs an autoencoder: vae:PATH, a diffusion model's folder or a file of it");
    }
    vae_state *v = ib_calloc(1, sizeof *v);
    if (!v) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", argument);
    }
    int rc = ib_vae_open(&v->vae, argument, 0, err);
    const ib_vae_about *a = rc ? NULL : ib_vae_about_of(v->vae);
    if (!rc && !(a->encodes && a->decodes)) {
        rc =
            ib_fail(err, IB_E_UNSUPPORTED,
                    "%s: the file holds one half of an autoencoder, a space needs both", ib_vae_path(v->vae));
    }
    if (rc) {
        ib_vae_close(&v->vae);
        ib_free(v);
        return rc;
    }
    pthread_mutex_init(&v->lock, NULL);
    s->state = v;
    ib_vae_sha256(v->vae, hash);
    snprintf(s->id, sizeof s->id, "vae:%s:%zu:%zu", hash, a->channels, a->factor);
    snprintf(s->remark, sizeof s->remark, "%s, %zu numbers for %zu x %zu px, scaled by %g%s",
             ib_vae_kind_name(a->kind), a->channels, a->factor, a->factor, a->scaling,
             a->scaling_said ? "" : " as in Stable Diffusion 1 and 2, as no file says it");
    return IB_OK;
}

static int vae_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err) {
    const ib_vae_about *a = ib_vae_about_of(((const vae_state *)s->state)->vae);
    int factor = (int)a->factor;
    (void)err;
    shape->layout = IB_LAYOUT_GRID;
    shape->rows = (height + factor - 1) / factor;
    shape->cols = (width + factor - 1) / factor;
    shape->tokens = (size_t)shape->rows * (size_t)shape->cols;
    shape->width = a->channels;
    return IB_OK;
}

/* The buffers of one frame: as bytes, and as the autoencoder's picture, which is padded to whole tokens. */
typedef struct vae_buffers {
    ib_shape shape;
    size_t rows, cols; /* px, padded */
    uint8_t *rgb;
    float *picture;
} vae_buffers;

static int begin_space_vae(const ib_space *s, const ib_frame *f, vae_buffers *b, ib_error *err) {
    const ib_vae_about *a = ib_vae_about_of(((const vae_state *)s->state)->vae);
    size_t n;
    int rc = vae_shape(s, f->width, f->height, &b->shape, err);
    b->rows = (size_t)b->shape.rows * a->factor;
    b->cols = (size_t)b->shape.cols * a->factor;
    b->rgb = ib_calloc((size_t)f->height, (size_t)f->width * 3);
    b->picture = NULL;
    if (rc || !b->rgb || ib_size_mul(b->rows, 3 * b->cols, &n)) {
        rc = rc ? rc : ib_fail(err, IB_E_MEMORY, "out of memory for a frame of %d x %d", f->width, f->height);
    } else {
        rc = ib_alloc_floats(&b->picture, n, "a picture", err);
    }
    if (rc) {
        ib_free(b->rgb);
    }
    return rc;
}

static void end_space_vae(vae_buffers *b) {
    ib_free(b->picture);
    ib_free(b->rgb);
}

static int vae_encode(const ib_space *s, const ib_frame *f, float *z, ib_error *err) {
    vae_state *v = s->state;
    vae_buffers b;
    int threads = vae_threads(s), rc = begin_space_vae(s, f, &b, err);
    if (rc) {
        return rc;
    }
    size_t height = (size_t)f->height, width = (size_t)f->width;
    const uint8_t *rgb = f->rgb ? f->rgb : b.rgb;
    size_t stride = f->rgb ? f->rgb_stride : width * 3;
    rc = f->rgb ? IB_OK : ib_frame_to_rgb(f, b.rgb, err);
    for (size_t r = 0; r < b.rows && !rc; r++) {
        const uint8_t *line = rgb + (r < height ? r : height - 1) * stride;
        for (size_t c = 0; c < b.cols; c++) {
            for (size_t i = 0; i < 3; i++) {
                b.picture[(r * b.cols + c) * 3 + i] = (float)line[(c < width ? c : width - 1) * 3 + i] / 255;
            }
        }
    }
    if (!rc) {
        pthread_mutex_lock(&v->lock);
        rc = ib_vae_encode(v->vae, b.picture, b.rows, b.cols, z, NULL, threads, err);
        pthread_mutex_unlock(&v->lock);
    }
    end_space_vae(&b);
    return rc;
}

static int vae_decode(const ib_space *s, const float *z, ib_frame *f, ib_error *err) {
    vae_state *v = s->state;
    vae_buffers b;
    int threads = vae_threads(s), rc = begin_space_vae(s, f, &b, err);
    if (rc) {
        return rc;
    }
    size_t height = (size_t)f->height, width = (size_t)f->width;
    pthread_mutex_lock(&v->lock);
    rc = ib_vae_decode(v->vae, z, (size_t)b.shape.rows, (size_t)b.shape.cols, b.picture, threads, err);
    pthread_mutex_unlock(&v->lock);
    for (size_t r = 0; r < height && !rc; r++) {
        for (size_t k = 0; k < 3 * width; k++) {
            float x = b.picture[r * b.cols * 3 + k] * 255;
            b.rgb[r * width * 3 + k] = (uint8_t)(x > 0 ? x < 255 ? lroundf(x) : 255 : 0);
        }
    }
    for (size_t r = 0; r < height && !rc && f->rgb; r++) {
        memcpy(f->rgb + r * f->rgb_stride, b.rgb + r * width * 3, width * 3);
    }
    rc = rc ? rc : ib_frame_from_rgb(f, b.rgb, err);
    end_space_vae(&b);
    return rc;
}

const ib_space_kind ib_space_vae = {
    .name = "vae",
    .usage = "vae:PATH",
    .open = vae_open,
    .close = vae_close,
    .shape = vae_shape,
    .encode = vae_encode,
    .decode = vae_decode,
};
