/* The half of 'inbetween render' that has no pictures of its own. */
#ifndef IB_CLI_RENDER_EMBEDDINGS_H
#define IB_CLI_RENDER_EMBEDDINGS_H

#include "cli/cli.h"
#include "render/movie.h"

/* True if keyframes, space or output ask for it. */
bool cli_wants_embeddings(cli *c, const ib_movie_options *o);
/* o: what the command line said, as for a clip. Returns the exit status. */
int cli_render_embeddings(cli *c, const ib_movie_options *o);

#endif
