#include "latent/windows.h"

size_t ib_spread(size_t n, size_t most, size_t k) {
    return !most || n <= most ? k : most > 1 ? k * (n - 1) / (most - 1) : n / 2;
}

size_t ib_score_windows_in(const uint8_t *cuts, size_t n, int gap, int max_windows, size_t *firsts) {
    size_t span = (size_t)gap, count = 0, first = 0;
    while (gap > 0 && first + span < n) {
        size_t cut = 0;
        for (size_t k = span; k >= 1 && !cut; k--) {
            cut = cuts[first + k] ? first + k : 0;
        }
        if (cut) {
            first = cut;
        } else {
            firsts[count++] = first;
            first += span;
        }
    }
    if (max_windows > 0 && count > (size_t)max_windows) {
        size_t most = (size_t)max_windows;
        for (size_t k = 0; k < most; k++) {
            firsts[k] = firsts[ib_spread(count, most, k)];
        }
        count = most;
    }
    return count;
}

size_t ib_score_windows(const ib_latent_file *f, int gap, int max_windows, size_t *firsts) {
    return ib_score_windows_in(ib_latent_cuts(f), ib_latent_info_of(f)->frames, gap, max_windows, firsts);
}

float ib_score_place(const double *pts, int gap, int k) {
    float t = (float)((pts[k] - pts[0]) / (pts[gap] - pts[0]));
    return t > 0 && t < 1 ? t : (float)k / (float)gap;
}

float ib_score_seconds(const double *pts, int gap, double fps) {
    float span = (float)(pts[gap] - pts[0]);
    return span > 0 ? span : (float)((double)gap / fps);
}
