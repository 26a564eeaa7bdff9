#include "train/team.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/safetensors.h"
#include "train/optimiser.h"

/* Samples that go through the model together, at most: of grids and sequences a few, of single tokens many,
 * lest the products be tiny. */
enum { GRIDS = 8, SINGLES = 256 };
static const uint64_t augment_stream = 0x6175676d656e7421u; /* apart from the sampler's */
static const uint64_t dropout_stream = 0x64726f706f757421u;

/* One thread's own. */
typedef struct member {
    ib_augmenter *augmenter;
    ib_adapter_work *work[IB_DATASET_MAX_SHAPES]; /* by shape after augmentation; made when first needed */
    float *z;                                     /* [group, frames, max_values] */
    float feature[SINGLES][IB_GUIDE_FEATURES];
    float *gradient; /* [P] */
    int code;
    ib_error failure;
} member;

struct ib_team {
    const ib_adapter *adapter;
    const ib_dataset *dataset;
    ib_augment_options augment;
    float dropout;
    uint64_t seed;
    double unit; /* of the loss; 0: slerp's own error */
    int threads, group;
    size_t frames; /* of a sample, its guide's pictures among them */
    size_t batch, max_values, params;
    ib_shape shape[IB_DATASET_MAX_SHAPES]; /* after augmentation */
    member *members;                       /* [threads] */
    float **parts;                         /* [threads] their gradients */
    ib_sample_loss *loss;                  /* [batch] */
};

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static int find_shapes(ib_team *t, ib_error *err) {
    for (size_t i = 0; i < ib_dataset_shapes(t->dataset); i++) {
        const ib_shape *in = ib_dataset_shape(t->dataset, i);
        int rc = ib_augment_shape(&t->augment, in, &t->shape[i], err);
        if (rc) {
            return rc;
        }
        t->max_values = max_size(t->max_values, in->tokens * in->width);
    }
    return IB_OK;
}

static int member_init(ib_team *t, member *m, ib_error *err) {
    size_t n;
    if (ib_size_mul(t->max_values, t->frames * (size_t)t->group, &n)) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %d samples", t->group);
    }
    int rc = ib_alloc_floats(&m->z, n, "samples", err);
    rc = rc ? rc : ib_alloc_floats(&m->gradient, t->params, "the gradient", err);
    return rc || !t->augment.pixels ? rc : ib_augmenter_create(&m->augmenter, t->max_values, err);
}

int ib_team_create(ib_team **out, const ib_adapter *a, const ib_dataset *d, const ib_augment_options *augment,
                   float dropout, uint64_t seed, int threads, size_t batch, ib_error *err) {
    ib_team *t = calloc(1, sizeof *t);
    int rc = IB_OK;
    *out = NULL;
    if (!t) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the threads");
    }
    *t = (ib_team){
        .adapter = a, .dataset = d, .augment = *augment, .dropout = dropout, .seed = seed, .batch = batch};
    t->threads = (size_t)threads > batch ? (int)batch : threads;
    size_t group = ib_adapter_config_of(a)->layout == IB_LAYOUT_SINGLE ? SINGLES : GRIDS,
           share = (batch + (size_t)t->threads - 1) / (size_t)t->threads;
    t->group = (int)(share < group ? share : group);
    t->params = ib_adapter_param_count(a);
    t->frames = *ib_adapter_config_of(a)->guide ? 3 + IB_GUIDE_PICTURES : 3;
    t->members = calloc((size_t)t->threads, sizeof *t->members);
    t->parts = calloc((size_t)t->threads, sizeof *t->parts);
    t->loss = calloc(batch, sizeof *t->loss);
    if (!t->members || !t->parts || !t->loss) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for %d threads", t->threads);
    }
    rc = rc ? rc : find_shapes(t, err);
    for (int i = 0; !rc && i < t->threads; i++) {
        rc = member_init(t, &t->members[i], err);
        t->parts[i] = t->members[i].gradient;
    }
    if (rc) {
        ib_team_free(&t);
        return rc;
    }
    *out = t;
    return IB_OK;
}

void ib_team_free(ib_team **team) {
    ib_team *t = *team;
    if (!t) {
        return;
    }
    for (int i = 0; t->members && i < t->threads; i++) {
        member *m = &t->members[i];
        for (size_t k = 0; k < IB_DATASET_MAX_SHAPES; k++) {
            ib_adapter_work_free(&m->work[k]);
        }
        ib_augmenter_free(&m->augmenter);
        ib_free(m->z);
        ib_free(m->gradient);
    }
    free(t->members);
    free(t->parts);
    free(t->loss);
    free(t);
    *team = NULL;
}

/* The first of the data's shapes that a sample's becomes after augmentation: equal ones share their work. */
static size_t shape_of(const ib_team *t, const ib_sample *s) {
    size_t i = (size_t)ib_dataset_video(t->dataset, s->window.clip)->shape, k = 0;
    while (k < i && (t->shape[k].rows != t->shape[i].rows || t->shape[k].cols != t->shape[i].cols ||
                     t->shape[k].tokens != t->shape[i].tokens)) {
        k++;
    }
    return k;
}

/* The guide's pictures change places with the keyframes. */
static void prepare_guide(const ib_team *t, const ib_sample *s, bool reversed, float *h, float *feature,
                          ib_between *in) {
    const ib_guide_table *g = &ib_dataset_video(t->dataset, s->window.clip)->guides;
    size_t n = s->shape->tokens * s->shape->width;
    for (size_t p = 0; p < IB_GUIDE_PICTURES; p++) {
        ib_f16_to_f32(s->h + (3 + p) * n, h + (reversed ? IB_GUIDE_PICTURES - 1 - p : p) * n, n);
    }
    memcpy(feature, g->feature + s->window.guide * IB_GUIDE_FEATURES, IB_GUIDE_FEATURES * sizeof *feature);
    if (reversed) {
        float first = feature[IB_GUIDE_FROM_FIRST];
        feature[IB_GUIDE_FROM_FIRST] = feature[IB_GUIDE_FROM_LAST];
        feature[IB_GUIDE_FROM_LAST] = first;
    }
    in->guide = h;
    in->feature = feature;
}

/* Halves to floats, augmented. z: [frames, max_values] */
static int prepare_team(const ib_team *t, member *m, const ib_sample *s, size_t shape, float *z,
                        float *feature, ib_between *in, const float **target, ib_error *err) {
    size_t n = s->shape->tokens * s->shape->width;
    float *at[3] = {z, z + t->max_values, z + 2 * t->max_values};
    ib_augment_plan plan;
    ib_rng rng;
    for (size_t i = 0; i < 3; i++) {
        ib_f16_to_f32(s->h + i * n, at[i], n);
    }
    *in = (ib_between){.t = s->window.t, .gap_seconds = s->window.gap_seconds};
    ib_rng_seed2(&rng, t->seed ^ augment_stream, s->index);
    ib_augment_draw(&t->augment, s->shape, &t->shape[shape], &rng, &plan);
    int rc = ib_augment_apply(m->augmenter, &plan, s->shape, &t->shape[shape], at, &in->t, err);
    in->z0 = at[0];
    in->z1 = at[1];
    *target = at[2];
    if (!rc && t->frames > 3 && s->window.guide != IB_NO_GUIDE) {
        prepare_guide(t, s, plan.reverse, z + 3 * t->max_values, feature, in);
    }
    return rc;
}

static uint64_t dropout_seed(const ib_team *t, const ib_sample *s) {
    ib_rng rng;
    ib_rng_seed2(&rng, t->seed ^ dropout_stream, s->index);
    return ib_rng_u64(&rng);
}

/* The samples whose numbers are `which` [n], all of one shape, of the batch of `whole`. */
static int learn_group(ib_team *t, member *m, const ib_sample *const *samples, const size_t *which, size_t n,
                       size_t whole, ib_error *err) {
    ib_between in[SINGLES];
    const float *target[SINGLES];
    ib_sample_loss loss[SINGLES];
    uint64_t seed[SINGLES];
    ib_dropout drop = {t->dropout, seed};
    size_t shape = shape_of(t, samples[which[0]]);
    int rc = IB_OK;
    if (!m->work[shape]) {
        rc = ib_adapter_work_create(&m->work[shape], t->adapter, &t->shape[shape], t->group, true, err);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        rc = prepare_team(t, m, samples[which[i]], shape, m->z + t->frames * t->max_values * i, m->feature[i],
                          &in[i], &target[i], err);
        seed[i] = dropout_seed(t, samples[which[i]]);
    }
    rc = rc ? rc
            : ib_adapter_learn(t->adapter, m->work[shape], in, target, (int)n, 1.0f / (float)whole, t->unit,
                               &drop, loss, err);
    for (size_t i = 0; !rc && i < n; i++) {
        t->loss[which[i]] = loss[i];
    }
    return rc;
}

/* Samples [first, end): shape after shape, in groups. */
static int learn_share(ib_team *t, member *m, const ib_sample *const *samples, size_t first, size_t end,
                       size_t whole, ib_error *err) {
    int rc = IB_OK;
    for (size_t shape = 0; !rc && shape < ib_dataset_shapes(t->dataset); shape++) {
        size_t which[SINGLES], n = 0;
        for (size_t i = first; !rc && i < end; i++) {
            if (shape_of(t, samples[i]) == shape) {
                which[n++] = i;
            }
            if (n == (size_t)t->group || (n && i + 1 == end)) {
                rc = learn_group(t, m, samples, which, n, whole, err);
                n = 0;
            }
        }
    }
    memset(m->gradient, 0, t->params * sizeof *m->gradient);
    for (size_t k = 0; k < IB_DATASET_MAX_SHAPES; k++) {
        if (m->work[k]) {
            ib_adapter_collect(t->adapter, m->work[k], m->gradient);
        }
    }
    return rc;
}

int ib_team_learn(ib_team *t, const ib_sample *const *samples, size_t n, double unit, ib_batch_result *result,
                  ib_error *err) {
    t->unit = unit;
    size_t threads = (size_t)t->threads;
    double values = 0;
    *result = (ib_batch_result){.gradient = t->parts[0]};
#pragma omp parallel for schedule(static, 1) num_threads(t->threads)
    for (size_t i = 0; i < threads; i++) {
        member *m = &t->members[i];
        m->failure = (ib_error){0};
        m->code = learn_share(t, m, samples, n * i / threads, n * (i + 1) / threads, n, &m->failure);
    }
    for (size_t i = 0; i < threads; i++) {
        if (t->members[i].code) {
            if (err) {
                *err = t->members[i].failure;
            }
            return t->members[i].code;
        }
    }
    for (size_t i = 0; i < n; i++) {
        result->loss += t->loss[i].loss / (double)n;
        result->err_model += t->loss[i].err_model;
        result->err_slerp += t->loss[i].err_slerp;
        const ib_shape *s = &t->shape[shape_of(t, samples[i])];
        values += (double)(s->tokens * s->width);
    }
    result->err_model /= values;
    result->err_slerp /= values;
    result->norm = ib_gradient_sum(t->parts, threads, t->parts[0], t->params, t->threads);
    return IB_OK;
}
