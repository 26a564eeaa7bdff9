#include "render/diffused_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "render/keyframes.h"

enum { MAX_KEYFRAMES = 1000, MAX_SIDE = 8192 };

int ib_diffused_check(const ib_diffused_options *o, ib_error *err) {
    const ib_embeddings_options *w = &o->way;
    if (w->n_keyframes < 2 || w->n_keyframes > MAX_KEYFRAMES) {
        return ib_fail(err, IB_E_ARGUMENT, "%zu keyframes, 2 to %d were expected", w->n_keyframes,
                       MAX_KEYFRAMES);
    }
    if (w->frames < 2 || w->frames > 100000 || !(w->fps > 0 && w->fps <= 1000) || o->every < 1) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "2 to 100000 frames from keyframe to keyframe, above 0 and at most 1000 a second, and "
                       "at least every first of them diffused were expected, not %d, %g and %d",
                       w->frames, w->fps, o->every);
    }
    if (!(o->strength > 0 && o->strength <= 1)) {
        return ib_fail(err, IB_E_ARGUMENT, "a strength of %g, above 0 and at most 1 was expected",
                       o->strength);
    }
    if (ib_embeddings_name(w->output)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: embeddings need no renderer; leave it out, or name a clip, such as clip.mp4",
                       w->output);
    }
    for (size_t i = 0; i < w->n_keyframes; i++) {
        int rc = ib_key_exists(w->keyframes[i], err);
        if (rc) {
            return rc;
        }
    }
    return IB_OK;
}

static bool all_prompts(const ib_diffused_options *o) {
    bool all = true;
    for (size_t i = 0; i < o->way.n_keyframes; i++) {
        all &= ib_key_kind_of(o->way.keyframes[i]) == IB_KEY_PROMPT;
    }
    return all;
}

ib_led_by ib_diffused_condition(const ib_diffused_options *o, const ib_diffusing_about *about) {
    if (o->condition) {
        return o->condition;
    }
    bool image = about->width > 0, words = o->prompt || (!o->direct && about->reads_text && all_prompts(o));
    return image ? (words ? IB_LED_BY_BOTH : IB_LED_BY_IMAGE) : IB_LED_BY_PROMPT;
}

int ib_diffused_check_condition(const ib_diffused_options *o, const ib_diffusing_about *about,
                                ib_error *err) {
    ib_led_by cond = ib_diffused_condition(o, about);
    if ((cond & IB_LED_BY_IMAGE) && !about->width) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: takes no image embeddings by itself; give it an IP-Adapter (--ip-adapter FILE), "
                       "or let prompts alone lead it (--condition prompt)",
                       o->renderer);
    }
    if ((cond & IB_LED_BY_IMAGE) && !o->way.space) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "%s: image embeddings come from an image tower; say which (--space clip:PATH)",
                       o->renderer);
    }
    if (!(cond & IB_LED_BY_IMAGE) && o->way.adapter) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: an adapter moves image embeddings, and prompts alone lead these frames; no video "
                       "gives the tokens of a prompt to learn from",
                       o->way.adapter);
    }
    return cond == IB_LED_BY_PROMPT && !o->prompt && !all_prompts(o)
               ? ib_fail(err, IB_E_ARGUMENT,
                         "%s: nothing leads its frames; give a prompt (--prompt TEXT), keyframes that are "
                         "prompts (text:...), or an IP-Adapter (--ip-adapter FILE) with --space clip:PATH",
                         o->renderer)
               : IB_OK;
}

int ib_diffused_check_size(const ib_diffused_options *o, const ib_diffusing_about *about, int width,
                           int height, ib_error *err) {
    size_t f = about->factor, w = (size_t)width, h = (size_t)height;
    size_t w1 = w >= f ? w / f * f : f, h1 = h >= f ? h / f * f : f;
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || w % f || h % f) {
        return ib_fail(
            err, IB_E_ARGUMENT,
            "%s: makes pictures whose sides are multiples of %zu, not %d x %d; --size %zux%zu is near",
            o->renderer, f, width, height, w1, h1);
    }
    return IB_OK;
}

/* ---- the image tower ---- */

static int check_shape(const ib_diffused_options *o, const ib_diffusing_about *about, const ib_shape *s,
                       ib_error *err) {
    if (s->width == about->width && (s->tokens > 1) == about->hidden) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_MISMATCH,
                   "%s: takes image embeddings of %s%zu values, the space %s gives %s%zu%s",
                   o->ip_adapter ? o->ip_adapter : o->renderer, about->hidden ? "tokens of " : "",
                   about->width, ib_space_id(o->way.space), s->tokens > 1 ? "tokens of " : "", s->width,
                   s->width != about->width ? ""
                   : s->tokens > 1          ? "; --tokens pooled gives one"
                                            : "; --tokens penultimate gives them");
}

/* "clip:PATH" of the tower that comes with the model or its IP-Adapter; NULL: none does. malloc'ed. */
static char *tower_of(const ib_diffused_options *o) {
    static const char mark[] = "clip:";
    static const char *const inner[] = {"image_encoder", "clip"};
    const char *of = o->ip_adapter ? o->ip_adapter : o->renderer;
    size_t stem = ib_is_dir(of) ? strlen(of) : (size_t)(ib_basename(of) - of),
           room = sizeof mark + strlen(of) + 16;
    char *name = malloc(room);
    while (stem > 1 && of[stem - 1] == '/') {
        stem--;
    }
    for (size_t i = 0; name && i < sizeof inner / sizeof *inner; i++) {
        snprintf(name, room, "%s%.*s/%s", mark, stem ? (int)stem : 1, stem ? of : ".", inner[i]);
        if (ib_is_dir(name + sizeof mark - 1)) {
            return name;
        }
    }
    if (name && !ib_is_dir(of) && !o->ip_adapter) { /* a single file may hold its own tower */
        snprintf(name, room, "%s%s", mark, of);
        return name;
    }
    free(name);
    return NULL;
}

/* Equal weights have one hash, the first part of the id behind its kind. */
static bool same_weights(const char *a, const char *b) {
    const char *end = strchr(a, ':');
    end = end ? strchr(end + 1, ':') : NULL;
    return end && !strncmp(a, b, (size_t)(end - a + 1));
}

static double cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* What both towers make of the first keyframe that is a picture; *c stays if none is. */
static int likeness(const ib_diffused_options *o, const ib_space *other, size_t n, double *c, ib_error *err) {
    size_t k = 0;
    ib_frame frame = {0};
    ib_reader_options how = {.rgb = true, .threads = 1};
    float *a = NULL, *b = NULL;
    while (k < o->way.n_keyframes && ib_key_kind_of(o->way.keyframes[k]) != IB_KEY_PICTURE) {
        k++;
    }
    if (k == o->way.n_keyframes) {
        return IB_OK;
    }
    int rc = ib_read_still(&frame, o->way.keyframes[k], &how, err);
    rc = rc ? rc : ib_alloc_floats(&a, n, "an embedding", err);
    rc = rc ? rc : ib_alloc_floats(&b, n, "an embedding", err);
    rc = rc ? rc : ib_space_encode(o->way.space, &frame, a, err);
    rc = rc ? rc : ib_space_encode(other, &frame, b, err);
    *c = rc ? *c : cosine(a, b, n);
    ib_free(a);
    ib_free(b);
    ib_frame_free(&frame);
    return rc;
}

static void warn(const ib_diffused_options *o, const char *sentence) {
    if (o->way.message) {
        o->way.message(o->way.user, sentence);
    }
}

static void warn_of_width(const ib_diffused_options *o, const ib_diffusing_about *about) {
    char line[700];
    snprintf(line, sizeof line,
             "warning: %.200s does not say which image tower it was trained with; all that is known is that "
             "the width of its embeddings, %zu, is that of %.24s...",
             o->ip_adapter ? o->ip_adapter : o->renderer, about->width, ib_space_id(o->way.space));
    warn(o, line);
}

static void warn_of_scale(const ib_diffused_options *o) {
    char line[700];
    snprintf(
        line, sizeof line,
        "warning: %.200s has no image_normalizer/ with its embeddings' mean and deviation, by which noise "
        "is scaled; 0 and 1 are taken, which are those of Stable unCLIP h",
        o->renderer);
    warn(o, line);
}

int ib_diffused_check_space(const ib_diffused_options *o, const ib_diffusing_about *about, ib_error *err) {
    const char *id = ib_space_id(o->way.space);
    ib_shape asked = {0}, s = {0};
    int rc =
        ib_space_shape(o->way.space, 224, 224, &asked, err); /* one for all sizes, where a space resizes */
    rc = rc ? rc : check_shape(o, about, &asked, err);
    char *name = rc ? NULL : tower_of(o);
    ib_space_options how = {.fit = strstr(id, ":squash") ? IB_FIT_SQUASH : IB_FIT_CROP,
                            .tokens = about->hidden ? IB_TOKENS_PENULTIMATE : IB_TOKENS_POOLED,
                            .threads = o->way.threads};
    ib_space *own = NULL;
    ib_error none = {0};
    double c = 0;
    bool there = name && !ib_space_open_with(&own, name, &how, &none) &&
                 !ib_space_shape(own, 64, 64, &s, &none) && s.tokens == asked.tokens &&
                 s.width == asked.width;
    if (!rc && !there) {
        warn_of_width(o, about);
    } else if (!rc && !same_weights(ib_space_id(own), id)) {
        rc = likeness(o, own, s.tokens * s.width, &c, err);
        if (!rc && c < 0.999) {
            rc = ib_fail(
                err, IB_E_MISMATCH,
                "%s: was trained with the image tower beside it, %.24s..., and not with that of --space, "
                "%.24s...: use --space %s",
                o->ip_adapter ? o->ip_adapter : o->renderer, ib_space_id(own), id, name);
        }
    }
    if (!rc && about->unscaled && o->noise_level > 0) {
        warn_of_scale(o);
    }
    ib_space_close(&own);
    free(name);
    return rc;
}
