#include "render/diffused_plan.h"

bool ib_plan_diffuses(int j, int frames, int every) {
    return every > frames - 2 ? j == (frames - 1) / 2 : j % every == 0;
}

float ib_plan_place(int j, int frames, bool ease) {
    float x = (float)j / (float)(frames - 1);
    return ease ? x * x * (3 - 2 * x) : x;
}

double ib_plan_strength(double middle, float t) {
    double s = 4 * (double)t * (1 - (double)t) * middle;
    return s < 1 ? s : 1;
}
