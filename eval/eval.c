#include "eval/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <omp.h>

#include "base/memory.h"
#include "eval/private.h"
#include "eval/remarks.h"

enum { MAX_GAP = 1000 };

void ib_eval_defaults(ib_eval_options *o) {
    *o = (ib_eval_options){.width = 192, .height = 112, .gap = {8}, .gaps = 1, .trust = -1, .guide_scale = 1};
}

static int check_eval(const ib_eval_options *o, ib_error *err) {
    if (!o->inputs || !o->inputs->n) {
        return ib_fail(err, IB_E_ARGUMENT, "expected videos or latent files to evaluate");
    }
    if (!o->native && (o->width < 16 || o->height < 16 || o->width > 16384 || o->height > 16384 ||
                       o->width % 2 || o->height % 2)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected even sides of 16 to 16384 samples, got %dx%d", o->width,
                       o->height);
    }
    if (o->windows_per_clip < 0) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a limit of 1 or more windows, or 0 for none, got %d",
                       o->windows_per_clip);
    }
    if (!(o->trust == -1 || (o->trust >= 0 && o->trust <= 1))) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a trust of 0 to 1, got %g", o->trust);
    }
    if (!(o->sharpness >= 0 && o->sharpness <= 1)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a sharpness of 0 to 1, got %g", o->sharpness);
    }
    if (!(o->guide_scale >= 0 && o->guide_scale <= IB_GUIDE_SCALE_MOST)) {
        return ib_fail(err, IB_E_ARGUMENT, "expected a guide scale of 0 to %g, got %g", IB_GUIDE_SCALE_MOST,
                       o->guide_scale);
    }
    if (o->gaps < 1 || o->gaps > IB_EVAL_MAX_GAPS) {
        return ib_fail(err, IB_E_ARGUMENT, "expected 1 to %d gaps, got %zu", IB_EVAL_MAX_GAPS, o->gaps);
    }
    for (size_t i = 0; i < o->gaps; i++) {
        if (o->gap[i] < 2 || o->gap[i] > MAX_GAP) {
            return ib_fail(err, IB_E_ARGUMENT, "expected gaps of 2 to %d frames, got %d", MAX_GAP, o->gap[i]);
        }
        for (size_t k = 0; k < i; k++) {
            if (o->gap[k] == o->gap[i]) {
                return ib_fail(err, IB_E_ARGUMENT, "the gap of %d frames was asked for twice", o->gap[i]);
            }
        }
    }
    return IB_OK;
}

void ib_eval_tell(ib_evaluation *e, double part) {
    if (e->o->progress) {
        double done = e->all > 0 ? (e->begun + e->share * part) / e->all : 0;
        e->now.fraction = done > e->now.fraction ? done < 1 ? done : 1 : e->now.fraction;
        e->o->progress(e->o->user, &e->now);
    }
}

/* ---- one clip ---- */

static void clear_clip(ib_eval_clip *c) {
    free(c->name);
    free(c->score);
    free(c->at);
    free(c->flash);
    *c = (ib_eval_clip){0};
}

/* Judges a file at all gaps; what it filled in is taken back if it fails. */
static int judge_file(ib_evaluation *e, const char *path, ib_error *err) {
    ib_eval_report *r = e->report;
    ib_latent_file *f;
    char *temporary, remark[1024];
    int rc = ib_eval_open_input(e, path, &f, &temporary, remark, sizeof remark, err);
    if (rc) {
        return rc;
    }
    const char *id = ib_latent_info_of(f)->space_id;
    if (strcmp(id, r->space_id)) {
        rc = ib_fail(err, IB_E_MISMATCH,
                     "%s: in the space %s, this evaluation is in %s (--space says another)", path, id,
                     r->space_id);
    }
    rc = rc ? rc : ib_eval_judge_clip(e, path, f, err);
    rc = rc || !remark[0] ? rc : ib_remarks_add(&r->damaged, path, remark, err);
    rc = rc ? rc : ib_paths_add(&r->files, path, err);
    for (size_t g = 0; g < r->gaps && rc; g++) {
        clear_clip(&r->gap[g].clip[r->clips]);
    }
    r->clips += !rc;
    ib_eval_close_input(&f, &temporary);
    return rc;
}

/* ---- the whole ---- */

static double bytes_of(const char *path) {
    struct stat st;
    return stat(path, &st) ? 1 : 1 + (double)st.st_size;
}

/* Then there is nothing to compare with, whatever the file. */
static bool any_program_failed(const ib_judge *j) {
    bool any = false;
    for (size_t i = 0; i < j->programs; i++) {
        any = any || ib_program_failed(j->program[i]);
    }
    return any;
}

static int finish_programs(const ib_judge *j, ib_error *err) {
    int rc = IB_OK;
    for (size_t i = 0; i < j->programs && !rc; i++) {
        rc = ib_program_finish(j->program[i], err);
    }
    return rc;
}

static int judge_files(ib_evaluation *e, const ib_paths *files, ib_error *first, ib_error *err) {
    ib_eval_report *r = e->report;
    int rc = IB_OK;
    for (size_t g = 0; g < r->gaps && !rc; g++) {
        r->gap[g].gap = e->o->gap[g];
        r->gap[g].clip = calloc(files->n + 1, sizeof *r->gap[g].clip);
        if (!r->gap[g].clip) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for the report");
        }
    }
    if (!rc && e->o->strips && r->decodes && !e->o->native) {
        e->shown = calloc(files->n + 2, sizeof *e->shown);
        rc = e->shown ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for film strips");
    }
    for (size_t i = 0; i < files->n; i++) {
        e->all += bytes_of(files->v[i]);
    }
    for (size_t i = 0; i < files->n && !rc; i++) {
        ib_error bad = {0};
        e->share = bytes_of(files->v[i]);
        e->now.file = files->v[i];
        e->now.number = i + 1;
        e->now.files = files->n;
        ib_eval_tell(e, 0);
        int file_rc = judge_file(e, files->v[i], &bad);
        if (file_rc == IB_E_INTERRUPTED || file_rc == IB_E_MEMORY || file_rc == IB_E_MISMATCH ||
            (file_rc && any_program_failed(&e->judge))) {
            *err = bad;
            rc = file_rc;
        } else if (file_rc) {
            *first = first->code ? *first : bad;
            rc = ib_remarks_add(&r->failed, files->v[i], bad.text, err);
        }
        e->begun += e->share;
    }
    e->share = 0;
    if (files->n && !rc) {
        ib_eval_tell(e, 0);
    }
    ib_remarks_sort(&r->failed);
    return rc;
}

/* Nothing to report on: err says why. */
static int nothing(const ib_eval_report *r, const ib_error *first, ib_error *err) {
    int gap = r->gap[0].gap;
    if (!r->clips && r->failed.n < 2) {
        *err = *first;
        return first->code;
    }
    if (!r->clips) {
        return ib_fail(err, first->code, "none of %zu inputs could be evaluated; the first: %s", r->failed.n,
                       first->text);
    }
    for (size_t g = 1; g < r->gaps; g++) {
        gap = r->gap[g].gap < gap ? r->gap[g].gap : gap;
    }
    ib_fail(err, IB_E_EMPTY,
            "there is nothing to evaluate: of %zu clips, %s first, none has a shot longer "
            "than a gap of %d frames",
            r->clips, r->files.v[0], gap);
    if (r->failed.n) {
        ib_error no_window = *err;
        ib_fail(err, IB_E_EMPTY, "%s; %zu more could not be read, the first: %s", no_window.text, r->failed.n,
                first->text);
    }
    return IB_E_EMPTY;
}

static int conclude(ib_evaluation *e, const ib_error *first, ib_error *err) {
    ib_eval_report *r = e->report;
    size_t counted = 0;
    int rc = IB_OK;
    for (size_t g = 0; g < r->gaps && r->explains && !rc; g++) {
        rc = ib_gathered_conclude(&e->gathered[g], &e->judge, r, &r->gap[g], err);
    }
    rc = rc ? rc : ib_eval_conclude(r, e->judge.threads, err);
    if (rc) {
        return rc;
    }
    for (size_t g = 0; g < r->gaps; g++) {
        counted += r->gap[g].counted;
    }
    if (!counted) {
        return nothing(r, first, err);
    }
    return e->shown ? ib_eval_make_strips(e, err) : IB_OK;
}

/* The first input that is a latent file names its space; "" if none does. */
static void space_of_inputs(const ib_paths *files, char id[256]) {
    id[0] = 0;
    for (size_t i = 0; i < files->n && !id[0]; i++) {
        ib_latent_file *f;
        ib_error ignored;
        if (ib_eval_is_latents(files->v[i]) && !ib_latent_open(&f, files->v[i], &ignored)) {
            snprintf(id, 256, "%s", ib_latent_info_of(f)->space_id);
            ib_latent_close(&f);
        }
    }
}

/* The space that was asked for; else that of the latent files, which need not be here: then there are only
 * latents. */
static int open_space(ib_evaluation *e, const ib_paths *files, bool videos, ib_error *err) {
    const ib_eval_options *o = e->o;
    char id[256];
    space_of_inputs(files, id);
    bool asked = o->space || videos || !id[0];
    const char *spec = o->space ? o->space : videos || !id[0] ? "patch" : id;
    int rc = ib_space_open_with(&e->space, spec, o->space_options, err);
    if (rc && asked) {
        return rc;
    }
    *err = (ib_error){0};
    e->judge.space = e->space;
    e->report->decodes = ib_judge_decodes(&e->judge);
    snprintf(e->report->space_id, sizeof e->report->space_id, "%s", rc ? id : ib_space_id(e->space));
    e->report->explains = e->judge.explains = !ib_space_is_pictures(e->report->space_id) && !o->native;
    e->judge.geometry = ib_geometry_of(e->report->space_id);
    if ((o->minterpolate || o->native || o->rivals) && !e->report->decodes) {
        return ib_fail(err, IB_E_UNSUPPORTED, "the space %s has no pictures, which %s", e->report->space_id,
                       o->native         ? "the videos' own size needs"
                       : o->minterpolate ? "minterpolate needs"
                                         : "other programs need");
    }
    return IB_OK;
}

static bool any_video(const ib_paths *files) {
    bool any = false;
    for (size_t i = 0; i < files->n && !any; i++) {
        any = !ib_eval_is_latents(files->v[i]);
    }
    return any;
}

/* Eight frames, or what is nearest to it. */
static size_t gap_to_show(const ib_eval_options *o) {
    size_t best = 0;
    for (size_t g = 1; g < o->gaps; g++) {
        best = abs(o->gap[g] - 8) < abs(o->gap[best] - 8) ? g : best;
    }
    return best;
}

int ib_eval(const ib_eval_options *o, ib_eval_report *report, ib_error *err) {
    ib_evaluation e = {.o = o, .report = report};
    ib_paths files = {0};
    ib_error first = {0}, local;
    err = err ? err : &local;
    *report = (ib_eval_report){.width = o->native ? 0 : o->width,
                               .height = o->native ? 0 : o->height,
                               .windows_per_clip = o->windows_per_clip,
                               .trust = o->trust,
                               .sharpness = o->sharpness,
                               .guide_scale = o->guide_scale,
                               .unguided = o->guide && !strcmp(o->guide, IB_GUIDE_NONE),
                               .gaps = o->gaps};
    int rc = check_eval(o, err);
    if (rc) {
        *report = (ib_eval_report){0};
        return rc;
    }
    report->shown_gap = gap_to_show(o);
    report->search.candidates = o->search.candidates;
    /* OpenBLAS takes its threads from here wherever we are not parallel ourselves, and its sums depend on
     * their number */
    int threads_before = omp_get_max_threads();
    e.judge.threads = o->threads > 0 ? o->threads : threads_before;
    omp_set_num_threads(e.judge.threads);
    e.judge.minterpolate = o->minterpolate;
    e.judge.keep_interlaced = o->keep_interlaced;
    e.judge.stop = o->stop;
    rc = ib_eval_list_inputs(&e, &files, &first, err);
    rc = rc ? rc : open_space(&e, &files, any_video(&files), err);
    if (!rc) {
        ib_eval_look_for_guides(&e, &files);
    }
    rc = rc ? rc : ib_eval_open_contenders(&e, any_video(&files), err);
    rc = rc ? rc : ib_eval_choose_guide(&e, err);
    rc = rc ? rc : judge_files(&e, &files, &first, err);
    rc = rc ? rc : conclude(&e, &first, err);
    rc = rc ? rc : finish_programs(&e.judge, err);
    for (size_t i = 0; i < e.judge.programs; i++) {
        ib_program_close(&e.judge.program[i]);
    }
    free(e.judge.program);
    for (size_t g = 0; g < o->gaps; g++) {
        ib_gathered_free(&e.gathered[g]);
    }
    for (size_t i = 0; i < e.judge.adapters; i++) {
        ib_adapter_free(&e.judge.adapter[i]);
    }
    free(e.judge.adapter);
    ib_searching_free(&e.judge.searching);
    for (size_t i = 0; e.shown && i < files.n + 2; i++) {
        ib_eval_shown_free(&e.shown[i]);
    }
    free(e.shown);
    ib_space_close(&e.space);
    ib_paths_free(&files);
    if (e.folder[0]) {
        rmdir(e.folder);
    }
    omp_set_num_threads(threads_before);
    if (rc) {
        ib_eval_report_free(report);
    }
    return rc;
}

void ib_eval_report_free(ib_eval_report *r) {
    for (size_t g = 0; g < r->gaps; g++) {
        for (size_t i = 0; r->gap[g].clip && i < r->clips; i++) {
            clear_clip(&r->gap[g].clip[i]);
        }
        free(r->gap[g].clip);
        free(r->gap[g].mean);
        free(r->gap[g].low);
        free(r->gap[g].high);
        free(r->gap[g].at);
        free(r->gap[g].pair);
        free(r->gap[g].explanation.gate);
        ib_free(r->gap[g].explanation.weight);
        ib_free(r->gap[g].explanation.gates);
    }
    for (size_t i = 0; i < r->methods; i++) {
        free(r->method[i].name);
        free(r->method[i].file);
        free(r->method[i].command);
    }
    for (size_t i = 0; i < r->strips; i++) {
        ib_eval_strip_free(&r->strip[i]);
    }
    ib_remarks_free(&r->failed);
    ib_remarks_free(&r->damaged);
    ib_remarks_free(&r->interlaced);
    free(r->method);
    ib_paths_free(&r->files);
    *r = (ib_eval_report){0};
}
