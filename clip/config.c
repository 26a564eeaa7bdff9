#include "clip/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/json_file.h"

static const struct {
    const char *name;
    ib_clip_act act;
} activations[] = {{"quick_gelu", IB_CLIP_QUICK_GELU}, {"gelu", IB_CLIP_GELU}};
enum { N_ACTIVATIONS = sizeof activations / sizeof *activations };

const char *ib_clip_act_name(ib_clip_act a) {
    return (unsigned)a < N_ACTIVATIONS ? activations[a].name : "?";
}

bool ib_clip_act_of(const char *name, ib_clip_act *a) {
    for (int i = 0; i < N_ACTIVATIONS; i++) {
        if (!strcmp(name, activations[i].name)) {
            *a = activations[i].act;
            return true;
        }
    }
    return false;
}

/* A whole number in [1, most] if the key is there. null is none: a number that is not finite is read as
 * that. */
static int get_count(const json_t *o, const char *key, int most, int *out, const char *path, ib_error *err) {
    const json_t *v = json_object_get(o, key);
    if (!v) {
        return IB_OK;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > most) {
        return ib_fail(err, IB_E_FORMAT, "%s: '%s' is not a whole number from 1 to %d", path, key, most);
    }
    *out = (int)json_integer_value(v);
    return IB_OK;
}

static int get_act(const json_t *o, const char *key, ib_clip_tower_config *t, const char *path,
                   ib_error *err) {
    const json_t *v = json_object_get(o, key);
    if (!v) {
        return IB_OK;
    }
    if (!json_is_string(v) || !ib_clip_act_of(json_string_value(v), &t->act)) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: unknown activation '%.60s' as %s, expected quick_gelu or gelu", path,
                       json_is_string(v) ? json_string_value(v) : "(no text)", key);
    }
    t->act_said = true;
    return IB_OK;
}

/* Hugging Face's words for one tower. A key that is left out has the value of their defaults. */
static int hf_tower(ib_clip_tower_config *t, const json_t *o, const char *path, ib_error *err) {
    const json_t *eps = json_object_get(o, "layer_norm_eps");
    t->said = true;
    t->act = IB_CLIP_QUICK_GELU;
    t->act_said = true;
    t->eps = 1e-5f;
    snprintf(t->source, sizeof t->source, "%s", path);
    if (eps) {
        double v = json_number_value(eps);
        if (!json_is_number(eps) || !(v > 0 && v < 1)) {
            return ib_fail(err, IB_E_FORMAT, "%s: 'layer_norm_eps' is not a number between 0 and 1", path);
        }
        t->eps = (float)v;
    }
    int rc = get_act(o, "hidden_act", t, path, err);
    rc = rc ? rc : get_count(o, "num_attention_heads", 1024, &t->heads, path, err);
    rc = rc ? rc : get_count(o, "hidden_size", 65536, &t->width, path, err);
    rc = rc ? rc : get_count(o, "num_hidden_layers", 1000, &t->layers, path, err);
    return rc ? rc : get_count(o, "image_size", 16384, &t->image_size, path, err);
}

static int open_clip(ib_clip_config *c, const json_t *model, const char *path, ib_error *err) {
    const json_t *vision = json_object_get(model, "vision_cfg"), *text = json_object_get(model, "text_cfg");
    ib_clip_act act = json_is_true(json_object_get(model, "quick_gelu")) ? IB_CLIP_QUICK_GELU : IB_CLIP_GELU;
    int head_width = 0;
    for (int i = 0; i < 2; i++) {
        ib_clip_tower_config *t = i ? &c->text : &c->vision;
        t->said = t->act_said = true;
        t->act = act;
        snprintf(t->source, sizeof t->source, "%s", path);
    }
    int rc = get_count(vision, "head_width", 4096, &head_width, path, err);
    rc = rc ? rc : get_count(vision, "width", 65536, &c->vision.width, path, err);
    rc = rc ? rc : get_count(vision, "layers", 1000, &c->vision.layers, path, err);
    if (!rc && head_width && c->vision.width > head_width) {
        c->vision.heads = c->vision.width / head_width;
    }
    rc = rc ? rc : get_count(text, "width", 65536, &c->text.width, path, err);
    rc = rc ? rc : get_count(text, "layers", 1000, &c->text.layers, path, err);
    rc = rc ? rc : get_count(text, "heads", 1024, &c->text.heads, path, err);
    return rc ? rc : get_count(vision, "image_size", 16384, &c->vision.image_size, path, err);
}

int ib_clip_refuse_siglip(const char *path, ib_error *err) {
    return ib_fail(err, IB_E_UNSUPPORTED,
                   "%s: is of a SigLIP: only CLIP is known here; SigLIP pools and reads text in other ways",
                   path);
}

int ib_clip_config_load(ib_clip_config *c, const char *path, ib_error *err) {
    json_t *root;
    int rc = ib_json_load(&root, path, IB_JSON_SMALL_BYTES, err);
    if (rc) {
        return rc;
    }
    const json_t *model = json_object_get(root, "model_cfg");
    const json_t *vision = json_object_get(root, "vision_config"),
                 *text = json_object_get(root, "text_config");
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type && !strncmp(type, "siglip", strlen("siglip"))) {
        rc = ib_clip_refuse_siglip(path, err);
    } else if (json_is_object(model)) {
        rc = open_clip(c, model, path, err);
    } else if (json_is_object(vision) || json_is_object(text)) {
        if (json_is_object(vision)) {
            rc = hf_tower(&c->vision, vision, path, err);
        }
        if (!rc && json_is_object(text)) {
            rc = hf_tower(&c->text, text, path, err);
        }
    } else if (type && !strcmp(type, "clip_vision_model")) {
        rc = hf_tower(&c->vision, root, path, err);
    } else if (type && !strcmp(type, "clip_text_model")) {
        rc = hf_tower(&c->text, root, path, err);
    } /* some other program's file: nothing said */
    json_decref(root);
    return rc;
}

/* ---- preprocessing ---- */

static const float openai_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
static const float openai_std[3] = {0.26862954f, 0.26130258f, 0.27577711f};

static bool same3(const float *a, const float *b) {
    return fabsf(a[0] - b[0]) < 1e-6f && fabsf(a[1] - b[1]) < 1e-6f && fabsf(a[2] - b[2]) < 1e-6f;
}

void ib_clip_preprocess_defaults(ib_clip_preprocess *p) {
    *p = (ib_clip_preprocess){.filter = IB_CLIP_BICUBIC, .usual = true};
    memcpy(p->mean, openai_mean, sizeof p->mean);
    memcpy(p->std, openai_std, sizeof p->std);
}

static int get_colour(const json_t *o, const char *key, float least, float out[3], const char *path,
                      ib_error *err) {
    const json_t *a = json_object_get(o, key);
    if (!a || json_is_null(a)) {
        return IB_OK;
    }
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_array_get(a, i);
        double x = json_number_value(v);
        if (json_array_size(a) != 3 || !json_is_number(v) || !(x >= (double)least && x <= 100)) {
            return ib_fail(err, IB_E_FORMAT, "%s: '%s' is not three numbers from %g to 100", path, key,
                           (double)least);
        }
        out[i] = (float)x;
    }
    return IB_OK;
}

static int get_filter(const json_t *v, ib_clip_filter *f, const char *path, ib_error *err) {
    const char *name = json_string_value(v);
    if (!v || json_is_null(v)) {
        return IB_OK;
    }
    if ((json_is_integer(v) && json_integer_value(v) == 3) || (name && !strcmp(name, "bicubic"))) {
        *f = IB_CLIP_BICUBIC;
    } else if ((json_is_integer(v) && json_integer_value(v) == 2) || (name && !strcmp(name, "bilinear"))) {
        *f = IB_CLIP_BILINEAR;
    } else {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: unknown resampling filter, expected bicubic (3) or bilinear (2)", path);
    }
    return IB_OK;
}

static int hf_preprocess(ib_clip_preprocess *p, const json_t *root, const char *path, ib_error *err) {
    const json_t *size = json_object_get(root, "size");
    int rc = IB_OK;
    if (json_is_number(size)) {
        rc = get_count(root, "size", 16384, &p->edge, path, err);
    } else if (json_is_object(size)) {
        rc = json_is_null(json_object_get(size, "shortest_edge"))
                 ? IB_OK
                 : get_count(size, "shortest_edge", 16384, &p->edge, path, err);
    } else if (size && !json_is_null(size)) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: 'size' is neither a number nor an object", path);
    }
    rc = rc ? rc : get_colour(root, "image_mean", -100, p->mean, path, err);
    rc = rc ? rc : get_colour(root, "image_std", 1e-6f, p->std, path, err);
    rc = rc ? rc : get_filter(json_object_get(root, "resample"), &p->filter, path, err);
    if (!rc && json_is_false(json_object_get(root, "do_normalize"))) {
        for (int i = 0; i < 3; i++) {
            p->mean[i] = 0;
            p->std[i] = 1;
        }
    }
    return rc;
}

int ib_clip_preprocess_load(ib_clip_preprocess *p, const char *path, ib_error *err) {
    json_t *root;
    int rc = ib_json_load(&root, path, IB_JSON_SMALL_BYTES, err);
    if (rc) {
        return rc;
    }
    const json_t *open = json_object_get(root, "preprocess_cfg");
    bool whole_model = json_object_get(root, "model_cfg") != NULL;
    if (json_is_object(open)) {
        rc = get_colour(open, "mean", -100, p->mean, path, err);
        rc = rc ? rc : get_colour(open, "std", 1e-6f, p->std, path, err);
        rc = rc ? rc : get_filter(json_object_get(open, "interpolation"), &p->filter, path, err);
    } else if (!whole_model) {
        rc = hf_preprocess(p, root, path, err);
    }
    if (!rc && (open || !whole_model)) {
        snprintf(p->source, sizeof p->source, "%s", path);
    }
    p->usual = same3(p->mean, openai_mean) && same3(p->std, openai_std);
    json_decref(root);
    return rc;
}
