/* Inside render/: what of a diffused clip's options cannot be done, each in one sentence. */
#ifndef IB_RENDER_DIFFUSED_CHECK_H
#define IB_RENDER_DIFFUSED_CHECK_H

#include "render/diffusing.h"

int ib_diffused_check(const ib_diffused_options *o, ib_error *err);
/* What conditions the frames, as the user or else the model has it. */
ib_led_by ib_diffused_condition(const ib_diffused_options *o, const ib_diffusing_about *about);
int ib_diffused_check_condition(const ib_diffused_options *o, const ib_diffusing_about *about, ib_error *err);
int ib_diffused_check_size(const ib_diffused_options *o, const ib_diffusing_about *about, int width,
                           int height, ib_error *err);
/* Whether the embeddings of o->way.space are of the image tower that the model, or its IP-Adapter, was
 * trained with: by the tower that comes with it (in image_encoder/, in a single file, or in image_encoder/
 * beside the IP-Adapter) where there is one, else by the width, with a warning to way.message. Towers of
 * other ids that give the first keyframe, a picture, the same embedding (cosine at least 0.999) are one in
 * two precisions. */
int ib_diffused_check_space(const ib_diffused_options *o, const ib_diffusing_about *about, ib_error *err);

#endif
