/* What is compared: baselines, other programs, adapters, oracles, and their names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/named.h"
#include "base/text.h"
#include "eval/guides.h"
#include "eval/private.h"

static int name_method(ib_eval_report *r, size_t i, const char *name, ib_eval_kind kind, ib_error *err) {
    r->method[i].kind = kind;
    r->method[i].name = strdup(name);
    return r->method[i].name ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the names of methods");
}

static bool is_taken(const ib_eval_report *r, size_t i, const char *name) {
    for (size_t k = 0; k < i; k++) {
        if (!strcmp(r->method[k].name, name)) {
            return true;
        }
    }
    for (size_t k = 0; k < IB_ORACLES; k++) {
        if (!strcmp(ib_oracle_names[k], name)) {
            return true;
        }
    }
    for (size_t k = 0; k < IB_SEARCHED && r->search.candidates; k++) {
        if (!strcmp(ib_searched_names[k], name)) {
            return true;
        }
    }
    for (size_t k = 0; k < IB_EXPLAINED && r->explains; k++) {
        if (!strcmp(ib_explained_names[k], name)) {
            return true;
        }
    }
    return false;
}

/* The first n bytes of a text as valid UTF-8, whatever they are. */
static int name_of(char *name, size_t room, const char *text, size_t n, ib_error *err) {
    char *part = strndup(text, n), *utf8 = part ? ib_text_utf8(part) : NULL;
    if (utf8) {
        snprintf(name, room, "%.*s", (int)ib_text_fit(utf8, room - 1), utf8);
    }
    free(part);
    free(utf8);
    return utf8 ? IB_OK : ib_fail(err, IB_E_MEMORY, "out of memory for the names of methods");
}

/* default and prior are called so. run/adapter.safetensors is called adapter; if something else is called
 * that too, run/adapter; after that they are numbered. */
static int name_adapter(ib_eval_report *r, size_t i, const char *file, ib_error *err) {
    static const char ending[] = ".safetensors";
    enum { MOST = 480, ROOM = 4 * MOST, NUMBER = 32 }; /* a byte becomes four at the most */
    char name[ROOM + NUMBER];
    const char *base = ib_basename(file);
    size_t n = strlen(file), e = sizeof ending - 1;
    n = n > e && !strcmp(file + n - e, ending) ? n - e : n;
    int rc = name_of(name, ROOM, base, n - (size_t)(base - file), err);
    if (!rc && is_taken(r, i, name)) {
        rc = name_of(name, ROOM, file, n < MOST ? n : ib_text_fit(file, MOST), err);
    }
    if (rc) {
        return rc;
    }
    for (size_t k = 2, end = strlen(name); is_taken(r, i, name); k++) {
        snprintf(name + end, sizeof name - end, " (%zu)", k);
    }
    rc = name_method(r, i, name, IB_METHOD_ADAPTER, err);
    rc = rc ? rc : ib_adapter_named_file(&r->method[i].file, file, err);
    return rc || !r->method[i].file ? rc : ib_sha256_file(r->method[i].file, r->method[i].sha256, err);
}

/* Whether it can do here what is asked for. */
static int check_adapter(const ib_evaluation *e, const ib_adapter *a, const char *file, ib_error *err) {
    int rc = ib_adapter_check_space(a, e->report->space_id, "this evaluation", err);
    if (rc) {
        return ib_error_prefix(err, rc, "%s", file);
    }
    return e->o->native && !ib_adapter_renders(a)
               ? ib_fail(err, IB_E_UNSUPPORTED, "%s: has no motion head and cannot render pictures", file)
               : IB_OK;
}

static int open_adapters(ib_evaluation *e, ib_error *err) {
    const ib_paths *files = e->o->adapters;
    ib_eval_report *r = e->report;
    char *own = (char *)e->o->own_adapter;
    const ib_paths instead = {&own, own && ib_space_is_pictures(r->space_id)};
    int rc = IB_OK;
    files = files && files->n ? files : &instead;
    for (size_t i = 0; i < files->n && !rc; i++) {
        rc = ib_adapter_open_named(&e->judge.adapter[i], files->v[i], err);
        if (!rc && e->judge.adapter[i]) {
            if (e->o->trust >= 0) {
                ib_adapter_trust(e->judge.adapter[i], e->o->trust);
            }
            ib_adapter_sharpen(e->judge.adapter[i], e->o->sharpness);
            ib_adapter_guide_scale(e->judge.adapter[i], e->o->guide_scale);
            r->trust = ib_adapter_trust_of(e->judge.adapter[i]);
            e->judge.adapters++;
            r->judged = r->methods++;
            rc = name_adapter(r, r->judged, files->v[i], err);
            rc = rc ? rc : check_adapter(e, e->judge.adapter[i], files->v[i], err);
        }
    }
    return rc;
}

static int open_programs(ib_evaluation *e, ib_error *err) {
    ib_eval_report *r = e->report;
    int rc = IB_OK;
    for (size_t i = 0; i < e->o->rivals && !rc; i++) {
        const ib_eval_rival *o = &e->o->rival[i];
        char name[1024];
        rc = name_of(name, sizeof name, o->name, strlen(o->name), err);
        if (!rc && (!name[0] || is_taken(r, r->methods, name))) {
            rc = ib_fail(err, IB_E_ARGUMENT, "the rival '%s': its name is %s", name,
                         name[0] ? "another method's" : "empty");
        }
        if (rc) {
            return rc;
        }
        r->judged = r->methods++;
        rc = name_method(r, r->judged, name, IB_METHOD_PROGRAM, err);
        r->method[r->judged].command = rc ? NULL : strdup(o->command);
        if (!rc && !r->method[r->judged].command) {
            rc = ib_fail(err, IB_E_MEMORY, "out of memory for the names of methods");
        }
        rc = rc ? rc
                : ib_program_open(&e->judge.program[i], name, o->command, IB_PROGRAM_PATIENCE_SECONDS,
                                  e->o->stop, err);
        e->judge.programs += !rc;
    }
    return rc;
}

static int open_search(ib_evaluation *e, ib_error *err) {
    ib_eval_report *r = e->report;
    ib_searching *s = &e->judge.searching;
    int rc = ib_searching_open(s, e->o, r->space_id, err);
    for (size_t i = 0; i < IB_SEARCHED && !rc && s->rows; i++) {
        ib_eval_kind kind = i == IB_SEARCHED_NEAREST ? IB_METHOD_ORACLE : IB_METHOD_SEARCH;
        rc = s->row[i] ? name_method(r, r->methods++, ib_searched_names[i], kind, err) : IB_OK;
    }
    if (!rc && s->rows) {
        r->search =
            (ib_search_asked){s->o.candidates, NULL, s->o.beam, s->o.condense, s->o.seconds, s->o.seed};
    }
    return rc || !s->judge ? rc : ib_sha256_file(e->o->search.judge, r->judge_sha256, err);
}

int ib_eval_open_contenders(ib_evaluation *e, bool videos, ib_error *err) {
    ib_eval_report *r = e->report;
    ib_judge *j = &e->judge;
    size_t n = 1 + (e->o->adapters ? e->o->adapters->n : 0);
    int rc = IB_OK;
    j->adapter = calloc(n + 1, sizeof *j->adapter);
    j->program = calloc(e->o->rivals + 1, sizeof *j->program);
    r->method =
        calloc(IB_BASELINES + 1 + e->o->rivals + IB_SEENS + n + IB_SEARCHED + IB_EXPLAINED + IB_ORACLES,
               sizeof *r->method);
    if (!j->adapter || !j->program || !r->method) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu adapters and %zu programs", n, e->o->rivals);
    }
    for (; r->methods < IB_BASELINES && !rc; r->methods++) {
        rc = name_method(r, r->methods, ib_baselines[r->methods].name, IB_METHOD_BASELINE, err);
    }
    r->judged = IB_EVAL_SLERP;
    if (!rc && e->o->minterpolate) {
        r->judged = r->methods++;
        rc = name_method(r, r->judged, "minterpolate", IB_METHOD_BASELINE, err);
    }
    rc = rc ? rc : open_programs(e, err);
    for (size_t i = IB_SEENS - j->seen; i < IB_SEENS && !rc; i++) {
        rc = name_method(r, r->methods++, ib_seen_names[i], IB_METHOD_GUIDE, err);
    }
    rc = rc ? rc : open_adapters(e, err);
    rc = rc ? rc : open_search(e, err);
    for (size_t i = 0; i < ib_judge_explained(j) && !rc; i++) {
        rc = name_method(r, r->methods++, ib_explained_names[i], IB_METHOD_ORACLE, err);
    }
    /* without a decoder there is no floor to speak of, and only videos have pictures to shake */
    j->oracles = e->o->native ? 0 : r->decodes ? IB_ORACLES : videos ? IB_ORACLES - 1 : 0;
    for (size_t i = IB_ORACLES - j->oracles; i < IB_ORACLES && !rc; i++) {
        rc = name_method(r, r->methods++, ib_oracle_names[i], IB_METHOD_ORACLE, err);
    }
    return rc;
}
