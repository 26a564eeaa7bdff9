/* A run in a pool: publishes its weights now and then, and goes on from an average with what others have
 * published since. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "adapter/pixel_model.h"
#include "base/memory.h"
#include "base/text.h"
#include "pool/guide.h"
#include "train/exchange.h"
#include "train/outer.h"

static const double default_minutes = 10;
enum { LAST_WAIT_SECONDS = 60 };

/* One way to the folder and back: by the training thread where rounds are counted in steps, else beside it,
 * for a folder may be slow or hang. What it uses is its own until it is done. */
typedef struct trip {
    ib_member card;      /* what is published about the weights in `carrier` */
    ib_adapter *carrier; /* their copy */
    bool publish, half;
    size_t most_bytes;
    ib_pool_news news;
    size_t sent_bytes;
    bool taken_name; /* another run publishes under this name */
    ib_error trouble;
} trip;

typedef struct pool_run {
    ib_exchange face;
    ib_pool *pool;
    trip trip;
    pthread_t thread;
    pthread_mutex_t lock;
    bool travelling, back;   /* back: under the lock */
    bool lost;               /* the thread hangs in the folder and is left behind with all that is its own */
    float *anchor, *average; /* [P]: where the own way began; scratch */
    ib_outer outer;
    double next_seconds;
    int64_t next_step, stale;
    int64_t published_samples; /* what the last publication had seen; -1: none in this session */
    struct stat own;           /* of the own file as it was left; st_ino 0: none */
    bool has_guide;            /* the folder had a pixel adapter, whole or not */
    char complaint[1024];      /* the last one, so that it is not said at every round */
} pool_run;

static void complain(pool_run *x, const ib_session *s, const char *text) {
    if (strncmp(x->complaint, text, sizeof x->complaint - 1)) {
        ib_session_say(s, "pool: %s; training goes on without the others", text);
    }
    snprintf(x->complaint, sizeof x->complaint, "%s", text);
}

/* Fills the token and, without one that was asked for, the name: the host's and a few letters
 * of the token. */
static int draw_name(ib_pool_place *p, const char *name, ib_error *err) {
    uint8_t bytes[16];
    char host[256] = "";
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
        return ib_fail(err, IB_E_IO, "the system has no random numbers for the name of this worker");
    }
    ib_text_hex(bytes, sizeof bytes, p->token);
    if (name) {
        snprintf(p->name, sizeof p->name, "%s", name);
        return IB_OK;
    }
    gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = 0;
    snprintf(p->name, sizeof p->name, "%.40s-%.6s", ib_member_name_fits(host) ? host : "worker", p->token);
    return IB_OK;
}

static int64_t stream_of(const char *token) {
    char part[6] = "";
    memcpy(part, token, 5);
    return (int64_t)(strtoull(part, NULL, 16) + 1) << 40;
}

/* Another run publishes under this name. */
static bool name_taken(pool_run *x, const ib_pool_place *place) {
    ib_pool_news own;
    bool taken = false;
    if (!ib_pool_own(x->pool, x->trip.most_bytes, &own, NULL) && own.members) {
        taken = strcmp(own.member[0].token, place->token) != 0;
    }
    ib_pool_news_free(&own);
    return taken;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int own_stat(const pool_run *x, struct stat *st) {
    char *path = NULL;
    *st = (struct stat){0};
    if (asprintf(&path, "%s/%s" IB_POOL_SUFFIX, ib_pool_dir(x->pool), x->trip.card.name) < 0) {
        return -1;
    }
    int rc = stat(path, st);
    free(path);
    return rc;
}

/* There and back; touches the trip and the pool only. */
static void travel(pool_run *x) {
    trip *t = &x->trip;
    struct stat st;
    t->trouble = (ib_error){0};
    t->sent_bytes = 0;
    t->taken_name = false;
    int rc = ib_pool_check(x->pool, &t->trouble);
    if (!rc && t->publish) {
        ib_pool_place place;
        memcpy(place.token, t->card.token, sizeof place.token);
        t->taken_name = !own_stat(x, &st) && !same_file(&st, &x->own) && name_taken(x, &place);
        if (!t->taken_name) {
            rc = ib_member_write(&t->card, t->carrier, t->half, ib_pool_dir(x->pool), &t->sent_bytes,
                                 &t->trouble);
            own_stat(x, &x->own);
        }
    }
    /* a folder that is full or cannot be written to can still be listened to */
    ib_error deaf = {0};
    if (ib_pool_listen(x->pool, ib_adapter_config_of(t->carrier), IB_POOL_MOST, t->most_bytes, &t->news,
                       &deaf) &&
        !rc) {
        t->trouble = deaf;
    }
}

static void *travel_beside(void *user) {
    pool_run *x = user;
    travel(x);
    pthread_mutex_lock(&x->lock);
    x->back = true;
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

static void pack(pool_run *x, const ib_session *s) {
    const ib_state *st = &s->state;
    trip *t = &x->trip;
    t->publish = st->samples != x->published_samples;
    memcpy(t->card.name, st->pool.name, sizeof t->card.name);
    memcpy(t->card.token, st->pool.token, sizeof t->card.token);
    t->card.serial = st->pool.serial + 1;
    t->card.round = st->pool.round;
    t->card.samples = st->samples;
    t->card.fresh = st->pool.fresh;
    t->card.stream = st->pool.stream;
    t->card.skill = s->valid_skill;
    memcpy(ib_adapter_params(t->carrier), ib_adapter_params(s->adapter), st->params * sizeof(float));
}

/* Who is heard: voice 0 is this worker, the others' are those of the news in their order. Returns their
 * number. */
static size_t gather_exchange_pool(pool_run *x, const ib_session *s, ib_voice *v, const char **name) {
    const ib_state *st = &s->state;
    const ib_pool_news *news = &x->trip.news;
    int64_t now = ib_pool_round(news, st->pool.round);
    size_t k = 0;
    v[k] = (ib_voice){.weights = ib_adapter_params(s->adapter), .fresh = st->pool.fresh};
    name[k++] = st->pool.name;
    for (size_t i = 0; i < news->members; i++) {
        const ib_member *m = &news->member[i];
        if (m->fresh == 0) {
            continue; /* has joined and learned nothing yet */
        }
        if (now - m->round > x->stale) {
            ib_session_say(s, "pool: left out %s: what it published is %" PRId64 " rounds old", m->name,
                           now - m->round);
            continue;
        }
        v[k] = (ib_voice){.weights = m->weights, .fresh = m->fresh};
        name[k++] = m->name;
    }
    return k;
}

static void say_verdicts(const ib_session *s, const ib_voice *v, const char *const *name, size_t k) {
    char why[160];
    for (size_t i = 0; i < k; i++) {
        if (v[i].verdict != IB_VOICE_TAKEN) {
            ib_voice_explain(&v[i], why, sizeof why);
            ib_session_say(s, "pool: %s %s%s: %s",
                           v[i].verdict == IB_VOICE_SHORTENED ? "shortened" : "left out", name[i],
                           i ? "" : " (this worker)", why);
        }
    }
}

/* The anchor goes to the average, or as far beyond as the outer optimiser says. */
static void move_exchange_pool(pool_run *x, ib_state *st) {
    if (!x->outer.momenta && x->outer.rate == 1) {
        memcpy(x->anchor, x->average, st->params * sizeof(float));
        return;
    }
    for (size_t i = 0; i < st->params; i++) {
        x->average[i] -= x->anchor[i];
    }
    ib_outer_step(&x->outer, x->anchor, x->average, st->outer, st->params);
}

static int average(pool_run *x, ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    ib_voice v[IB_POOL_MOST + 1];
    const char *name[IB_POOL_MOST + 1];
    ib_error trouble = {0};
    size_t k = gather_exchange_pool(x, s, v, name), taken = 0;
    if (k == 1) {
        return IB_OK;
    }
    int rc = ib_pool_average(v, k, x->anchor, x->average, st->params, &trouble);
    say_verdicts(s, v, name, k);
    if (rc == IB_E_EMPTY) {
        return IB_OK;
    }
    if (rc) {
        *err = trouble;
        return rc;
    }
    for (size_t i = 1; i < k; i++) {
        taken += v[i].share > 0;
    }
    if (!taken) {
        return IB_OK;
    }
    int64_t latest = ib_pool_round(&x->trip.news, st->pool.round);
    st->pool.round = 1 + (latest > st->pool.round ? latest : st->pool.round);
    st->pool.fresh = 0;
    move_exchange_pool(x, st);
    ib_exchange_take(s, x->anchor, false);
    x->face.rounds++;
    ib_session_say(s, "pool: step %" PRId64 ", averaged with %zu other%s, round %" PRId64, st->step, taken,
                   taken == 1 ? "" : "s", st->pool.round);
    return IB_OK;
}

/* What the trip has brought. */
static int unpack(pool_run *x, ib_session *s, ib_error *err) {
    trip *t = &x->trip;
    ib_pool_place *place = &s->state.pool;
    if (t->sent_bytes) {
        place->serial = t->card.serial;
        x->published_samples = t->card.samples;
    }
    x->face.sent_bytes += (int64_t)t->sent_bytes;
    x->face.taken_bytes += (int64_t)t->news.bytes;
    if (t->taken_name) {
        char old[IB_POOL_NAME];
        memcpy(old, place->name, sizeof old);
        snprintf(place->name, sizeof place->name, "%.50s-%.6s", old, place->token);
        ib_session_say(s, "pool: another run publishes as %s; this worker is %s from now on", old,
                       place->name);
    }
    if (t->trouble.code) {
        complain(x, s, t->trouble.text);
    } else if (*x->complaint) {
        ib_session_say(s, "pool: %s can be used again", ib_pool_dir(x->pool));
        *x->complaint = 0;
    }
    for (size_t i = 0; i < t->news.remarks; i++) {
        ib_session_say(s, "pool: left out: %s", t->news.remark[i]);
    }
    int rc = average(x, s, err);
    ib_pool_news_free(&t->news);
    return rc;
}

static void set_alarm(pool_run *x, const ib_session *s) {
    const ib_train_options *o = s->o;
    x->next_step = o->pool_steps ? s->state.step + o->pool_steps : INT64_MAX;
    x->next_seconds = o->pool_steps ? INFINITY
                                    : ib_session_seconds(s) +
                                          60 * (o->pool_minutes > 0 ? o->pool_minutes : default_minutes);
}

static int exchange_now(pool_run *x, ib_session *s, ib_error *err) {
    pack(x, s);
    travel(x);
    return unpack(x, s, err);
}

static bool is_back(pool_run *x) {
    pthread_mutex_lock(&x->lock);
    bool back = x->back;
    pthread_mutex_unlock(&x->lock);
    return back;
}

static int send_off(pool_run *x, ib_session *s, ib_error *err) {
    sigset_t all, old;
    pack(x, s);
    x->back = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&x->thread, NULL, travel_beside, x);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    x->travelling = !rc;
    if (rc) {
        travel(x);
        return unpack(x, s, err);
    }
    return IB_OK;
}

static int welcome(pool_run *x, ib_session *s, ib_error *err) {
    pthread_join(x->thread, NULL);
    x->travelling = false;
    return unpack(x, s, err);
}

static int after_step(ib_exchange *face, ib_session *s, ib_error *err) {
    pool_run *x = (pool_run *)face;
    if (x->travelling) {
        return is_back(x) ? welcome(x, s, err) : IB_OK;
    }
    if (s->state.step < x->next_step && ib_session_seconds(s) < x->next_seconds) {
        return IB_OK;
    }
    int rc = s->o->pool_steps ? exchange_now(x, s, err) : send_off(x, s, err);
    set_alarm(x, s);
    return rc;
}

/* Shows the others that this worker is here. */
static int begin_exchange_pool(ib_exchange *face, ib_session *s, ib_error *err) {
    (void)err;
    pool_run *x = (pool_run *)face;
    trip *t = &x->trip;
    set_alarm(x, s);
    if (s->o->resume) {
        return IB_OK;
    }
    pack(x, s);
    t->card.serial = 0;
    ib_error trouble = {0};
    if (ib_member_write(&t->card, t->carrier, t->half, ib_pool_dir(x->pool), &t->sent_bytes, &trouble)) {
        complain(x, s, trouble.text);
        return IB_OK;
    }
    own_stat(x, &x->own);
    x->published_samples = 0;
    x->face.sent_bytes += (int64_t)t->sent_bytes;
    return IB_OK;
}

static int end_exchange_pool(ib_exchange *face, ib_session *s, bool whole, ib_error *err) {
    pool_run *x = (pool_run *)face;
    struct timespec until;
    int rc = IB_OK;
    if (x->travelling) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LAST_WAIT_SECONDS;
        if (pthread_timedjoin_np(x->thread, NULL, &until)) {
            x->lost = true;
            complain(x, s, "the folder does not answer");
            return IB_OK;
        }
        x->travelling = false;
        rc = unpack(x, s, err);
    }
    if (rc || s->state.samples == x->published_samples) {
        return rc;
    }
    if (whole) {
        return exchange_now(x, s, err);
    }
    /* stopped: the others get what there is, and this run goes on from where it is */
    pack(x, s);
    travel(x);
    if (x->trip.sent_bytes) {
        s->state.pool.serial = x->trip.card.serial;
    }
    x->face.sent_bytes += (int64_t)x->trip.sent_bytes;
    ib_pool_news_free(&x->trip.news);
    return IB_OK;
}

static void close_run(ib_exchange *face) {
    pool_run *x = (pool_run *)face;
    if (x->lost) {
        return;
    }
    if (x->travelling) {
        pthread_join(x->thread, NULL);
    }
    ib_pool_news_free(&x->trip.news);
    ib_adapter_free(&x->trip.carrier);
    ib_pool_close(&x->pool);
    ib_free(x->anchor);
    ib_free(x->average);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

/* A pool of another pixel model's guides is refused; a damaged copy of its file is spoken of. */
static int check_guide(pool_run *x, const ib_session *s, ib_error *err) {
    ib_error trouble = {0};
    int rc = ib_pool_guide_check(s->o->pool, s->state.config.guide, &x->has_guide, &trouble);
    if (rc == IB_E_MISMATCH) {
        *err = trouble;
        return rc;
    }
    if (rc) {
        ib_session_say(s, "pool: %s", trouble.text);
    }
    return IB_OK;
}

/* Those who join need the pixel adapter that the guides were made with: it is left in the folder, unless
 * those who are there may have others. */
static void share_guide(const pool_run *x, const ib_session *s) {
    const char *dir = s->o->pool, *model = s->state.config.guide;
    const ib_pool_news *news = &x->trip.news;
    ib_error trouble = {0};
    if (x->has_guide || !ib_pixel_model_sha256(model) || (!news->members && news->remarks)) {
        return;
    }
    char *file = ib_pixel_model_file(model);
    if (!file) {
        ib_session_say(
            s,
            "pool: the pixel adapter of the guides, %s, is not in the folder; those who join need it "
            "to encode: inbetween pool %s --guide FILE",
            ib_pixel_model_name(model).text, dir);
    } else if (ib_pool_guide_share(dir, file, &trouble)) {
        ib_session_say(s, "pool: %s", trouble.text);
    } else {
        ib_session_say(s, "pool: %s/" IB_POOL_GUIDE " is the pixel adapter of the guides, for those who join",
                       dir);
    }
    free(file);
}

/* A newcomer begins at the others' average; so does who comes back too late to be of use. */
static int join(pool_run *x, ib_session *s, bool first, ib_error *err) {
    ib_state *st = &s->state;
    trip *t = &x->trip;
    ib_voice v[IB_POOL_MOST];
    const char *name[IB_POOL_MOST];
    size_t k = 0;
    int rc =
        ib_pool_listen(x->pool, ib_adapter_config_of(t->carrier), IB_POOL_MOST, t->most_bytes, &t->news, err);
    if (rc) {
        return rc;
    }
    x->face.taken_bytes += (int64_t)t->news.bytes;
    for (size_t i = 0; i < t->news.remarks; i++) {
        ib_session_say(s, "pool: left out: %s", t->news.remark[i]);
    }
    share_guide(x, s);
    int64_t now = ib_pool_round(&t->news, -1);
    bool learned = false, late = now - st->pool.round > x->stale;
    for (size_t i = 0; i < t->news.members; i++) {
        learned |= t->news.member[i].samples > 0;
    }
    for (size_t i = 0; i < t->news.members; i++) {
        const ib_member *m = &t->news.member[i];
        if (now - m->round <= x->stale && (m->samples > 0 || !learned)) {
            v[k] = (ib_voice){.weights = m->weights, .fresh = m->fresh > 0 ? m->fresh : 1};
            name[k++] = m->name;
        }
    }
    ib_session_say(s, "pool: %s is worker %s, %zu other%s there", ib_pool_dir(x->pool), st->pool.name,
                   t->news.members, t->news.members == 1 ? "" : "s");
    bool begins = k && (first || late);
    if (!begins) {
        ib_pool_forget(x->pool); /* heard, but not used */
    }
    if (begins) {
        rc = ib_pool_average(v, k, NULL, x->average, st->params, err);
        say_verdicts(s, v, name, k);
        if (!rc) {
            ib_exchange_take(s, x->average, true);
            if (st->outer) {
                memset(st->outer, 0, st->params * sizeof(float));
            }
            st->pool.round = now;
            st->pool.fresh = 0;
            ib_session_say(s, "pool: %s from the average of %zu at round %" PRId64,
                           late ? "too far behind, going on" : "beginning", k, now);
        }
        rc = rc == IB_E_EMPTY ? IB_OK : rc;
    }
    if (first && t->news.members) {
        st->pool.stream = stream_of(st->pool.token);
    }
    ib_pool_news_free(&t->news);
    return rc;
}

static int enter(pool_run *x, ib_session *s, ib_error *err) {
    ib_pool_place *place = &s->state.pool;
    const char *name = s->o->pool_name;
    bool known = *place->name;
    if (name && known && strcmp(name, place->name)) {
        return ib_fail(err, IB_E_MISMATCH,
                       "%s: cannot be resumed with another name in the pool: it was begun as %s, not %s",
                       s->o->run, place->name, name);
    }
    int rc = known ? IB_OK : draw_name(place, name, err);
    rc = rc ? rc : ib_pool_open(&x->pool, s->o->pool, place->name, err);
    if (rc) {
        return rc;
    }
    memcpy(x->trip.card.name, place->name, sizeof place->name);
    if ((rc = ib_pool_check(x->pool, err))) {
        if (!s->o->resume || rc != IB_E_IO) {
            return rc;
        }
        complain(x, s, err->text); /* it may come back */
        *err = (ib_error){0};
        return IB_OK;
    }
    if (name_taken(x, place)) {
        return ib_fail(err, IB_E_ARGUMENT,
                       "the pool %s has a worker %s already, and it is another run: choose another name",
                       s->o->pool, place->name);
    }
    rc = ib_pool_writable(x->pool, err);
    rc = rc ? rc : check_guide(x, s, err);
    return rc ? rc : join(x, s, !known, err);
}

static int open_run(ib_exchange *face, ib_session *s, ib_error *err) {
    pool_run *x = (pool_run *)face;
    size_t n = s->state.params;
    x->trip.most_bytes = 16 * n * sizeof(float) + ((size_t)16 << 20);
    int rc = ib_outer_choose(&x->outer, s->o, &s->state, err);
    rc = rc ? rc : ib_alloc_floats(&x->anchor, n, "the pool", err);
    rc = rc ? rc : ib_alloc_floats(&x->average, n, "the pool", err);
    rc = rc ? rc : ib_adapter_create(&x->trip.carrier, &s->state.config, 0, err);
    rc = rc ? rc : enter(x, s, err);
    if (!rc) {
        memcpy(x->anchor, ib_adapter_params(s->adapter), n * sizeof(float));
    }
    return rc;
}

static const ib_exchange_kind kind = {.open = open_run,
                                      .begin = begin_exchange_pool,
                                      .after_step = after_step,
                                      .end = end_exchange_pool,
                                      .close = close_run};

int ib_exchange_pool_enter(ib_session *s, ib_error *err) {
    if (!s->o->pool) {
        return IB_OK;
    }
    pool_run *x = calloc(1, sizeof *x);
    if (!x) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the pool");
    }
    x->face.kind = &kind;
    x->published_samples = -1;
    x->stale = s->o->pool_stale > 0 ? s->o->pool_stale : IB_POOL_STALE;
    x->trip.half = s->o->exchange_half;
    pthread_mutex_init(&x->lock, NULL);
    s->exchange = &x->face;
    return IB_OK;
}
