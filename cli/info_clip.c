#include "cli/info_clip.h"

#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "clip/clip.h"
#include "clip/tower_names.h"
#include "latent/space.h"

static void put_info_clip(json_t *o, const char *name, const char *text) {
    json_object_set_new(o, name, ib_json_text(text));
}

static void put_count(json_t *o, const char *name, size_t n) {
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

static json_t *tower(const ib_clip_tower *t) {
    json_t *o = json_object();
    char text[400];
    put_info_clip(o, "naming", ib_clip_naming_name(t->naming));
    put_info_clip(o, "prefix", *t->prefix ? t->prefix : "(none)");
    put_info_clip(o, "type", ib_dtype_name(t->dtype));
    put_count(o, "bytes", t->bytes);
    put_count(o, "width", t->width);
    put_count(o, "layers", t->layers);
    put_count(o, "heads", t->heads);
    put_count(o, "hidden", t->mlp);
    put_count(o, "tokens", t->tokens);
    if (t->side == IB_CLIP_VISION) {
        snprintf(text, sizeof text, "%zu x %zu in patches of %zu x %zu", t->image, t->image, t->patch,
                 t->patch);
        put_info_clip(o, "pictures", text);
    } else {
        put_count(o, "vocabulary", t->vocab);
    }
    if (t->projection) {
        put_count(o, "projection", t->projection);
    } else {
        put_info_clip(o, "projection", "none: no place in the joint space");
    }
    snprintf(text, sizeof text, "%s (%s)", ib_clip_act_name(t->act), t->act_why);
    put_info_clip(o, "activation", text);
    return o;
}

/* The id that frames get in each of the spaces that the file can open. */
static void put_ids(const char *path, json_t *o) {
    char spec[4200];
    static const char *const name[] = {"space", "space with --fit squash"};
    snprintf(spec, sizeof spec, "clip:%.4190s", path);
    for (int fit = 0; fit < 2; fit++) {
        ib_space *s = NULL;
        ib_error none = {0};
        if (!ib_space_open_with(&s, spec, &(ib_space_options){.fit = fit ? IB_FIT_SQUASH : IB_FIT_CROP},
                                &none)) {
            put_info_clip(o, name[fit], ib_space_id(s));
        }
        ib_space_close(&s);
    }
}

int cli_info_clip(const char *path, json_t *o, ib_error *err) {
    ib_clip *c;
    int rc = ib_clip_open(&c, path, NULL, err);
    if (rc) {
        return rc;
    }
    const ib_clip_tower *v = ib_clip_vision(c), *t = ib_clip_text(c);
    const ib_clip_preprocess *p = ib_clip_preprocess_of(c);
    put_info_clip(o, "kind", v && t ? "CLIP model" : v ? "CLIP image tower" : "CLIP text tower");
    if (v) {
        json_object_set_new(o, "image tower", tower(v));
        char text[800];
        snprintf(text, sizeof text, "%s, mean %.4g %.4g %.4g, deviation %.4g %.4g %.4g (%.500s)",
                 p->filter == IB_CLIP_BILINEAR ? "bilinear" : "bicubic", (double)p->mean[0],
                 (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1],
                 (double)p->std[2], *p->source ? p->source : "the usual, as no file says it");
        put_info_clip(o, "preprocessing", text);
    }
    if (t) {
        const char *tokenizer = ib_clip_tokenizer_path(c);
        json_object_set_new(o, "text tower", tower(t));
        put_info_clip(o, "tokenizer", tokenizer ? tokenizer : "none beside it: prompts need --tokenizer");
    }
    ib_clip_close(&c);
    put_ids(path, o);
    return IB_OK;
}
