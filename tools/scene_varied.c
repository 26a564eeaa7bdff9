/* Scenes to train on. Against those of scene.c: speeds from hardly moving to a third of the picture a quarter
 * of a second, fine grain on every surface, things of all sizes with hard or blurred outlines, slits, or that
 * one sees through, that bend; cameras that ease between places, roll, and drive over a floor. */
#include "tools/scene.h"

#include <math.h>
#include <stdlib.h>

static const float middle = 1.25f; /* of a clip of 60 frames, in units of time */

/* Even in the logarithm. */
static float scale(ib_rng *r, float lo, float hi) {
    return expf(scene_between(r, logf(lo), logf(hi)));
}

static void make_camera(scene *s, ib_rng *r, float speed) {
    motion *c = &s->camera;
    int kind = (int)ib_rng_below(r, 8); /* 0: at rest */
    c->kind = DRIFT;
    if (kind == 1 || kind == 2 || kind == 5 || kind == 7) {
        c->vx = speed * scene_between(r, -0.5f, 0.5f);
        c->vy = speed * scene_between(r, -0.2f, 0.2f);
    }
    if (kind == 3 || kind == 5) {
        c->grow = scene_between(r, -0.8f, 0.8f);
    }
    if (kind == 4 || kind == 7) {
        c->spin = 0.3f * fminf(speed, 2) * scene_between(r, -1, 1);
        c->grow = scene_between(r, -0.4f, 0.4f);
    }
    if (kind == 6) {
        c->kind = EASE;
        for (int i = 0; i < WAYPOINTS; i++) {
            c->stop[i][0] = 0.35f * speed * scene_between(r, -1, 1);
            c->stop[i][1] = 0.15f * speed * scene_between(r, -1, 1);
        }
    }
    s->shake = scene_one_in(r, 3) ? scene_between(r, 0.002f, 0.01f) : 0;
    for (int i = 0; i < 6; i++) {
        s->shake_phase[i] = scene_between(r, 0, 6);
    }
    if (scene_one_in(r, 6)) {
        s->horizon = scene_between(r, 0.25f, 0.55f);
        s->advance = fminf(speed, 1.5f) * scene_between(r, 0.2f, 1) * (scene_one_in(r, 4) ? -1.0f : 1.0f);
        c->grow = 0;
        c->vy = 0;
    }
}

static int make_ground(scene *s, ib_rng *r, colour base) {
    if (texture_make(&s->ground, r, base) || texture_roughen(&s->ground, r, scene_between(r, 2, 22))) {
        return -1;
    }
    s->ground_grain = scene_between(r, 150, 420);
    s->ground_turn = scene_between(r, -0.8f, 0.8f);
    return 0;
}

static int make_thing(scene *s, ib_rng *r, float aspect, float speed, float depth) {
    thing *o = &s->thing[s->n];
    colour c = colour_random(r, 25, 225, scene_one_in(r, 3) ? 1 : 0.4f);
    s->n++;
    if (texture_make(&o->skin, r, c) || texture_roughen(&o->skin, r, scene_between(r, 2, 22))) {
        return -1;
    }
    scene_make_shape(o, r);
    scene_make_motion(&o->way, r, aspect, speed);
    o->depth = depth;
    pose mid = scene_motion_at(&s->camera, middle, 2 * middle); /* in the picture then */
    o->way.x += mid.x * depth;
    o->way.y += mid.y * depth;
    for (int i = 0; i < WAYPOINTS; i++) {
        o->way.stop[i][0] += mid.x * depth;
        o->way.stop[i][1] += mid.y * depth;
    }
    o->size = scale(r, 0.05f, 0.55f);
    o->shadow = scene_one_in(r, 2);
    o->grain = o->size * scene_between(r, 150, 420);
    o->edge = scene_one_in(r, 3) ? scale(r, 0.01f, 0.25f) : 0;
    o->thin = scene_one_in(r, 8) ? scene_between(r, 0.2f, 0.6f) : 0;
    o->bars = scene_one_in(r, 8) ? scene_between(r, 2, 6) : 0;
    o->wave = scene_one_in(r, 3) ? scene_between(r, 0.03f, 0.2f) : 0;
    o->rate = scene_between(r, -6, 6);
    return 0;
}

scene *scene_make_varied(ib_rng *r, float aspect) {
    scene *s = calloc(1, sizeof *s);
    float speed = scale(r, 0.15f, 3), own = scale(r, 0.15f, 3);
    colour base = colour_random(r, 30, 210, scene_one_in(r, 3) ? 0.8f : 0.3f);
    if (!s || make_ground(s, r, base)) {
        scene_free(s);
        return NULL;
    }
    make_camera(s, r, speed);
    s->shutter = scene_one_in(r, 2) ? scene_between(r, 0, 0.2f) : scene_between(r, 0.2f, 0.7f);
    int n = 1 + (int)ib_rng_below(r, MAX_THINGS);
    for (int i = 0; i < n; i++) { /* the nearest last */
        float depth = 1 + scene_between(r, 0.6f, 1.2f) * (float)i / (float)n;
        if (make_thing(s, r, aspect, own, depth)) {
            scene_free(s);
            return NULL;
        }
    }
    return s;
}
