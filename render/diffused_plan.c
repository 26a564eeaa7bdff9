#include "render/diffused_plan.h"

#include <math.h>

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

static int near(double v, size_t factor) {
    double n = round(v / (double)factor);
    return (int)((n > 1 ? n : 1) * (double)factor);
}

void ib_plan_draft_size(int *width, int *height, size_t factor) {
    enum { SIDE = 256 };
    int longer = *width > *height ? *width : *height;
    if (longer > SIDE) {
        double scale = (double)SIDE / longer;
        *width = near(*width * scale, factor);
        *height = near(*height * scale, factor);
    }
}
