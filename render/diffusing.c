#include "render/diffusing.h"
int ib_diffusing_open(ib_diffusing **out, const ib_diffused_options *o, void (*step)(void *, double),
                      void *user, ib_error *err) {
    (void)step;
    (void)user;
    *out = NULL;
    return ib_fail(err, IB_E_UNSUPPORTED, "%s: stub", o->renderer);
}
void ib_diffusing_close(ib_diffusing **d) {
    *d = NULL;
}
const ib_diffusing_about *ib_diffusing_about_of(const ib_diffusing *d) {
    (void)d;
    return NULL;
}
int ib_diffusing_set_nothing(ib_diffusing *d, const float *n, ib_error *err) {
    (void)d;
    (void)n;
    (void)err;
    return 0;
}
int ib_diffusing_frames(ib_diffusing *d, const ib_diffusing_frame *f, size_t n, size_t rows, size_t cols,
                        float *p, ib_error *err) {
    (void)d;
    (void)f;
    (void)n;
    (void)rows;
    (void)cols;
    (void)p;
    (void)err;
    return 0;
}
