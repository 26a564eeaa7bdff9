#include "eval/guides.h"

#include <stdio.h>
#include <string.h>

#include "adapter/pixel_model.h"
#include "base/memory.h"
#include "eval/private.h"

const char *const ib_seen_names[IB_SEENS] = {"cross-fade seen", "guide, one weight", "in-between seen"};

/* ---- rows ---- */

size_t ib_judge_seen(const ib_judge *j, enum ib_seen row) {
    size_t before = IB_SEENS - j->seen; /* rows that are not there */
    return row < before ? SIZE_MAX : IB_BASELINES + ib_judge_givers(j) + row - before;
}

size_t ib_judge_adapter(const ib_judge *j, size_t adapter) {
    return IB_BASELINES + ib_judge_givers(j) + j->seen + adapter;
}

bool ib_scene_shows(const ib_scene *s, size_t rival) {
    size_t first = IB_BASELINES + ib_judge_givers(s->judge);
    bool of_guides = rival >= first && rival < first + s->judge->seen;
    if (rival >= ib_judge_adapter(s->judge, s->judge->adapters)) {
        return s->searched != NULL;
    }
    return !of_guides || (rival == ib_judge_seen(s->judge, IB_SEEN_GUIDE) && s->sees);
}

int ib_scene_see(ib_scene *s, const ib_store *store, size_t number, float t, ib_error *err) {
    ib_latent_file *f = ib_store_file(store);
    s->sees = number != SIZE_MAX;
    s->feature = s->sees ? ib_latent_guides(f)->feature + number * IB_GUIDE_FEATURES : NULL;
    int rc = s->sees ? ib_latent_read_guides(f, number, 1, s->guide, err) : IB_OK;
    if (s->sees && !rc) {
        ib_lerp(s->guide, s->guide + s->n, t, s->n, s->seen);
    }
    return rc;
}

/* ---- windows ---- */

size_t ib_guided_windows(const ib_latent_file *f, int gap, const ib_guide_window **first) {
    const ib_guide_table *t = ib_latent_guides(f);
    *first = NULL;
    return t && !ib_space_is_pictures(ib_latent_info_of(f)->space_id) ? ib_guide_windows(t, gap, first) : 0;
}

/* ---- an evaluation ---- */

/* Latent files: what they hold. */
static size_t guides_of_file(const ib_evaluation *e, const char *path) {
    ib_latent_file *f;
    size_t n = 0;
    if (!ib_latent_open(&f, path, NULL)) {
        for (size_t g = 0; g < e->o->gaps; g++) {
            const ib_guide_window *first;
            n += ib_guided_windows(f, e->o->gap[g], &first);
        }
        ib_latent_close(&f);
    }
    return n;
}

void ib_eval_look_for_guides(ib_evaluation *e, const ib_paths *files) {
    bool any = false, video = false;
    for (size_t i = 0; i < files->n && e->judge.explains && !e->report->unguided; i++) {
        bool latents = ib_eval_is_latents(files->v[i]);
        video = video || (!latents && ib_space_resizes(e->space));
        any = any || (latents && guides_of_file(e, files->v[i]));
    }
    e->judge.seen = video ? IB_SEENS : any ? IB_SEENS - IB_SEEN_WEIGHT : 0;
}

/* All guides are of one model, and of that with which adapters were trained. */
static int check_model(ib_evaluation *e, const ib_latent_file *f, ib_error *err) {
    ib_eval_report *r = e->report;
    const ib_judge *j = &e->judge;
    const char *model = ib_latent_guides(f)->model;
    for (size_t i = 0; i < j->adapters; i++) {
        const char *name = r->method[ib_judge_adapter(j, i)].name;
        int rc = ib_adapter_check_guides(j->adapter[i], name, f, err);
        if (rc) {
            return rc;
        }
    }
    if (!*r->guide) {
        snprintf(r->guide, sizeof r->guide, "%s", model);
    }
    return ib_guide_same_model(r->guide, model)
               ? IB_OK
               : ib_fail(err, IB_E_MISMATCH,
                         "%s: its guides come from the pixel model %s, those before it from %s; one "
                         "evaluation has guides of one model",
                         ib_latent_path(f), model, r->guide);
}

int ib_eval_guided_windows(ib_evaluation *e, const ib_latent_file *f, int gap, ib_windows *w, ib_error *err) {
    const ib_guide_window *first;
    size_t n = e->judge.seen ? ib_guided_windows(f, gap, &first) : 0, most = (size_t)e->o->windows_per_clip;
    int rc = n ? check_model(e, f, err) : IB_OK;
    if (!n || rc) {
        return rc;
    }
    w->n = most && most < n ? most : n;
    w->guides = ib_calloc(w->n, sizeof *w->guides);
    for (size_t k = 0; k < w->n && w->guides; k++) {
        w->firsts[k] = first[ib_spread(n, most, k)].first;
        w->guides[k] = first[ib_spread(n, most, k)].at;
    }
    return w->guides ? IB_OK
                     : ib_fail(err, IB_E_MEMORY, "out of memory for the windows of %s", ib_latent_path(f));
}
