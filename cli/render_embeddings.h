/* The half of 'inbetween render' that has no pictures of its own. */
#ifndef IB_CLI_RENDER_EMBEDDINGS_H
#define IB_CLI_RENDER_EMBEDDINGS_H

#include "cli/cli.h"
#include "render/embeddings.h"
#include "render/movie.h"

/* True if keyframes, space or output ask for it. */
bool cli_wants_embeddings(cli *c, const ib_movie_options *o);
/* o: what the command line said, as for a clip. Returns the exit status. */
int cli_render_embeddings(cli *c, const ib_movie_options *o);
/* What the command line says of the way between keyframes. Returns the exit status. */
int cli_embeddings_options(cli *c, const ib_movie_options *clip, ib_embeddings_options *o);
/* The space that was named; none is fine if all keyframes are latents. Returns the exit status. */
int cli_open_way_space(cli *c, const ib_movie_options *clip, bool hidden, ib_space **space);

#endif
