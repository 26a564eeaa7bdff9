/* Validation decides: which weights are exported, how strongly their parts are followed, and when to stop. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "adapter/adapter_file.h"
#include "eval/score.h"
#include "train/review.h"
#include "train/session.h"
#include "train/trust.h"

static const double review_share = 0.03; /* of the time, at most */
static const double runs_away = 0.1;     /* training's skill above validation's */
enum { APART_AFTER = 3 };                /* validations without a better one */

/* With what is fitted to these weights. */
static int keep_best(ib_session *s, double score, const ib_strengths *strengths, ib_error *err) {
    ib_state *st = &s->state;
    if (st->best && !(score > st->best_score)) {
        st->since_best++;
        return IB_OK;
    }
    int rc = ib_state_alloc_best(st, err);
    if (rc) {
        return rc;
    }
    memcpy(st->best, st->ema, st->params * sizeof *st->best);
    st->best_score = score;
    st->best_step = st->step;
    st->since_best = 0;
    *st->strengths = 0;
    if (strengths) {
        ib_strengths_write(strengths, st->strengths);
    }
    s->best_skill = s->valid_skill;
    return IB_OK;
}

/* Said once. */
static void watch_apart(ib_session *s) {
    const ib_state *st = &s->state;
    double learned = ib_skill(st->err_model, st->err_slerp, 1);
    if (s->told_apart || !s->trial || st->since_best < APART_AFTER ||
        !(learned > s->valid_skill + runs_away)) {
        return;
    }
    s->told_apart = true;
    ib_session_say(
        s,
        "the skill on the %zu training videos (%.2f) runs away from that on validation (%.2f), which has "
        "been best at step %" PRId64
        ": more videos would help, longer training does not; the best weights are kept",
        ib_dataset_videos(s->data, false), learned, s->valid_skill, st->best_step);
}

static int on_trial(ib_session *s, double *score, ib_strengths *fitted, ib_error *err) {
    int rc = ib_trial_run(s->trial, s->mean, s->data, s->threads, err);
    if (!rc) {
        ib_trial_fit(s->trial, IB_HALF_FIT, fitted);
        *score = ib_trial_score(s->trial, IB_HALF_CHOOSE);
        s->valid_skill = ib_trial_skill(s->trial, IB_HALF_BOTH, fitted);
    }
    return rc;
}

int ib_session_validate(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    double start = ib_session_seconds(s), score = NAN, often = s->o->valid_seconds;
    ib_strengths fitted;
    int rc;
    if (!ib_dataset_videos(s->data, true)) {
        s->next_valid = INFINITY;
        return IB_OK;
    }
    if (st->valids && (int64_t)st->valid[st->valids - 1].step == st->step) {
        return IB_OK;
    }
    ib_session_use_mean(s);
    pthread_mutex_lock(&s->reading);
    if (s->trial) {
        rc = on_trial(s, &score, &fitted, err);
        often = st->minutes_total > 0 ? fmin(often, 3 * st->minutes_total) : often;
    } else {
        rc = ib_review_skill(s->mean, s->data, s->valid_gap, s->threads, &s->valid_skill, err);
        score = s->valid_skill;
    }
    pthread_mutex_unlock(&s->reading);
    double end = ib_session_seconds(s);
    s->valid_cost = end - start;
    s->next_valid = end + fmax(often, s->valid_cost / review_share);
    s->logged_skill = s->valid_skill;
    if (rc || !isfinite(score)) {
        return rc;
    }
    rc = keep_best(s, score, s->trial ? &fitted : NULL, err);
    watch_apart(s);
    return rc ? rc : ib_state_add_valid(st, &(ib_valid_point){(double)st->step, end, s->valid_skill}, err);
}

bool ib_session_lost_patience(const ib_session *s) {
    return s->o->patience && s->state.since_best >= s->o->patience;
}

/* A sentence for each gap: what is followed how far, and what that gains. */
static void tell_strengths(ib_session *s, const ib_strengths *fitted) {
    bool any = false;
    if (!ib_trial_by_videos(s->trial)) {
        ib_session_say(s, "fewer than 4 videos validate: strengths are fitted on their windows, each tried "
                          "with what the others give");
    }
    for (int k = 0; k < fitted->bins; k++) {
        double g = (double)fitted->value[IB_STRENGTH_GUIDE][k],
               f = (double)fitted->value[IB_STRENGTH_GUIDED][k],
               alone = (double)fitted->value[IB_STRENGTH_ALONE][k], seconds = (double)fitted->gap_seconds[k],
               with = ib_trial_skill_at(s->trial, IB_HALF_BOTH, fitted, k, true),
               without = ib_trial_skill_at(s->trial, IB_HALF_BOTH, fitted, k, false);
        any |= g > 0 || f > 0 || alone > 0;
        if (isnan(with) && alone > 0) {
            ib_session_say(s, "gaps of %.2f s: correction %.2f, skill %+.3f", seconds, alone, without);
        } else if (isnan(with) || !(g > 0 || f > 0 || alone > 0)) {
            ib_session_say(s, "gaps of %.2f s: no certain gain over slerp, left alone", seconds);
        } else {
            ib_session_say(
                s,
                "gaps of %.2f s: guide %.2f, correction %.2f, skill %+.3f; without a guide correction "
                "%.2f, skill %+.3f",
                seconds, g, f, with, alone, without);
        }
    }
    if (!any) {
        ib_session_say(s, "nothing beats slerp on the validation videos: the adapter is slerp");
    }
}

int ib_session_conclude(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    ib_strengths fitted;
    int rc = IB_OK;
    if (!ib_dataset_videos(s->data, true) || !st->best) {
        return IB_OK;
    }
    ib_session_use_best(s);
    pthread_mutex_lock(&s->reading);
    if (s->trial) { /* the trial's products are those of the last weights, not of the best */
        rc = ib_trial_run(s->trial, s->mean, s->data, s->threads, err);
        ib_trial_fit(s->trial, IB_HALF_FIT, &fitted);
    } else {
        rc = ib_trust_fit(s->mean, s->data, (int)st->plan.gap_min, (int)st->plan.gap_max, s->threads, &fitted,
                          err);
    }
    pthread_mutex_unlock(&s->reading);
    if (rc) {
        return rc;
    }
    if (s->trial) {
        tell_strengths(s, &fitted);
    }
    *st->strengths = 0;
    if (fitted.bins) {
        ib_strengths_write(&fitted, st->strengths);
    }
    if (ib_session_lost_patience(s)) {
        ib_session_say(
            s, "no better on validation for %d times: ended at step %" PRId64 ", best at step %" PRId64,
            s->o->patience, st->step, st->best_step);
    }
    return IB_OK;
}
