#include "train/schedule.h"
#include <math.h>

double ib_schedule_rate(const ib_schedule *s, int64_t step, double progress) {
    double p = progress > 0 ? fmin(progress, 1) : 0;
    double warm = step < s->warmup_steps ? (double)(step + 1) / (double)s->warmup_steps : 1;
    return s->peak * warm * (IB_SCHEDULE_REST + (1 - IB_SCHEDULE_REST) * 0.5 * (1 + cos(M_PI * p)));
}

double ib_ema_decay(double decay, int64_t updates) {
    return fmin(decay, (1.0 + (double)updates) / (10.0 + (double)updates));
}
