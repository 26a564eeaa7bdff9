#include "pool/survey.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "adapter/strengths.h"
#include "weights/average.h"
#include "base/memory.h"
#include "pool/guide.h"

static int by_name(const void *a, const void *b) {
    return strcmp(((const ib_survey_row *)a)->member->name, ((const ib_survey_row *)b)->member->name);
}

/* Those that are not late are voices; v, row_of: [members]. Returns their number. */
static size_t gather_survey(const ib_survey *s, int64_t stale, ib_voice *v, size_t *row_of) {
    size_t k = 0;
    for (size_t i = 0; i < s->news.members; i++) {
        const ib_member *m = s->row[i].member;
        s->row[i].late = s->round - m->round > stale;
        if (!s->row[i].late) {
            v[k] = (ib_voice){.weights = m->weights, .fresh = m->fresh > 0 ? m->fresh : 1};
            row_of[k++] = i;
        }
    }
    return k;
}

static int judge_survey(ib_survey *s, int64_t stale, ib_error *err) {
    size_t n = s->news.members, *row_of = ib_calloc(n, sizeof *row_of);
    ib_voice *v = ib_calloc(n, sizeof *v);
    int rc = row_of && v ? ib_alloc_floats(&s->average, s->params, "the average", err)
                         : ib_fail(err, IB_E_MEMORY, "out of memory for %zu members", n);
    size_t k = rc ? 0 : gather_survey(s, stale, v, row_of);
    rc = rc ? rc : ib_pool_average(v, k, NULL, s->average, s->params, err);
    for (size_t i = 0; i < k && (!rc || rc == IB_E_EMPTY); i++) {
        ib_survey_row *row = &s->row[row_of[i]];
        row->verdict = v[i].verdict;
        row->share = rc ? 0 : v[i].share;
        if (row->verdict != IB_VOICE_TAKEN) {
            ib_voice_explain(&v[i], row->why, sizeof row->why);
        }
    }
    if (rc) {
        ib_free(s->average);
        s->average = NULL;
    }
    ib_free(v);
    ib_free(row_of);
    return rc == IB_E_EMPTY ? IB_OK : rc;
}

/* The model that most members have is the pool's; the others are remarks. */
static int keep_majority(ib_pool_news *news, const char *dir, ib_error *err) {
    size_t best = 0, votes = 0, kept = 0;
    ib_adapter_config mine;
    int rc = IB_OK;
    for (size_t i = 0; i < news->members; i++) {
        size_t n = 0;
        for (size_t k = 0; k < news->members; k++) {
            n += !ib_member_fits(&news->member[k], &news->member[i].config, "", NULL);
        }
        best = n > votes ? i : best;
        votes = n > votes ? n : votes;
    }
    mine = news->member[best].config;
    for (size_t i = 0; i < news->members; i++) {
        ib_member *m = &news->member[i];
        ib_error trouble = {0};
        char path[1024];
        snprintf(path, sizeof path, "%.900s/%s" IB_POOL_SUFFIX, dir, m->name);
        if (ib_member_fits(m, &mine, path, &trouble)) {
            rc = rc ? rc : ib_pool_remark(news, trouble.text, err);
            ib_member_free(m);
            continue;
        }
        news->age_seconds[kept] = news->age_seconds[i];
        news->member[kept++] = *m;
    }
    news->members = kept;
    return rc;
}

/* A copy that is damaged or of another model is a remark. */
static int look_for_guide(ib_survey *s, const char *dir, ib_error *err) {
    ib_error trouble = {0};
    bool there;
    int rc = ib_pool_guide_check(dir, s->guide, &there, &trouble);
    s->guide_file = !rc && there;
    return rc ? ib_pool_remark(&s->news, trouble.text, err) : IB_OK;
}

int ib_pool_survey(ib_survey *s, const char *dir, int64_t stale, ib_error *err) {
    const size_t most_bytes = (size_t)1 << 30;
    ib_pool *pool = NULL;
    *s = (ib_survey){0};
    stale = stale > 0 ? stale : IB_POOL_STALE;
    int rc = ib_pool_open(&pool, dir, NULL, err);
    rc = rc ? rc : ib_pool_check(pool, err);
    rc = rc ? rc : ib_pool_listen(pool, NULL, IB_SURVEY_MOST, most_bytes, &s->news, err);
    ib_pool_close(&pool);
    if (rc || !s->news.members) {
        return rc;
    }
    if ((rc = keep_majority(&s->news, dir, err))) {
        ib_pool_survey_free(s);
        return rc;
    }
    s->round = ib_pool_round(&s->news, -1);
    s->params = s->news.member[0].params;
    memcpy(s->guide, s->news.member[0].config.guide, sizeof s->guide);
    if (!(s->row = calloc(s->news.members, sizeof *s->row))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %zu members", s->news.members);
    }
    for (size_t i = 0; !rc && i < s->news.members; i++) {
        s->row[i].member = &s->news.member[i];
        s->row[i].age_seconds = s->news.age_seconds[i];
    }
    rc = rc ? rc : look_for_guide(s, dir, err);
    if (!rc) {
        qsort(s->row, s->news.members, sizeof *s->row, by_name);
        rc = judge_survey(s, stale, err);
    }
    double norm = s->average ? ib_params_norm(s->average, s->params) : 0;
    for (size_t i = 0; !rc && i < s->news.members; i++) {
        s->row[i].distance =
            norm > 0 ? ib_params_distance(s->row[i].member->weights, s->average, s->params) / norm : NAN;
    }
    if (rc) {
        ib_pool_survey_free(s);
    }
    return rc;
}

void ib_pool_survey_free(ib_survey *s) {
    ib_pool_news_free(&s->news);
    free(s->row);
    ib_free(s->average);
    *s = (ib_survey){0};
}

/* Of the members that have a share. */
static int lowest_strengths(const ib_survey *s, ib_strengths *out, ib_error *err) {
    const ib_adapter_config **one = calloc(s->news.members, sizeof *one);
    size_t n = 0;
    if (!one) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu members", s->news.members);
    }
    for (size_t i = 0; i < s->news.members; i++) {
        if (s->row[i].share > 0) {
            one[n++] = &s->row[i].member->config;
        }
    }
    ib_strengths_lowest(out, one, n);
    free(one);
    return IB_OK;
}

int ib_pool_survey_save(const ib_survey *s, const char *path, ib_error *err) {
    char round[32], members[32], samples[32];
    int64_t sum = 0;
    size_t k = 0;
    ib_adapter *a = NULL;
    if (!s->average) {
        return ib_fail(err, IB_E_EMPTY, "%s: not written, there is nothing in the pool to make an average of",
                       path);
    }
    for (size_t i = 0; i < s->news.members; i++) {
        bool taken = s->row[i].share > 0;
        k += taken;
        sum += taken ? s->row[i].member->samples : 0;
    }
    snprintf(round, sizeof round, "%" PRId64, s->round);
    snprintf(members, sizeof members, "%zu", k);
    snprintf(samples, sizeof samples, "%" PRId64, sum);
    const ib_st_meta meta[] = {{"modelspec.title", "in-between model, average of a pool"},
                               {"modelspec.implementation", "inbetween " IB_VERSION},
                               {"train.pool_round", round},
                               {"train.pool_members", members},
                               {"train.samples", samples}};
    ib_adapter_config config = s->news.member[0].config;
    int rc = lowest_strengths(s, &config.strengths, err);
    rc = rc ? rc : ib_adapter_create(&a, &config, 0, err);
    if (!rc) {
        memcpy(ib_adapter_params(a), s->average, s->params * sizeof(float));
        rc = ib_adapter_save(a, path, meta, sizeof meta / sizeof *meta, err);
    }
    ib_adapter_free(&a);
    return rc;
}
