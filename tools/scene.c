#include "tools/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SUBFRAMES = 4 };
static const float pi = 3.14159265f;

float scene_between(ib_rng *r, float lo, float hi) {
    return lo + (hi - lo) * ib_rng_float(r);
}

int scene_one_in(ib_rng *r, unsigned n) {
    return ib_rng_below(r, n) == 0;
}

static float ease(float t) {
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * t * (t * (t * 6 - 15) + 10);
}

pose scene_motion_at(const motion *p, float t, float length) {
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

void scene_make_shape(thing *o, ib_rng *r) {
    int k = 3 + (int)ib_rng_below(r, 6), kind = (int)ib_rng_below(r, 5);
    float amplitude = scene_between(r, 0.1f, 0.3f), p1 = scene_between(r, 0, 6), p2 = scene_between(r, 0, 6),
          p3 = scene_between(r, 0, 6);
    o->ball = kind == 0;
    if (kind == 1) {
        o->box_x = scene_between(r, 0.4f, 1);
        o->box_y = scene_between(r, 0.4f, 1);
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

void scene_make_motion(motion *p, ib_rng *r, float aspect, float speed) {
    p->kind = (motion_kind)ib_rng_below(r, PATHS);
    p->x = scene_between(r, 0.1f, aspect - 0.1f);
    p->y = scene_between(r, 0.15f, 0.85f);
    if (p->kind == DRIFT || p->kind == BOUNCE) {
        p->vx = speed * scene_between(r, -0.5f, 0.5f);
        p->vy = p->kind == DRIFT ? speed * scene_between(r, -0.25f, 0.25f) : 0;
        p->x -= 2 * p->vx; /* in the picture at the middle of the clip */
        p->y -= 2 * p->vy;
    }
    for (int i = 0; i < WAYPOINTS; i++) {
        p->stop[i][0] = scene_between(r, 0, aspect);
        p->stop[i][1] = scene_between(r, 0.1f, 0.9f);
    }
    p->radius = scene_between(r, 0.1f, 0.35f);
    p->rate = speed * scene_between(r, 0.4f, 1.3f) * (scene_one_in(r, 2) ? -1.0f : 1.0f);
    if (p->kind == BOUNCE) {
        p->y = scene_between(r, 0.75f, 0.95f);
        p->radius = scene_between(r, 0.2f, 0.6f);
        p->rate = scene_between(r, 0.4f, 0.9f);
    }
    p->phase = scene_between(r, 0, 6);
    p->turn = scene_between(r, 0, 6);
    p->spin = scene_one_in(r, 3) ? 0 : speed * scene_between(r, -1, 1);
    p->grow = scene_one_in(r, 3) ? scene_between(r, -0.7f, 0.7f) : 0;
    p->pulse = scene_one_in(r, 5) ? scene_between(r, 0.05f, 0.2f) : 0;
}

static void make_camera(scene *s, ib_rng *r, float speed) {
    motion *c = &s->camera;
    int kind = (int)ib_rng_below(r, 6); /* 0: at rest */
    c->kind = DRIFT;
    if (kind == 1 || kind == 2 || kind == 5) {
        c->vx = speed * scene_between(r, -0.35f, 0.35f);
        c->vy = speed * scene_between(r, -0.1f, 0.1f);
    }
    if (kind == 3 || kind == 5) {
        c->grow = scene_between(r, -0.45f, 0.45f);
    }
    if (kind == 4) {
        c->spin = scene_between(r, -0.12f, 0.12f);
        c->grow = scene_between(r, -0.2f, 0.2f);
    }
    s->shake = scene_one_in(r, 3) ? scene_between(r, 0.002f, 0.008f) : 0;
    for (int i = 0; i < 6; i++) {
        s->shake_phase[i] = scene_between(r, 0, 6);
    }
}

void scene_free(scene *s) {
    if (s) {
        texture_free(&s->ground);
        for (int i = 0; i < s->n; i++) {
            texture_free(&s->thing[i].skin);
        }
        free(s);
    }
}

scene *scene_make(ib_rng *r, float aspect) {
    scene *s = calloc(1, sizeof *s);
    float speed = scene_between(r, 0.6f, 2.0f);
    colour base = colour_random(r, 50, 190, 0.6f);
    if (!s || texture_make(&s->ground, r, base)) {
        scene_free(s);
        return NULL;
    }
    s->shutter = 0.5f;
    s->ground_grain = scene_between(r, 250, 500);
    s->ground_turn = scene_between(r, -0.4f, 0.4f);
    make_camera(s, r, speed);
    int n = 2 + (int)ib_rng_below(r, 7);
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
        scene_make_shape(o, r);
        scene_make_motion(&o->way, r, aspect, speed);
        o->size = scene_between(r, 0.06f, 0.24f);
        o->depth = 1 + 0.6f * (float)i / (float)n;
        o->shadow = !scene_one_in(r, 3);
        o->grain = scene_between(r, 60, 200);
    }
    return s;
}

/* Screen = middle + zoom * rotation * (world - camera), lengths in picture heights. */
typedef struct view {
    float x, y, c, s, zoom;
} view;

static view camera_at(const scene *s, float t, float length, float depth) {
    pose p = scene_motion_at(&s->camera, t, length);
    const float *f = s->shake_phase;
    p.x += s->shake * (sinf(7 * t + f[0]) + 0.6f * sinf(13 * t + f[1]) + 0.4f * sinf(23 * t + f[2]));
    p.y += s->shake * (sinf(6 * t + f[3]) + 0.6f * sinf(11 * t + f[4]) + 0.4f * sinf(19 * t + f[5]));
    return (view){p.x * depth, p.y * depth, cosf(p.turn), sinf(p.turn), expf(logf(p.size) * depth)};
}

static int mip(float texels_per_pixel) {
    int l = (int)floorf(log2f(texels_per_pixel) + 0.5f);
    return l < 0 ? 0 : l >= TEXTURE_LEVELS ? TEXTURE_LEVELS - 1 : l;
}

/* The ground as a floor ahead; above the horizon as a sky that only turns and pans. */
static void draw_floor(canvas *k, const scene *s, const view *v, float t, float jx, float jy) {
    float h = (float)k->height, grain = s->ground_grain, sky = 0.4f;
    for (int y = 0; y < k->height; y++) {
        float *row = k->now + 3 * (size_t)y * (size_t)k->width;
        for (int x = 0; x < k->width; x++) {
            float sx = ((float)x + jx - 0.5f * (float)k->width) / (h * v->zoom);
            float sy = ((float)y + jy - 0.5f * h) / (h * v->zoom);
            float px = v->c * sx + v->s * sy, py = v->c * sy - v->s * sx + 0.5f - s->horizon - v->y;
            colour p;
            if (py < 0) {
                p = texture_at(&s->ground, mip(sky * grain / h), grain * sky * (v->x + px), grain * sky * py);
            } else {
                float z = 0.25f / fmaxf(py, 0.004f), fog = fminf(1, z / 16);
                int level = mip(grain * 4 * z * z / h); /* a row's depth, which grows fastest */
                p = texture_at(&s->ground, level, grain * (v->x + px * z * 4), grain * (s->advance * t + z));
                p.y += fog * (150 - p.y);
                p.u += fog * (128 - p.u);
                p.v += fog * (128 - p.v);
            }
            row[3 * x] = p.y;
            row[3 * x + 1] = p.u;
            row[3 * x + 2] = p.v;
        }
    }
}

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

static void draw_thing(canvas *k, const thing *o, const view *v, pose p, float t, float jx, float jy,
                       int shadow) {
    float h = (float)k->height, size = o->size * p.size * v->zoom * h;
    float aspect = (float)k->width / (float)k->height;
    float wx = p.x - 0.5f * aspect - v->x, wy = p.y - 0.5f - v->y;
    float cx = 0.5f * (float)k->width + v->zoom * (v->c * wx - v->s * wy) * h - jx;
    float cy = 0.5f * h + v->zoom * (v->s * wx + v->c * wy) * h - jy;
    float turn = p.turn, soft = shadow ? 0.3f * size : fmaxf(1, o->edge * size), c, s;
    if (shadow) {
        cx += 0.15f * size;
        cy += 0.22f * size;
    }
    c = cosf(turn) * v->c - sinf(turn) * v->s;
    s = sinf(turn) * v->c + cosf(turn) * v->s;
    float reach = (1.45f + o->wave) * size + soft;
    float far = reach * reach / (size * size),
          inner = o->least - o->wave - 4 * soft / size; /* where the outline need not be asked for */
    float near = o->box_x > 0 || inner < 0 ? 0 : inner * inner;
    int x0 = (int)fmaxf(0, cx - reach), x1 = (int)fminf((float)k->width - 1, cx + reach);
    int y0 = (int)fmaxf(0, cy - reach), y1 = (int)fminf(h - 1, cy + reach), level = mip(o->grain / size);
    for (int y = y0; y <= y1; y++) {
        float *row = k->now + 3 * (size_t)y * (size_t)k->width;
        for (int x = x0; x <= x1; x++) {
            float dx = ((float)x - cx) / size, dy = ((float)y - cy) / size;
            float lx = c * dx + s * dy, ly = c * dy - s * dx;
            if (o->wave > 0) {
                float bent = lx + o->wave * sinf(3 * ly + o->rate * t);
                ly += 0.7f * o->wave * cosf(2.5f * lx - o->rate * t);
                lx = bent;
            }
            float r2 = lx * lx + ly * ly;
            if (r2 > far) {
                continue;
            }
            float d = r2 < near && o->bars <= 0 ? -9 : outside(o, lx, ly) * size / soft;
            if (o->bars > 0) { /* as wide as the slits between them */
                float across = o->bars * lx - floorf(o->bars * lx);
                d = fmaxf(d, (fabsf(across - 0.5f) - 0.25f) / o->bars * size / soft);
            }
            float alpha = (d > 0.5f ? 0 : d < -0.5f ? 1 : 0.5f - d) * (1 - o->thin);
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
            } else if (d > -3 && o->edge <= 0) {
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

void scene_render(canvas *k, const scene *s, float frame, float frames, ib_frame *out) {
    /* places within the pixel that differ from instant to instant smooth the edges */
    static const float jitter[SUBFRAMES][2] = {
        {-0.375f, -0.125f}, {0.125f, -0.375f}, {0.375f, 0.125f}, {-0.125f, 0.375f}};
    size_t n = 3 * (size_t)k->width * (size_t)k->height;
    memset(k->sum, 0, n * sizeof *k->sum);
    for (int i = 0; i < SUBFRAMES; i++) {
        float t = (frame + s->shutter * ((float)i + 0.5f) / SUBFRAMES) / 24, jx = jitter[i][0],
              jy = jitter[i][1];
        view ground = camera_at(s, t, frames / 24, 1);
        if (s->horizon > 0) {
            draw_floor(k, s, &ground, t, jx, jy);
        } else {
            draw_ground(k, s, &ground, jx, jy);
        }
        for (int o = 0; o < s->n; o++) {
            view v = camera_at(s, t, frames / 24, s->thing[o].depth);
            pose p = scene_motion_at(&s->thing[o].way, t, frames / 24);
            if (s->thing[o].shadow) {
                draw_thing(k, &s->thing[o], &v, p, t, jx, jy, 1);
            }
            draw_thing(k, &s->thing[o], &v, p, t, jx, jy, 0);
        }
        for (size_t j = 0; j < n; j++) {
            k->sum[j] += k->now[j] / SUBFRAMES;
        }
    }
    to_frame(k, out);
}
