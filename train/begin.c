/* What a run begins with: another adapter's weights, or random ones; and the preset that goes with them. */
#include <stdio.h>
#include <string.h>
#include "adapter/adapter_file.h"
#include "adapter/named.h"
#include "base/file.h"
#include "train/session.h"

static const char *const presets[] = {"default", "toaster", "large"};

/* A preset with the architecture of `c`; "default" if there is none, for its batch and memory. */
static const char *preset_of(const ib_adapter_config *c) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        ib_adapter_config p;
        int rc = ib_adapter_preset(presets[i], c->space_id, c->layout, c->width, &p, NULL);
        memcpy(p.guide, c->guide, sizeof p.guide);
        if (!rc && !ib_adapter_check_same(&p, "", c, "", NULL)) {
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
    memcpy(p.guide, c->guide, sizeof p.guide);
    return rc ? rc : ib_adapter_check_same(&p, name, c, path, err);
}

int ib_session_find_init(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    bool may_fail = o->init_if_fits && !o->resume;
    int rc = ib_adapter_named_file(&s->init_file, o->init, may_fail ? &s->init_not : err);
    return may_fail && rc != IB_E_MEMORY ? IB_OK : rc;
}

/* What a run was begun with is what it goes on with. */
static int check_resumed(const ib_session *s, ib_error *err) {
    const ib_run_plan *plan = &s->state.plan;
    const char *named = s->init_file ? s->init_file : "random weights";
    if (!s->o->init || s->o->init_if_fits || !strcmp(s->init, plan->init)) {
        return IB_OK;
    }
    return ib_fail(err, IB_E_MISMATCH,
                   "%s: cannot be resumed with another --init: it was begun with %s, not with %s%s%.12s%s",
                   s->o->run, *plan->init ? plan->init_name : "random weights", named,
                   *s->init ? " (SHA-256 " : "", s->init, *s->init ? "...)" : "");
}

static int open_file(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    int rc = ib_sha256_file(s->init_file, s->init, err);
    if (rc || o->resume) {
        return rc;
    }
    if ((rc = ib_adapter_open(&s->adapter, s->init_file, err))) {
        return rc;
    }
    const ib_adapter_config *c = ib_adapter_config_of(s->adapter);
    if (o->preset || o->init_if_fits) {
        return check_preset(s->preset, c, s->init_file, err);
    }
    s->preset = preset_of(c);
    return IB_OK;
}

static void forget_init(ib_session *s) {
    ib_adapter_free(&s->adapter);
    s->init[0] = 0;
}

int ib_session_open_init(ib_session *s, ib_error *err) {
    const ib_train_options *o = s->o;
    bool may_fail = o->init_if_fits && !o->resume;
    s->preset = o->resume ? s->state.plan.preset : o->preset ? o->preset : "default";
    int rc = s->init_file ? open_file(s, may_fail ? &s->init_not : err) : IB_OK;
    if (rc && may_fail && rc != IB_E_MEMORY) {
        forget_init(s);
        rc = IB_OK;
    } else if (rc && may_fail) {
        *err = s->init_not;
    }
    return rc || !o->resume ? rc : check_resumed(s, err);
}

/* Whether the adapter is of the data's space and shape. */
static int check_data(ib_session *s, ib_error *err) {
    const ib_adapter_config *c = ib_adapter_config_of(s->adapter);
    const ib_video *clip = ib_dataset_video(s->data, 0);
    const ib_shape *shape = &clip->info.shape;
    int rc = ib_adapter_check_space(s->adapter, clip->info.space_id, clip->path, err);
    if (rc) {
        return ib_error_prefix(err, rc, "%s", s->init_file);
    }
    if (*c->guide && !ib_guide_same_model(c->guide, ib_dataset_guide_model(s->data))) {
        const char *model = ib_dataset_guide_model(s->data);
        return ib_fail(err, IB_E_MISMATCH, "%s: was trained with guides of %s, but the data's are of %s",
                       s->init_file, c->guide, *model ? model : "no pixel model");
    }
    return c->layout == shape->layout && c->width == (int)shape->width
               ? IB_OK
               : ib_fail(err, IB_E_MISMATCH,
                         "%s: for the layout '%s' of width %d, but %s is '%s' of width %zu", s->init_file,
                         ib_layout_name(c->layout), c->width, clip->path, ib_layout_name(shape->layout),
                         shape->width);
}

/* Which it was, where that was left open. */
static void tell_init(const ib_session *s, const ib_video *clip) {
    if (!s->o->init_if_fits || !ib_space_is_pictures(clip->info.space_id)) {
        return;
    }
    if (s->adapter) {
        ib_session_say(s, "begins with %s (--init none: random weights)", s->init_file);
    } else if (s->init_not.code) {
        ib_session_say(s, "begins with random weights: %s", s->init_not.text);
    }
}

int ib_session_begin_model(ib_session *s, ib_error *err) {
    ib_state *st = &s->state;
    const ib_video *clip = ib_dataset_video(s->data, 0);
    const ib_shape *shape = &clip->info.shape;
    int rc;
    if (s->adapter && s->o->init_if_fits && check_data(s, &s->init_not)) {
        forget_init(s);
    }
    tell_init(s, clip);
    if (!s->adapter) {
        rc = ib_adapter_preset(st->plan.preset, clip->info.space_id, shape->layout, (int)shape->width,
                               &st->config, err);
        snprintf(st->config.guide, sizeof st->config.guide, "%s", ib_dataset_guide_model(s->data));
        return rc ? rc : ib_adapter_create(&s->adapter, &st->config, (uint64_t)st->plan.seed, err);
    }
    if ((rc = check_data(s, err))) {
        return rc;
    }
    st->config = *ib_adapter_config_of(s->adapter);
    st->config.strengths = (ib_strengths){0}; /* were those of other weights */
    memcpy(st->plan.init, s->init, sizeof st->plan.init);
    snprintf(st->plan.init_name, sizeof st->plan.init_name, "%.*s", (int)sizeof st->plan.init_name - 1,
             ib_basename(s->init_file));
    return IB_OK;
}
