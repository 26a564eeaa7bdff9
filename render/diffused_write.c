#include <stdio.h>
#include <stdlib.h>
#include "render/diffused_clip.h"
#include "render/diffused_plan.h"
#include "render/diffused_text.h"

int ib_diffused_stopped(const ib_diffused_clip *c, size_t done, ib_error *err) {
    char where[512] = "the clip was dropped";
    if (done) {
        snprintf(where, sizeof where, "they are kept in %.400s, and the same command goes on from there",
                 c->resume.folder);
    }
    return ib_fail(err, IB_E_INTERRUPTED, "%s: stopped after %zu of %zu diffused frames; %s", c->w->output,
                   done, c->planned, where);
}

static int write_frame(ib_diffused_clip *c, const ib_frame *f, ib_error *err) {
    int rc = ib_writer_write(c->writer, f, err);
    c->written += !rc;
    return rc;
}

/* The frames strictly between steps a and b of a way, of which fa and fb are the pictures, and b itself
 * unless it is the next keyframe. */
static int write_between(ib_diffused_clip *c, int a, const ib_frame *fa, int b, const ib_frame *fb,
                         ib_frame *room, ib_error *err) {
    const ib_embeddings_options *w = c->w;
    double gap = (w->gap_seconds > 0 ? w->gap_seconds : (w->frames - 1) / w->fps) * (b - a) / (w->frames - 1);
    float ta = ib_plan_place(a, w->frames, w->ease), tb = ib_plan_place(b, w->frames, w->ease);
    int rc = IB_OK;
    for (int j = a + 1; !rc && j < b; j++) {
        float t = (ib_plan_place(j, w->frames, w->ease) - ta) / (tb - ta);
        rc = w->stop && atomic_load(w->stop) ? ib_diffused_stopped(c, c->planned, err) : IB_OK;
        rc = rc ? rc : ib_renderer_frame(c->pixels, fa, fb, t, (float)gap, room, err);
        rc = rc ? rc : write_frame(c, room, err);
    }
    return rc || b == w->frames - 1 ? rc : write_frame(c, fb, err);
}

static int write_way(ib_diffused_clip *c, size_t way, ib_frame *room, ib_error *err) {
    const ib_frame *at = &c->key[way];
    int step = 0, rc = write_frame(c, at, err);
    for (size_t i = 0; !rc && i < c->planned; i++) {
        const ib_diffused_place *p = &c->plan[i];
        if (p->way == way && p->step > 0 && p->step < c->w->frames - 1) {
            rc = write_between(c, step, at, p->step, &c->made[i], room, err);
            step = p->step;
            at = &c->made[i];
        }
    }
    return rc ? rc : write_between(c, step, at, c->w->frames - 1, &c->key[(way + 1) % c->keys], room, err);
}

static ib_writer_options options_of(const ib_diffused_clip *c) {
    return (ib_writer_options){.width = c->width,
                               .height = c->height,
                               .fps = c->w->fps,
                               .matrix = c->matrix,
                               .codec = c->w->codec,
                               .crf = c->w->crf,
                               .threads = c->w->threads,
                               .frames = c->total,
                               .overwrite = c->w->overwrite,
                               .rgb = true};
}

int ib_diffused_write(ib_diffused_clip *c, ib_error *err) {
    ib_writer_options how = options_of(c);
    ib_frame room = {0};
    how.comment = c->text;
    int rc = ib_writer_open(&c->writer, c->w->output, &how, err);
    rc = rc ? rc : ib_frame_alloc(&room, c->width, c->height, err);
    for (size_t p = 0; !rc && p < c->ways; p++) {
        rc = write_way(c, p, &room, err);
    }
    if (!rc && !c->w->loop) {
        rc = write_frame(c, &c->key[c->keys - 1], err);
    }
    rc = rc ? rc : ib_writer_finish(&c->writer, err);
    ib_frame_free(&room);
    return rc;
}

int ib_diffused_try_output(ib_diffused_clip *c, ib_error *err) {
    size_t n;
    const char **inputs = ib_diffused_inputs(c->o, &n);
    ib_writer_options how = options_of(c);
    how.inputs = inputs;
    how.n_inputs = n;
    int rc = inputs ? ib_writer_open(&c->writer, c->w->output, &how, err)
                    : ib_fail(err, IB_E_MEMORY, "out of memory for the list of inputs");
    ib_writer_abort(&c->writer);
    for (size_t i = 0; !rc && i < n; i++) {
        ib_key_add_input(&c->id, inputs[i]);
    }
    free(inputs);
    return rc;
}
