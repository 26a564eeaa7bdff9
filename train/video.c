/* Windows of one clip of the data set. */
#include <math.h>

#include "latent/windows.h"
#include "train/dataset.h"

size_t ib_video_starts(const ib_video *c, size_t shot, size_t gap) {
    size_t length = c->shot[shot + 1] - c->shot[shot];
    return length > gap ? length - gap : 0;
}

/* The k-th window of a gap. */
static size_t window_of(const ib_video *c, size_t gap, size_t k) {
    for (size_t i = 0; i < c->shots; i++) {
        size_t here = (c->shot[i + 1] - c->shot[i] - 1) / gap;
        if (k < here) {
            return c->shot[i] + k * gap;
        }
        k -= here;
    }
    return 0;
}

size_t ib_video_windows(const ib_video *c, int gap, size_t most, size_t *firsts) {
    size_t all = 0, n;
    for (size_t i = 0; i < c->shots; i++) {
        all += (c->shot[i + 1] - c->shot[i] - 1) / (size_t)gap;
    }
    n = all < most ? all : most;
    for (size_t k = 0; k < n; k++) {
        firsts[k] = window_of(c, (size_t)gap, ib_spread(all, most, k));
    }
    return n;
}

double ib_video_weight(const ib_video *c, size_t gap) {
    static const double half = 64;
    double sum = 0;
    for (size_t i = 0; i < c->shots; i++) {
        double n = (double)ib_video_starts(c, i, gap);
        sum += n / (n + half);
    }
    return sum > 1 ? sqrt(sum) : sum;
}
