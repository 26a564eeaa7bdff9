/* A run on a cluster: every rank trains the whole model on its own samples, and now and then all meet,
 * average how far they have come, and go on from common weights. The only file that knows MPI; without it
 * (INBETWEEN_MPI=OFF) it says so.
 *
 * Whatever a rank has to tell the others is on its card, and every meeting begins with an exchange of cards.
 * So a rank that is stopped, that fails or whose time is over never leaves the others waiting: they hear of
 * it at their next meeting. */
#include <stdlib.h>
#include <string.h>
#include "train/exchange.h"

/* Processes that mpirun, or srun with PMI, says it has started; 0 if it did not start this one. */
static int world_by_environment(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *v = getenv(names[i]);
        if (v && atol(v) > 0) {
            return (int)atol(v);
        }
    }
    return 0;
}

static bool wanted(const ib_train_options *o) {
    return o->mpi || (world_by_environment() > 1 && !o->pool);
}

#ifndef IB_HAVE_MPI

int ib_exchange_mpi_enter(ib_session *s, ib_error *err) {
    int world = world_by_environment();
    if (!wanted(s->o)) {
        return IB_OK;
    }
    return world > 1 ? ib_fail(err, IB_E_UNSUPPORTED,
                               "this is one of %d processes of an MPI job, but this build has no MPI and "
                               "each of them would "
                               "train by itself: build with INBETWEEN_MPI=ON, or use --pool",
                               world)
                     : ib_fail(err, IB_E_UNSUPPORTED,
                               "this build has no MPI: build with INBETWEEN_MPI=ON where libopenmpi-dev or "
                               "libmpich-dev is installed");
}

#else

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>
#include "adapter/pixel_model.h"
#include "weights/average.h"
#include "base/memory.h"
#include "train/outer.h"

enum { DEFAULT_EVERY = 100, MOST_RANKS = IB_AVERAGE_MOST };

/* What a rank tells the others. */
typedef enum purpose { OPEN = 1, MEET, SAVE, SAVED } purpose;
typedef struct card {
    int32_t purpose, failed; /* failed: the code, 0 if all is well */
    int32_t done, stop;      /* its budget is used up; it was told to stop */
    int32_t save;            /* rank 0: it is time for a state */
    int32_t finite;
    int64_t since, step, samples,
        updates;        /* since: samples since the last meeting; OPEN: 1 without own moments */
    double largest;     /* |difference| */
    char sentence[512]; /* of the failure */
    char guide[160];    /* OPEN: the pixel model of its guides */
} card;

typedef struct mpi_run {
    ib_exchange face;
    bool broken; /* some rank has failed, and all know */
    ib_outer outer;
    int64_t every, next_step;
    int64_t met_samples; /* own samples at the last meeting */
    double next_save;
    card *cards;          /* [ranks] */
    float *anchor, *d;    /* [padded]: shared weights; own difference, then the mean one */
    float *parts;         /* [padded]: one slice of every rank's */
    const float **slices; /* [ranks] */
    double *weight;       /* [ranks] */
    uint16_t *halves[2];  /* [padded] to send and to receive; NULL without */
    size_t slice, padded; /* floats */
    bool opened, without_moments;
} mpi_run;

static const ib_exchange_kind kind;

static mpi_run *run_of(ib_session *s) {
    return (mpi_run *)s->exchange;
}

/* ---- cards ---- */

static int fill_failure(const ib_session *s, const mpi_run *x, ib_error *err) {
    for (int i = 0; i < s->ranks; i++) {
        const card *c = &x->cards[i];
        if (c->failed) {
            return ib_fail(err, c->failed, "rank %d of %d: %s", i, s->ranks, c->sentence);
        }
    }
    return IB_OK;
}

/* Shows the own card and sees all. The failure of any rank is everybody's. */
static int show_exchange_mpi(ib_session *s, card *own, ib_error *err) {
    mpi_run *x = run_of(s);
    MPI_Allgather(own, sizeof *own, MPI_BYTE, x->cards, sizeof *own, MPI_BYTE, MPI_COMM_WORLD);
    int rc = fill_failure(s, x, err);
    for (int i = 0; !rc && i < s->ranks; i++) {
        if (x->cards[i].purpose != own->purpose) {
            rc = ib_fail(err, IB_E_ARGUMENT,
                         "the ranks are at different places of the program: other options on some?");
        }
    }
    x->broken = x->broken || rc;
    return rc;
}

static card card_for(purpose p, int rc, const ib_error *err) {
    card c = {.purpose = p, .failed = rc};
    if (rc) {
        snprintf(c.sentence, sizeof c.sentence, "%.511s", err && err->text[0] ? err->text : "failed");
    }
    return c;
}

/* ---- beginning ---- */

/* MPI that was begun here ends with the process. Ending waits for all ranks, so none is gone, and mpirun ends
 * the others, before each has said what it has to say. */
static void end_mpi(void) {
    int ended = 0;
    MPI_Finalized(&ended);
    if (!ended) {
        MPI_Finalize();
    }
}

int ib_exchange_mpi_enter(ib_session *s, ib_error *err) {
    int begun = 0, ended = 0, level;
    if (!wanted(s->o)) {
        return IB_OK;
    }
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    if (ended) {
        return ib_fail(err, IB_E_UNSUPPORTED, "MPI has ended in this process and cannot be begun again");
    }
    mpi_run *x = calloc(1, sizeof *x);
    if (!x) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the ranks");
    }
    if (!begun) {
        MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
        atexit(end_mpi);
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &s->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &s->ranks);
    x->face.kind = &kind;
    s->exchange = &x->face;
    x->cards = calloc((size_t)s->ranks, sizeof *x->cards);
    if (!x->cards || s->ranks >= MOST_RANKS) {
        return ib_fail(err, IB_E_MEMORY, "%d ranks are too many", s->ranks);
    }
    return IB_OK;
}

static int allocate(mpi_run *x, const ib_session *s, ib_error *err) {
    size_t n = s->state.params, ranks = (size_t)s->ranks;
    x->slice = (n + ranks - 1) / ranks;
    if (ib_size_mul(x->slice, ranks, &x->padded)) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the exchange");
    }
    int rc = ib_alloc_floats(&x->anchor, x->padded, "the shared weights", err);
    rc = rc ? rc : ib_alloc_floats(&x->d, x->padded, "the exchange", err);
    rc = rc ? rc : ib_alloc_floats(&x->parts, x->padded, "the exchange", err);
    x->slices = calloc(ranks, sizeof *x->slices);
    x->weight = calloc(ranks, sizeof *x->weight);
    for (int i = 0; i < 2 && s->o->exchange_half; i++) {
        x->halves[i] = ib_calloc(x->padded, sizeof *x->halves[i]);
    }
    if (!rc && (!x->slices || !x->weight || (s->o->exchange_half && (!x->halves[0] || !x->halves[1])))) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the exchange");
    }
    return rc;
}

/* RUN/ranks/rank-NNNN-STEP.h5, owned; NULL when memory is out. */
static char *rank_file(const ib_session *s) {
    char *path;
    return asprintf(&path, "%s/ranks/rank-%04d-%012" PRId64 ".h5", s->o->run, s->rank, s->state.step) < 0
               ? NULL
               : path;
}

/* The moments of this rank's own optimiser, if it has been a rank of this run before; else those of rank 0
 * do, whose state all have read: sizes of gradients are much the same everywhere. false: it begins with rank
 * 0's. */
static bool own_moments(ib_session *s) {
    ib_state other = {0};
    char *path = rank_file(s);
    bool good = path && !ib_state_load(&other, path, NULL) && other.params == s->state.params &&
                other.moments == s->state.moments && other.step == s->state.step;
    for (int i = 0; good && i < other.moments; i++) {
        memcpy(s->state.moment[i], other.moment[i], other.params * sizeof(float));
    }
    ib_state_free(&other);
    free(path);
    return good;
}

static void set_alarms(mpi_run *x, const ib_session *s) {
    x->met_samples = s->state.samples;
    x->next_step = s->state.step + x->every;
}

static int open_run(ib_exchange *face, ib_session *s, ib_error *err) {
    mpi_run *x = (mpi_run *)face;
    const ib_train_options *o = s->o;
    ib_state *st = &s->state;
    int rc = ib_outer_choose(&x->outer, o, st, err);
    rc = rc ? rc : allocate(x, s, err);
    if (rc) {
        return rc;
    }
    x->every = o->sync_every > 0 ? o->sync_every : DEFAULT_EVERY;
    x->without_moments = o->resume && s->rank && !own_moments(s);
    memcpy(x->anchor, ib_adapter_params(s->adapter), st->params * sizeof(float));
    set_alarms(x, s);
    x->next_save = ib_session_seconds(s) + o->state_seconds;
    return IB_OK;
}

static int agree(ib_exchange *face, ib_session *s, int rc, ib_error *err) {
    mpi_run *x = (mpi_run *)face;
    int64_t without = 0;
    if (x->broken) {
        return rc;
    }
    card c = card_for(x->opened ? MEET : OPEN, rc, err);
    c.since = x->without_moments;
    c.step = s->state.step;
    memcpy(c.guide, s->state.config.guide, sizeof c.guide);
    int shown = show_exchange_mpi(s, &c, err);
    for (int i = 0; !shown && i < s->ranks; i++) {
        without += x->cards[i].since;
        if (x->cards[i].step != x->cards[0].step) {
            shown = ib_fail(
                err, IB_E_MISMATCH,
                "rank %d has read another state of %s than rank 0: is the folder the same on all nodes?", i,
                s->o->run);
        }
        if (!shown && !ib_guide_same_model(x->cards[i].guide, x->cards[0].guide)) {
            shown = ib_fail(err, IB_E_MISMATCH, "rank %d has guides of %s, rank 0 of %s", i,
                            ib_pixel_model_name(x->cards[i].guide).text,
                            ib_pixel_model_name(x->cards[0].guide).text);
        }
    }
    x->opened = true;
    if (!shown) {
        ib_session_say(
            s, "%d rank%s, exchange every %" PRId64 " steps, outer optimiser %s (rate %g, momentum %g)",
            s->ranks, s->ranks == 1 ? "" : "s", x->every, x->outer.name, x->outer.rate, x->outer.momentum);
    }
    if (!shown && without) {
        ib_session_say(s,
                       "%" PRId64
                       " of %d ranks were not in this run before and take the optimiser's moments of rank 0",
                       without, s->ranks);
    }
    return shown;
}

/* ---- meeting ---- */

/* The largest power of two that keeps x times it within half precision. */
static double half_scale(double largest) {
    return largest > 0 && isfinite(largest) ? ldexp(1, 14 - ilogb(largest)) : 1;
}

static void to_halves(const float *in, uint16_t *out, float *scratch, double scale, size_t n) {
    for (size_t i = 0; i < n; i++) {
        scratch[i] = (float)((double)in[i] * scale);
    }
    ib_f32_to_f16(scratch, out, n);
}

/* x->d: the own difference becomes the weighted mean of all. Every rank averages one slice of the parameters
 * and sends it round: twice P (K-1)/K numbers sent by each of K ranks, as a ring would, and the sum does not
 * depend on the ranks' order. */
static void mean_difference(mpi_run *x, const ib_session *s) {
    size_t ranks = (size_t)s->ranks, bytes = x->halves[0] ? 2 : 4;
    int slice = (int)x->slice;
    double least = INFINITY;
    for (size_t k = 0; k < ranks; k++) {
        double scale = half_scale(x->cards[k].largest);
        least = x->weight[k] > 0 ? fmin(least, scale) : least;
        x->slices[k] = x->parts + k * x->slice;
        x->weight[k] /= x->halves[0] ? scale : 1;
    }
    if (x->halves[0]) {
        to_halves(x->d, x->halves[0], x->parts, half_scale(x->cards[s->rank].largest), x->padded);
        MPI_Alltoall(x->halves[0], slice, MPI_UINT16_T, x->halves[1], slice, MPI_UINT16_T, MPI_COMM_WORLD);
        ib_f16_to_f32(x->halves[1], x->parts, x->padded);
    } else {
        MPI_Alltoall(x->d, slice, MPI_FLOAT, x->parts, slice, MPI_FLOAT, MPI_COMM_WORLD);
    }
    ib_average_weighted(x->slices, x->weight, ranks, x->parts, x->slice);
    if (x->halves[0]) {
        to_halves(x->parts, x->halves[0], x->d, least, x->slice);
        MPI_Allgather(x->halves[0], slice, MPI_UINT16_T, x->halves[1], slice, MPI_UINT16_T, MPI_COMM_WORLD);
        ib_f16_to_f32(x->halves[1], x->d, x->padded);
        for (size_t i = 0; i < x->padded; i++) {
            x->d[i] = (float)((double)x->d[i] / least);
        }
    } else {
        MPI_Allgather(x->parts, slice, MPI_FLOAT, x->d, slice, MPI_FLOAT, MPI_COMM_WORLD);
    }
    x->face.sent_bytes += (int64_t)(2 * (ranks - 1) * x->slice * bytes);
    x->face.taken_bytes += (int64_t)(2 * (ranks - 1) * x->slice * bytes);
}

/* By samples since the last meeting; 0 for who has none or is not finite. Returns the samples of all
 * together. */
static int64_t share_out(mpi_run *x, const ib_session *s) {
    int64_t all = 0;
    for (int i = 0; i < s->ranks; i++) {
        const card *c = &x->cards[i];
        all += c->since;
        x->weight[i] = c->finite ? (double)c->since : 0;
        if (!c->finite) {
            ib_session_say(s, "rank %d has weights that are not finite; it goes on from the others'", i);
        }
    }
    return all;
}

/* Counters go on as those of whoever came furthest: ranks differ only where one of them was stopped. */
static void catch_up(const mpi_run *x, ib_session *s) {
    ib_state *st = &s->state;
    for (int i = 0; i < s->ranks; i++) {
        const card *c = &x->cards[i];
        st->step = c->step > st->step ? c->step : st->step;
        st->samples = c->samples > st->samples ? c->samples : st->samples;
        st->updates = c->updates > st->updates ? c->updates : st->updates;
        st->others_samples += i == 0 ? 0 : c->since;
        s->over = s->over || c->done || c->stop;
        s->interrupted = s->interrupted || c->stop;
    }
}

static int save(ib_exchange *face, ib_session *s, ib_error *err);

static int meet(mpi_run *x, ib_session *s, bool last, ib_error *err) {
    ib_state *st = &s->state;
    const float *w = ib_adapter_params(s->adapter);
    size_t n = st->params;
    card c = card_for(MEET, 0, NULL);
    c.stop = s->o->stop && atomic_load(s->o->stop);
    c.done = last && !c.stop;
    c.save = !s->rank && ib_session_seconds(s) >= x->next_save;
    c.since = st->samples - x->met_samples;
    c.step = st->step;
    c.samples = st->samples;
    c.updates = st->updates;
    c.finite = ib_params_finite(w, n);
    memset(x->d + n, 0, (x->padded - n) * sizeof *x->d);
    for (size_t i = 0; i < n; i++) {
        x->d[i] = c.finite ? w[i] - x->anchor[i] : 0;
        c.largest = fmax(c.largest, fabs((double)x->d[i]));
    }
    int rc = show_exchange_mpi(s, &c, err);
    if (rc) {
        return rc;
    }
    int64_t all = share_out(x, s);
    bool as_it_is = s->ranks == 1 && !x->outer.momenta && x->outer.rate == 1;
    if (all && !ib_average_normalise(x->weight, (size_t)s->ranks)) {
        x->broken = true; /* all ranks see this */
        return ib_fail(err, IB_E_NONFINITE,
                       "step %" PRId64 ": the weights of all ranks are not finite; the state before is kept",
                       st->step);
    }
    if (all && !as_it_is) {
        mean_difference(x, s);
        ib_outer_step(&x->outer, x->anchor, x->d, st->outer, n);
        ib_exchange_take(s, x->anchor, false);
        x->face.rounds++;
    }
    catch_up(x, s);
    set_alarms(x, s);
    if (!x->cards[0].save || s->over) {
        return IB_OK; /* the last state comes with the end */
    }
    x->next_save = ib_session_seconds(s) + s->o->state_seconds;
    return save(&x->face, s, err);
}

static int after_step(ib_exchange *face, ib_session *s, ib_error *err) {
    mpi_run *x = (mpi_run *)face;
    return s->state.step >= x->next_step ? meet(x, s, false, err) : IB_OK;
}

static int begin_exchange_mpi(ib_exchange *face, ib_session *s, ib_error *err) {
    (void)face;
    (void)s;
    (void)err;
    return IB_OK;
}

static int end_exchange_mpi(ib_exchange *face, ib_session *s, bool whole, ib_error *err) {
    (void)whole;
    return s->over ? IB_OK : meet((mpi_run *)face, s, true, err);
}

/* ---- states ---- */

/* Files of ranks that belong to no state that is there. */
static void clear_old(const ib_session *s) {
    char *path = ib_join(s->o->run, "ranks"), now[32];
    DIR *d = path ? opendir(path) : NULL;
    const struct dirent *e;
    snprintf(now, sizeof now, "-%012" PRId64 ".h5", s->state.step);
    while (d && (e = readdir(d))) {
        size_t l = strlen(e->d_name);
        if (!strncmp(e->d_name, "rank-", 5) && l > strlen(now) && strcmp(e->d_name + l - strlen(now), now)) {
            unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d) {
        closedir(d);
    }
    free(path);
}

static int save_rank(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    char *path = rank_file(s), *dir = ib_join(s->o->run, "ranks");
    int rc = path && dir ? ib_mkdirs(dir, err)
                         : ib_fail(err, IB_E_MEMORY, "out of memory for the names in %s", s->o->run);
    memcpy(st->weights, ib_adapter_params(s->adapter), st->params * sizeof(float));
    rc = rc ? rc : ib_state_save(st, path, err);
    free(dir);
    free(path);
    return rc;
}

/* First every rank's own file, named after the step; when all are there, the shared state, which says what
 * step it is; then the old ones go. Whenever a rank is killed, a state and the files that belong to it are
 * there. */
static int save(ib_exchange *face, ib_session *s, ib_error *err) {
    (void)face;
    int rc = s->rank ? save_rank(s, err) : IB_OK;
    card c = card_for(SAVE, rc, err);
    if ((rc = show_exchange_mpi(s, &c, err))) {
        return rc;
    }
    rc = s->rank ? IB_OK : ib_session_save(s, err);
    c = card_for(SAVED, rc, err);
    if ((rc = show_exchange_mpi(s, &c, err))) {
        return rc;
    }
    clear_old(s);
    return IB_OK;
}

static void close_run(ib_exchange *face) {
    mpi_run *x = (mpi_run *)face;
    ib_free(x->anchor);
    ib_free(x->d);
    ib_free(x->parts);
    ib_free(x->halves[0]);
    ib_free(x->halves[1]);
    free((void *)x->slices);
    free(x->weight);
    free(x->cards);
    free(x);
}

static const ib_exchange_kind kind = {.open = open_run,
                                      .agree = agree,
                                      .begin = begin_exchange_mpi,
                                      .after_step = after_step,
                                      .end = end_exchange_mpi,
                                      .save = save,
                                      .close = close_run};

#endif
