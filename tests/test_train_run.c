/* Whole runs on small latent files: they learn, they repeat to the bit, and what stops them costs nothing but
 * time. */
#include <dirent.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <fcntl.h>
#include "adapter/adapter.h"
#include "base/clock.h"
#include "tests/moving.h"
#include "tests/walks.h"
#include "train/optimiser.h"
#include "train/state.h"
#include "train/train.h"

static char *dir;
static ib_paths latents;

/* What a run's callbacks see and do. */
typedef struct watch {
    atomic_int stop;
    int64_t stop_at; /* step; 0: never */
    int64_t steps, last;
    char said[4096];
} watch;

static void on_progress(void *user, const ib_train_progress *p) {
    watch *w = user;
    w->steps++;
    w->last = p->step;
    if (w->stop_at && p->step >= w->stop_at) {
        atomic_store(&w->stop, 1);
    }
}

static void on_message(void *user, const char *sentence) {
    watch *w = user;
    size_t n = strlen(w->said);
    snprintf(w->said + n, sizeof w->said - n, "%s\n", sentence);
}

static ib_train_options options_for(const char *run, watch *w) {
    ib_train_options o;
    ib_train_defaults(&o);
    memset(w, 0, sizeof *w);
    o.latents = &latents;
    o.run = run;
    o.preset = "toaster";
    o.batch = 4;
    o.gap_min = 2;
    o.gap_max = 6;
    o.steps = 12;
    o.threads = 2;
    o.valid_seconds = 1000;
    o.stop = &w->stop;
    o.progress = on_progress;
    o.message = on_message;
    o.user = w;
    return o;
}

static char *in_dir(const char *name) {
    char *p = ib_join(dir, name);
    if (!p) {
        exit(1);
    }
    return p;
}

static void add_latents(const char *name, const moving *m) {
    ib_error err = {0};
    char *p = in_dir(name);
    CHECK_OK(moving_write(p, m, &err), &err);
    CHECK_OK(ib_paths_add(&latents, p, &err), &err);
    free(p);
}

static void make_latents(void) {
    add_latents("a.h5", &(moving){4, 6, 40, 1.5, 1, NULL, false, "a.mp4", NULL});
    add_latents("b.h5", &(moving){4, 6, 30, -1, 2, "000000000000100000000000000000", true, "b.mp4", NULL});
    add_latents("c.h5", &(moving){6, 4, 40, 2, 3, NULL, false, "c.mp4", NULL}); /* portrait */
    add_latents("d.h5", &(moving){4, 6, 40, 2.5, 4, NULL, false, "d.mp4", NULL});
}

static bool same_files(const char *a, const char *b, const char *name) {
    char x[65], y[65], *p = ib_join(a, name), *q = ib_join(b, name);
    ib_error err = {0};
    bool same = !ib_sha256_file(p, x, &err) && !ib_sha256_file(q, y, &err) && !strcmp(x, y);
    if (!same) {
        printf("%s and %s differ %s\n", p, q, err.text);
    }
    free(p);
    free(q);
    return same;
}

/* All that learning has made: weights, means, moments, counters. */
static bool same_states(const char *a, const char *b) {
    char *p = ib_join(a, "state.h5"), *q = ib_join(b, "state.h5");
    ib_state s, t;
    ib_error err = {0};
    bool same = !ib_state_load(&s, p, &err) && !ib_state_load(&t, q, &err);
    size_t n = s.params * sizeof(float);
    same = same && s.params == t.params && s.step == t.step && s.updates == t.updates &&
           s.samples == t.samples && s.loss == t.loss && !memcmp(s.weights, t.weights, n) &&
           !memcmp(s.ema, t.ema, n) && !memcmp(s.moment[0], t.moment[0], n) &&
           !memcmp(s.moment[1], t.moment[1], n);
    ib_state_free(&s);
    ib_state_free(&t);
    free(p);
    free(q);
    return same;
}

static size_t count_lines(const char *run, int64_t *last_step) {
    char *p = ib_join(run, "log.csv"), line[512];
    FILE *f = fopen(p, "r");
    size_t n = 0;
    int64_t before = -1;
    while (f && fgets(line, sizeof line, f)) {
        n++;
        if (n > 1) {
            CHECK(atoll(line) > before);
            before = atoll(line);
        }
    }
    *last_step = before;
    if (f) {
        fclose(f);
    }
    free(p);
    return n;
}

static size_t leftovers(const char *run) {
    size_t n = 0;
    DIR *d = opendir(run);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        n += strstr(e->d_name, ".tmp") != NULL;
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void test_same_bits(const char *whole) {
    char *other = in_dir("other");
    ib_error err = {0};
    ib_train_result r;
    watch w;
    ib_train_options o = options_for(whole, &w);
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK_INT(r.step, 12);
    CHECK_INT(r.samples, 48);
    CHECK_INT(r.train_videos, 3);
    CHECK_INT(r.valid_videos, 1);
    CHECK_INT(w.steps, 12);
    CHECK(isfinite(r.valid_skill) && isfinite(r.loss));
    CHECK(strstr(w.said, "3 videos to train on, 1 to validate on") != NULL);
    o = options_for(other, &w);
    o.state_seconds = 0.01; /* looking after the run changes nothing about it */
    o.valid_seconds = o.log_seconds = 0.01;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK(same_states(whole, other) && same_files(whole, other, "adapter.safetensors"));

    char *p = ib_join(whole, "adapter.safetensors");
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_open(&a, p, &err), &err);
    ib_adapter_free(&a);
    ib_st *st = NULL;
    CHECK_OK(ib_st_open(&st, p, &err), &err);
    CHECK(st && !strcmp(ib_st_metadata(st, "train.steps"), "12") &&
          !strcmp(ib_st_metadata(st, "modelspec.sai_model_spec"), "1.0.0"));
    ib_st_close(&st);
    free(p);
    p = ib_join(whole, "samples/step-000012.png");
    CHECK(ib_is_file(p));
    free(p);
    CHECK_INT(leftovers(whole), 0);
    free(other);
}

static void test_resume(const char *whole) {
    char *run = in_dir("halves");
    ib_error err = {0};
    ib_train_result r;
    watch w;
    int64_t last;
    ib_train_options o = options_for(run, &w);
    w.stop_at = 5;
    CHECK_ERROR(ib_train(&o, &r, &err), &err, IB_E_INTERRUPTED, "step 5");
    CHECK_INT(r.step, 5);
    char *log = ib_join(run, "log.csv");
    FILE *f = fopen(log, "a");
    fputs("9,1.0,36,0.001,0.5,1,0.1,,10\n10,1.0,40,0.0", f); /* of a session whose end was lost */
    fclose(f);
    free(log);

    CHECK_ERROR(ib_train((o = options_for(run, &w), &o), &r, &err), &err, IB_E_ARGUMENT,
                "already holds a run");
    o = options_for(run, &w);
    o.resume = true;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK_INT(w.steps, 7);
    CHECK(strstr(w.said, "going on at step 5") != NULL);
    CHECK(same_states(whole, run) && same_files(whole, run, "adapter.safetensors"));
    CHECK(count_lines(run, &last) >= 3);
    CHECK_INT(last, 12);

    /* the same again: nothing left to do; then further */
    CHECK_OK(ib_train((o = options_for(run, &w), o.resume = true, &o), &r, &err), &err);
    CHECK(w.steps == 0 && strstr(w.said, ": complete: raise"));
    o = options_for(run, &w);
    o.resume = true;
    o.steps = 14;
    o.preset = NULL; /* as the run was begun */
    o.batch = o.gap_min = o.gap_max = 0;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK_INT(r.step, 14);
    free(run);
}

/* AdamW, which is not the default for grids, goes on where it was, too; the tests before this one do so with
 * Muon. */
static void test_resume_adamw(void) {
    char *whole = in_dir("adamw"), *parts = in_dir("adamw-parts");
    ib_error err = {0};
    ib_train_result r;
    watch w;
    ib_train_options o = options_for(whole, &w);
    o.optimiser = "adamw";
    CHECK_OK(ib_train(&o, &r, &err), &err);
    o = options_for(parts, &w);
    o.optimiser = "adamw";
    w.stop_at = 5;
    CHECK_ERROR(ib_train(&o, &r, &err), &err, IB_E_INTERRUPTED, "step 5");
    o = options_for(parts, &w);
    o.resume = true;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK(same_states(whole, parts) && same_files(whole, parts, "adapter.safetensors"));
    free(whole);
    free(parts);
}

static void test_resume_refusals(const char *whole) {
    ib_error err = {0};
    watch w;
    ib_train_options o;
    ib_paths fewer = latents;
#define REFUSED(change, code, text)                                                                          \
    o = options_for(whole, &w);                                                                              \
    o.resume = true;                                                                                         \
    change;                                                                                                  \
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, code, text)
    REFUSED(o.batch = 5, IB_E_MISMATCH, "another batch: it was begun with 4, not 5");
    REFUSED(o.optimiser = "sgd", IB_E_MISMATCH, "another optimiser: it was begun with muon, not sgd");
    REFUSED(o.preset = "large", IB_E_MISMATCH, "another preset");
    REFUSED(o.lr = 0.5, IB_E_MISMATCH, "another learning rate");
    REFUSED(o.gap_max = 9, IB_E_MISMATCH, "another largest gap");
    REFUSED(o.seed = 2, IB_E_MISMATCH, "another seed");
    fewer.n--;
    REFUSED(o.latents = &fewer, IB_E_MISMATCH, "other data");
    char *none = in_dir("none");
    REFUSED(o.run = none, IB_E_IO, "no state.h5");
    CHECK(!ib_is_dir(none));
    free(none);
}

static void test_refusals(void) {
    ib_error err = {0};
    watch w;
    char *run = in_dir("refused"), *file = in_dir("a.h5"), *empty = in_dir("empty"),
         *still = in_dir("short.h5");
    ib_paths l = {0};
    ib_train_options o = options_for(run, &w);
#define WRONG(change, code, text)                                                                            \
    o = options_for(run, &w);                                                                                \
    change;                                                                                                  \
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, code, text);                                                 \
    CHECK(!ib_is_dir(run))
    WRONG(o.minutes = 1, IB_E_ARGUMENT, "got both");
    WRONG(o.steps = 0, IB_E_ARGUMENT, "got neither");
    WRONG(o.gap_min = 1, IB_E_ARGUMENT, "gaps");
    WRONG(o.optimiser = "adam", IB_E_ARGUMENT, "no optimiser 'adam'");
    WRONG(o.preset = "huge", IB_E_ARGUMENT, "no preset 'huge'");
    WRONG(o.gap_min = 500; o.gap_max = 600, IB_E_EMPTY, "501 frames");
    WRONG(o.crop_width = 640; o.crop_height = 480, IB_E_ARGUMENT, "does not fit");
    WRONG(o.valid = &latents, IB_E_ARGUMENT, "same video");
    CHECK_OK(ib_mkdirs(empty, &err), &err);
    CHECK_OK(ib_paths_add(&l, empty, &err), &err);
    WRONG(o.latents = &l, IB_E_EMPTY, "empty");
    ib_paths_free(&l);
    CHECK_OK(moving_write(still, &(moving){4, 6, 1, 0, 1, NULL, false, "one.png", NULL}, &err), &err);
    CHECK_OK(ib_paths_add(&l, still, &err), &err);
    WRONG(o.latents = &l, IB_E_EMPTY, "nothing to train on");
    ib_paths_free(&l);
    free(run);
    run = file; /* a file is in the way of the directory */
    o = options_for(run, &w);
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_IO, "a.h5");
    CHECK(ib_is_file(file));
    free(empty);
    free(still);
    free(file);
}

static void test_lock(const char *whole) {
    ib_error err = {0};
    watch w;
    char *lock = ib_join(whole, ".lock");
    int fd = open(lock, O_RDWR);
    CHECK(fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB));
    ib_train_options o = options_for(whole, &w);
    o.resume = true;
    o.steps = 13;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_IO, "in use");
    close(fd);
    free(lock);
}

/* A learning rate that ruins the weights: the run gives up with a sentence and keeps a state that loads. */
static void test_breakdown(void) {
    char *run = in_dir("ruin"), *state = ib_join(run, "state.h5");
    ib_error err = {0};
    ib_train_result r = {0};
    ib_state s = {0};
    watch w;
    ib_train_options o = options_for(run, &w);
    o.lr = 1e18;
    o.steps = 400;
    CHECK_ERROR(ib_train(&o, &r, &err), &err, IB_E_NONFINITE, "20 gradients in a row");
    CHECK(r.skipped >= 20 && strstr(w.said, "step skipped"));
    CHECK_OK(ib_state_load(&s, state, &err), &err);
    ib_state_free(&s);
    free(run);
    free(state);
}

static void test_time(void) {
    char *run = in_dir("timed");
    ib_error err = {0};
    ib_train_result r = {0};
    watch w;
    ib_train_options o = options_for(run, &w);
    double begun = ib_clock_seconds();
    o.steps = 0;
    o.minutes = 0.03;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    double took = ib_clock_seconds() - begun;
    printf("asked for 1.8 s, took %.2f s, %lld steps\n", took, (long long)r.step);
    CHECK(r.step > 0 && r.seconds > 0);
    int64_t before = r.step;
    o = options_for(run, &w);
    o.resume = true;
    o.steps = 0;
    o.minutes = r.seconds / 60 + 0.08; /* however long the first took */
    begun = ib_clock_seconds();
    CHECK_OK(ib_train(&o, &r, &err), &err);
    took = ib_clock_seconds() - begun;
    printf("4.8 s more took %.2f s\n", took);
    CHECK(r.step > before &&
          r.seconds > 1.8); /* how much longer than asked is up to the machine's other work */
    free(run);
}

/* The program itself, started again as a trainer that is killed. */
static int child(char **argv) {
    ib_error err = {0};
    watch w;
    dir = argv[2];
    for (const char *s = "abcd"; *s; s++) {
        char name[8] = {*s, '.', 'h', '5', 0}, *p = in_dir(name);
        ib_paths_add(&latents, p, &err);
        free(p);
    }
    ib_train_options o = options_for(argv[3], &w);
    o.resume = argv[4][0] == 'r';
    o.state_seconds = 0.01;
    return ib_train(&o, NULL, &err) ? 1 : 0;
}

/* The step of a state that must be whole; -1 while there is none. */
static int64_t step_of(const char *state) {
    ib_error err = {0};
    ib_state s;
    if (!ib_is_file(state)) {
        return -1;
    }
    CHECK_OK(ib_state_load(&s, state, &err), &err);
    int64_t step = err.code ? -1 : s.step;
    ib_state_free(&s);
    return step;
}

static void test_kill(const char *whole) {
    char *run = in_dir("killed"), *state = ib_join(run, "state.h5");
    ib_error err = {0};
    ib_train_result r;
    watch w;
    int killed = 0;
    int64_t reached = -1;
    for (unsigned i = 0; i < 6; i++) {
        int64_t before = step_of(state);
        double begun = ib_clock_seconds();
        pid_t pid = fork();
        if (!pid) {
            execl("/proc/self/exe", "test_train_run", "child", dir, run, before >= 0 ? "resume" : "begin",
                  (char *)NULL);
            _exit(127);
        }
        /* the odd ones are killed anywhere in a step or a save, the even ones after a new state; whatever is
         * there, is whole */
        do {
            usleep(2000 + 3511 * i);
            reached = step_of(state);
        } while (ib_clock_seconds() - begun < (i % 2 ? 0.02 * i : 30) && (i % 2 || reached <= before) &&
                 reached < 12);
        kill(pid, SIGKILL);
        int status = 0;
        killed += waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
        CHECK(step_of(state) >= before);
    }
    printf("killed %d times, up to step %lld\n", killed, (long long)reached);
    CHECK(killed > 0 && reached > 0);
    ib_train_options o = options_for(run, &w);
    o.resume = true;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    CHECK_INT(leftovers(run), 0);
    CHECK(same_states(whole, run));
    free(run);
    free(state);
}

/* No file may grow beyond a little: as on a full disk, what was there stays and nothing half-written does. */
static void test_full_disk(void) {
    char *run = in_dir("full"), *state = ib_join(run, "state.h5");
    ib_error err = {0};
    watch w;
    struct rlimit old, small;
    ib_train_options o = options_for(run, &w);
    o.steps = 3;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){100000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    o = options_for(run, &w);
    o.resume = true;
    o.steps = 5;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_IO, "state.h5");
    setrlimit(RLIMIT_FSIZE, &old);
    printf("full disk: %s\n", err.text);
    CHECK_INT(step_of(state), 3);
    CHECK_INT(leftovers(run), 0);
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK_INT(step_of(state), 5);
    CHECK_ERROR(ib_train((o = options_for("/proc/none/run", &w), &o), NULL, &err), &err, IB_E_IO,
                "/proc/none");
    free(run);
    free(state);
}

/* One token per frame, in a space that has no pictures: walks on a sphere. */
static void test_single(void) {
    enum { D = 32, FRAMES = 60 };
    ib_shape shape = {IB_LAYOUT_SINGLE, 1, 1, 1, D};
    char *run = in_dir("single"), *strips = ib_join(run, "samples/step-000020.png");
    ib_paths l = {0};
    ib_error err = {0};
    ib_train_result r = {0};
    watch w;
    for (int k = 0; k < 4; k++) {
        char name[16], *p;
        snprintf(name, sizeof name, "walk%d.h5", k);
        p = in_dir(name);
        CHECK_OK(walk_write(p, &shape, k, FRAMES, &err), &err);
        CHECK_OK(ib_paths_add(&l, p, &err), &err);
        free(p);
    }
    ib_train_options o = options_for(run, &w);
    o.latents = &l;
    o.batch = 150; /* more than go through the model at once */
    o.steps = 20;
    CHECK_OK(ib_train(&o, &r, &err), &err);
    printf("single: skill %.3f on another walk\n", r.valid_skill);
    CHECK(r.valid_skill > 0.1);
    CHECK(!ib_is_file(strips));
    ib_paths_free(&l);
    free(strips);
    free(run);
}

/* One window, learned by heart: what loss, gradient and optimiser do together. */
static void test_overfit(void) {
    enum { ROWS = 4, COLS = 6, N = ROWS * COLS * IB_PATCH_D, STEPS = 300 };
    moving m = {ROWS, COLS, 3, 3, 5, NULL, false, "", NULL};
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, ROWS * COLS, IB_PATCH_D};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_adapter_work *work = NULL;
    ib_error err = {0};
    ib_sample_loss loss = {0}, first = {0};
    float planes[N], z[3][N];
    for (size_t i = 0; i < 3; i++) {
        moving_planes(&m, i, planes);
        ib_patch_forward(planes, ROWS, COLS, z[i]);
    }
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    c.motion = false; /* the correction alone has to do it */
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_trains(a, &err), &err);
    CHECK_OK(ib_adapter_work_create(&work, a, &shape, 1, true, &err), &err);
    size_t n = ib_adapter_param_count(a);
    float *g = ib_calloc(n, sizeof *g), *moment[2] = {ib_calloc(n, sizeof *g), ib_calloc(n, sizeof *g)};
    const ib_optimiser *adamw = ib_optimiser_find("adamw", &err);
    ib_between in = {z[0], z[2], 0.5f, 0.08f};
    const float *target = z[1];
    for (int i = 1; i <= STEPS; i++) {
        ib_update u = {.rate = 2e-3, .scale = 1, .number = i};
        CHECK_OK(ib_adapter_learn(a, work, &in, &target, 1, 1, 0, NULL, &loss, &err), &err);
        first = i == 1 ? loss : first;
        memset(g, 0, n * sizeof *g);
        ib_adapter_collect(a, work, g);
        ib_optimiser_update(adamw, &u, a, ib_adapter_params(a), g, moment, 1, NULL);
        ib_adapter_refresh(a);
    }
    double skill = 1 - loss.err_model / loss.err_slerp;
    printf("one window: skill %.4f after %d steps, loss %.4f to %.4f\n", skill, STEPS, first.loss, loss.loss);
    CHECK(skill > 0.9);
    ib_free(g);
    ib_free(moment[0]);
    ib_free(moment[1]);
    ib_adapter_work_free(&work);
    ib_adapter_free(&a);
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "child")) {
        return child(argv);
    }
    dir = scratch_begin("run");
    char *whole = in_dir("whole");
    make_latents();
    RUN(test_overfit());
    RUN(test_same_bits(whole));
    RUN(test_resume(whole));
    RUN(test_resume_adamw());
    RUN(test_resume_refusals(whole));
    RUN(test_refusals());
    RUN(test_lock(whole));
    RUN(test_breakdown());
    RUN(test_time());
    RUN(test_kill(whole));
    RUN(test_full_disk());
    RUN(test_single());
    ib_paths_free(&latents);
    free(whole);
    scratch_end(dir);
    return check_report("test_train_run");
}
