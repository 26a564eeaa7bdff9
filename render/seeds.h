/* Inside render/: which of several noises a clip is made with. All frames of a clip share one noise, so it is
 * chosen for the whole clip: with every seed some of the frames are drawn, the space's image tower looks at
 * them as they would be in a file, and the seed whose pictures agree best with what leads them is taken; of
 * equals the first.
 *
 * Looked at are, between every two keyframes, the diffused frames nearest to the middle and to both quarters,
 * and keyframes that are latents or prompts. Agreement is the mean cosine, token by token, to the embedding
 * that leads the frame; or, with a judge (search/judge.h), the mean of its scores of what the tower saw as
 * candidates at their places, the middle first, which then stands beside the quarters. Keyframes are not
 * judged.
 *
 * Prompts that are drawn come first, and what leads the frames beside them depends on the seed. Where there
 * are any, keyframes alone are looked at: such a prompt's picture by the cosine to the prompt's embedding. */
#ifndef IB_RENDER_SEEDS_H
#define IB_RENDER_SEEDS_H

#include "render/diffused_clip.h"

/* What can be refused before anything is opened: IB_E_ARGUMENT. */
int ib_seeds_check(const ib_diffused_options *o, ib_error *err);
/* seed: that of c->o, which is set to the chosen one; with one seed nothing is done. The clip has its plan,
 * its embeddings, its pixel model and room to draw; its count of work grows by what this takes. agreement: of
 * the chosen one. IB_E_ARGUMENT where there is nothing to look at; IB_E_INTERRUPTED; those of
 * ib_search_judge_open and ib_search_judge_check. */
int ib_seeds_choose(ib_diffused_clip *c, uint64_t *seed, double *agreement, ib_error *err);

#endif
