/* What runs begin with and what they keep: another adapter's weights, and states of earlier steps. */
#include <unistd.h>
#include "adapter/adapter.h"
#include "weights/parents.h"
#include "tests/moving.h"
#include "train/states.h"
#include "train/train.h"

static char *dir;
static ib_paths latents;

static char *in_dir(const char *name) {
    char *p = ib_join(dir, name);
    if (!p) {
        exit(1);
    }
    return p;
}

static ib_train_options options_for(const char *run, int64_t steps) {
    ib_train_options o;
    ib_train_defaults(&o);
    o.latents = &latents;
    o.run = run;
    o.batch = 4;
    o.gap_min = 2;
    o.gap_max = 6;
    o.steps = steps;
    o.threads = 2;
    return o;
}

static void make_latents(void) {
    ib_error err = {0};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.h5", i);
        char *p = in_dir(name);
        CHECK_OK(moving_write(p, &(moving){4, 6, 30, 1.5 - i, 1 + i, NULL, false, name, NULL}, &err), &err);
        CHECK_OK(ib_paths_add(&latents, p, &err), &err);
        free(p);
    }
}

static void copy(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char buf[4096];
    size_t n;
    while ((n = fread(buf, 1, sizeof buf, in)) > 0) {
        fwrite(buf, 1, n, out);
    }
    fclose(in);
    CHECK(!fclose(out));
}

static bool same_learning(const char *a, const char *b) {
    ib_state s = {0}, t = {0};
    ib_error err = {0};
    bool same = !ib_state_load(&s, a, &err) && !ib_state_load(&t, b, &err) && s.step == t.step &&
                s.samples == t.samples && !memcmp(s.weights, t.weights, s.params * sizeof(float)) &&
                !memcmp(s.ema, t.ema, s.params * sizeof(float)) &&
                !memcmp(s.moment[1], t.moment[1], s.params * sizeof(float));
    if (!same) {
        printf("%s and %s differ: %s\n", a, b, err.text);
    }
    ib_state_free(&s);
    ib_state_free(&t);
    return same;
}

/* RUN/state.h5, owned by the caller */
static char *state_of(const char *run) {
    return ib_join(run, "state.h5");
}

static void test_kept(const char *run) {
    char *states = ib_join(run, "states"), *state = state_of(run), *whole = in_dir("whole.h5");
    ib_paths l = {0};
    ib_error err = {0};
    CHECK_OK(ib_states_list(&l, states, &err), &err);
    CHECK_INT(l.n, 0); /* no such directory yet */
    ib_train_options o = options_for(run, 8);
    o.preset = "toaster";
    o.state_steps = 2;
    o.keep_states = 3;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK_OK(ib_states_list(&l, states, &err), &err);
    CHECK_INT(l.n, 3);
    CHECK(l.n == 3 && !strcmp(ib_basename(l.v[0]), "step-0000000004.h5") &&
          !strcmp(ib_basename(l.v[2]), "step-0000000008.h5"));
    CHECK(same_learning(l.v[2], state));

    /* from an earlier one the run goes the same way again; what was kept of the other end goes */
    copy(state, whole);
    copy(l.v[0], state);
    o = options_for(run, 8);
    o.resume = true;
    o.state_steps = 3;
    o.keep_states = 9;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK(same_learning(whole, state));
    ib_paths_free(&l);
    CHECK_OK(ib_states_list(&l, states, &err), &err);
    CHECK(l.n == 3 && !strcmp(ib_basename(l.v[0]), "step-0000000004.h5") &&
          !strcmp(ib_basename(l.v[1]), "step-0000000006.h5"));
    ib_paths_free(&l);
    free(states);
    free(state);
    free(whole);
}

static void test_init(const char *adapter) {
    char *run = in_dir("begun"), *parts = in_dir("parts"), *state = state_of(run), *other = state_of(parts);
    char *path = ib_join(run, "adapter.safetensors"), *parent = in_dir("parent.safetensors"), sha[65],
         *distilled = ib_join(parts, "adapter.safetensors");
    static const char judge[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    ib_error err = {0};
    ib_adapter *a = NULL;
    ib_state s;
    ib_st *f = NULL;
    copy(adapter, parent);
    CHECK_OK(ib_sha256_file(parent, sha, &err), &err);
    CHECK_OK(ib_adapter_open(&a, parent, &err), &err);

    ib_train_options o = options_for(run, 1);
    o.init = parent;
    o.lr = 1e-12; /* hardly moves */
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK_OK(ib_state_load(&s, state, &err), &err);
    double most = 0;
    for (size_t i = 0; a && i < s.params; i++) {
        most = fmax(most, fabs((double)s.ema[i] - (double)ib_adapter_params(a)[i]));
    }
    CHECK_INT(s.params, ib_adapter_param_count(a));
    CHECK_NEAR(most, 0, 1e-9);
    CHECK(!strcmp(s.plan.preset, "toaster")); /* the preset of that architecture */
    CHECK(!strcmp(s.plan.init, sha) && !strcmp(s.plan.init_name, "parent.safetensors"));
    CHECK_OK(ib_st_open(&f, path, &err), &err);
    const char *parents = f ? ib_st_metadata(f, IB_PARENTS_KEY) : NULL;
    CHECK(parents && strstr(parents, sha) && strstr(parents, "\"role\":\"init\"") &&
          strstr(parents, "parent.safetensors"));
    ib_st_close(&f);
    ib_state_free(&s);
    ib_adapter_free(&a);

    /* going on does not need the file, and remembers it */
    unlink(state);
    o = options_for(run, 6);
    o.init = parent;
    o.preset = "toaster";
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_ARGUMENT, "would be replaced by the new run");
    o.overwrite = true;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    o.run = parts;
    o.steps = 3;
    o.judge = judge;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    unlink(parent);
    o = options_for(parts, 6);
    o.resume = true;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK_OK(ib_state_load(&s, other, &err), &err);
    CHECK(!strcmp(s.plan.init, sha) && !strcmp(s.plan.judge, judge));
    ib_state_free(&s);
    CHECK_OK(ib_st_open(&f, distilled, &err), &err);
    const char *named = f ? ib_st_metadata(f, "train.judge") : NULL;
    CHECK(named && !strcmp(named, judge));
    ib_st_close(&f);
    o.init = adapter;
    CHECK_OK(ib_train(&o, NULL, &err), &err); /* the same bytes under another name */
    o.init = state;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_MISMATCH, "cannot be resumed with another --init");
    free(run);
    free(parts);
    free(state);
    free(other);
    free(path);
    free(distilled);
    free(parent);
}

static void test_refusals(const char *adapter) {
    char *run = in_dir("refused"), *foreign = in_dir("foreign.safetensors");
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_train_options o = options_for(run, 1);
    o.init = adapter;
    o.preset = "large";
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_MISMATCH,
                "another architecture than the preset 'large'");
    o.preset = NULL;
    o.init = run;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_IO, "refused");
    o.init = latents.v[0];
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_FORMAT, latents.v[0]);
    CHECK_OK(ib_adapter_preset("toaster", "hatch:1", IB_LAYOUT_GRID, 96, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_save(a, foreign, NULL, 0, &err), &err);
    o.init = foreign;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_MISMATCH, "hatch:1");
    CHECK(strstr(err.text, foreign) && strstr(err.text, MOVING_SPACE));
    o.keep_states = -1;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_ARGUMENT, "states");
    CHECK(!ib_is_dir(run));
    ib_adapter_free(&a);
    free(run);
    free(foreign);
}

int main(void) {
    dir = scratch_begin("begin");
    make_latents();
    char *run = in_dir("run"), *adapter = ib_join(run, "adapter.safetensors");
    RUN(test_kept(run));
    RUN(test_init(adapter));
    RUN(test_refusals(adapter));
    free(run);
    free(adapter);
    ib_paths_free(&latents);
    scratch_end(dir);
    return check_report("test_train_begin");
}
