#include "search/judge_loss.h"

#include <math.h>
#include <string.h>

#include "search/judge_case.h"

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* log(1 + exp(-x)) */
static double softplus(double x) {
    return x > 0 ? log1p(exp(-x)) : -x + log1p(exp(x));
}

/* Binary cross-entropy: the truth is real, all else is not; both sides count alike (Goodfellow et al. 2014,
 * arXiv:1406.2661, the discriminator's loss). */
static double real(const ib_judge_case *c, float by, float *dscore) {
    double loss = 0, others = 1 / (double)(c->rows - 1);
    for (size_t i = 0; i < c->rows; i++) {
        bool truth = i + 1 == c->rows;
        double weight = 0.5 * (truth ? 1 : others), x = (double)c->score[i];
        loss += weight * softplus(truth ? x : -x);
        dscore[i] += by * (float)(weight * (sigmoid(x) - truth));
    }
    return loss;
}

/* Of two the nearer one is to score higher: logistic loss over all pairs (Bradley and Terry 1952; Burges et
 * al. 2005, RankNet). */
static double rank(const ib_judge_case *c, float by, float *dscore) {
    double loss = 0, each = 2 / ((double)c->rows * (double)(c->rows - 1));
    for (size_t i = 0; i < c->rows; i++) {
        for (size_t k = 0; k < i; k++) {
            if (c->error[i] == c->error[k]) {
                continue;
            }
            size_t near = c->error[i] < c->error[k] ? i : k, far = near == i ? k : i;
            double x = (double)c->score[near] - (double)c->score[far];
            float d = by * (float)(each * (sigmoid(x) - 1));
            loss += each * softplus(x);
            dscore[near] += d;
            dscore[far] -= d;
        }
    }
    return loss;
}

/* The score is to be minus the logarithm of the error: squared loss, linear beyond 1 (Huber 1964). */
static double error(const ib_judge_case *c, float by, float *dscore) {
    double loss = 0, each = 1 / (double)c->rows;
    for (size_t i = 0; i < c->rows; i++) {
        double x = (double)c->score[i] + log((double)c->error[i] + 0.02);
        loss += each * (fabs(x) < 1 ? 0.5 * x * x : fabs(x) - 0.5);
        dscore[i] += by * (float)(each * fmax(-1, fmin(1, x)));
    }
    return loss;
}

double ib_judge_mean_error(const ib_judge_case *c, double temperature, double *w) {
    double most = (double)c->score[0], sum = 0, value = 0;
    for (size_t i = 1; i < c->candidates; i++) {
        double score = (double)c->score[i]; /* not fmax: gcc 12 breaks down over that on aarch64 */
        most = score > most ? score : most;
    }
    for (size_t i = 0; i < c->candidates; i++) {
        sum += w[i] = exp(((double)c->score[i] - most) / temperature);
    }
    for (size_t i = 0; i < c->candidates; i++) {
        w[i] /= sum;
    }
    for (size_t i = 0; i < c->candidates; i++) {
        for (size_t k = 0; k < c->candidates; k++) {
            value += w[i] * w[k] * (double)c->gram[i * c->candidates + k];
        }
    }
    return value;
}

/* The mean of all candidates, weighted by exp(score), is to be near the truth. */
static double mean(const ib_judge_case *c, float by, float *dscore) {
    double w[IB_JUDGE_CASE_MOST], loss = ib_judge_mean_error(c, 1, w);
    for (size_t i = 0; i < c->candidates; i++) {
        double along = 0;
        for (size_t k = 0; k < c->candidates; k++) {
            along += w[k] * (double)c->gram[i * c->candidates + k];
        }
        dscore[i] += by * (float)(2 * w[i] * (along - loss));
    }
    return loss;
}

/* Both of the last: a mean by a judge that can also tell near from far. */
static double both(const ib_judge_case *c, float by, float *dscore) {
    return mean(c, by, dscore) + rank(c, by, dscore);
}

const ib_judge_kind ib_judge_kinds[] = {
    {"both", "of two candidates the nearer one scores higher, and their weighted mean is near the truth",
     both},
    {"mean", "the weighted mean of the candidates is near the truth", mean},
    {"rank", "of two candidates the nearer one scores higher", rank},
    {"error", "the score is how near a candidate is", error},
    {"real", "the true frame is told apart from all else", real},
    {NULL, NULL, NULL},
};

const ib_judge_kind *ib_judge_kind_find(const char *name) {
    for (const ib_judge_kind *k = ib_judge_kinds; k->name; k++) {
        if (!strcmp(k->name, name)) {
            return k;
        }
    }
    return NULL;
}
