/* The U-Net beside the independent implementation: every family's output, and for Stable Diffusion 1 what its
 * parts give on the way. A batch is its frames alone, and two threads are one, bit for bit. */
#include "diffusion/unet.h"
#include "tests/diffusion_fixture.h"

typedef struct fixture {
    ib_weights *w, *ip;
    ib_st *expected;
    ib_unet_config c;
    ib_unet *u;
} fixture;

static void fixture_close(fixture *f) {
    ib_unet_close(&f->u);
    ib_weights_close(&f->w);
    ib_weights_close(&f->ip);
    ib_st_close(&f->expected);
}

/* unet: the folder with weights; expected: that with inputs and outputs; ip: of an IP-Adapter's file or NULL.
 */
static bool fixture_open(fixture *f, const char *unet, const char *expected, const char *ip, int shared) {
    char path[1024], file[1200];
    ib_error err = {0};
    *f = (fixture){0};
    if (!fixture_folder(path, sizeof path, unet, shared)) {
        return false;
    }
    CHECK_OK(ib_weights_open(&f->w, path, "unet", &err), &err);
    CHECK_OK(ib_unet_config_read(&f->c, f->w, &err), &err);
    fixture_folder(path, sizeof path, expected, shared);
    snprintf(file, sizeof file, "%s/expected.safetensors", path);
    CHECK_OK(ib_st_open(&f->expected, file, &err), &err);
    if (ip) {
        snprintf(file, sizeof file, "%s/%s", path, ip);
        CHECK_OK(ib_weights_open(&f->ip, file, "ip_adapter", &err), &err);
    }
    CHECK_OK(ib_unet_open(&f->u, f->w, &f->c, f->ip, NULL, &err), &err);
    if (!f->u || !f->expected) {
        fixture_close(f);
        return false;
    }
    return true;
}

/* An input, or NULL where the fixture has none. */
static float *input(const fixture *f, const char *name, int last, size_t *n) {
    *n = 0;
    return ib_st_find(f->expected, name) ? fixture_tensor(f->expected, name, last, n) : NULL;
}

typedef struct inputs {
    ib_unet_input in;
    float *latents, *t, *context, *ip, *added, *guidance, *out, *want;
    size_t n, n_out;
} inputs;

static void inputs_free(inputs *i) {
    float *const all[] = {i->latents, i->t, i->context, i->ip, i->added, i->guidance, i->out, i->want};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) {
        ib_free(all[j]);
    }
}

/* SDXL's: the pooled text and the sinusoids of six numbers. */
static float *text_and_sizes(const fixture *f, size_t batch) {
    size_t n, m, each = f->c.extra_time_width;
    float *text = input(f, "text_embeds", 0, &n), *ids = input(f, "time_ids", 0, &m);
    float *added = ib_calloc(batch * f->c.extra_width, sizeof *added);
    for (size_t b = 0; b < batch; b++) {
        memcpy(added + b * f->c.extra_width, text + b * (n / batch), n / batch * sizeof *added);
        for (size_t i = 0; i < 6; i++) {
            ib_sinusoid((double)ids[b * 6 + i], each, true, 0,
                        added + b * f->c.extra_width + n / batch + i * each);
        }
    }
    ib_free(text);
    ib_free(ids);
    return added;
}

static void inputs_read(inputs *i, const fixture *f, const char *sample, const char *out) {
    const ib_st_tensor *s = ib_st_find(f->expected, sample);
    size_t n;
    *i = (inputs){0};
    i->latents = input(f, sample, 1, &i->n);
    i->want = input(f, out, 1, &i->n_out);
    i->in.batch = (size_t)s->shape[0];
    i->in.rows = (size_t)s->shape[2];
    i->in.cols = (size_t)s->shape[3];
    i->in.latents = i->latents;
    const ib_st_tensor *t = ib_st_find(f->expected, "timestep");
    i->t = ib_calloc(i->in.batch, sizeof *i->t);
    for (size_t b = 0; b < i->in.batch; b++) {
        int64_t v;
        memcpy(&v, (const char *)t->data + 8 * b, 8);
        i->t[b] = (float)v;
    }
    i->in.t = i->t;
    i->in.context = i->context = input(f, "context", 0, &n);
    i->in.tokens = i->context ? (size_t)ib_st_find(f->expected, "context")->shape[1] : 0;
    i->added = input(f, f->c.extra == IB_UNET_CLASS ? "class_labels" : "image_embeds", 0, &n);
    if (f->c.extra == IB_UNET_TEXT_TIME) {
        i->added = text_and_sizes(f, i->in.batch);
    }
    i->in.added = i->added;
    i->in.guidance = i->guidance = input(f, "timestep_cond", 0, &n);
    i->ip = input(f, "tokens", 0, &n);
    i->in.ip = i->ip;
    i->in.ip_tokens = i->ip ? n / i->in.batch / f->c.context : 0;
    i->in.ip_scale = 1;
    i->out = ib_calloc(i->n_out, sizeof *i->out);
}

typedef struct watching {
    const fixture *f;
    int seen;
} watching;

static void watch(void *context, const char *name, const float *x, size_t batch, size_t pixels,
                  size_t channels) {
    watching *w = context;
    char full[160];
    size_t n = 0;
    snprintf(full, sizeof full, "act.%s", name);
    if (!ib_st_find(w->f->expected, full)) {
        return;
    }
    float *want = fixture_tensor(w->f->expected, full, 1, &n);
    CHECK_INT(batch * pixels * channels, n);
    double d = fixture_difference(x, want, n);
    printf("    %s: %.2e\n", full, d);
    CHECK_NEAR(d, 0, 1e-5);
    ib_free(want);
    w->seen++;
}

/* Each frame alone, on another number of threads, must give the batch's bits. */
static void check_alone(const fixture *f, const inputs *i) {
    size_t frame = i->n / i->in.batch, frame_out = i->n_out / i->in.batch;
    float *out = ib_calloc(frame_out, sizeof *out);
    ib_error err = {0};
    for (size_t b = 0; b < i->in.batch; b++) {
        ib_unet_input one = i->in;
        one.batch = 1;
        one.latents += b * frame;
        one.t += b;
        one.context = one.context ? one.context + b * one.tokens * f->c.context : NULL;
        one.ip = one.ip ? one.ip + b * one.ip_tokens * f->c.context : NULL;
        one.added = one.added ? one.added + b * f->c.extra_width : NULL;
        one.guidance = one.guidance ? one.guidance + b * f->c.guidance_width : NULL;
        CHECK_OK(ib_unet_run(f->u, &one, out, 2, &err), &err);
        CHECK_INT(memcmp(out, i->out + b * frame_out, frame_out * sizeof *out), 0);
    }
    ib_free(out);
}

static void test_family(const char *name, int shared) {
    fixture f;
    inputs i;
    ib_error err = {0};
    if (!fixture_open(&f, name, name, NULL, shared)) {
        return;
    }
    inputs_read(&i, &f, "sample", "out");
    CHECK_OK(ib_unet_run(f.u, &i.in, i.out, 1, &err), &err);
    CHECK_FIXTURE(i.out, i.want, i.n_out, 1e-5);
    check_alone(&f, &i);
    inputs_free(&i);
    fixture_close(&f);
}

static void test_parts(const char *name, int shared, int parts) {
    fixture f;
    inputs i;
    ib_error err = {0};
    if (!fixture_open(&f, name, name, NULL, shared)) {
        return;
    }
    watching w = {.f = &f};
    inputs_read(&i, &f, "sample", "out");
    ib_unet_set_watch(f.u, watch, &w);
    CHECK_OK(ib_unet_run(f.u, &i.in, i.out, 1, &err), &err);
    CHECK_INT(w.seen, parts);
    inputs_free(&i);
    ib_unet_set_watch(f.u, NULL, NULL);
    if (!shared) { /* whose only picture is odd */
        fixture_close(&f);
        return;
    }
    inputs_read(&i, &f, "odd_sample", "odd_out");
    i.t[0] = 500; /* which the file does not say */
    CHECK_OK(ib_unet_run(f.u, &i.in, i.out, 1, &err), &err);
    CHECK_FIXTURE(i.out, i.want, i.n_out, 1e-5);
    inputs_free(&i);
    fixture_close(&f);
}

static void test_ip(const char *name, int shared) {
    static const char *const outs[] = {"out_0.0", "out_0.5", "out_1.0"};
    for (int k = 0; k < 3; k++) {
        fixture f;
        inputs i;
        ib_error err = {0};
        if (!fixture_open(&f, "ip-unet", name, "ip-adapter.safetensors", shared)) {
            return;
        }
        inputs_read(&i, &f, "sample", outs[k]);
        i.in.added = NULL; /* image_embeds is the adapter's, here */
        i.in.ip_scale = 0.5f * (float)k;
        CHECK_OK(ib_unet_run(f.u, &i.in, i.out, 1, &err), &err);
        CHECK_FIXTURE(i.out, i.want, i.n_out, 1e-5);
        check_alone(&f, &i);
        inputs_free(&i);
        fixture_close(&f);
    }
}

/* What a caller may forget. */
static void test_refusals(void) {
    fixture f;
    inputs i;
    ib_error err = {0};
    if (!fixture_open(&f, "unet-unclip", "unet-unclip", NULL, 0)) {
        return;
    }
    inputs_read(&i, &f, "sample", "out");
    ib_unet_input in = i.in;
    in.context = NULL;
    CHECK_ERROR(ib_unet_run(f.u, &in, i.out, 1, &err), &err, IB_E_ARGUMENT, "text's tokens");
    in = i.in;
    in.added = NULL;
    CHECK_ERROR(ib_unet_run(f.u, &in, i.out, 1, &err), &err, IB_E_ARGUMENT, "an embedding beside the text");
    in = i.in;
    in.guidance = i.latents;
    CHECK_ERROR(ib_unet_run(f.u, &in, i.out, 1, &err), &err, IB_E_ARGUMENT, "guidance");
    in = i.in;
    in.ip = i.latents;
    in.ip_tokens = 1;
    CHECK_ERROR(ib_unet_run(f.u, &in, i.out, 1, &err), &err, IB_E_ARGUMENT, "without an IP-Adapter");
    in = i.in;
    in.batch = (size_t)1 << 62;
    CHECK_ERROR(ib_unet_run(f.u, &in, i.out, 1, &err), &err, IB_E_ARGUMENT, "out of range");
    ib_unet *u;
    ib_unet_config c = f.c;
    c.heads[0] = 3;
    CHECK_ERROR(ib_unet_open(&u, f.w, &c, NULL, NULL, &err), &err, IB_E_FORMAT,
                "cannot be divided among 3 heads");
    CHECK(u == NULL);
    c = f.c;
    c.groups = 3;
    CHECK_ERROR(ib_unet_open(&u, f.w, &c, NULL, NULL, &err), &err, IB_E_FORMAT, "no multiple of 3 groups");
    inputs_free(&i);
    fixture_close(&f);
}

static bool touches(void *context, const char *name) {
    return !strcmp(context, name);
}

static void add_one(void *context, const char *name, float *w, size_t n, size_t k) {
    CHECK(!strcmp(context, name));
    for (size_t i = 0; i < n * k; i++) {
        w[i] += 1;
    }
}

/* A matrix that is changed on the way: the last one, whose effect is easily told. */
static void test_patch(void) {
    fixture f;
    inputs i;
    ib_error err = {0};
    char name[] = "conv_out.weight";
    ib_unet_patch patch = {.touches = touches, .apply = add_one, .context = name};
    if (!fixture_open(&f, "unet-sd15", "unet-sd15", NULL, 0)) {
        return;
    }
    inputs_read(&i, &f, "sample", "out");
    CHECK_OK(ib_unet_run(f.u, &i.in, i.out, 1, &err), &err);
    ib_unet_close(&f.u);
    CHECK_OK(ib_unet_open(&f.u, f.w, &f.c, NULL, &patch, &err), &err);
    CHECK_OK(ib_unet_run(f.u, &i.in, i.want, 1, &err), &err);
    /* the same is added to every channel of a pixel */
    double most = 0, sum = 0;
    for (size_t p = 0; p < i.n_out; p += 4) {
        for (size_t c = 1; c < 4; c++) {
            most = fmax(most, fabs((double)(i.want[p + c] - i.out[p + c]) - (double)(i.want[p] - i.out[p])));
        }
        sum += fabs((double)(i.want[p] - i.out[p]));
    }
    CHECK(sum > 1);
    CHECK_NEAR(most, 0, 2e-4);
    inputs_free(&i);
    fixture_close(&f);
}

int main(void) {
    RUN(test_parts("unet-sd15", 0, 8));
    RUN(test_family("unet-sd15", 0));
    RUN(test_family("unet-lcm", 0));
    RUN(test_family("unet-unclip", 0));
    RUN(test_family("unet-sdxl", 0));
    RUN(test_family("unet-kandinsky", 0));
    RUN(test_refusals());
    RUN(test_patch());
    RUN(test_parts("sd15-unet", 1, 15));
    RUN(test_family("sd15-unet", 1));
    RUN(test_family("lcm-unet", 1));
    RUN(test_ip("ip-base", 1));
    RUN(test_ip("ip-plus", 1));
    RUN(test_family("unclip-unet", 1));
    RUN(test_family("sdxl-unet", 1));
    RUN(test_family("kandinsky-unet", 1));
    return check_report("test_diffusion_unet");
}
