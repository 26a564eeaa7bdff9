#include "train/augment.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "latent/patch.h"
#include "nn/simd.h"
#include "train/resample.h"

void ib_augment_defaults(ib_augment_options *o) {
    *o = (ib_augment_options){.reverse = 0.5,
                              .mirror = 0.5,
                              .flip = 0.25,
                              .transpose = 0.25,
                              .resample = 0.5,
                              .zoom_min = 0.6,
                              .aspect = 1.15,
                              .colour = 0.5,
                              .gain = 1.25,
                              .offset = 0.2,
                              .chroma_gain = 1.5,
                              .chroma_turn = 0.3,
                              .fade = 0.15,
                              .fade_most = 0.7};
}

int ib_augment_shape(const ib_augment_options *o, const ib_shape *in, ib_shape *out, ib_error *err) {
    int width = o->crop_width, height = o->crop_height;
    *out = *in;
    if (!width && !height) {
        return IB_OK;
    }
    if (!o->pixels) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "a crop of %dx%d needs latents that are pictures: the patch space", width, height);
    }
    if (width < 16 || height < 16 || width % 8 || height % 8) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "expected a crop whose sides are multiples of 8 from 16, got %dx%d", width, height);
    }
    if ((width > in->cols * 8 || height > in->rows * 8) && height <= in->cols * 8 && width <= in->rows * 8) {
        int side = width;
        width = height;
        height = side;
    }
    if (width > in->cols * 8 || height > in->rows * 8) {
        return ib_fail(err, IB_E_ARGUMENT, "a crop of %dx%d does not fit into frames of %dx%d", width, height,
                       in->cols * 8, in->rows * 8);
    }
    out->cols = width / 8;
    out->rows = height / 8;
    out->tokens = (size_t)out->rows * (size_t)out->cols;
    return IB_OK;
}

static bool chance_augment(ib_rng *rng, double p) {
    return ib_rng_double(rng) < p;
}

static double between_augment(ib_rng *rng, double low, double high) {
    return low + (high - low) * ib_rng_double(rng);
}

/* Uniform in the logarithm. */
static double factor(ib_rng *rng, double low, double high) {
    return exp(between_augment(rng, log(low), log(high)));
}

static void draw_rectangle(const ib_augment_options *o, const ib_shape *in, ib_rng *rng, double width,
                           double height, ib_augment_plan *p) {
    double most_w = 8.0 * in->cols, most_h = 8.0 * in->rows;
    if (p->resample) {
        double most = fmin(most_w / width, most_h / height);
        double zoom = factor(rng, fmin(o->zoom_min, most), most),
               aspect = factor(rng, 1 / o->aspect, o->aspect);
        p->width = fmin(width * zoom * sqrt(aspect), most_w);
        p->height = fmin(height * zoom / sqrt(aspect), most_h);
        p->x = between_augment(rng, 0, most_w - p->width);
        p->y = between_augment(rng, 0, most_h - p->height);
    } else {
        p->width = width;
        p->height = height;
        p->x = 2 * floor(between_augment(rng, 0, (most_w - width) / 2 + 1));
        p->y = 2 * floor(between_augment(rng, 0, (most_h - height) / 2 + 1));
        p->x = fmin(p->x, most_w - width);
        p->y = fmin(p->y, most_h - height);
    }
}

void ib_augment_draw(const ib_augment_options *o, const ib_shape *in, const ib_shape *out, ib_rng *rng,
                     ib_augment_plan *p) {
    *p = (ib_augment_plan){.luma_gain = 1, .chroma_gain = 1};
    p->reverse = chance_augment(rng, o->reverse);
    if (!o->pixels) {
        return;
    }
    p->mirror = chance_augment(rng, o->mirror);
    p->flip = chance_augment(rng, o->flip);
    p->transpose = chance_augment(rng, o->transpose) && out->rows == out->cols;
    p->resample = chance_augment(rng, o->resample);
    draw_rectangle(o, in, rng, 8.0 * out->cols, 8.0 * out->rows, p);
    p->colour = chance_augment(rng, o->colour);
    if (p->colour) {
        p->luma_gain = factor(rng, 1 / o->gain, o->gain);
        p->luma_offset = between_augment(rng, -o->offset, o->offset);
        p->chroma_gain = factor(rng, 1 / o->chroma_gain, o->chroma_gain);
        p->chroma_turn = chance_augment(rng, o->chroma_turn) ? between_augment(rng, 0, 2 * M_PI) : 0;
    }
    if (chance_augment(rng, o->fade)) {
        double part = ib_rng_double(rng);
        p->fade = o->fade_most * part * part;
        p->fade_level =
            chance_augment(rng, 0.5) ? 0 : ib_rng_double(rng); /* to black as often as to any grey */
    }
}

struct ib_augmenter {
    size_t max_values;
    float *in, *out[3]; /* planes: one frame before, three after */
    ib_resampler resampler;
};

int ib_augmenter_create(ib_augmenter **out, size_t max_values, ib_error *err) {
    ib_augmenter *a = calloc(1, sizeof *a);
    float *all = NULL;
    size_t count;
    int rc = IB_E_MEMORY;
    *out = NULL;
    if (!a || ib_size_mul(max_values, 4, &count) ||
        (rc = ib_alloc_floats(&all, count, "augmentation", err))) {
        free(a);
        return rc == IB_E_MEMORY ? ib_fail(err, IB_E_MEMORY, "out of memory for augmentation") : rc;
    }
    a->max_values = max_values;
    a->in = all;
    for (size_t i = 0; i < 3; i++) {
        a->out[i] = all + (i + 1) * max_values;
    }
    *out = a;
    return IB_OK;
}

void ib_augmenter_free(ib_augmenter **augmenter) {
    if (*augmenter) {
        ib_resampler_free(&(*augmenter)->resampler);
        ib_free((*augmenter)->in);
        free(*augmenter);
        *augmenter = NULL;
    }
}

IB_MULTIARCH static void luma_range(const float *y, size_t n, float *least, float *most) {
    float low[16], high[16];
    for (size_t j = 0; j < 16; j++) {
        low[j] = high[j] = y[0];
    }
    for (size_t i = 0; i < n; i += 16) { /* n is a multiple of 64 */
        for (size_t j = 0; j < 16; j++) {
            low[j] = y[i + j] < low[j] ? y[i + j] : low[j];
            high[j] = y[i + j] > high[j] ? y[i + j] : high[j];
        }
    }
    for (size_t j = 0; j < 16; j++) {
        *least = low[j] < *least ? low[j] : *least;
        *most = high[j] > *most ? high[j] : *most;
    }
}

IB_MULTIARCH static float chroma_reach(const float *u, const float *v, size_t n) {
    float most[16] = {0}, all = 0;
    for (size_t i = 0; i < n; i += 16) { /* n is a multiple of 16 */
        for (size_t j = 0; j < 16; j++) {
            float r = u[i + j] * u[i + j] + v[i + j] * v[i + j];
            most[j] = r > most[j] ? r : most[j];
        }
    }
    for (size_t j = 0; j < 16; j++) {
        all = most[j] > all ? most[j] : all;
    }
    return sqrtf(all);
}

/* Luma is 0..1 and each chroma -0.5..0.5 in range. Values that are outside already may stay
 * where they are. */
static void recolour(float *const planes[3], const ib_augment_plan *p, const ib_shape *s) {
    size_t luma = s->tokens * 64, chroma = s->tokens * 16;
    float least = planes[0][0], most = least, reach = 0;
    for (size_t f = 0; f < 3; f++) {
        luma_range(planes[f], luma, &least, &most);
        reach = fmaxf(reach, chroma_reach(planes[f] + luma, planes[f] + luma + chroma, chroma));
    }
    double low = fmin(0, (double)least), high = fmax(1, (double)most), spread = (double)most - (double)least;
    double gain = fmin(p->luma_gain, spread > 0 ? (high - low) / spread : 1);
    double offset = fmax(p->luma_offset, low - gain * (double)least);
    offset = fmin(offset, high - gain * (double)most);
    double chroma_gain = fmin(p->chroma_gain, reach > 0.5f ? 1 : 0.5 / fmax((double)reach, 1e-6));
    if (p->chroma_turn != 0 && reach > 0.5f) {
        chroma_gain =
            fmin(chroma_gain, 0.5 / (double)reach); /* corners of the square would be turned out of it */
    }
    float c = (float)(chroma_gain * cos(p->chroma_turn)), s1 = (float)(chroma_gain * sin(p->chroma_turn));
    for (size_t f = 0; f < 3; f++) {
        ib_planes_recolour(planes[f], luma, chroma, (float)gain, (float)offset, c, s1);
    }
}

/* Frame by frame what a lamp, a cloud or a fade does: z0 stays, z1 has changed most, the target by its place
 * between. */
static void fade(float *const planes[3], const ib_augment_plan *p, const ib_shape *s, float t) {
    const double place[3] = {0, 1, (double)t};
    size_t luma = s->tokens * 64, chroma = s->tokens * 16;
    for (size_t f = 1; f < 3; f++) {
        double gone = p->fade * place[f];
        ib_planes_recolour(planes[f], luma, chroma, (float)(1 - gone), (float)(gone * p->fade_level),
                           (float)(1 - gone), 0);
    }
}

static bool moves(const ib_augment_plan *p, const ib_shape *in, const ib_shape *out) {
    return p->mirror || p->flip || p->transpose || p->resample || in->rows != out->rows ||
           in->cols != out->cols;
}

int ib_augment_apply(ib_augmenter *a, const ib_augment_plan *p, const ib_shape *in, const ib_shape *out,
                     float *z[3], float *t, ib_error *err) {
    bool moved = moves(p, in, out), changed = moved || p->colour || p->fade > 0;
    if (moved) {
        int rc = ib_resampler_set(&a->resampler, p, in, out, err);
        if (rc) {
            return rc;
        }
    }
    if (p->reverse) {
        float *first = z[0];
        z[0] = z[1];
        z[1] = first;
        *t = 1 - *t;
    }
    for (size_t f = 0; f < 3 && changed; f++) {
        ib_patch_inverse(z[f], in->rows, in->cols, moved ? a->in : a->out[f]);
        if (moved) {
            ib_resampler_run(&a->resampler, a->in, a->out[f]);
        }
    }
    if (p->colour) {
        recolour(a->out, p, out);
    }
    if (p->fade > 0) {
        fade(a->out, p, out, *t);
    }
    for (size_t f = 0; f < 3 && changed; f++) {
        ib_patch_forward(a->out[f], out->rows, out->cols, z[f]);
    }
    return IB_OK;
}
