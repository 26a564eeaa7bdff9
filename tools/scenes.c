/* ib_scenes DIR: moving scenes as H.264 files, for the demonstration and the tests. Textured things pan,
 * turn, grow, bounce, swing and pass in front of each other before a camera that pans, zooms, rolls or
 * shakes, with easing and motion blur. The same seed gives the same scenes. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "tools/texture.h"
#include "video_io/reader.h"
#include "video_io/writer.h"

enum { MAX_THINGS = 9, SUBFRAMES = 4, ANGLES = 1024, WAYPOINTS = 4 };
static const float pi = 3.14159265f, shutter = 0.5f; /* of a frame's time: 180 degrees */

static float between_scenes(ib_rng *r, float lo, float hi) {
    return lo + (hi - lo) * ib_rng_float(r);
}

static int one_in(ib_rng *r, unsigned n) {
    return ib_rng_below(r, n) == 0;
}

static float ease(float t) {
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * t * (t * (t * 6 - 15) + 10);
}

/* Where something is: middle in units of the picture's height, turn in radians, size as a factor. */
typedef struct pose {
    float x, y, turn, size;
} pose;

typedef enum motion_kind { DRIFT, EASE, BOUNCE, ORBIT, SWING, REST, PATHS } motion_kind;

typedef struct motion {
    motion_kind kind;
    float x, y, vx, vy;        /* start, and change per unit of time (one clip is about 4) */
    float stop[WAYPOINTS][2];  /* EASE */
    float radius, rate, phase; /* ORBIT, SWING, BOUNCE */
    float spin, turn;          /* radians per unit of time, radians */
    float grow, pulse;         /* size = exp(grow * ease + pulse * sin) */
} motion;

static pose motion_at(const motion *p, float t, float length) {
    pose o = {p->x + p->vx * t, p->y + p->vy * t, p->turn + p->spin * t, 1};
    float f, a = p->phase + p->rate * t;
    switch (p->kind) {
    case EASE: {
        f = t / length * (WAYPOINTS - 1);
        int i = f < 0 ? 0 : f >= WAYPOINTS - 1 ? WAYPOINTS - 2 : (int)f;
        f = ease((f - (float)i) * 1.25f); /* a short rest at every stop */
        o.x = p->stop[i][0] + f * (p->stop[i + 1][0] - p->stop[i][0]);
        o.y = p->stop[i][1] + f * (p->stop[i + 1][1] - p->stop[i][1]);
        break;
    }
    case BOUNCE:
        f = a - floorf(a);
        o.y = p->y - p->radius * 4 * f * (1 - f);
        break;
    case ORBIT:
        o.x = p->x + p->radius * 1.4f * cosf(a);
        o.y = p->y + p->radius * sinf(a);
        break;
    case SWING: /* about a point above */
        f = 0.8f * sinf(a);
        o.x = p->x + 0.8f * sinf(f);
        o.y = p->y - 0.8f + 0.8f * cosf(f);
        o.turn = p->turn - f;
        break;
    case DRIFT:
    case REST:
    case PATHS:
        break;
    }
    o.size = expf(p->grow * ease(t / length) + p->pulse * sinf(2.5f * t + p->phase));
    return o;
}

typedef struct thing {
    texture skin;
    motion way;
    float size, depth;   /* half height; how strongly the camera moves it, 1: as the ground */
    float least;         /* of shape */
    float shape[ANGLES]; /* radius by angle, largest 1 */
    float box_x, box_y;  /* > 0: a rounded box instead */
    int ball, shadow;    /* lit like a ball; throws a shadow */
    float grain;         /* texels per unit of size */
} thing;

typedef struct scene {
    texture ground;
    motion camera;
    float shake, ground_grain, ground_turn;
    float shake_phase[6];
    int n;
    thing thing[MAX_THINGS];
} scene;

static void make_shape(thing *o, ib_rng *r) {
    int k = 3 + (int)ib_rng_below(r, 6), kind = (int)ib_rng_below(r, 5);
    float amplitude = between_scenes(r, 0.1f, 0.3f), p1 = between_scenes(r, 0, 6),
          p2 = between_scenes(r, 0, 6), p3 = between_scenes(r, 0, 6);
    o->ball = kind == 0;
    if (kind == 1) {
        o->box_x = between_scenes(r, 0.4f, 1);
        o->box_y = between_scenes(r, 0.4f, 1);
    }
    o->least = 1;
    for (int i = 0; i < ANGLES; i++) {
        float a = 2 * pi * (float)i / ANGLES, in = fmodf(a, 2 * pi / (float)k) - pi / (float)k;
        o->shape[i] = kind == 2   ? cosf(pi / (float)k) / cosf(in)                         /* polygon */
                      : kind == 3 ? (1 + amplitude * cosf((float)k * a)) / (1 + amplitude) /* flower */
                      : kind == 4
                          ? 0.75f + 0.12f * (sinf(a + p1) + 0.6f * sinf(2 * a + p2) + 0.4f * sinf(3 * a + p3))
                          : 1; /* disc */
        o->least = fminf(o->least, o->shape[i]);
    }
}

static void make_motion(motion *p, ib_rng *r, float aspect, float speed) {
    p->kind = (motion_kind)ib_rng_below(r, PATHS);
    p->x = between_scenes(r, 0.1f, aspect - 0.1f);
    p->y = between_scenes(r, 0.15f, 0.85f);
    if (p->kind == DRIFT || p->kind == BOUNCE) {
        p->vx = speed * between_scenes(r, -0.5f, 0.5f);
        p->vy = p->kind == DRIFT ? speed * between_scenes(r, -0.25f, 0.25f) : 0;
        p->x -= 2 * p->vx; /* in the picture at the middle of the clip */
        p->y -= 2 * p->vy;
    }
    for (int i = 0; i < WAYPOINTS; i++) {
        p->stop[i][0] = between_scenes(r, 0, aspect);
        p->stop[i][1] = between_scenes(r, 0.1f, 0.9f);
    }
    p->radius = between_scenes(r, 0.1f, 0.35f);
    p->rate = speed * between_scenes(r, 0.4f, 1.3f) * (one_in(r, 2) ? -1.0f : 1.0f);
    if (p->kind == BOUNCE) {
        p->y = between_scenes(r, 0.75f, 0.95f);
        p->radius = between_scenes(r, 0.2f, 0.6f);
        p->rate = between_scenes(r, 0.4f, 0.9f);
    }
    p->phase = between_scenes(r, 0, 6);
    p->turn = between_scenes(r, 0, 6);
    p->spin = one_in(r, 3) ? 0 : speed * between_scenes(r, -1, 1);
    p->grow = one_in(r, 3) ? between_scenes(r, -0.7f, 0.7f) : 0;
    p->pulse = one_in(r, 5) ? between_scenes(r, 0.05f, 0.2f) : 0;
}

static void make_camera(scene *s, ib_rng *r, float speed) {
    motion *c = &s->camera;
    int kind = (int)ib_rng_below(r, 6); /* 0: at rest */
    c->kind = DRIFT;
    if (kind == 1 || kind == 2 || kind == 5) {
        c->vx = speed * between_scenes(r, -0.35f, 0.35f);
        c->vy = speed * between_scenes(r, -0.1f, 0.1f);
    }
    if (kind == 3 || kind == 5) {
        c->grow = between_scenes(r, -0.45f, 0.45f);
    }
    if (kind == 4) {
        c->spin = between_scenes(r, -0.12f, 0.12f);
        c->grow = between_scenes(r, -0.2f, 0.2f);
    }
    s->shake = one_in(r, 3) ? between_scenes(r, 0.002f, 0.008f) : 0;
    for (int i = 0; i < 6; i++) {
        s->shake_phase[i] = between_scenes(r, 0, 6);
    }
}

static void scene_free(scene *s) {
    if (s) {
        texture_free(&s->ground);
        for (int i = 0; i < s->n; i++) {
            texture_free(&s->thing[i].skin);
        }
        free(s);
    }
}

static scene *scene_make(ib_rng *r, float aspect) {
    scene *s = calloc(1, sizeof *s);
    float speed = between_scenes(r, 0.6f, 2.0f);
    colour base = colour_random(r, 50, 190, 0.6f);
    if (!s || texture_make(&s->ground, r, base)) {
        scene_free(s);
        return NULL;
    }
    s->ground_grain = between_scenes(r, 250, 500);
    s->ground_turn = between_scenes(r, -0.4f, 0.4f);
    make_camera(s, r, speed);
    int n = 2 + (int)ib_rng_below(r, MAX_THINGS - 2);
    for (int i = 0; i < n; i++) {
        thing *o = &s->thing[i];
        colour c = colour_random(r, 40, 215, 1);
        c.y = fabsf(c.y - base.y) < 40 ? (base.y > 120 ? c.y - 60 : c.y + 60)
                                       : c.y; /* stands out from the ground */
        if (texture_make(&o->skin, r, c)) {
            scene_free(s);
            return NULL;
        }
        s->n = i + 1;
        make_shape(o, r);
        make_motion(&o->way, r, aspect, speed);
        o->size = between_scenes(r, 0.06f, 0.24f);
        o->depth = 1 + 0.6f * (float)i / (float)n;
        o->shadow = !one_in(r, 3);
        o->grain = between_scenes(r, 60, 200);
    }
    return s;
}

/* Screen = middle + zoom * rotation * (world - camera), lengths in picture heights. */
typedef struct view {
    float x, y, c, s, zoom;
} view;

static view camera_at(const scene *s, float t, float length, float depth) {
    pose p = motion_at(&s->camera, t, length);
    const float *f = s->shake_phase;
    p.x += s->shake * (sinf(7 * t + f[0]) + 0.6f * sinf(13 * t + f[1]) + 0.4f * sinf(23 * t + f[2]));
    p.y += s->shake * (sinf(6 * t + f[3]) + 0.6f * sinf(11 * t + f[4]) + 0.4f * sinf(19 * t + f[5]));
    return (view){p.x * depth, p.y * depth, cosf(p.turn), sinf(p.turn), expf(logf(p.size) * depth)};
}

static int mip(float texels_per_pixel) {
    int l = (int)floorf(log2f(texels_per_pixel) + 0.5f);
    return l < 0 ? 0 : l >= TEXTURE_LEVELS ? TEXTURE_LEVELS - 1 : l;
}

typedef struct canvas {
    int width, height;
    float *now, *sum; /* [H,W,3]: this instant, and the shutter's whole time */
} canvas;

static void draw_ground(canvas *k, const scene *s, const view *v, float jx, float jy) {
    float h = (float)k->height, turn = s->ground_turn, scale = s->ground_grain / (h * v->zoom);
    float c = cosf(turn) * v->c + sinf(turn) * v->s, q = sinf(turn) * v->c - cosf(turn) * v->s;
    float ox = v->x * s->ground_grain, oy = v->y * s->ground_grain;
    int level = mip(scale);
    for (int y = 0; y < k->height; y++) {
        float *row = k->now + 3 * (size_t)y * (size_t)k->width;
        for (int x = 0; x < k->width; x++) {
            float px = ((float)x + jx - 0.5f * (float)k->width) * scale,
                  py = ((float)y + jy - 0.5f * h) * scale;
            colour p = texture_at(&s->ground, level, ox + c * px - q * py, oy + q * px + c * py);
            row[3 * x] = p.y;
            row[3 * x + 1] = p.u;
            row[3 * x + 2] = p.v;
        }
    }
}

/* How far (in sizes) a place lies outside the thing's outline; below 0 inside. */
static float outside(const thing *o, float x, float y) {
    if (o->box_x > 0) {
        float dx = fabsf(x) - o->box_x + 0.1f, dy = fabsf(y) - o->box_y + 0.1f;
        float ex = dx > 0 ? dx : 0, ey = dy > 0 ? dy : 0;
        return sqrtf(ex * ex + ey * ey) + fminf(fmaxf(dx, dy), 0) - 0.1f;
    }
    int a = (int)((atan2f(y, x) / (2 * pi) + 1) * ANGLES) & (ANGLES - 1);
    return sqrtf(x * x + y * y) - o->shape[a];
}

static void draw_thing(canvas *k, const thing *o, const view *v, pose p, float aspect, float jx, float jy,
                       int shadow) {
    float h = (float)k->height, size = o->size * p.size * v->zoom * h;
    float wx = p.x - 0.5f * aspect - v->x, wy = p.y - 0.5f - v->y;
    float cx = 0.5f * (float)k->width + v->zoom * (v->c * wx - v->s * wy) * h - jx;
    float cy = 0.5f * h + v->zoom * (v->s * wx + v->c * wy) * h - jy;
    float turn = p.turn, soft = shadow ? 0.3f * size : 1, c, s;
    if (shadow) {
        cx += 0.15f * size;
        cy += 0.22f * size;
    }
    c = cosf(turn) * v->c - sinf(turn) * v->s;
    s = sinf(turn) * v->c + cosf(turn) * v->s;
    float reach = 1.45f * size + soft;
    float far = reach * reach / (size * size),
          inner = o->least - 4 * soft / size; /* where the outline need not be asked for */
    float near = o->box_x > 0 || inner < 0 ? 0 : inner * inner;
    int x0 = (int)fmaxf(0, cx - reach), x1 = (int)fminf((float)k->width - 1, cx + reach);
    int y0 = (int)fmaxf(0, cy - reach), y1 = (int)fminf(h - 1, cy + reach), level = mip(o->grain / size);
    for (int y = y0; y <= y1; y++) {
        float *row = k->now + 3 * (size_t)y * (size_t)k->width;
        for (int x = x0; x <= x1; x++) {
            float dx = ((float)x - cx) / size, dy = ((float)y - cy) / size;
            float lx = c * dx + s * dy, ly = c * dy - s * dx;
            float r2 = lx * lx + ly * ly;
            if (r2 > far) {
                continue;
            }
            float d = r2 < near ? -9 : outside(o, lx, ly) * size / soft;
            float alpha = d > 0.5f ? 0 : d < -0.5f ? 1 : 0.5f - d;
            if (alpha <= 0) {
                continue;
            }
            float *q = row + 3 * x;
            if (shadow) {
                q[0] -= 0.35f * alpha * (q[0] - 16);
                continue;
            }
            colour m = texture_at(&o->skin, level, o->grain * lx, o->grain * ly);
            float light = 1 + 0.12f * (ly < 0 ? -ly : 0);
            if (o->ball) {
                float z = 1 - dx * dx - dy * dy;
                light = 0.45f + 0.65f * fmaxf(0, -0.45f * dx - 0.6f * dy + 0.66f * sqrtf(z > 0 ? z : 0));
            } else if (d > -3) {
                light *= 0.8f; /* a rim */
            }
            q[0] += alpha * (16 + (m.y - 16) * light - q[0]);
            q[1] += alpha * (m.u - q[1]);
            q[2] += alpha * (m.v - q[2]);
        }
    }
}

static uint8_t to_byte(float v, float lo, float hi) {
    return (uint8_t)((v < lo ? lo : v > hi ? hi : v) + 0.5f);
}

static void to_frame(const canvas *k, ib_frame *f) {
    int w = k->width;
    for (int y = 0; y < k->height; y++) {
        for (int x = 0; x < w; x++) {
            f->plane[0][(size_t)y * f->stride[0] + (size_t)x] = to_byte(k->sum[3 * (y * w + x)], 16, 235);
        }
    }
    for (int y = 0; y < k->height / 2; y++) { /* chroma sited left: weights 1 2 1 across, 1 1 down */
        for (int x = 0; x < w / 2; x++) {
            const float *a = k->sum + 3 * (2 * y * w + 2 * x), *b = a + 3 * w;
            int l = x ? -3 : 0;
            for (int c = 1; c <= 2; c++) {
                float v = (a[c + l] + 2 * a[c] + a[c + 3] + b[c + l] + 2 * b[c] + b[c + 3]) / 8;
                f->plane[c][(size_t)y * f->stride[c] + (size_t)x] = to_byte(v, 16, 240);
            }
        }
    }
}

static void render(canvas *k, const scene *s, float frame, float frames, ib_frame *out) {
    /* places within the pixel that differ from instant to instant smooth the edges */
    static const float jitter[SUBFRAMES][2] = {
        {-0.375f, -0.125f}, {0.125f, -0.375f}, {0.375f, 0.125f}, {-0.125f, 0.375f}};
    size_t n = 3 * (size_t)k->width * (size_t)k->height;
    float aspect = (float)k->width / (float)k->height;
    memset(k->sum, 0, n * sizeof *k->sum);
    for (int i = 0; i < SUBFRAMES; i++) {
        float t = (frame + shutter * ((float)i + 0.5f) / SUBFRAMES) / 24, jx = jitter[i][0],
              jy = jitter[i][1];
        view ground = camera_at(s, t, frames / 24, 1);
        draw_ground(k, s, &ground, jx, jy);
        for (int o = 0; o < s->n; o++) {
            view v = camera_at(s, t, frames / 24, s->thing[o].depth);
            pose p = motion_at(&s->thing[o].way, t, frames / 24);
            if (s->thing[o].shadow) {
                draw_thing(k, &s->thing[o], &v, p, aspect, jx, jy, 1);
            }
            draw_thing(k, &s->thing[o], &v, p, aspect, jx, jy, 0);
        }
        for (size_t j = 0; j < n; j++) {
            k->sum[j] += k->now[j] / SUBFRAMES;
        }
    }
    to_frame(k, out);
}

typedef struct settings {
    const char *dir, *codec;
    long count, frames, seed, width, height, black, cuts;
} settings;

static int make_clip(const settings *o, long number_scenes, ib_error *err) {
    char name[32];
    size_t pixels = 3 * (size_t)o->width * (size_t)o->height;
    canvas k = {(int)o->width, (int)o->height, calloc(pixels, sizeof(float)), calloc(pixels, sizeof(float))};
    ib_frame frame = {0};
    ib_writer *w = NULL;
    scene *s = NULL;
    ib_rng r;
    ib_writer_options wo = {.width = k.width,
                            .height = k.height,
                            .fps = 24,
                            .matrix = IB_MATRIX_BT601,
                            .codec = o->codec,
                            .crf = -1,
                            .threads = 1};
    snprintf(name, sizeof name, "scene-%02ld.mp4", number_scenes + 1);
    char *path = ib_join(o->dir, name);
    int result = k.now && k.sum && path
                     ? 0
                     : ib_fail(err, IB_E_MEMORY, "out of memory for %ldx%ld frames", o->width, o->height);
    if (result || (result = ib_frame_alloc(&frame, k.width, k.height, err)) ||
        (result = ib_writer_open(&w, path, &wo, err))) {
        goto done;
    }
    frame.matrix = IB_MATRIX_BT601;
    ib_frame_fill_black(&frame);
    ib_rng_seed2(&r, (uint64_t)o->seed, (uint64_t)number_scenes);
    long cut = o->cuts && number_scenes % 6 == 5 ? o->frames / 2 : 0; /* every sixth clip has two shots */
    for (long i = 0; i < o->frames && !result; i++) {
        if (!o->black && (!s || (cut && i == cut))) {
            scene_free(s);
            if (!(s = scene_make(&r, (float)k.width / (float)k.height))) {
                result = ib_fail(err, IB_E_MEMORY, "out of memory for a scene");
                break;
            }
        }
        if (s) {
            render(&k, s, (float)i, (float)o->frames, &frame);
        }
        result = ib_writer_write(w, &frame, err);
    }
    if (!result) {
        result = ib_writer_finish(&w, err);
    }
done:
    ib_writer_abort(&w);
    scene_free(s);
    ib_frame_free(&frame);
    free(path);
    free(k.now);
    free(k.sum);
    return result;
}

static int number_scenes(const char *s, long lo, long hi, long *out) {
    char *end;
    errno = 0;
    *out = strtol(s, &end, 10);
    return errno || end == s || *end || *out < lo || *out > hi ? -1 : 0;
}

static int parse_scenes(settings *o, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char x = 0, rest = 0;
        int bad = 0;
        if (!strcmp(argv[i], "--black") || !strcmp(argv[i], "--cuts")) {
            *(argv[i][2] == 'b' ? &o->black : &o->cuts) = 1;
            continue;
        }
        if (argv[i][0] != '-' && !o->dir) {
            o->dir = argv[i];
            continue;
        }
        if (!strcmp(argv[i], "--count")) {
            bad = number_scenes(value, 1, 10000, &o->count);
        } else if (!strcmp(argv[i], "--frames")) {
            bad = number_scenes(value, 1, 100000, &o->frames);
        } else if (!strcmp(argv[i], "--seed")) {
            bad = number_scenes(value, 0, LONG_MAX, &o->seed);
        } else if (!strcmp(argv[i], "--codec")) {
            o->codec = value;
        } else if (!strcmp(argv[i], "--size")) {
            bad = sscanf(value, "%5ld%c%5ld%c", &o->width, &x, &o->height, &rest) != 3 || x != 'x' ||
                  o->width < 16 || o->height < 16 || o->width > 4096 || o->height > 4096 || o->width % 2 ||
                  o->height % 2;
        } else {
            bad = 1;
        }
        if (bad) {
            fprintf(stderr, "ib_scenes: cannot use '%s %s'\n", argv[i], value);
            return -1;
        }
        i++;
    }
    return o->dir ? 0 : -1;
}

int main(int argc, char **argv) {
    settings o = {.count = 12, .frames = 96, .seed = 1, .width = 384, .height = 224};
    ib_error err = {0};
    int failed = 0;
    ib_ffmpeg_quiet();
    if (parse_scenes(&o, argc, argv)) {
        fputs("Usage: ib_scenes DIR [--count N] [--frames N] [--size WxH] [--seed N] [--codec NAME] [--cuts] "
              "[--black]\n",
              stderr);
        return 2;
    }
    if (ib_mkdirs(o.dir, &err)) {
        fprintf(stderr, "ib_scenes: %s\n", err.text);
        return 1;
    }
#pragma omp parallel for schedule(dynamic)
    for (long i = 0; i < o.count; i++) {
        ib_error e = {0};
        if (make_clip(&o, i, &e)) {
#pragma omp critical
            {
                fprintf(stderr, "ib_scenes: %s\n", e.text);
                failed = 1;
            }
        }
    }
    return failed;
}
