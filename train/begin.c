/* What a run begins with: another adapter's weights, or random ones; and the preset that goes with them. */
#include <stdio.h>
#include <string.h>
#include "adapter/adapter_file.h"
#include "base/file.h"
#include "train/session.h"

static const char *const presets[] = {"default", "toaster", "large"};

/* A preset with the architecture of `c`; "default" if there is none, for its batch and memory. */
static const char *preset_of(const ib_adapter_config *c) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        ib_adapter_config p;
        if (!ib_adapter_preset(presets[i], c->space_id, c->layout, c->width, &p, NULL) &&
            !ib_adapter_check_same(&p, "", c, "", NULL)) {
            return presets[i];
        }
    }
    return "default";
}

/* A preset that was asked for must be of the adapter's architecture. */
static int check_preset(const char *preset, const ib_adapter_config *c, const char *path, ib_error *err) {
    ib_adapter_config p;
    char name[64];
    int rc = ib_adapter_preset(preset, c->space_id, c->layout, c->width, &p, err);
    snprintf(name, sizeof name, "the preset '%.32s'", preset);
    return rc ? rc : ib_adapter_check_same(&p, name, c, path, err);
}

int ib_session_open_init(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    ib_run_plan *plan = &s->state.plan;
    s->preset = o->resume ? plan->preset : o->preset ? o->preset : "default";
    if (!o->init) {
        return IB_OK;
    }
    int rc = ib_sha256_file(o->init, s->init, err);
    if (rc) {
        return rc;
    }
    if (o->resume) {
        return strcmp(s->init, plan->init) == 0
                   ? IB_OK
                   : ib_fail(err, IB_E_MISMATCH,
                             "%s: cannot be resumed with another --init: it was begun with %s, not with %s "
                             "(SHA-256 "
                             "%.12s...)",
                             o->run, *plan->init ? plan->init_name : "random weights", o->init, s->init);
    }
    if ((rc = ib_adapter_open(&s->adapter, o->init, err))) {
        return rc;
    }
    const ib_adapter_config *c = ib_adapter_config_of(s->adapter);
    if (o->preset) {
        return check_preset(o->preset, c, o->init, err);
    }
    s->preset = preset_of(c);
    return IB_OK;
}

int ib_session_begin_model(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    ib_state *st = &s->state;
    const ib_video *clip = ib_dataset_video(s->data, 0);
    const ib_shape *shape = &clip->info.shape;
    int rc;
    if (!s->adapter) {
        rc = ib_adapter_preset(st->plan.preset, clip->info.space_id, shape->layout, (int)shape->width,
                               &st->config, err);
        return rc ? rc : ib_adapter_create(&s->adapter, &st->config, (uint64_t)st->plan.seed, err);
    }
    st->config = *ib_adapter_config_of(s->adapter);
    if ((rc = ib_adapter_check_space(s->adapter, clip->info.space_id, clip->path, err))) {
        return ib_error_prefix(err, rc, "%s", o->init);
    }
    if (st->config.layout != shape->layout || st->config.width != (int)shape->width) {
        return ib_fail(err, IB_E_MISMATCH, "%s: for the layout '%s' of width %d, but %s is '%s' of width %zu",
                       o->init, ib_layout_name(st->config.layout), st->config.width, clip->path,
                       ib_layout_name(shape->layout), shape->width);
    }
    memcpy(st->plan.init, s->init, sizeof st->plan.init);
    snprintf(st->plan.init_name, sizeof st->plan.init_name, "%.*s", (int)sizeof st->plan.init_name - 1,
             ib_basename(o->init));
    return IB_OK;
}
