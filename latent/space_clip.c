#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/memory.h"
#include "clip/clip.h"
#include "latent/space_kind.h"

typedef struct clip_state {
    ib_clip *clip;
    ib_fit fit;
    ib_tokens tokens;
    char no_text[512]; /* why prompts have no place in this space; empty: they have */
} clip_state;

/* ---- what was opened, in words ---- */

/* The coordinates: weights, how a frame is brought to the tower, the tower's activation, and what is unusual
 * about it. */
static void write_id(ib_space *s, const clip_state *c) {
    const ib_clip_tower *v = ib_clip_vision(c->clip), *t = v ? v : ib_clip_text(c->clip);
    const ib_clip_preprocess *p = ib_clip_preprocess_of(c->clip);
    char hash[65], edge[24] = "", colour[96] = "";
    ib_clip_tower_sha256(t, hash);
    if (!v) {
        snprintf(s->id, sizeof s->id, "clip-text:%s:%s:heads%zu", hash, ib_clip_act_name(t->act), t->heads);
        return;
    }
    if (p->edge && (size_t)p->edge != v->image) {
        snprintf(edge, sizeof edge, "of%d", p->edge);
    }
    if (!p->usual) {
        snprintf(colour, sizeof colour, ":rgb%.4g,%.4g,%.4g/%.4g,%.4g,%.4g", (double)p->mean[0],
                 (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1],
                 (double)p->std[2]);
    }
    snprintf(s->id, sizeof s->id, "clip:%s:%s%zu%s%s:%s:heads%zu%s:%s", hash,
             c->fit == IB_FIT_SQUASH ? "squash" : "crop", v->image, edge,
             p->filter == IB_CLIP_BILINEAR ? "bilinear" : "", ib_clip_act_name(v->act), v->heads, colour,
             c->tokens == IB_TOKENS_PENULTIMATE ? "penultimate" : "pooled");
}

static void write_remark(ib_space *s, const clip_state *c) {
    const ib_clip_tower *v = ib_clip_vision(c->clip), *t = v ? v : ib_clip_text(c->clip);
    const ib_clip_preprocess *p = ib_clip_preprocess_of(c->clip);
    size_t n = (size_t)snprintf(s->remark, sizeof s->remark, "activation %s (%s)", ib_clip_act_name(t->act),
                                t->act_why);
    if (v && n < sizeof s->remark) {
        snprintf(s->remark + n, sizeof s->remark - n, ", frames %s %zu x %zu (%s)",
                 c->fit == IB_FIT_SQUASH ? "squashed to" : "cropped to the centre at", v->image, v->image,
                 *p->source ? ib_basename(p->source) : "the usual preprocessing, as no file says it");
    }
}

static void judge_text(ib_space *s, clip_state *c) {
    const ib_clip_tower *v = ib_clip_vision(c->clip), *t = ib_clip_text(c->clip);
    ib_error err = {0};
    int32_t ids[4096];
    if (c->tokens == IB_TOKENS_PENULTIMATE) {
        snprintf(c->no_text, sizeof c->no_text,
                 "prompts have no place among an image tower's hidden tokens; use --tokens pooled");
    } else if (t && v && t->projection && t->projection != v->projection) {
        snprintf(c->no_text, sizeof c->no_text,
                 "the text tower of %.200s maps to %zu numbers and the image tower to %zu: they are not of "
                 "one model",
                 t->source->path.v[0], t->projection, v->projection);
    } else if (ib_clip_tokenize(c->clip, "", ids, &err) || ib_clip_texts(c->clip, ids, 0, NULL, &err)) {
        snprintf(c->no_text, sizeof c->no_text, "%.510s", err.text);
    }
    s->text = !*c->no_text;
}

/* ---- the kind ---- */

static void clip_close(ib_space *s) {
    clip_state *c = s->state;
    ib_clip_close(&c->clip);
    ib_free(c);
}

static int clip_open(ib_space *s, const char *argument, const ib_space_options *o, ib_error *err) {
    if (!argument || !*argument) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "the clip space needs weights: clip:PATH, a safetensors file or a folder with one");
    }
    clip_state *c = ib_calloc(1, sizeof *c);
    if (!c) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for opening %s", argument);
    }
    ib_clip_options co = {o->activation, o->tokenizer, o->threads};
    int rc = ib_clip_open(&c->clip, argument, &co, err);
    const ib_clip_tower *v = rc ? NULL : ib_clip_vision(c->clip);
    c->fit = o->fit;
    c->tokens = o->tokens;
    if (!rc && c->tokens == IB_TOKENS_POOLED) {
        rc = v ? ib_clip_images(c->clip, NULL, 0, NULL, err) : ib_clip_texts(c->clip, NULL, 0, NULL, err);
    } else if (!rc && !v) {
        rc = ib_clip_image_hidden(c->clip, NULL, 0, 1, NULL, err);
    }
    if (rc) {
        ib_clip_close(&c->clip);
        ib_free(c);
        return rc;
    }
    s->state = c;
    write_id(s, c);
    write_remark(s, c);
    judge_text(s, c);
    if (v) {
        s->input = (ib_space_input){3 * v->image * v->image, ib_clip_batch(c->clip), (int)v->image};
    }
    return IB_OK;
}

static int clip_shape(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err) {
    const clip_state *c = s->state;
    const ib_clip_tower *v = ib_clip_vision(c->clip), *t = v ? v : ib_clip_text(c->clip);
    (void)width;
    (void)height;
    (void)err;
    *shape = (ib_shape){IB_LAYOUT_SINGLE, 1, 1, 1, t->projection};
    if (c->tokens == IB_TOKENS_PENULTIMATE) {
        *shape = (ib_shape){IB_LAYOUT_SEQUENCE, 1, (int)t->tokens, t->tokens, t->width};
    }
    return IB_OK;
}

static int clip_prepare(const ib_space *s, const ib_frame *f, float *input, ib_error *err) {
    const clip_state *c = s->state;
    if (f->rgb) {
        return ib_clip_prepare(c->clip, c->fit, f->rgb, f->rgb_stride, f->width, f->height, input, err);
    }
    size_t stride = (size_t)f->width * 3;
    uint8_t *rgb = ib_calloc((size_t)f->height, stride);
    if (!rgb) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a frame of %d x %d", f->width, f->height);
    }
    int rc = ib_frame_to_rgb(f, rgb, err);
    rc = rc ? rc : ib_clip_prepare(c->clip, c->fit, rgb, stride, f->width, f->height, input, err);
    ib_free(rgb);
    return rc;
}

static int clip_encode_inputs(const ib_space *s, const float *input, size_t n, float *z, ib_error *err) {
    const clip_state *c = s->state;
    return c->tokens == IB_TOKENS_PENULTIMATE ? ib_clip_image_hidden(c->clip, input, n, 1, z, err)
                                              : ib_clip_images(c->clip, input, n, z, err);
}

static int clip_encode_text(const ib_space *s, const char *prompt, float *z, ib_error *err) {
    const clip_state *c = s->state;
    int32_t ids[4096];
    if (*c->no_text) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s", c->no_text);
    }
    int rc = ib_clip_tokenize(c->clip, prompt, ids, err);
    return rc ? rc : ib_clip_texts(c->clip, ids, 1, z, err);
}

const ib_space_kind ib_space_clip = {
    .name = "clip",
    .usage = "clip:PATH",
    .resizes = true,
    .open = clip_open,
    .close = clip_close,
    .shape = clip_shape,
    .prepare = clip_prepare,
    .encode_inputs = clip_encode_inputs,
    .encode_text = clip_encode_text,
};
