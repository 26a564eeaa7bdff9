/* One scene: a ground, a camera and things that move, drawn frame by frame. tools/scenes.c makes clips of
 * them. */
#ifndef IB_TOOLS_SCENE_H
#define IB_TOOLS_SCENE_H

#include "tools/texture.h"
#include "video_io/frame.h"

enum { MAX_THINGS = 12, ANGLES = 1024, WAYPOINTS = 4 };

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

typedef struct thing {
    texture skin;
    motion way;
    float size, depth;   /* half height; how strongly the camera moves it, 1: as the ground */
    float least;         /* of shape */
    float shape[ANGLES]; /* radius by angle, largest 1 */
    float box_x, box_y;  /* > 0: a rounded box instead */
    int ball, shadow;    /* lit like a ball; throws a shadow */
    float grain;         /* texels per unit of size */
    float edge;          /* width of the outline's blur, in sizes; at least a pixel */
    float thin;          /* how much of what lies behind it shows through, 0..1 */
    float bars;          /* > 0: it has as many slits per size */
    float wave, rate;    /* bends: by how many sizes, radians per unit of time */
} thing;

typedef struct scene {
    texture ground;
    motion camera;
    float shake, ground_grain, ground_turn;
    float shake_phase[6];
    float shutter; /* of a frame's time: 0.5 is 180 degrees */
    float horizon; /* > 0: the ground is a floor, seen ahead, that meets the sky at this height */
    float advance; /* heights by which the floor comes nearer per unit of time */
    int n;
    thing thing[MAX_THINGS];
} scene;

/* aspect: width / height. NULL when memory is out. */
scene *scene_make(ib_rng *r, float aspect);
/* The same for training: more kinds of ground, camera and things, at all speeds; see scene_varied.c. */
scene *scene_make_varied(ib_rng *r, float aspect);
void scene_free(scene *s);

typedef struct canvas {
    int width, height;
    float *now, *sum; /* [H,W,3]: this instant, and the shutter's whole time */
} canvas;

/* The frame-th of `frames`, into an allocated frame of the canvas's size. */
void scene_render(canvas *k, const scene *s, float frame, float frames, ib_frame *out);

/* For those who make scenes. */
void scene_make_shape(thing *o, ib_rng *r);
void scene_make_motion(motion *p, ib_rng *r, float aspect, float speed);
pose scene_motion_at(const motion *p, float t, float length);
float scene_between(ib_rng *r, float lo, float hi);
int scene_one_in(ib_rng *r, unsigned n);

#endif
