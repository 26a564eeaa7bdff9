/* The report as JSON (docs/measuring.md describes it). */
#include <math.h>

#include "base/json.h"
#include "eval/private.h"
#include "latent/geometry.h"
#include "nn/gemm.h"
#include "video_io/reader.h"
#include "video_io/versions.h"

static json_t *number_report_json(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count(size_t n) {
    return json_integer((json_int_t)n);
}

static json_t *words(const char *s) {
    return ib_json_text(s);
}

static bool is_there(const ib_eval_report *r, int figure) {
    return r->decodes || !ib_eval_figures[figure].pixels;
}

/* ---- figures ---- */

static json_t *json_figures(const ib_eval_report *r, const ib_eval_score *s) {
    json_t *all = json_object();
    for (int i = 0; i < IB_FIGURES; i++) {
        if (is_there(r, i)) {
            json_object_set_new(all, ib_eval_figures[i].key, number_report_json(s->figure[i]));
        }
    }
    return all;
}

/* flash: [methods] or NULL. */
static json_t *json_scores(const ib_eval_report *r, const ib_eval_score *s, const bool *flash) {
    json_t *all = json_object();
    for (size_t m = 0; m < r->methods; m++) {
        json_t *one = json_figures(r, &s[m]);
        if (flash && r->decodes) {
            json_object_set_new(one, "keyframe_flash", json_boolean(flash[m]));
        }
        json_object_set_new(all, r->method[m].name, one);
    }
    return all;
}

static json_t *json_intervals(const ib_eval_report *r, const ib_eval_gap *g) {
    json_t *all = json_object();
    for (size_t m = 0; m < r->methods; m++) {
        json_t *one = json_object();
        for (int i = 0; i < IB_FIGURES; i++) {
            if (is_there(r, i)) {
                json_object_set_new(one, ib_eval_figures[i].key,
                                    json_pack("[o,o]", number_report_json(g->low[m].figure[i]),
                                              number_report_json(g->high[m].figure[i])));
            }
        }
        json_object_set_new(all, r->method[m].name, one);
    }
    return all;
}

static json_t *json_places(const ib_eval_report *r, const ib_eval_gap *g) {
    json_t *all = json_array();
    for (int k = 1; k < g->gap; k++) {
        json_array_append_new(all, json_pack("{s:f,s:o}", "t", (double)k / g->gap, "methods",
                                             json_scores(r, g->at + (size_t)(k - 1) * r->methods, NULL)));
    }
    return all;
}

static json_t *json_difference(const ib_eval_interval *i, ib_eval_verdict v) {
    return json_pack("{s:o,s:[o,o],s:s}", "mean", number_report_json(i->mean), "interval",
                     number_report_json(i->low), number_report_json(i->high), "verdict",
                     ib_eval_verdict_word(v));
}

static json_t *json_pairs(const ib_eval_report *r, const ib_eval_gap *g) {
    json_t *all = json_array();
    for (size_t i = 0; i < g->pairs; i++) {
        const ib_eval_pair *p = &g->pair[i];
        json_t *one = json_pack("{s:o,s:o,s:o,s:o}", "method", words(r->method[p->method].name), "rival",
                                words(r->method[p->rival].name), "clips", count(p->clips), "skill",
                                json_difference(&p->skill, p->by_skill));
        if (r->decodes) {
            json_object_set_new(one, "psnr_db", json_difference(&p->psnr, p->by_psnr));
        }
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *json_worst(const ib_eval_report *r, const ib_eval_gap *g) {
    json_t *all = json_array();
    for (size_t i = 0; i < g->worsts; i++) {
        const ib_eval_window *w = &g->worst[i];
        const ib_eval_clip *c = &g->clip[w->clip];
        json_t *one = json_pack("{s:o,s:o,s:o,s:o,s:o}", "clip", words(c->name), "file",
                                words(r->files.v[c->input]), "first_frame", count(w->first), "seconds",
                                number_report_json(w->seconds), "value", number_report_json(w->gain));
        if (r->decodes) {
            json_object_set_new(one, "psnr_db", number_report_json(w->psnr));
        }
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *json_gap(const ib_eval_report *r, const ib_eval_gap *g) {
    json_t *clips = json_array(), *short_ones = json_array(), *all = json_object();
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &g->clip[i];
        if (!c->windows) {
            json_array_append_new(short_ones, words(r->files.v[c->input]));
            continue;
        }
        json_array_append_new(clips,
                              json_pack("{s:o,s:o,s:o,s:o,s:o}", "name", words(c->name), "file",
                                        words(r->files.v[c->input]), "windows", count(c->windows), "frames",
                                        count(c->targets), "methods", json_scores(r, c->score, c->flash)));
    }
    json_object_set_new(all, "gap", json_integer(g->gap));
    json_object_set_new(all, "clips", clips);
    json_object_set_new(all, "without_windows", short_ones);
    json_object_set_new(all, "mean", g->counted ? json_scores(r, g->mean, NULL) : json_null());
    json_object_set_new(all, "interval", g->counted ? json_intervals(r, g) : json_null());
    json_object_set_new(all, "places", g->counted ? json_places(r, g) : json_array());
    if (r->explains) {
        json_object_set_new(all, "explanation", g->counted ? ib_explain_json(r, g) : json_null());
    }
    json_object_set_new(all, "pairs", json_pairs(r, g));
    json_object_set_new(all, "worst_windows", json_worst(r, g));
    return all;
}

/* ---- protocol ---- */

/* Clips are the same at every gap. */
static json_t *json_inputs(const ib_eval_report *r) {
    json_t *all = json_array();
    for (size_t i = 0; i < r->clips; i++) {
        const ib_eval_clip *c = &r->gap[0].clip[i];
        json_array_append_new(
            all, json_pack("{s:o,s:o,s:o,s:i,s:i,s:s,s:o,s:o}", "file", words(r->files.v[c->input]), "source",
                           words(c->name), "source_sha256", words(c->source_sha256), "width", c->width,
                           "height", c->height, "fit", c->fit == IB_FIT_CROP ? "crop" : "squash", "frames",
                           count(c->frames), "fps", number_report_json(c->fps)));
    }
    return all;
}

static json_t *json_methods(const ib_eval_report *r) {
    static const char *const kinds[] = {"baseline", "program", "adapter", "oracle", "guide", "search"};
    json_t *all = json_array();
    for (size_t m = 0; m < r->methods; m++) {
        json_t *one =
            json_pack("{s:o,s:s}", "name", words(r->method[m].name), "kind", kinds[r->method[m].kind]);
        if (r->method[m].file) {
            json_object_set_new(one, "file", words(r->method[m].file));
            json_object_set_new(one, "sha256", words(r->method[m].sha256));
        }
        if (r->method[m].command) {
            json_object_set_new(one, "command", words(r->method[m].command));
        }
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *json_protocol(const ib_eval_report *r) {
    json_t *p = json_object(), *gaps = json_array();
    for (size_t g = 0; g < r->gaps; g++) {
        json_array_append_new(gaps, json_integer(r->gap[g].gap));
    }
    json_object_set_new(p, "program", json_string("inbetween " IB_VERSION));
    json_object_set_new(p, "ffmpeg", words(ib_ffmpeg_version()));
    json_object_set_new(p, "blas", words(ib_gemm_library()));
    json_object_set_new(p, "space", words(r->space_id));
    json_object_set_new(p, "geometry", json_string(ib_geometry_id(ib_geometry_of(r->space_id))));
    json_object_set_new(p, "width", r->width ? json_integer(r->width) : json_null());
    json_object_set_new(p, "height", r->height ? json_integer(r->height) : json_null());
    json_object_set_new(p, "windows", json_string("end to end within shots"));
    json_object_set_new(p, "windows_per_clip",
                        r->windows_per_clip ? json_integer(r->windows_per_clip) : json_null());
    json_object_set_new(p, "trust", r->trust < 0 ? json_null() : number_report_json(r->trust));
    json_object_set_new(p, "sharpness", number_report_json(r->sharpness));
    if (r->explains) {
        json_object_set_new(p, "guide", *r->guide ? words(r->guide) : json_null());
        json_object_set_new(p, "guide_scale", number_report_json(r->guide_scale));
    }
    if (r->search.candidates) {
        const ib_search_asked *s = &r->search;
        json_object_set_new(p, "search",
                            json_pack("{s:o,s:o,s:o,s:o}", "candidates", count(s->candidates), "beam",
                                      count(s->beam), "condense", count(s->condense), "seconds",
                                      number_report_json(s->seconds)));
        json_object_set_new(p, "judge_sha256", *r->judge_sha256 ? words(r->judge_sha256) : json_null());
    }
    json_object_set_new(p, "gaps", gaps);
    json_object_set_new(p, "bootstrap",
                        json_pack("{s:i,s:i,s:i}", "resamples", IB_EVAL_RESAMPLES, "seed", IB_EVAL_SEED,
                                  "clips_for_a_verdict", IB_EVAL_SURE_OF));
    json_object_set_new(p, "judged", words(r->method[r->judged].name));
    json_object_set_new(p, "methods", json_methods(r));
    json_object_set_new(p, "inputs", json_inputs(r));
    return p;
}

static json_t *json_remarks(const ib_eval_remarks *l) {
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++) {
        json_array_append_new(
            all, json_pack("{s:o,s:o}", "file", words(l->v[i].file), "error", words(l->v[i].why)));
    }
    return all;
}

json_t *ib_eval_json_tree(const ib_eval_report *r) {
    json_t *root = json_object(), *gaps = json_array();
    for (size_t g = 0; g < r->gaps; g++) {
        json_array_append_new(gaps, json_gap(r, &r->gap[g]));
    }
    json_object_set_new(root, "protocol", json_protocol(r));
    json_object_set_new(root, "gaps", gaps);
    json_object_set_new(root, "failed", json_remarks(&r->failed));
    json_object_set_new(root, "damaged", json_remarks(&r->damaged));
    return root;
}

char *ib_eval_json(const ib_eval_report *r) {
    json_t *root = ib_eval_json_tree(r);
    char *all = ib_json_dump(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return all;
}
