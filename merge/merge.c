/* From options to a file: what is opened, what is refused. */
#include "merge/merge.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "weights/average.h"
#include "base/memory.h"
#include "base/output.h"
#include "latent/latent_file.h"
#include "merge/private.h"

void ib_merge_say(const ib_merge_job *j, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    if (j->o->message) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        j->o->message(j->o->user, text);
    }
}

int ib_merge_stopped(const ib_merge_job *j, ib_error *err) {
    return j->o->stop && atomic_load(j->o->stop)
               ? ib_fail(err, IB_E_INTERRUPTED, "interrupted; nothing was written")
               : IB_OK;
}

void ib_merge_report(const ib_merge_job *j, double fraction, double bytes_per_second) {
    if (j->o->progress) {
        j->o->progress(j->o->user, &(ib_merge_progress){fmin(1, fraction), bytes_per_second});
    }
}

static int check_options(const ib_merge_job *j, size_t n, ib_error *err) {
    const ib_merge_options *o = j->o;
    const ib_merge_method *m = j->method;
    if (n < m->least || n > m->most) {
        return m->least == m->most
                   ? ib_fail(err, IB_E_ARGUMENT, "%s takes %zu adapters, got %zu", m->name, m->least, n)
                   : ib_fail(err, IB_E_ARGUMENT, "%s takes %zu to %zu adapters, got %zu", m->name, m->least,
                             m->most, n);
    }
    if (m->base != (o->base != NULL) && !(o->dry_run && o->base)) {
        return m->base ? ib_fail(err, IB_E_ARGUMENT,
                                 "%s needs a base: the adapter that the others were trained on from", m->name)
                       : ib_fail(err, IB_E_ARGUMENT, "%s has no base, got %s", m->name, o->base);
    }
    bool valid = o->valid && o->valid->n;
    if (m->valid != valid && !o->dry_run) {
        return m->valid
                   ? ib_fail(err, IB_E_ARGUMENT, "%s needs latent files to validate on", m->name)
                   : ib_fail(err, IB_E_ARGUMENT, "%s does not validate, got %s", m->name, o->valid->v[0]);
    }
    if (o->weights && !m->weights) {
        return ib_fail(err, IB_E_ARGUMENT, "%s has no weights", m->name);
    }
    if (!o->output && !o->dry_run) {
        return ib_fail(err, IB_E_ARGUMENT, "expected the name of the file to write");
    }
    return IB_OK;
}

static int take_weights(ib_merge_job *j, ib_error *err) {
    double most = 0;
    for (size_t i = 0; i < j->ingredients; i++) {
        double w = j->o->weights ? j->o->weights[i] : 1, size = fabs(w);
        if (!isfinite(w) || (w != 0 && (size < 1e-6 || size > 1e6))) {
            return ib_fail(err, IB_E_ARGUMENT,
                           "the weight of %s is %g: expected 0 or a magnitude of 1e-6 to 1e6",
                           j->source[i].path, w);
        }
        if (w == 0) {
            ib_merge_say(j, "%s has the weight 0: it does not count", j->source[i].path);
        }
        j->weight[i] = w;
        most = fmax(most, size);
    }
    return most > 0 ? IB_OK : ib_fail(err, IB_E_ARGUMENT, "all weights are 0: there is nothing to merge");
}

static const char *role_of(const ib_merge_job *j, size_t i) {
    static const char *const difference[] = {"a", "plus", "minus"}, *const ends[] = {"first", "second"};
    if (i >= j->ingredients) {
        return "base";
    }
    return j->method->kernel == &ib_merge_add_difference ? difference[i]
           : j->method->kernel == &ib_merge_slerp        ? ends[i]
                                                         : "ingredient";
}

static int open_one(ib_merge_job *j, const char *path, ib_error *err) {
    ib_source *s = &j->source[j->sources];
    bool raw = j->method->kernel == &ib_merge_ema && ib_merge_get(j->o, "raw") != 0;
    int rc = ib_source_open(s, path, raw, err);
    if (rc) {
        return rc;
    }
    size_t i = j->sources++;
    ib_merge_part *part = &j->result->part[j->result->parts];
    *part = (ib_merge_part){.weight = NAN, .kept = true, .skill = NAN, .step = -1, .norm = NAN};
    if (!(part->path = strdup(path))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the name of %s", path);
    }
    part->role = role_of(j, i);
    j->result->parts++;
    if (i && (rc = ib_adapter_check_same(&j->source[0].config, j->source[0].path, &s->config, path, err))) {
        return rc;
    }
    for (size_t k = 0; j->method->weights && k < i && i < j->ingredients; k++) {
        if (ib_source_same(&j->source[k], s)) {
            ib_merge_say(j, "%s is named twice, and counts twice", path);
            break;
        }
    }
    return IB_OK;
}

/* Reading is through the mapped file, so an output that is an input would even work, and cost the input. */
static int check_output(const ib_merge_job *j, ib_error *err) {
    const ib_merge_options *o = j->o;
    int rc = IB_OK;
    for (size_t i = 0; !rc && !o->dry_run && i < j->sources; i++) {
        rc = ib_output_check(o->output, (const char *const *)&j->source[i].path, 1, NULL, err);
    }
    rc = rc || o->dry_run ? rc : ib_st_check_replace(o->output, err);
    return rc || o->dry_run || !o->valid ? rc
                                         : ib_output_check(o->output, (const char *const *)o->valid->v,
                                                           o->valid->n, ib_is_latent_name, err);
}

static int open_all(ib_merge_job *j, const ib_paths *inputs, ib_error *err) {
    int rc = check_options(j, inputs->n, err);
    if (rc) {
        return rc;
    }
    j->ingredients = j->result->ingredients = inputs->n;
    if (!(j->result->part = ib_calloc(inputs->n + 1, sizeof *j->result->part))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu ingredients", inputs->n);
    }
    for (size_t i = 0; !rc && i < inputs->n; i++) {
        rc = open_one(j, inputs->v[i], err);
    }
    if (!rc && j->o->base) {
        rc = open_one(j, j->o->base, err);
    }
    rc = rc ? rc : check_output(j, err);
    rc = rc ? rc : take_weights(j, err);
    rc = rc ? rc : ib_adapter_outline(&j->outline, &j->source[0].config, err);
    return rc;
}

/* The coefficients by which each part counts, as far as there are such. */
static void note_weights(ib_merge_job *j) {
    bool elementwise = j->method->kernel->combine != NULL;
    for (size_t i = 0; i < j->sources; i++) {
        bool given = elementwise && i < j->ingredients,
             none = i >= j->ingredients && (elementwise || !j->method->base);
        j->result->part[i].weight = none ? NAN : given ? j->weight[i] : j->coefficient[i];
    }
}

int ib_merge(const ib_merge_options *o, ib_merge_result *result, ib_error *err) {
    ib_paths inputs = {0};
    ib_error own = {0};
    err = err ? err : &own;
    *result = (ib_merge_result){.skill = NAN};
    ib_merge_job *j = calloc(1, sizeof *j);
    if (!j) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for a merge");
    }
    j->o = o;
    j->result = result;
    result->method = j->method = ib_merge_method_find(o->method ? o->method : "linear", err);
    int rc = j->method ? IB_OK : IB_E_ARGUMENT;
    rc = rc ? rc : ib_merge_expand(&inputs, o->inputs, j->method->kernel == &ib_merge_ema, err);
    rc = rc ? rc : open_all(j, &inputs, err);
    rc = rc ? rc : j->method->kernel->plan(j, err);
    if (!rc) {
        result->parameters = ib_adapter_param_count(j->outline);
        note_weights(j);
        ib_merge_settle_config(j);
        rc = o->dry_run ? ib_merge_compare(j, err) : ib_merge_stream(j, err);
    }
    struct stat st;
    if (!rc && !o->dry_run && !stat(o->output, &st)) {
        result->bytes = (size_t)st.st_size;
    }
    ib_free(j->scratch);
    ib_adapter_free(&j->outline);
    for (size_t i = 0; i < j->sources; i++) {
        ib_source_close(&j->source[i]);
    }
    ib_paths_free(&inputs);
    free(j);
    return rc;
}

void ib_merge_result_free(ib_merge_result *r) {
    for (size_t i = 0; i < r->parts; i++) {
        free(r->part[i].path);
    }
    ib_free(r->part);
    ib_free(r->pair);
    *r = (ib_merge_result){0};
}
