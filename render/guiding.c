#include "render/guiding.h"

#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/named.h"
#include "adapter/pixel_model.h"

__attribute__((format(printf, 2, 3))) static void say(const ib_embeddings_options *o, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    if (o->message) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        o->message(o->user, text);
    }
}

static bool is_picture(const ib_embeddings_options *o, size_t i) {
    return ib_key_kind_of(o->keyframes[i % o->n_keyframes]) == IB_KEY_PICTURE;
}

static size_t ways_of(const ib_embeddings_options *o) {
    return o->n_keyframes - 1 + o->loop;
}

/* Why there is nothing to guide; NULL: there is. */
static const char *no_use(const ib_embeddings_options *o, const ib_adapter *adapter) {
    if (!adapter) {
        return "slerp follows none; --adapter names one that does";
    }
    if (!*ib_adapter_config_of(adapter)->guide) {
        return "the adapter was trained without";
    }
    for (size_t i = 0; i < ways_of(o); i++) {
        if (is_picture(o, i) && is_picture(o, i + 1)) {
            return NULL;
        }
    }
    return "nowhere are both keyframes pictures";
}

/* The pixel model that was not named: the one that the adapter wants, if the program has it. */
static int find_model(const char **name, const char *wanted, const char *adapter, ib_error *err) {
    char *file = ib_pixel_model_file(wanted);
    bool found = file || !ib_pixel_model_sha256(wanted);
    *name = file ? IB_ADAPTER_DEFAULT : IB_ADAPTER_PRIOR;
    free(file);
    return found ? IB_OK
                 : ib_fail(err, IB_E_MISMATCH,
                           "%s: was trained with guides of the pixel model %s: name it (--guide FILE), or do "
                           "without (--guide none)",
                           adapter, ib_pixel_model_name(wanted).text);
}

static int open_guide(ib_guiding *g, const ib_adapter *adapter, ib_error *err) {
    const ib_embeddings_options *o = g->o;
    const char *wanted = ib_adapter_config_of(adapter)->guide, *name = o->guide;
    int rc = name ? IB_OK : find_model(&name, wanted, o->adapter, err);
    rc = rc ? rc
            : ib_guide_create(&g->guide, o->space, name, o->threads > 0 ? o->threads : omp_get_max_threads(),
                              err);
    if (rc || ib_guide_same_model(ib_guide_model(g->guide), wanted)) {
        return rc;
    }
    return ib_fail(err, IB_E_MISMATCH, "%s: was trained with guides of the pixel model %s, not of %s",
                   o->adapter, ib_pixel_model_name(wanted).text,
                   ib_pixel_model_name(ib_guide_model(g->guide)).text);
}

int ib_guiding_open(ib_guiding *g, const ib_embeddings_options *o, const ib_adapter *adapter, ib_error *err) {
    const char *why;
    *g = (ib_guiding){.o = o, .ways = ways_of(o)};
    if (o->guide && !strcmp(o->guide, IB_GUIDE_NONE)) {
        return IB_OK;
    }
    if ((why = no_use(o, adapter))) {
        if (o->guide) {
            say(o, "no guides: %s", why);
        }
        return IB_OK;
    }
    if (!(g->guided = calloc(g->ways, sizeof *g->guided))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu keyframes", o->n_keyframes);
    }
    return open_guide(g, adapter, err);
}

static int make_guides(void *user, size_t way, const float *t, size_t n, float *z, float *feature,
                       ib_error *err) {
    ib_guiding *g = user;
    const ib_frame *frame = g->keys->frame;
    ib_guide_request one = {&frame[way], &frame[(way + 1) % g->keys->n], g->gap_seconds, t, n};
    int rc = ib_guide_make(g->guide, &one, 1, z, feature, g->o->stop, err);
    g->done += (double)n;
    if (!rc && g->o->progress) {
        g->o->progress(g->o->user, "making guides", g->done / g->all);
    }
    return rc;
}

static int fit_pictures(const ib_guiding *g, ib_keyframes *keys, ib_error *err) {
    for (size_t i = 0; i < keys->n; i++) {
        ib_frame small = {0};
        int rc = keys->frame[i].plane[0] ? ib_guide_fit(g->guide, &keys->frame[i], &small, err) : IB_OK;
        if (rc) {
            return rc;
        }
        if (small.plane[0] && small.plane[0] != keys->frame[i].plane[0]) {
            ib_frame_free(&keys->frame[i]);
            keys->frame[i] = small;
        }
    }
    return IB_OK;
}

int ib_guiding_begin(ib_guiding *g, ib_keyframes *keys, float gap_seconds, float *gate, ib_path_guides *p,
                     ib_error *err) {
    size_t pictures = 0;
    int rc;
    *p = (ib_path_guides){0};
    if (!g->guide) {
        return IB_OK;
    }
    if ((rc = fit_pictures(g, keys, err))) {
        return rc;
    }
    for (size_t i = 0; i < g->ways; i++) {
        const ib_frame *a = &keys->frame[i], *b = &keys->frame[(i + 1) % keys->n];
        bool both = a->plane[0] && b->plane[0];
        pictures += both;
        g->guided[i] = both && a->width == b->width && a->height == b->height;
        g->usable += g->guided[i];
    }
    g->keys = keys;
    g->gap_seconds = gap_seconds;
    g->all = (double)g->usable * (g->o->frames - 2);
    say(g->o, "guided by what %s sees between keyframes (%zu of %zu ways)%s",
        ib_pixel_model_name(ib_guide_model(g->guide)).text, g->usable, g->ways,
        g->usable < pictures ? "; not between pictures of odd and different sizes" : "");
    *p = (ib_path_guides){make_guides, g, g->guided, gate};
    return IB_OK;
}

void ib_guiding_free(ib_guiding *g) {
    ib_guide_free(&g->guide);
    free(g->guided);
    *g = (ib_guiding){0};
}
