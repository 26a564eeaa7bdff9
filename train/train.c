/* The loop. */
#include "train/train.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "eval/score.h"
#include "train/exchange.h"
#include "train/review.h"
#include "train/session.h"

enum {
    MAX_SKIPPED = 20,
    VALIDATIONS = 8 /* of a run with a budget of steps */
};
static const double smoothing = 0.98, review_share = 0.03, strip_seconds = 60, reserve_share = 0.2;

static bool stopped_train(const ib_session *s) {
    return s->interrupted || (s->o->stop && atomic_load(s->o->stop));
}

/* Seconds at which a timed run stops learning, so that the last validation and files still fit in. */
static double deadline(const ib_session *s) {
    double checks = s->state.config.motion ? 3.5 : 1.5, /* strengths are fitted at the end */
        total = s->state.minutes_total * 60, reserve = checks * s->valid_cost + 1.5 * s->save_cost + 0.5;
    return total - fmin(reserve, reserve_share * total);
}

static double fraction_done(const ib_session *s, double seconds) {
    return s->state.steps_total ? (double)s->state.step / (double)s->state.steps_total
                                : seconds / deadline(s);
}

static double smooth_train(double old, double new, bool first) {
    return first ? new : smoothing *old + (1 - smoothing) * new;
}

/* The gradient is there: weights, mean and bookkeeping. */
static void update(ib_session *s, const ib_batch_result *b, double seconds) {
    ib_state *st = &s->state;
    const ib_run_plan *p = &st->plan;
    float *w = ib_adapter_params(s->adapter);
    bool first = st->updates == 0;
    ib_schedule schedule = {p->rate, p->warmup_steps};
    s->rate = ib_schedule_rate(&schedule, st->updates, fraction_done(s, seconds));
    st->updates++;
    ib_update u = {.rate = s->rate, .weight_decay = p->weight_decay, .scale = 1, .number = st->updates};
    if (p->clip_norm > 0 && b->norm > p->clip_norm) {
        u.scale = p->clip_norm / b->norm;
    }
    ib_optimiser_update(s->optimiser, &u, s->adapter, w, b->gradient, st->moment, s->threads,
                        s->optimiser_scratch);
    double decay = ib_ema_decay(p->ema_decay, st->updates);
    ib_ema_update(st->ema, w, st->params, decay, s->threads);
    s->mean_kept *= decay;
    ib_adapter_refresh_by(s->adapter, s->threads);
    s->grad_norm = b->norm;
    st->loss = smooth_train(st->loss, b->loss, first);
    st->err_model = smooth_train(st->err_model, b->err_model, first);
    st->err_slerp = smooth_train(st->err_slerp, b->err_slerp, first);
}

static int one_step(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    ib_batch_result b;
    size_t n = (size_t)st->plan.batch;
    double seconds = ib_session_seconds(s);
    int rc = ib_loader_take(s->loader, n, s->batch, err);
    if (rc) {
        return rc;
    }
    /* Where the truth is nearly all jitter, a target that happens to lie near slerp is no easier than others:
     * the error counts in parts of the mean of slerp's, not of its own (docs/experiments.md). */
    double unit = st->config.motion ? 0 : st->err_slerp;
    rc = ib_team_learn(s->team, s->batch, n, unit, &b, err);
    ib_loader_release(s->loader, n);
    if (rc) {
        return rc;
    }
    if (isfinite(b.loss) && isfinite(b.norm)) {
        update(s, &b, seconds);
        s->skipped_in_a_row = 0;
    } else {
        s->skipped++;
        if (++s->skipped_in_a_row >= MAX_SKIPPED) {
            return ib_fail(err, IB_E_NONFINITE,
                           "training broke down: %d gradients in a row up to step %" PRId64
                           " were not finite; the state before is kept, a lower learning rate may help",
                           MAX_SKIPPED, st->step + 1);
        }
        ib_session_say(s, "step %" PRId64 ": the gradient is not finite, step skipped", st->step + 1);
    }
    st->step++;
    st->samples += (int64_t)n;
    st->pool.fresh += *st->pool.name ? (int64_t)n : 0;
    return IB_OK;
}

static int strip(ib_session *s, ib_error *err) {
    char name[64];
    int rc = ib_mkdirs(s->dir.samples, err);
    if (rc) {
        return rc;
    }
    snprintf(name, sizeof name, "step-%06" PRId64 ".png", s->state.step);
    char *path = ib_join(s->dir.samples, name);
    if (!path) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the names of %s", s->dir.samples);
    }
    double start = ib_session_seconds(s);
    ib_session_use_mean(s);
    pthread_mutex_lock(&s->reading);
    rc = ib_review_strip(s->mean, s->data, s->valid_gap, path, err);
    pthread_mutex_unlock(&s->reading);
    free(path);
    double end = ib_session_seconds(s);
    s->next_strip = end + fmax(strip_seconds, (end - start) / review_share * 2);
    return rc;
}

static int log_line(ib_session *s, double seconds, ib_error *err) {
    const ib_state *st = &s->state;
    double span = seconds - s->logged_seconds;
    ib_log_line l = {.step = st->step,
                     .samples = st->samples,
                     .seconds = seconds,
                     .rate = s->rate,
                     .loss = st->updates ? st->loss : NAN,
                     .grad_norm = s->grad_norm,
                     .train_skill = ib_skill(st->err_model, st->err_slerp, 1),
                     .valid_skill = s->logged_skill,
                     .samples_per_second = span > 0 ? (double)(st->samples - s->logged_samples) / span : NAN};
    s->logged_samples = st->samples;
    s->logged_seconds = seconds;
    s->logged_skill = NAN;
    s->next_log = seconds + s->o->log_seconds;
    return ib_rundir_log(&s->dir, &l, err);
}

static void report_train(ib_session *s, double seconds) {
    const ib_state *st = &s->state;
    double here = seconds - s->before, speed = here > 0 ? (double)(st->step - s->first_step) / here : 0, left;
    ib_train_progress p = {.step = st->step, .steps = st->steps_total, .seconds = seconds, .loss = st->loss};
    if (st->steps_total) {
        left = speed > 0 ? (double)(st->steps_total - st->step) / speed : 0;
    } else {
        left = fmax(0, st->minutes_total * 60 - seconds);
        p.steps = st->step + (int64_t)(speed * fmax(0, deadline(s) - seconds));
    }
    p.seconds_left = left;
    p.valid_skill = s->valid_skill;
    p.samples_per_second = speed * (double)st->plan.batch * s->ranks;
    if (s->o->progress) {
        s->o->progress(s->o->user, &p);
    }
}

/* What is due after a step. */
static int look_after(ib_session *s, ib_error *err) {
    double seconds = ib_session_seconds(s);
    int rc = IB_OK;
    if (s->rank) {
        return IB_OK;
    }
    if (s->valid_every ? s->state.step % s->valid_every == 0 : seconds >= s->next_valid) {
        rc = ib_session_validate(s, err);
    }
    if (!rc && seconds >= s->next_strip) {
        rc = strip(s, err);
    }
    if (!rc && seconds >= s->next_log) {
        rc = log_line(s, seconds, err);
    }
    bool on_step = s->o->state_steps && s->state.step % s->o->state_steps == 0;
    if (!rc && (seconds >= s->next_state || on_step) && !ib_exchange_saves(s)) {
        rc = ib_session_save(s, err);
        s->next_state = ib_session_seconds(s) + s->o->state_seconds;
    }
    report_train(s, seconds);
    return rc;
}

static bool budget_left(const ib_session *s) {
    const ib_state *st = &s->state;
    if (s->over) {
        return false;
    }
    return st->steps_total ? st->step < st->steps_total : ib_session_seconds(s) < deadline(s);
}

static void set_alarms(ib_session *s) {
    double now = ib_session_seconds(s), total = s->state.minutes_total * 60;
    double soon = total > 0 ? fmin(s->o->valid_seconds, 0.1 * total) : s->o->valid_seconds;
    int64_t steps = s->state.steps_total;
    s->valid_every = steps ? (steps + VALIDATIONS - 1) / VALIDATIONS : 0;
    s->next_log = now + s->o->log_seconds;
    s->next_state = now + s->o->state_seconds;
    s->next_valid = now + soon;
    s->next_strip = now + strip_seconds / 2;
    s->logged_seconds = now;
}

/* The end of a run, or of what the stop flag leaves of it. */
static int finish_train(ib_session *s, ib_error *err) {
    int rc = ib_exchange_end(s, !stopped_train(s), err);
    bool whole = !stopped_train(s), first = !s->rank;
    if (!rc && whole && first) {
        rc = ib_session_validate(s, err);
        rc = rc ? rc : ib_session_conclude(s, err);
    }
    if (!rc && first) {
        rc = log_line(s, ib_session_seconds(s), err);
    }
    rc = rc ? rc : ib_exchange_save(s, err);
    if (!rc && whole && first) {
        rc = strip(s, err);
    }
    if (rc || whole) {
        return rc;
    }
    return ib_fail(err, IB_E_INTERRUPTED, "interrupted at step %" PRId64 "; the run can be resumed",
                   s->state.step);
}

static void fill_train(ib_train_result *result, const ib_session *s) {
    const ib_state *st = &s->state;
    double here = ib_session_seconds(s) - s->before;
    *result = (ib_train_result){.step = st->step,
                                .samples = st->samples + st->others_samples,
                                .rank = s->rank,
                                .ranks = s->ranks,
                                .skipped = s->skipped,
                                .seconds = ib_session_seconds(s),
                                .loss = st->updates ? st->loss : NAN,
                                .valid_skill = s->best_skill,
                                .parameters = st->params};
    result->samples_per_second = (double)((st->step - s->first_step) * st->plan.batch * s->ranks) / here;
    if (s->exchange) {
        result->exchanges = s->exchange->rounds;
        result->sent_bytes = s->exchange->sent_bytes;
        result->taken_bytes = s->exchange->taken_bytes;
    }
    if (s->data) {
        result->train_videos = ib_dataset_videos(s->data, false);
        result->valid_videos = ib_dataset_videos(s->data, true);
    }
}

int ib_train(const ib_train_options *o, ib_train_result *result, ib_error *err) {
    ib_session s;
    ib_error own = {0};
    err = err ? err : &own;
    int rc = ib_session_open(&s, o, err);
    if (!rc && s.finished) {
        ib_session_say(&s, "%s: complete: raise its budget to go on", o->run);
    } else if (!rc) {
        set_alarms(&s);
        /* a run that is killed in its first minute can be resumed too, and an unwritable directory is found
         * out now */
        rc = o->resume ? IB_OK : ib_exchange_save(&s, err);
        rc = rc ? rc : ib_exchange_begin(&s, err);
        while (!rc && !stopped_train(&s) && budget_left(&s) && !ib_session_lost_patience(&s)) {
            rc = one_step(&s, err);
            rc = rc ? rc : ib_exchange_after_step(&s, err);
            rc = rc ? rc : look_after(&s, err);
        }
        rc = rc ? rc : finish_train(&s, err);
        if (rc && rc != IB_E_INTERRUPTED) {
            rc = ib_exchange_agree(&s, rc, err); /* nobody is to wait for this process */
        }
    }
    if (result) {
        fill_train(result, &s);
    }
    ib_session_close(&s);
    return rc;
}
