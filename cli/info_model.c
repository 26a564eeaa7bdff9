#include "cli/info_model.h"

#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "diffusion/model.h"

static void put_info_model(json_t *o, const char *name, const char *text) {
    json_object_set_new(o, name, ib_json_text(text));
}

static void put_number(json_t *o, const char *name, size_t n) {
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

/* "320, 640, 1280" */
static void put_list(json_t *o, const char *name, const size_t *v, size_t n) {
    char text[256] = "";
    for (size_t i = 0; i < n; i++) {
        size_t k = strlen(text);
        snprintf(text + k, sizeof text - k, "%s%zu", i ? ", " : "", v[i]);
    }
    put_info_model(o, name, text);
}

static json_t *unet(const ib_model_about *a) {
    const ib_unet_config *c = &a->unet;
    json_t *o = json_object();
    put_info_model(o, "naming", a->single_file ? "original (a single file)" : "diffusers");
    put_info_model(o, "type", ib_dtype_name(a->type));
    put_number(o, "parameters", a->parameters);
    put_number(o, "bytes", a->bytes);
    put_list(o, "channels", c->channels, c->levels);
    put_list(o, c->heads_said ? "heads" : "heads (by convention)", c->heads, c->levels);
    put_number(o, "context", c->context);
    if (c->guidance_width) {
        put_info_model(o, "distilled", "consistency model (LCM): guidance is an input");
    }
    return o;
}

static void put_conditions(const ib_model_about *a, json_t *o) {
    char text[256];
    if (a->embedding) {
        snprintf(text, sizeof text, "image embeddings of %zu numbers%s", a->embedding,
                 a->family == IB_FAMILY_KANDINSKY ? "" : ", and prompts");
    } else {
        snprintf(text, sizeof text, "prompts; image embeddings with an IP-Adapter%s",
                 a->family == IB_FAMILY_SD2 ? ", of which none is known for this family" : "");
    }
    put_info_model(o, "rendered from", text);
}

static void put_parts(const ib_model_about *a, json_t *o) {
    const struct {
        bool there;
        const char *name;
    } parts[] = {{a->text_encoder, "text encoder"},   {a->text_encoder_2, "second text encoder"},
                 {a->tokenizer, "tokenizer"},         {a->tokenizer_2, "second tokenizer"},
                 {a->image_encoder, "image encoder"}, {a->image_normalizer, "image normalizer"}};
    char text[256] = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].there) {
            size_t k = strlen(text);
            snprintf(text + k, sizeof text - k, "%s%s", k ? ", " : "", parts[i].name);
        }
    }
    put_info_model(o, "parts", *text ? text : "none beside the networks");
    put_info_model(o, "missing", *a->missing ? a->missing : "nothing");
}

int cli_info_model(const char *path, json_t *o, ib_error *err) {
    ib_model_about a;
    char text[160];
    int rc = ib_model_describe(&a, path, err);
    if (rc) {
        return rc;
    }
    put_info_model(o, "kind", "image diffusion model");
    put_info_model(o, "family", ib_family_name(a.family));
    json_object_set_new(o, "U-Net", unet(&a));
    if (a.has_vae) {
        snprintf(text, sizeof text, "%s, %zu channels at 1/%zu, scaled by %g%s", ib_vae_kind_name(a.vae.kind),
                 a.vae.channels, a.vae.factor, a.vae.scaling,
                 a.vae.encodes ? "" : ", without encoder: no pictures as keyframes");
        put_info_model(o, "autoencoder", text);
    }
    if (a.side) {
        snprintf(text, sizeof text, "%zu x %zu", a.side, a.side);
        put_info_model(o, "trained at", text);
    }
    put_info_model(o, "prediction",
                   *a.prediction                  ? a.prediction
                   : a.family == IB_FAMILY_SD2    ? "not said"
                   : a.family == IB_FAMILY_UNCLIP ? "v_prediction (the family's)"
                                                  : "epsilon (the family's)");
    put_info_model(o, "scheduler", *a.scheduler ? a.scheduler : "not said");
    put_conditions(&a, o);
    put_parts(&a, o);
    return IB_OK;
}
